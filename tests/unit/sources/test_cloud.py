# SPDX-License-Identifier: MIT
"""What a location in a cloud means, and which node the tags of an instance make."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import pytest
from tests.unit.peers.people import endpoint_id, peer
from tests.unit.sources.files import CHECK, in_an_hour, registry_of, said

from blixard.agent.node_config import load_config, sources_of
from blixard.errors import InputError
from blixard.model.encodings import encode_base32
from blixard.sources import cloud
from blixard.sources.base import Answer, Failed, Found, Nothing, SourceContext
from blixard.sources.cloud import CloudLocation, CloudSource, Instance, Own, seeds_of
from blixard.sources.cloud import registry_of as registry_of_instance
from blixard.sources.cloud_aws import parse_ec2
from blixard.sources.cloud_azure import joined
from blixard.sources.cloud_gcp import parse_compute
from blixard.sources.factory import DiscoverySource, make_sources, registry_at

TOOLS = SourceContext(check=CHECK, wall=in_an_hour, is_known=lambda _: False)
TAGGED = CloudLocation.parse("aws:tag=blixard-cluster=prod")


def tags(number: int, **more: str) -> dict[str, str]:
    """The tags of somebody's instance; `port="7"` is the tag `blixard-port`."""
    own = {"blixard-node-id": str(number), "blixard-iroh-id": endpoint_id(number).base64}
    return {**own, **{f"blixard-{name}": value for name, value in more.items()}}


def instance(number: int, **more: str) -> Instance:
    return Instance(f"i-{number}", tags(number, **more), (f"10.0.0.{number}",), (f"203.0.113.{number}",))


@dataclass
class FakeCloud:
    """A provider whose answers a test sets."""

    listed: list[Instance] = field(default_factory=list)
    told: Own = field(default_factory=lambda: Own({}))
    look: Callable[[], object] = lambda: None

    def own(self) -> Own:
        self.look()
        return self.told

    def instances(self, location: CloudLocation) -> Iterable[Instance]:
        self.look()
        return self.listed


def found(answer: Answer) -> Found:
    assert isinstance(answer, Found), answer
    return answer


@pytest.mark.parametrize(
    ("text", "tag", "options"),
    [
        ("aws:", None, {}),
        ("gcp:tag=team=a_1&project=our-project", ("team", "a_1"), {"project": "our-project"}),
        ("azure:tag=k%3Dx=v=%2C%26&public=true&client_id=1-2", ("k=x", "v=,&"), {"public": "true", "client_id": "1-2"}),
    ],
)
def test_a_location_is_a_provider_and_perhaps_a_tag_with_options(
    text: str, tag: tuple[str, str] | None, options: dict[str, str]
) -> None:
    location = CloudLocation.parse(text)
    assert (location.tag, location.options) == (tag, options)
    assert location.is_public == ("public" in options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ibm:", "names no cloud"),
        ("aws", "names no cloud"),
        ("aws:region=x", "is not tag=KEY=VALUE"),
        ("aws:tag=a=b&region=x&region=y", "with each option once"),
        ("aws:tag=a", "is no key or value of a tag"),
        ("aws:tag=a=%00", "is no key or value of a tag"),
        ("aws:tag=a=%ff", "is no key or value of a tag"),
        ("aws:tag=a=" + "x" * 257, "is no key or value of a tag"),
        ("aws:tag=a=b&project=x", '"project" is not an option of aws; known are public, region'),
        ("gcp:tag=a=b&project=x/../y", "cannot be the project"),
        ("aws:tag=a=b&region=evil.example/", "cannot be the region"),
        ("aws:tag=a=b&public=yes", "cannot be the public"),
    ],
)
def test_another_form_is_refused_with_the_part_that_is_wrong(text: str, words: str) -> None:
    with pytest.raises(InputError, match=r"^.+$") as caught:
        CloudLocation.parse(text)
    assert words in str(caught.value)


def test_a_location_stands_beside_registries_too_and_a_host_of_that_name_is_a_host() -> None:
    made = make_sources([DiscoverySource.Cloud(["gcp:"]), DiscoverySource.NodeRegistry(["aws:", "aws:7001"])], TOOLS)
    assert [(source.name, source.kind) for source in made] == [
        ("cloud:gcp", "cloud"),
        ("cloud:aws", "cloud"),
        ("registry:aws:7001", "registry"),
    ]


async def test_a_location_that_cannot_be_used_is_a_source_that_says_so_and_hides_no_other() -> None:
    wrong, good = make_sources([DiscoverySource.Cloud(["aws:tag=x", "azure:"])], TOOLS)
    assert "is no key or value of a tag" in said(await wrong.fetch())
    assert (wrong.kind, good.name) == ("cloud", "cloud:azure")
    assert "is not an option" in said(await registry_at("gcp:tag=a=b&region=x", TOOLS).fetch())


def test_the_node_s_option_takes_locations_and_names_the_wrong_one_at_the_start() -> None:
    flags = {"node_id": "1", "bind": "127.0.0.1:0", "cloud": ["aws:,gcp:tag=a=b"]}
    assert DiscoverySource.Cloud(("aws:", "gcp:tag=a=b")) in sources_of(load_config(flags=flags))
    with pytest.raises(InputError, match=r"command line: --cloud/1: \"ibm:\" names no cloud"):
        load_config(flags={**flags, "cloud": ["aws:", "ibm:"]})


async def test_an_instance_with_the_tags_of_a_node_is_a_peer_at_its_private_addresses() -> None:
    fake = FakeCloud([replace(instance(1), private=("10.0.0.1", "fd00::1", "10.0.0.1")), instance(2, port="9000")])
    answer = found(await CloudSource(TAGGED, TOOLS, fake).fetch())
    first, second = answer.peers
    assert (first.node_id, first.iroh_node_id, first.source) == (1, endpoint_id(1).base64, "cloud")
    assert first.direct_addresses == ("10.0.0.1:7001", "[fd00::1]:7001")
    assert second.direct_addresses == ("10.0.0.2:9000",)
    assert [each.place for each in answer.sightings] == ["aws i-1", "aws i-2"]
    assert answer.fresh_for == 300


async def test_public_addresses_count_when_asked_for_after_the_private_ones() -> None:
    location = CloudLocation.parse("aws:tag=a=b&public=true")
    (only,) = found(await CloudSource(location, TOOLS, FakeCloud([instance(1)])).fetch()).peers
    assert only.direct_addresses == ("10.0.0.1:7001", "203.0.113.1:7001")


def test_an_id_in_base32_fits_a_label_of_63_characters() -> None:
    text = encode_base32(endpoint_id(1).raw)
    assert len(text) <= 63
    made = json.loads(registry_of_instance(replace(instance(1), tags={**tags(1), "blixard-iroh-id": text})))
    assert made["iroh_node_id"] == endpoint_id(1).base64


async def test_an_attested_entry_counts_as_attested_also_when_it_is_spread_over_several_tags() -> None:
    text = json.dumps(json.loads(registry_of(peer(1, seq=5))))
    parts = [text[:256], text[256:500], text[500:]]
    spread = dict(zip(("blixard-entry", "blixard-entry-2", "blixard-entry-3"), parts, strict=True))
    fake = FakeCloud([Instance("i-1", spread, ("192.0.2.9",))])
    (only,) = found(await CloudSource(TAGGED, TOOLS, fake).fetch()).peers
    assert (only.seq, only.direct_addresses) == (5, ("10.0.0.1:7001",))


async def test_an_entry_that_another_key_signed_is_refused_and_hides_no_other() -> None:
    text = registry_of(peer(1, seq=5)).decode().replace("10.0.0.1:7001", "10.6.6.6:7001")
    fake = FakeCloud([Instance("i-1", {"blixard-entry": text}), instance(2)])
    answer = found(await CloudSource(TAGGED, TOOLS, fake).fetch())
    assert [each.node_id for each in answer.peers] == [2]
    assert answer.problems[0].startswith("aws i-1: ")
    assert "signature" in answer.problems[0]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (replace(instance(1), tags={"blixard-iroh-id": endpoint_id(1).base64}), "has no tag blixard-node-id"),
        (replace(instance(1), tags={"blixard-node-id": "1"}), "has no tag blixard-iroh-id"),
        (replace(instance(1), tags={**tags(1), "blixard-node-id": "٣"}), "its tag blixard-node-id is not a number"),
        (replace(instance(1), tags={**tags(1), "blixard-node-id": "9" * 65536}), "is not a number"),
        (replace(instance(1), tags={**tags(1), "blixard-node-id": "0"}), "must be at least 1"),
        (replace(instance(1), tags={**tags(1), "blixard-iroh-id": "x" * 65536}), "/iroh_node_id"),
        (replace(instance(1), tags={"blixard-entry": "[" * 65536}), "nested deeper"),
        (replace(instance(1), tags={"blixard-entry": "{" * 70000}), "too large"),
        (instance(1, port="0"), "port 0 is not from 1 to 65535"),
        (instance(1, port="65536"), "port 65536 is not from 1 to 65535"),
        (replace(instance(1), private=()), "has no private address yet"),
        (replace(instance(1), private=("0.0.0.0",)), "unspecified"),
        (replace(instance(1), private=("evil.example",)), "is no IP address"),
        (replace(instance(1), private=tuple(f"10.0.1.{n}" for n in range(65))), "at most 64"),
    ],
)
async def test_what_is_wrong_with_one_instance_is_a_line_about_it_and_hides_no_other(
    wrong: Instance, words: str
) -> None:
    answer = found(await CloudSource(TAGGED, TOOLS, FakeCloud([wrong, instance(2)])).fetch())
    assert [each.node_id for each in answer.peers] == [2]
    (problem,) = answer.problems
    assert problem.startswith("aws i-1: ")
    assert words in problem
    assert len(problem) < 1000


async def test_a_name_with_control_characters_does_not_reach_the_terminal() -> None:
    (sighting,) = found(
        await CloudSource(TAGGED, TOOLS, FakeCloud([replace(instance(1), name="\x1b[2J\n" + "x" * 9999)])).fetch()
    ).sightings
    assert sighting.place.isprintable()
    assert len(sighting.place) < 200


async def test_an_unchanged_list_is_the_very_same_answer_for_the_table() -> None:
    source = CloudSource(TAGGED, TOOLS, FakeCloud([instance(1), instance(2)]))
    first, again = found(await source.fetch()), found(await source.fetch())
    assert again.sightings is first.sightings


async def test_a_list_that_becomes_empty_is_a_failure_and_one_that_always_was_names_nobody() -> None:
    fake = FakeCloud()
    source = CloudSource(TAGGED, TOOLS, fake)
    assert await source.fetch() == Nothing()
    fake.listed = [instance(1)]
    assert len(found(await source.fetch()).peers) == 1
    fake.listed = []
    assert "no instance carries the tag any more; the last ones are kept" in said(await source.fetch())
    fake.listed = [instance(2)]
    assert [each.node_id for each in found(await source.fetch()).peers] == [2]


SEED = registry_of(peer(1, seq=5)).decode()
SEED_LIST = json.dumps([json.loads(SEED), json.loads(registry_of(peer(2)))])


@pytest.mark.parametrize(
    "own",
    [
        Own({"blixard-seeds": SEED_LIST}),
        Own({"blixard-seeds": SEED_LIST[:200], "blixard-seeds-2": SEED_LIST[200:]}),
        Own({"blixard-seeds": SEED_LIST}, user_data=SEED),
        Own({}, user_data=f"\n {SEED_LIST}"),
        Own({}, user_data=SEED_LIST, closed="its tags are not told"),
    ],
)
async def test_a_machine_s_own_tags_or_else_its_user_data_name_seeds(own: Own) -> None:
    answer = found(await CloudSource(CloudLocation.parse("aws:"), TOOLS, FakeCloud(told=own)).fetch())
    assert [(each.node_id, each.seq) for each in answer.peers] == [(1, 5), (2, 0)]
    assert answer.fresh_for is None


async def test_one_bad_seed_hides_no_other() -> None:
    own = Own({}, user_data=json.dumps([{"cluster_node_id": 1}, 5, json.loads(SEED)]))
    answer = found(await CloudSource(CloudLocation.parse("aws:"), TOOLS, FakeCloud(told=own)).fetch())
    assert [each.node_id for each in answer.peers] == [1]
    assert [problem[:11] for problem in answer.problems] == ["aws seed 1:", "aws seed 2:"]


async def test_seeds_are_taken_away_by_an_empty_list_and_not_by_their_absence() -> None:
    fake = FakeCloud(told=Own({}, user_data=SEED))
    source = CloudSource(CloudLocation.parse("aws:"), TOOLS, fake)
    assert len(found(await source.fetch()).peers) == 1
    fake.told = Own({}, user_data="#cloud-config\n")
    assert "its metadata names no seeds any more" in said(await source.fetch())
    fake.told = Own({}, user_data="[]")
    assert await source.fetch() == Nothing()


def test_user_data_of_cloud_init_name_no_seeds_and_tags_that_are_closed_are_told() -> None:
    assert seeds_of(Own({}, user_data="#cloud-config\npackages: [x]\n")) is None
    with pytest.raises(InputError, match="allow the tags"):
        seeds_of(Own({}, user_data="#!/bin/sh", closed="allow the tags"))


@pytest.mark.parametrize(("text", "words"), [("{", "ends in the middle"), ("[" * 70000, "too large")])
def test_seeds_that_are_no_json_are_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        seeds_of(Own({"blixard-seeds": text}))


async def test_a_cloud_that_hangs_is_given_up_and_asked_again_only_when_it_has_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cloud, "TIMEOUT", 0.05)
    done = threading.Event()
    fake = FakeCloud([instance(1)], look=done.wait)
    source = CloudSource(TAGGED, TOOLS, fake)
    assert "took longer than 0.05 s" in said(await source.fetch())
    assert "took longer" in said(await source.fetch())
    done.set()
    monkeypatch.setattr(cloud, "TIMEOUT", 30)
    answer: Answer = Failed("")
    for _ in range(1000):
        answer = await source.fetch()
        if isinstance(answer, Found):
            break
        await asyncio.sleep(0.01)
    assert len(found(answer).peers) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Log in</body></html>",
        b"\xff\xfe<\0a\0",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><DescribeInstancesResponse>&a;</DescribeInstancesResponse>',
        "<DescribeInstancesResponse/>".encode("utf-16"),
        b"<DescribeInstancesResponse>",
    ],
)
def test_what_is_not_ec2_s_list_is_refused_and_never_an_empty_one(body: bytes) -> None:
    with pytest.raises(InputError, match="EC2 answers with something that is not"):
        parse_ec2(body)


def test_a_zone_that_gcp_cannot_list_makes_the_answer_a_failure_and_an_empty_zone_does_not() -> None:
    zone = {"instances": [{"name": "a", "status": "RUNNING"}]}
    empty = {"warning": {"code": "NO_RESULTS_ON_PAGE"}}
    lost = {"warning": {"code": "UNREACHABLE"}}
    assert len(parse_compute(json.dumps({"items": {"zones/a": zone, "zones/b": empty}}).encode())[0]) == 1
    with pytest.raises(InputError, match="does not list all zones: UNREACHABLE"):
        parse_compute(json.dumps({"items": {"zones/a": zone, "zones/b": lost}}).encode())


def test_azure_names_resources_without_regard_to_case() -> None:
    machine = {"id": "/subscriptions/s/resourceGroups/G/providers/M/virtualMachines/vm1", "tags": {"Cluster": "a"}}
    interface = {
        "properties": {
            "virtualMachine": {"id": str(machine["id"]).upper()},
            "ipConfigurations": [{"properties": {"privateIPAddress": "10.0.0.1"}}],
        }
    }
    (only,) = joined(("cluster", "a"), [machine, {"id": 5}, None], [interface, {}, []], [])
    assert (only.name, only.private) == ("g/vm1", ("10.0.0.1",))
    assert joined(("cluster", "A"), [machine], [interface], []) == []
