# SPDX-License-Identifier: MIT
"""A node's configuration: from file, environment and flags, in that order of weight; and what is refused, and how."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.documents.samples import key
from tests.unit.model.strategies import json_values

from blixard.agent.node_config import NodeConfig, discovery_of, load_config, parse_config, sources_of
from blixard.agent.options import OPTIONS, Bind, Option, add_flags
from blixard.discovery_manager import DiscoverySource
from blixard.documents.schemas import load_schema, validate
from blixard.errors import InputError
from blixard.model.addresses import SocketAddress

SIGNER = key(9).public()

# For each setting: its value in the file, as a text, and what the node then has.
SAMPLES: dict[str, tuple[Any, str, Any]] = {
    "node_id": (7, "7", 7),
    "bind": ("127.0.0.1:7002", "127.0.0.1:7002", Bind.parse("127.0.0.1:7002")),
    "cluster": ("prod-1", "prod-1", "prod-1"),
    "data_dir": ("/srv/n7", "/srv/n7", Path("/srv/n7")),
    "relay_url": ("https://relay.example.org", "https://relay.example.org", "https://relay.example.org"),
    "advertise.include": (
        ["10.0.0.0/8", "fd00::/8"],
        "10.0.0.0/8, fd00::/8",
        (ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
    ),
    "advertise.exclude": (["10.9.0.0/16"], "10.9.0.0/16", (ip_network("10.9.0.0/16"),)),
    "advertise.extra": (["192.0.2.1:17001"], "192.0.2.1:17001", (SocketAddress.parse("192.0.2.1:17001"),)),
    "advertise.bridges": (True, "yes", True),
    "join": (
        ["/srv/node1.json", "seed.example.org:7001"],
        "/srv/node1.json,seed.example.org:7001",
        ("/srv/node1.json", "seed.example.org:7001"),
    ),
    "registries": (["/srv/registries"], "/srv/registries", ("/srv/registries",)),
    "etcd": (
        ["etcd://a:2379/fleet", "etcds://b:2379/fleet"],
        "etcd://a:2379/fleet, etcds://b:2379/fleet",
        ("etcd://a:2379/fleet", "etcds://b:2379/fleet"),
    ),
    "etcd_user": ("node", "node", "node"),
    "etcd_password_file": ("/etc/blixard/password", "/etc/blixard/password", "/etc/blixard/password"),
    "etcd_ca_file": ("/etc/blixard/ca.pem", "/etc/blixard/ca.pem", "/etc/blixard/ca.pem"),
    "etcd_cert_file": ("/etc/blixard/cert.pem", "/etc/blixard/cert.pem", "/etc/blixard/cert.pem"),
    "etcd_key_file": ("/etc/blixard/key.pem", "/etc/blixard/key.pem", "/etc/blixard/key.pem"),
    "etcd_live": (True, "true", True),
    "dns": (["fleet.example.org"], "fleet.example.org", ("fleet.example.org",)),
    "cloud": (["aws:", "gcp:tag=a=b"], "aws:,gcp:tag=a=b", ("aws:", "gcp:tag=a=b")),
    "mdns": (True, "true", True),
    "peers_file": ("/etc/blixard/peers.json", "/etc/blixard/peers.json", Path("/etc/blixard/peers.json")),
    "refresh_interval_s": (2.5, "2.5", 2.5),
    "auto_connect": (False, "false", False),
    "admission": ("known", "known", "known"),
    "trusted_signers": ([SIGNER.hex], SIGNER.base64, (SIGNER,)),
    "raft": (True, "true", True),
    "raft_voters": ([3, 1, 2], "3,1,2", (1, 2, 3)),
    "gossip": (True, "true", True),
    "metrics": ("[::1]:9101", "[::1]:9101", Bind.parse("[::1]:9101")),
    "page": (True, "true", True),
    "log_level": ("debug", "debug", "debug"),
    "log_format": ("json", "json", "json"),
}
# Another good value of each setting, as a text: what the lighter of two places says.
OTHERS = {
    "node_id": "8",
    "bind": "127.0.0.1:7003",
    "cluster": "prod-2",
    "data_dir": "/srv/n8",
    "relay_url": "https://relay2.example.org",
    "advertise.include": "172.16.0.0/12",
    "advertise.exclude": "10.8.0.0/16",
    "advertise.extra": "192.0.2.2:17001",
    "advertise.bridges": "no",
    "join": "/srv/other.json",
    "registries": "/srv/others",
    "etcd": "etcd://c:2379/fleet",
    "etcd_user": "other",
    "etcd_password_file": "/other/password",
    "etcd_ca_file": "/other/ca.pem",
    "etcd_cert_file": "/other/cert.pem",
    "etcd_key_file": "/other/key.pem",
    "etcd_live": "false",
    "dns": "other.example.org",
    "cloud": "azure:",
    "mdns": "false",
    "raft": "false",
    "raft_voters": "4,5,6",
    "peers_file": "/etc/blixard/others.json",
    "refresh_interval_s": "3",
    "auto_connect": "true",
    "admission": "open",
    "trusted_signers": key(8).public().hex,
    "gossip": "false",
    "metrics": "127.0.0.1:9102",
    "page": "no",
    "log_level": "error",
    "log_format": "logfmt",
}
# Wrong values of each setting, in the file.
WRONG: dict[str, list[Any]] = {
    "node_id": [0, -1, 2**64, 1.0, True, "1", None],
    "bind": [
        "",
        "127.0.0.1",
        "localhost:7001",
        "::1:7001",
        "[::1]",
        "[fe80::1%eth0]:7001",
        "1.2.3.4:65536",
        "1.2.3:1",
        7001,
    ],
    "cluster": ["", "a b", "x" * 65, 1, None],
    "data_dir": ["", "a\0b", 1, None, "x" * 4097],
    "relay_url": ["", "relay.example.org", "ftp://relay.example.org", "https://user:word@relay.example.org", 1],
    "advertise.include": ["10.0.0.0/8", ["10.0.0.0/33"], ["x"], [1], None],
    "advertise.exclude": [["10.0.0.0/-1"], {}],
    "advertise.extra": [["192.0.2.1"], ["0.0.0.0:1"], ["host:1"], [None]],
    "advertise.bridges": [0, "true", None],
    "join": ["/srv/node1.json", [""], [1], ["a\0b"], ["/x"] * 1025],
    "registries": [{}, [[]]],
    "etcd": ["etcd://a:2379/fleet", [""], [1]],
    "etcd_user": ["", 1],
    "etcd_password_file": ["", 1, []],
    "etcd_ca_file": ["", 1],
    "etcd_cert_file": ["", 1],
    "etcd_key_file": ["", "a\0b"],
    "etcd_live": ["true", 1, None],
    "dns": ["fleet.example.org", [""], [1]],
    "cloud": ["aws:", ["ibm:"], ["aws:tag=x"], [1]],
    "mdns": ["true", 1, None],
    "raft": ["true", 1, None],
    "raft_voters": [["1"], [0], [1, 1], list(range(1, 11)), "1", None],
    "peers_file": ["", 1, []],
    "refresh_interval_s": [0, 0.05, -1, 86401, "60", True, None, 10**12],
    "auto_connect": [1, "yes", None],
    "admission": ["", "closed", True, []],
    "trusted_signers": [SIGNER.hex, ["x"], ["A" * 43 + "="], [1]],
    "gossip": ["true", 1, None],
    "metrics": ["9101", ":9101", 9101],
    "page": [1, "true", None],
    "log_level": ["INFO", "trace", None, 1],
    "log_format": ["text", None],
}


# Settings that any text is good for, as far as the configuration can tell.
ANY_TEXT = {"data_dir", "peers_file", "join", "registries", "dns"} | {name for name in WRONG if name.startswith("etcd")}


def option(name: str) -> Option:
    return next(each for each in OPTIONS if each.key == name)


def document(**settings: Any) -> dict[str, Any]:
    """A configuration as it stands in a file, from settings by their dotted name."""
    whole: dict[str, Any] = {"node_id": 1, "bind": "127.0.0.1:7001"}
    for name, value in settings.items():
        group, _, inner = name.rpartition(".")
        (whole.setdefault(group, {}) if group else whole)[inner] = value
    return whole


def written(path: Path, obj: object) -> Path:
    path.write_text(json.dumps(obj))
    return path


def flags_of(*words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return vars(parser.parse_args(words))


def setting(config: NodeConfig, name: str) -> Any:
    value: Any = config
    for step in name.split("."):
        value = getattr(value, step)
    return value


def refused(path: Path | None = None, **given: Any) -> str:
    with pytest.raises(InputError) as caught:
        load_config(path, **given)
    assert "\n" not in str(caught.value)
    assert caught.value.mend
    return str(caught.value)


def test_the_samples_cover_every_setting() -> None:
    names = {each.key for each in OPTIONS}
    assert set(SAMPLES) == names
    assert set(OTHERS) == names
    assert set(WRONG) == names


@pytest.mark.parametrize("name", SAMPLES)
def test_every_setting_can_stand_in_the_file(tmp_path: Path, name: str) -> None:
    in_file, _, wanted = SAMPLES[name]
    assert setting(load_config(written(tmp_path / "c.json", document(**{name: in_file}))), name) == wanted


@pytest.mark.parametrize("name", SAMPLES)
def test_every_setting_can_be_given_as_a_flag(name: str) -> None:
    _, text, wanted = SAMPLES[name]
    words = ["--id", "1", "--bind", "127.0.0.1:7001", f"{option(name).flag_name}={text}"]
    assert setting(load_config(flags=flags_of(*words)), name) == wanted


@pytest.mark.parametrize("name", SAMPLES)
def test_every_setting_can_be_given_in_the_environment(name: str) -> None:
    _, text, wanted = SAMPLES[name]
    environ = {"BLIXARD_NODE_ID": "1", "BLIXARD_BIND": "127.0.0.1:7001", option(name).env_name: text}
    assert setting(load_config(environ=environ), name) == wanted


@pytest.mark.parametrize("name", SAMPLES)
def test_the_environment_wins_over_the_file_and_a_flag_over_both(tmp_path: Path, name: str) -> None:
    in_file, text, wanted = SAMPLES[name]
    each = option(name)
    path = written(tmp_path / "c.json", document(**{name: each.from_text(OTHERS[name])}))
    assert setting(load_config(path), name) != wanted
    assert setting(load_config(path, environ={each.env_name: text}), name) == wanted
    path = written(path, document(**{name: in_file}))
    flags = flags_of(f"{each.flag_name}={text}")
    assert setting(load_config(path, environ={each.env_name: OTHERS[name]}, flags=flags), name) == wanted


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_in_the_file_is_named_by_file_and_pointer(tmp_path: Path, name: str, value: Any) -> None:
    path = written(tmp_path / "c.json", document(**{name: value}))
    assert refused(path).startswith(f"{path}: /{name.replace('.', '/')}")


@pytest.mark.parametrize("name", sorted(WRONG.keys() - ANY_TEXT))
def test_a_wrong_value_of_a_flag_or_a_variable_is_named_by_it(name: str) -> None:
    each = option(name)
    base = {"BLIXARD_NODE_ID": "1", "BLIXARD_BIND": "127.0.0.1:7001"}
    assert refused(environ={**base, each.env_name: "!"}).startswith(f"environment: {each.env_name}")
    assert refused(environ=base, flags=flags_of(f"{each.flag_name}=!")).startswith(f"command line: {each.flag_name}")


@pytest.mark.parametrize("text", ["1_0", "١", " 1", "0x1", "1e3", "9" * 5000, "-"])
def test_a_node_id_on_the_command_line_is_plain_digits(text: str) -> None:
    assert refused(flags=flags_of(f"--id={text}", "--bind=127.0.0.1:1")).startswith("command line: --id: must be")


def test_an_item_of_a_list_is_named_by_its_index(tmp_path: Path) -> None:
    path = written(tmp_path / "c.json", document(**{"advertise.extra": ["192.0.2.1:1", "nowhere"]}))
    assert refused(path).startswith(f"{path}: /advertise/extra/1: ")
    assert "BLIXARD_ADVERTISE_EXTRA/1: " in refused(environ={"BLIXARD_ADVERTISE_EXTRA": "192.0.2.1:1,nowhere"})


@pytest.mark.parametrize(
    ("extra", "pointer"),
    [
        ({"nodeid": 1}, "/nodeid"),
        ({"advertise": {"includes": []}}, "/advertise/includes"),
        ({"advertise.include": []}, "/advertise.include"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ({"": 1}, "/"),
    ],
)
def test_an_unknown_setting_is_named_and_the_known_ones_are_listed(tmp_path: Path, extra: Any, pointer: str) -> None:
    path = written(tmp_path / "c.json", {**document(), **extra})
    message = refused(path)
    assert message.startswith(f"{path}: {pointer}: is not a known field here; known settings are node_id")


@pytest.mark.parametrize("value", [None, 1, [], "10.0.0.0/8"])
def test_advertise_must_be_an_object(tmp_path: Path, value: Any) -> None:
    path = written(tmp_path / "c.json", document(advertise=value))
    assert refused(path).startswith(f"{path}: /advertise: must be an object, not ")


@pytest.mark.parametrize("missing", ["node_id", "bind"])
def test_a_setting_that_must_be_there_is_named_with_its_flag(tmp_path: Path, missing: str) -> None:
    whole = document()
    del whole[missing]
    path = written(tmp_path / "c.json", whole)
    assert refused(path) == f"{path}: /{missing}: is missing; give it with {option(missing).flag_name}"
    assert refused().startswith("command line: /node_id: is missing")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b'{"node_id":1,"node_id":2}', b"[" * 9999])
def test_a_file_that_is_no_json_object_is_refused_by_its_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"c\.json: "):
        load_config(path)


def test_a_file_that_is_missing_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"c\.json: does not exist"):
        load_config(tmp_path / "c.json")


def test_a_null_stands_for_the_default_where_the_schema_allows_one(tmp_path: Path) -> None:
    nulls = dict.fromkeys(("relay_url", "peers_file", "admission", "metrics"))
    with_nulls = load_config(written(tmp_path / "c.json", document(**nulls)))
    without = load_config(written(tmp_path / "c.json", document()))
    assert dataclasses.replace(with_nulls, sha256=None) == dataclasses.replace(without, sha256=None)


def test_an_empty_variable_is_as_good_as_none() -> None:
    config = load_config(environ={"BLIXARD_NODE_REGISTRIES": ""}, flags=flags_of("--id=1", "--bind=127.0.0.1:1"))
    assert config.registries == ()


def test_a_flag_for_a_list_may_be_repeated_and_have_commas() -> None:
    config = load_config(flags=flags_of("--id=1", "--bind=127.0.0.1:1", "--join=a, b,", "--join", "c"))
    assert config.join == ("a", "b", "c")


def test_the_data_directory_is_that_of_the_seed_and_holds_the_peers_file() -> None:
    config = load_config(flags=flags_of("--id=12", "--bind=127.0.0.1:1"))
    assert config.data_dir == Path("data/node12")
    assert config.peers_file == Path("data/node12/discovery-peers.json")


def test_whoever_trusts_signers_lets_only_known_peers_in_unless_told_otherwise() -> None:
    base = ["--id=1", "--bind=127.0.0.1:1"]
    signer = f"--trusted-signers={SIGNER.hex}"
    assert load_config(flags=flags_of(*base)).admission == "open"
    assert load_config(flags=flags_of(*base, signer)).admission == "known"
    assert load_config(flags=flags_of(*base, signer, "--admission=open")).admission == "open"


def test_the_digest_is_that_of_the_file_and_absent_without_one(tmp_path: Path) -> None:
    path = written(tmp_path / "c.json", document())
    assert load_config(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert parse_config(path.read_bytes(), file="settings") == load_config(path)
    assert load_config(flags=flags_of("--id=1", "--bind=127.0.0.1:1")).sha256 is None


def test_sources_are_what_was_joined_then_the_registries_then_domains_and_clouds_then_the_peers_file() -> None:
    given = document(join=["a"], registries=["b", "c"], dns=["d"], cloud=["aws:"])
    config = parse_config(json.dumps(given).encode(), file="c.json")
    peers_file = DiscoverySource.StaticFile(config.peers_file)
    further = [DiscoverySource.Dns(("d",)), DiscoverySource.Cloud(("aws:",))]
    assert sources_of(config) == [DiscoverySource.NodeRegistry(["a", "b", "c"]), *further, peers_file]
    alone = parse_config(json.dumps(document()).encode(), file="c.json")
    assert sources_of(alone) == [peers_file]


def test_the_manager_is_told_whom_to_trust_and_how_often_to_look() -> None:
    settings = document(trusted_signers=[SIGNER.hex], refresh_interval_s=7, auto_connect=False, data_dir="/srv/n1")
    discovery = discovery_of(parse_config(json.dumps(settings).encode(), file="c.json"))
    assert discovery.trusted_signers == (SIGNER,)
    assert (discovery.refresh_seconds, discovery.auto_connect, discovery.state_dir) == (7.0, False, Path("/srv/n1"))


@pytest.mark.parametrize("text", ["127.0.0.1:7001", "0.0.0.0:0", "[::]:7001", "[fd00::1]:65535"])
def test_an_address_to_bind_is_printed_as_it_is_written(text: str) -> None:
    assert str(Bind.parse(text)) == text


likely = st.sampled_from(
    [value for values in WRONG.values() for value in values] + [one for one, _, _ in SAMPLES.values()]
)
objects = st.dictionaries(
    st.sampled_from([each.key.partition(".")[0] for each in OPTIONS]) | st.text(max_size=5),
    likely | json_values | st.dictionaries(st.sampled_from(["include", "exclude", "extra", "bridges"]), likely),
    max_size=8,
).map(lambda settings: {"node_id": 1, "bind": "127.0.0.1:7001", **settings})


def parsed(obj: object) -> NodeConfig | InputError:
    try:
        return parse_config(json.dumps(obj).encode(), file="c.json")
    except InputError as error:
        return error


@given(objects)
def test_any_object_gives_a_configuration_or_one_line_that_names_the_file(obj: dict[str, Any]) -> None:
    result = parsed(obj)
    if isinstance(result, InputError):
        assert str(result).startswith("c.json: ")
        assert len(str(result).splitlines()) == 1


# What the parser refuses and the schema cannot, or should not, say.
ONLY_THE_PARSER_KNOWS = (
    r"no IP address before its port|no address to bind|is not a network|weak key|canonical form|no point of the ed25519"
    r"|must be an integer, not a number with a fraction|has no IP|has no usable port|is the .* address|multicast"
    r"|is not a URL|user name or password|is not a relay URL|NUL character|host name"
)


@given(objects)
def test_schema_and_parser_refuse_the_same_but_for_the_rules_listed_here(obj: dict[str, Any]) -> None:
    result = parsed(obj)
    if isinstance(result, InputError):
        try:
            validate("node-config", obj)
        except InputError:
            return
        assert re.search(ONLY_THE_PARSER_KNOWS, str(result))
    else:
        validate("node-config", obj)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_schema_takes_every_setting_that_the_parser_takes(name: str) -> None:
    validate("node-config", document(**{name: SAMPLES[name][0]}))


def test_the_schema_says_the_defaults_that_the_parser_has() -> None:
    properties = load_schema("node-config")["properties"]
    config = parse_config(json.dumps(document()).encode(), file="c.json")
    for name, schema in properties.items():
        if name in ("cluster", "refresh_interval_s", "auto_connect", "log_level", "log_format", "metrics", "relay_url"):
            assert getattr(config, name) == schema["default"]
    assert set(properties) == {each.key.partition(".")[0] for each in OPTIONS}
