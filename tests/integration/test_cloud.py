# SPDX-License-Identifier: MIT
"""Clouds as sources: EC2 as moto serves it, and the other services in their documented form, from `metadata`.

The first half is what each cloud demands and says; the second half is what a service may do that is not a good one.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.integration.metadata import (
    IMDS,
    SECRET,
    Asked,
    Listed,
    Machine,
    Service,
    Told,
    aws_metadata,
    azure_metadata,
    compute,
    gcp_metadata,
    resource_manager,
    running,
)
from tests.integration.nodes import Node, are_meshed, blixard, eventually, killed_afterwards
from tests.integration.web import saying
from tests.ports import free_port
from tests.unit.peers.people import endpoint_id, key, peer
from tests.unit.sources.files import CHECK, in_an_hour, peers_file_of, registry_of

from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager, DiscoverySource
from blixard.documents.registry_file import read_registry
from blixard.model.encodings import encode_base32
from blixard.sources import cloud_aws, cloud_services
from blixard.sources.base import Answer, Failed, Found, Nothing, Source, SourceContext
from blixard.sources.cloud import Cloud, CloudLocation, CloudSource
from blixard.sources.cloud_aws import Aws
from blixard.sources.cloud_azure import Azure
from blixard.sources.cloud_gcp import Gcp
from blixard.sources.http_client import Limits
from blixard.trust.peers_signature import sign_peers

TOOLS = SourceContext(check=CHECK, wall=in_an_hour, is_known=lambda _: False)
SEED = registry_of(peer(1, seq=5)).decode()
TAG = "tag=blixard-cluster=prod"
SOON = Limits(connect=30.0, idle=30.0, total=0.3)

METADATA: dict[str, Callable[[Machine], Service]] = {
    "aws": aws_metadata,
    "gcp": gcp_metadata,
    "azure": azure_metadata,
}
LISTING: dict[str, Callable[[list[Listed]], Service]] = {"gcp": compute, "azure": resource_manager}


def provider(name: str, metadata: str, api: str = "http://127.0.0.1:1") -> Cloud:
    """The provider that asks these servers."""
    if name == "aws":
        return Aws(metadata=metadata)
    return Gcp(metadata=metadata, api=api) if name == "gcp" else Azure(metadata=metadata, api=api)


async def ask(location: str, cloud: Cloud) -> Answer:
    return await CloudSource(CloudLocation.parse(location), TOOLS, cloud).fetch()


async def ask_own(name: str, service: Service) -> tuple[Answer, list[Asked]]:
    """Ask a metadata service for seeds; return the answer and what was asked."""
    with running(service) as metadata:
        return await ask(f"{name}:", provider(name, metadata.url)), metadata.asked


def nodes(answer: Answer) -> dict[int, tuple[str, ...]]:
    """The addresses of each node that an answer names."""
    assert isinstance(answer, Found), answer
    return {each.node_id: tuple(each.direct_addresses) for each in answer.peers}


def said(answer: Answer) -> str:
    assert isinstance(answer, Failed), answer
    assert "\n" not in answer.error
    assert SECRET not in answer.error
    return answer.error


def tags(number: int, **more: str) -> dict[str, str]:
    """The tags of a node's instance, with an id that a label has room for."""
    iroh_id = encode_base32(endpoint_id(number).raw)
    own = {"blixard-cluster": "prod", "blixard-node-id": str(number), "blixard-iroh-id": iroh_id}
    return {**own, **{f"blixard-{name}": value for name, value in more.items()}}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the credentials of whoever runs the tests nor a proxy of theirs counts."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")


@pytest.mark.parametrize("name", METADATA)
async def test_seeds_come_from_a_tag_or_else_from_the_user_data(name: str) -> None:
    spread = {"blixard-seeds": SEED[:250], "blixard-seeds-2": SEED[250:], "Name": "vm"}
    for machine in (Machine(spread), Machine(user_data=SEED)):
        answer, asked = await ask_own(name, METADATA[name](machine))
        assert nodes(answer) == {1: ("10.0.0.1:7001",)}
        assert not any("x-forwarded-for" in each.headers for each in asked)
    answer, _ = await ask_own(name, METADATA[name](Machine(user_data="#cloud-config\n")))
    assert answer == Nothing()


async def test_aws_is_asked_with_a_token_of_version_2_and_for_no_other_tags_than_its_own() -> None:
    machine = Machine({"Name": "vm", "blixard-seeds": SEED, "password": "x"})
    _, asked = await ask_own("aws", aws_metadata(machine))
    assert [(each.method, each.path.rpartition("/")[2]) for each in asked] == [
        ("PUT", "token"),
        ("GET", ""),
        ("GET", "blixard-seeds"),
        ("GET", "user-data"),
    ]
    assert {each.headers.get("x-aws-ec2-metadata-token") for each in asked[1:]} == {IMDS}


@pytest.mark.parametrize("status", [403, 404, 405, 400, 500])
async def test_where_version_2_is_not_there_version_1_is_not_asked(status: int) -> None:
    answer, asked = await ask_own("aws", lambda each: Told(status if each.method == "PUT" else 200, SEED))
    assert f"answers {status}" in said(answer)
    assert [each.method for each in asked] == ["PUT"]


async def test_tags_that_aws_does_not_tell_are_a_line_with_what_allows_them() -> None:
    answer, _ = await ask_own("aws", aws_metadata(Machine(allows_tags=False)))
    assert "cloud:aws: its tags are not in its metadata" in said(answer)
    assert "--instance-metadata-tags enabled" in said(answer)
    answer, _ = await ask_own("aws", aws_metadata(Machine(user_data=SEED, allows_tags=False)))
    assert list(nodes(answer)) == [1]


@pytest.fixture(scope="module")
def ec2() -> Iterator[str]:
    """EC2, and in it, in two regions, instances with the tags of nodes and others."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    for region, numbers in (("eu-central-1", range(1, 9)), ("us-east-1", (21,))):
        client: Any = boto3.client(
            "ec2", region, endpoint_url=url, aws_access_key_id="somebody", aws_secret_access_key="x"
        )
        for number in numbers:
            _run(client, tags(number))
        _run(client, {**tags(30), "blixard-cluster": "production"})
        (stopped,) = _run(client, tags(31))
        client.stop_instances(InstanceIds=[stopped])
        _run(client, {"blixard-cluster": "prod", "Name": "not a node"})
    yield url
    server.stop()


def _run(client: Any, given: dict[str, str]) -> list[str]:
    made = client.run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": name, "Value": value} for name, value in given.items()]}
        ],
    )
    return [each["InstanceId"] for each in made["Instances"]]


@pytest.fixture
def credentials(ec2: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL_EC2": ec2,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("credentials")
async def test_ec2_lists_the_running_instances_with_exactly_the_tag_in_the_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cloud_aws, "_PAGE_SIZE", "5")
    location = CloudLocation.parse(f"aws:{TAG}&region=eu-central-1")
    source = CloudSource(location, TOOLS)
    answer = await source.fetch()
    assert isinstance(answer, Found)
    assert list(nodes(answer)) == list(range(1, 9))
    for number, addresses in nodes(answer).items():
        (address,) = addresses
        assert address.startswith("10."), number
        assert address.endswith(":7001")
    (problem,) = answer.problems
    assert "has no tag blixard-node-id" in problem
    again = await source.fetch()
    assert isinstance(again, Found)
    assert again.sightings is answer.sightings
    public = nodes(await ask(f"aws:{TAG}&region=eu-central-1&public=true", Aws()))
    assert {len(each) for each in public.values()} == {2}
    assert await ask("aws:tag=blixard-cluster=pro*&region=eu-central-1", Aws()) == Nothing()


@pytest.mark.usefixtures("credentials")
async def test_the_region_is_that_of_the_location_else_of_aws_s_settings_else_the_machine_s_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running(aws_metadata(Machine())) as metadata:
        assert 1 in nodes(await ask(f"aws:{TAG}", Aws(metadata=metadata.url)))
        count = len(metadata.asked)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert list(nodes(await ask(f"aws:{TAG}", Aws(metadata=metadata.url)))) == [21]
        assert 1 in nodes(await ask(f"aws:{TAG}&region=eu-central-1", Aws(metadata=metadata.url)))
        assert len(metadata.asked) == count


async def test_credentials_come_from_the_role_of_the_instance_or_from_the_shared_file(
    ec2: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", ec2)
    with running(aws_metadata(Machine())) as metadata:
        # As AWS's own tools name the place.
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
        assert 1 in nodes(await ask(f"aws:{TAG}", Aws()))
        assert metadata.asked[-1].path == "/latest/meta-data/iam/security-credentials/blixard-node"
        assert {each.headers.get("x-aws-ec2-metadata-token") for each in metadata.asked if each.method == "GET"} == {
            IMDS
        }
        count = len(metadata.asked)
        (tmp_path / "credentials").write_text(f"[default]\naws_access_key_id=a\naws_secret_access_key={SECRET}\n")
        assert 21 in nodes(await ask(f"aws:{TAG}&region=us-east-1", Aws()))
        assert len(metadata.asked) == count


async def test_a_signed_request_has_the_role_s_session_and_a_refusal_is_told_with_its_code() -> None:
    refusal = f"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>{SECRET}</Message></Error></Errors>"
    with running(aws_metadata(Machine())) as metadata, running(lambda _: Told(403, refusal)) as api:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_EC2", api.url)
            error = said(await ask(f"aws:{TAG}", Aws(metadata=metadata.url)))
        assert "EC2 (" in error
        assert "answers 403 (UnauthorizedOperation); give the role the permission ec2:DescribeInstances" in error
        (asked,) = api.asked
        assert asked.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=ASIAROLE/")
        assert "eu-central-1/ec2/aws4_request" in asked.headers["authorization"]
        assert asked.headers["x-amz-security-token"] == f"{SECRET}/session"


async def test_without_any_credentials_the_line_says_where_they_can_come_from() -> None:
    with running(aws_metadata(Machine(has_identity=False))) as metadata:
        error = said(await ask(f"aws:{TAG}", Aws(metadata=metadata.url)))
    assert "there are no credentials; give the instance a role" in error


async def test_without_the_package_a_list_of_aws_is_a_line_with_what_installs_it_and_seeds_need_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("botocore", "botocore.session", "botocore.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "pip install 'blixard[aws]'" in said(await ask(f"aws:{TAG}", Aws()))
    answer, _ = await ask_own("aws", aws_metadata(Machine(user_data=SEED)))
    assert list(nodes(answer)) == [1]


async def test_a_profile_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nosuch")
    assert "botocore finds no credentials: ProfileNotFound" in said(await ask(f"aws:{TAG}", Aws()))


@pytest.mark.parametrize("name", LISTING)
async def test_a_list_by_tag_takes_all_pages_with_the_machine_s_own_identity(name: str) -> None:
    fleet = [Listed(f"vm{number}", tags(number), f"10.0.0.{number}", f"203.0.113.{number}") for number in range(1, 6)]
    fleet.insert(0, Listed("other", {**tags(9), "blixard-cluster": "production"}))
    fleet.append(Listed("entry", {"blixard-cluster": "prod", "blixard-entry": registry_of(peer(7, seq=5)).decode()}))
    with running(METADATA[name](Machine())) as metadata, running(LISTING[name](fleet)) as api:
        answer = await ask(f"{name}:{TAG}", provider(name, metadata.url, api.url))
        assert nodes(answer) == {
            **{number: (f"10.0.0.{number}:7001",) for number in range(1, 6)},
            7: ("10.0.0.7:7001",),
        }
        assert isinstance(answer, Found)
        assert [each.peer.seq for each in answer.sightings] == [0] * 5 + [5]
        public = nodes(await ask(f"{name}:{TAG}&public=true", provider(name, metadata.url, api.url)))
        assert public[3] == ("10.0.0.3:7001", "203.0.113.3:7001")
    assert len(api.asked) > 4


async def test_gcp_counts_only_running_instances_and_asks_for_no_more_than_it_reads() -> None:
    fleet = [Listed("a", tags(1)), Listed("b", tags(2), is_running=False)]
    with running(gcp_metadata(Machine())) as metadata, running(compute(fleet)) as api:
        assert list(nodes(await ask(f"gcp:{TAG}", provider("gcp", metadata.url, api.url)))) == [1]
        assert "items/*/instances(name,status,labels,metadata/items," in api.asked[0].query["fields"]


async def test_azure_counts_no_machine_that_is_told_not_to_run_and_all_where_nothing_is_told() -> None:
    fleet = [Listed("a", tags(1)), Listed("b", tags(2), is_running=False), Listed("c", tags(3))]
    manager, is_mute = resource_manager(fleet), False

    def told(asked: Asked) -> Told:
        return Told(403) if is_mute and "statusOnly" in asked.query else manager(asked)

    with running(azure_metadata(Machine())) as metadata, running(told) as api:
        assert list(nodes(await ask(f"azure:{TAG}", provider("azure", metadata.url, api.url)))) == [1, 3]
        is_mute = True
        assert list(nodes(await ask(f"azure:{TAG}", provider("azure", metadata.url, api.url)))) == [1, 2, 3]


async def test_a_value_that_no_label_can_have_never_reaches_the_filter_of_gcp() -> None:
    with running(gcp_metadata(Machine())) as metadata:
        error = said(await ask("gcp:tag=a=b%20OR%20labels.x:*", provider("gcp", metadata.url)))
    assert "a label of GCP has letters, digits, _ and - only" in error
    assert metadata.asked == []


async def test_an_identity_of_one_s_own_choice_is_asked_for_by_its_client_id() -> None:
    with running(azure_metadata(Machine())) as metadata, running(resource_manager([])) as api:
        answer = await ask(f"azure:{TAG}&client_id=1-2-3", provider("azure", metadata.url, api.url))
    assert answer == Nothing()
    assert metadata.asked[-1].query["client_id"] == "1-2-3"
    assert metadata.asked[-1].query["resource"] == f"{api.url}/"


@pytest.mark.parametrize(("name", "words"), [("gcp", "compute.instances.list"), ("azure", "the role Reader")])
async def test_a_machine_that_may_not_list_is_told_what_it_needs(name: str, words: str) -> None:
    with running(METADATA[name](Machine(has_identity=False))) as metadata:
        assert words in said(await ask(f"{name}:{TAG}", provider(name, metadata.url)))
    stranger = {"error": {"code": "AuthorizationFailed", "message": SECRET}}
    with running(METADATA[name](Machine())) as metadata, running(lambda _: Told(403, stranger)) as api:
        error = said(await ask(f"{name}:{TAG}", provider(name, metadata.url, api.url)))
    assert "answers 403 (AuthorizationFailed)" in error
    assert words in error


# What is not a good service.


@pytest.mark.parametrize("form", ["", TAG])
@pytest.mark.parametrize("name", METADATA)
async def test_elsewhere_than_in_that_cloud_the_line_says_so(name: str, form: str) -> None:
    error = said(await ask(f"{name}:{form}", provider(name, f"http://127.0.0.1:{free_port()}")))
    assert "Connection refused; " in error
    assert f"is this a machine of {name.upper() if name != 'azure' else 'Azure'}?" in error


@pytest.mark.parametrize("name", METADATA)
async def test_a_metadata_service_that_hangs_is_given_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blixard.sources.cloud_services.METADATA_LIMITS", SOON)
    done = threading.Event()
    with running(lambda _: Told(200 if done.wait() else 500)) as metadata:
        try:
            assert "took longer than 0.3 s; is this a machine of" in said(
                await ask(f"{name}:", provider(name, metadata.url))
            )
        finally:
            done.set()


PORTAL = "<html><head><title>Log in</title></head></html>"


@pytest.mark.parametrize(
    "told",
    [
        Told(200, PORTAL, {"Content-Type": "text/html"}),
        Told(302, "", {"Location": "http://169.254.169.254/"}),
        Told(200, "x" * (2 * cloud_services.MAX_METADATA_BYTES)),
        Told(200, b"\xff\0\r\n"),
        Told(200, ""),
        Told(500, PORTAL),
    ],
    ids=["HTML", "redirect", "too much", "rubbish", "nothing", "500"],
)
@pytest.mark.parametrize("form", ["", TAG])
@pytest.mark.parametrize("name", METADATA)
async def test_another_server_at_the_address_of_the_metadata_is_a_line_and_never_an_empty_answer(
    name: str, form: str, told: Told
) -> None:
    with running(lambda _: told) as metadata, running(lambda _: Told(200, {})) as api:
        said(await ask(f"{name}:{form}", provider(name, metadata.url, api.url)))
    assert api.asked == []
    assert all(each.path != "/" for each in metadata.asked)


async def test_an_answer_that_does_not_say_that_it_is_google_s_is_not_believed() -> None:
    answer, _ = await ask_own("gcp", lambda _: Told(200, {"blixard-seeds": SEED}))
    assert "does not say that it is Google's" in said(answer)


async def test_an_endless_answer_ends() -> None:
    with saying(b"HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\n\r\n", *[b"x" * 65536] * 1000) as where:
        assert "too large" in said(await ask("gcp:", Gcp(metadata=f"http://{where}")))


async def test_a_list_with_a_next_page_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_services, "MAX_PAGES", 3)
    with running(gcp_metadata(Machine())) as metadata, running(lambda _: Told(200, {"nextPageToken": "x"})) as api:
        assert "more than 50000 items or 3 pages" in said(
            await ask(f"gcp:{TAG}", Gcp(metadata=metadata.url, api=api.url))
        )
    assert len(api.asked) == 3


async def test_the_token_does_not_follow_a_next_page_to_another_server() -> None:
    with running(lambda _: Told(200, {"value": []})) as elsewhere, running(azure_metadata(Machine())) as metadata:
        page = Told(200, {"value": [], "nextLink": f"{elsewhere.url}/next"})
        with running(lambda _: page) as api:
            error = said(await ask(f"azure:{TAG}", Azure(metadata=metadata.url, api=api.url)))
    assert "has the next page at another server" in error
    assert elsewhere.asked == []


async def test_a_token_is_not_sent_over_http_beyond_this_host() -> None:
    with running(gcp_metadata(Machine())) as metadata:
        error = said(await ask(f"gcp:{TAG}", Gcp(metadata=metadata.url, api="http://192.0.2.1")))
    assert "http would send for all to read" in error


async def test_a_cloud_that_fails_leaves_the_other_sources_alone_and_with_signers_it_only_hints(tmp_path: Path) -> None:
    data = peers_file_of(peer(1, seq=5))
    (tmp_path / "peers.json").write_bytes(data)
    fleet_key = key(1000)
    (tmp_path / "peers.json.sig").write_bytes(
        sign_peers(data, fleet_key, cluster="test", previous_seq=None, now=in_an_hour())
    )
    seeds = json.dumps([json.loads(registry_of(peer(1, "192.0.2.1:7001"))), json.loads(registry_of(peer(2)))])
    with running(gcp_metadata(Machine({"blixard-seeds": seeds}))) as metadata:
        named: list[DiscoverySource.StaticFile | Source] = [
            DiscoverySource.StaticFile(tmp_path / "peers.json"),
            CloudSource(CloudLocation.parse("gcp:"), TOOLS, Gcp(metadata=metadata.url)),
            CloudSource(CloudLocation.parse("azure:"), TOOLS, Azure(metadata=metadata.url)),
        ]
        config = DiscoveryConfig(named, auto_connect=False, trusted_signers=[fleet_key.public()])
        manager = DiscoveryManager(config)
        try:
            await manager.start()
            await manager.refresh_peers()
            assert [each.node_id for each in manager.get_peers()] == [1]
            assert {(each.node_id, each.source) for each in manager.dropped()} >= {(2, "cloud:gcp")}
            assert [each.state for each in manager.source_status()] == ["found", "found", "failed"]
        finally:
            await manager.stop()


def test_discover_shows_what_a_cloud_says_with_its_freshness(ec2: str) -> None:
    secrets = {"AWS_ENDPOINT_URL_EC2": ec2, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": SECRET}
    where = f"aws:{TAG}&region=us-east-1"
    ended = blixard("discover", "--json", env={**secrets, "BLIXARD_CLOUD": where})
    assert ended.code == 0, ended.err
    assert [each["node_id"] for each in ended.document["peers"]] == [21]
    (source,) = ended.document["sources"]
    assert (source["name"], source["ttl_s"]) == (f"cloud:{where}", 300)
    assert SECRET not in ended.out + ended.err


def test_a_node_meets_the_seed_that_its_metadata_name(tmp_path: Path) -> None:
    pair = [Node(number, tmp_path) for number in (1, 2)]
    with killed_afterwards(pair):
        pair[0].start()
        seed = json.dumps(read_registry(pair[0].registry).to_json())
        with running(aws_metadata(Machine(user_data=seed))) as metadata:
            pair[1].start("--cloud", "aws:", env={"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url})
            eventually(lambda: are_meshed(pair))
            status = blixard("status", "--data-dir", pair[1].data_dir, "--json").document
        assert {peer["node_id"]: peer["sources"] for peer in status["peers"]} == {1: ["cloud:aws"]}
