# SPDX-License-Identifier: MIT
"""Schema and parser are one rule book: each accepts what the other writes, and they refuse in the same words."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.documents.samples import SEED_PEERS, SEED_REGISTRY, attested, key, peer, with_real_ids
from tests.unit.model.strategies import entries, json_values, peer_lists

from blixard.documents.peers_file import format_peers, parse_peers
from blixard.documents.registry_file import format_registry, parse_registry
from blixard.documents.schemas import NAMES, load_schema, validate, validate_text
from blixard.errors import InputError
from blixard.model import limits
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.trust.attestation import verify_attestation

# What the parsers refuse and a schema cannot, or should not, say. The property below lets a document that the
# schema takes be refused for one of these reasons and for no other.
ONLY_THE_PARSER_KNOWS = {
    "a key must be good": r"weak key|canonical form of a key|no point of the ed25519",
    "1.0 is no integer": r"must be an integer, not a number with a fraction",
    "an address must be one to dial": r"has no IP|no IPv6 address|no usable port|is the .* address|multicast",
    "a name has labels": r"has no IP address or host name",
    "a URL must have a readable host, and no user": r"is not a URL|user name or password|is not a relay URL",
    "a time must exist, not before 1970": r"does not exist|before 1970",
    "node ids and Iroh ids are unique": r"is also that of",
    "a pattern's $ lets one newline pass": r"\\n",
    "strings are Unicode": r"surrogate",
    "nesting and size have limits": r"nested deeper|too large|more than 20 digits",
}


def parser_of(name: str) -> Callable[[bytes], object]:
    parsers: dict[str, Callable[[bytes], object]] = {"node-registry": parse_registry, "discovery-peers": parse_peers}
    return parsers[name]


def schema_refuses(name: str, obj: object) -> InputError | None:
    try:
        validate(name, obj)
    except InputError as error:
        return error
    return None


def parser_refuses(name: str, obj: object) -> InputError | None:
    try:
        parser_of(name)(json.dumps(obj).encode())
    except InputError as error:
        return error
    return None


@given(entries)
def test_whatever_registry_the_parser_writes_the_schema_accepts(entry: NodeRegistryEntry) -> None:
    validate("node-registry", json.loads(format_registry(entry)))


@given(peer_lists, st.booleans())
def test_whatever_peers_the_parser_writes_the_schema_accepts(peers: list[DiscoveredPeer], upstream: bool) -> None:
    validate("discovery-peers", json.loads(format_peers(peers, upstream_compat=upstream)))


REGISTRY: dict[str, Any] = attested(1).to_json()
PEERS = [{**peer(1).to_json(), "attestation": REGISTRY["attestation"]}, peer(2).to_json()]
PEERS[1]["discovered_at"] = {"secs_since_epoch": 1, "nanos_since_epoch": 2}
GOOD: dict[str, Any] = {"node-registry": REGISTRY, "discovery-peers": PEERS}

near_misses: st.SearchStrategy[Any] = st.one_of(
    json_values,
    st.sampled_from(
        [0, -1, 1, 1.0, True, None, "", [], {}, 2**64, 2**53, "1.2.3.4:0", "0.0.0.0:1", "https://", "ftp://x", "A" * 44]
    ),
    st.sampled_from([key(1).public().hex, key(2).public().hex.upper(), "AQ" + "A" * 41 + "=", "2024-13-01T00:00:00Z"]),
    st.sampled_from([[1, 2], [1], [-1, 0], [1, 10**9], {"secs_since_epoch": 1}, ["1.2.3.4:5"] * 65, "x" * 5000]),
    st.text(alphabet="0123456789abcdef.:[]/@ \n", max_size=30),
).map(copy.deepcopy)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a document with each of its keys."""
    for step in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, step
        yield from places(value[step])


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, Any]:
    name = draw(st.sampled_from(sorted(GOOD)))
    obj = copy.deepcopy(GOOD[name])
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(obj))
        if not found:
            break
        container, step = draw(st.sampled_from(found))
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                container[step] = draw(near_misses)
            case "remove":
                del container[step]
            case _ if isinstance(container, dict):
                container[draw(st.text(max_size=5))] = draw(near_misses)
            case _:
                container.append(draw(near_misses))
    return name, obj


@given(mutated())
def test_schema_and_parser_refuse_the_same_but_for_the_rules_listed_here(case: tuple[str, Any]) -> None:
    name, obj = case
    by_schema, by_parser = schema_refuses(name, obj), parser_refuses(name, obj)
    if by_schema is not None:
        assert by_parser is not None, f"only the schema refuses: {by_schema}"
    elif by_parser is not None:
        assert any(re.search(rule, str(by_parser)) for rule in ONLY_THE_PARSER_KNOWS.values()), str(by_parser)


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_is_a_good_one_of_2020_12(name: str) -> None:
    schema = load_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    # From the second version on the version is a part of it.
    assert re.fullmatch(rf"urn:blixard:schema:{name}(:[2-9])?", schema["$id"])
    assert schema["examples"]


def _subschemas(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for group in ("properties", "$defs"):
        for name, inner in schema.get(group, {}).items():
            yield from _subschemas(inner, f"{path}/{group}/{name}")
    if isinstance(schema.get("items"), dict):
        yield from _subschemas(schema["items"], f"{path}/items")


@pytest.mark.parametrize("name", NAMES)
def test_every_part_of_a_schema_has_a_title_and_a_description(name: str) -> None:
    for path, schema in _subschemas(load_schema(name)):
        if "$ref" not in schema:
            assert schema.get("title"), path
            assert schema.get("description"), path


@pytest.mark.parametrize("name", NAMES)
def test_every_example_in_a_schema_fits_it(name: str) -> None:
    schema = load_schema(name)
    for example in schema["examples"]:
        validate(name, example)
    for path, part in _subschemas(schema):
        for example in part.get("examples", []) if path else ():
            assert jsonschema.Draft202012Validator({**part, "$defs": schema.get("$defs", {})}).is_valid(example), path


def test_the_examples_of_entries_are_really_attested_and_parse() -> None:
    attested = 0
    for example in load_schema("node-registry")["examples"]:
        entry = parse_registry(json.dumps(example).encode())
        if entry.attestation is not None:
            verify_attestation(entry, cluster="blixard")
            attested += 1
    for example in load_schema("discovery-peers")["examples"]:
        for one in parse_peers(json.dumps(example).encode()):
            if one.attestation is not None:
                verify_attestation(one, cluster="blixard")
                attested += 1
    assert attested >= 2


def test_a_rule_that_stands_in_several_schemas_is_the_same_in_all() -> None:
    seen: dict[str, Any] = {}
    for name in NAMES:
        for part, rule in load_schema(name).get("$defs", {}).items():
            assert seen.setdefault(part, rule) == rule, f"{part} in {name}"


def test_the_bounds_in_the_schemas_are_those_of_the_parsers() -> None:
    defs = load_schema("discovery-peers")["$defs"]
    assert defs["nodeId"]["maximum"] == limits.MAX_NODE_ID
    assert defs["directAddresses"]["maxItems"] == limits.MAX_ADDRESSES
    assert defs["relayUrl"]["maxLength"] == limits.MAX_URL
    assert defs["clusterName"]["maxLength"] == limits.MAX_CLUSTER
    assert defs["attestation"]["properties"]["seq"]["maximum"] == limits.MAX_SAFE_INTEGER
    assert load_schema("discovery-peers")["items"]["properties"]["source"]["maxLength"] == limits.MAX_SOURCE


def test_the_seeds_own_examples_fit_the_schemas_with_real_ids_in_them() -> None:
    validate_text("node-registry", with_real_ids(SEED_REGISTRY).encode())
    validate_text("discovery-peers", with_real_ids(SEED_PEERS).encode())
    with pytest.raises(InputError, match="is a placeholder"):
        validate_text("node-registry", SEED_REGISTRY.encode())


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"cluster_node_id": "1"}, "/cluster_node_id"),
    ({"cluster_node_id": True}, "/cluster_node_id"),
    ({"cluster_node_id": 0}, "/cluster_node_id"),
    ({"cluster_node_id": 2**64}, "/cluster_node_id"),
    ({"iroh_node_id": None}, "/iroh_node_id"),
    ({"direct_addresses": "x"}, "/direct_addresses"),
    ({"direct_addresses": ["1.2.3.4:1", "x"]}, "/direct_addresses/1"),
    ({"direct_addresses": ["1.2.3.4:1"] * 65}, "/direct_addresses"),
    ({"relay_url": 1}, "/relay_url"),
    ({"relay_url": ""}, "/relay_url"),
    ({"relay_url": "ftp://x"}, "/relay_url"),
    ({"relay_url": "https://" + "x" * 2048}, "/relay_url"),
    ({"address": ""}, "/address"),
    ({"attestation": []}, "/attestation"),
    ({"attestation": {}}, "/attestation/cluster"),
]


@pytest.mark.parametrize(("change", "place"), CHANGES)
def test_schema_and_parser_name_the_same_place_in_the_same_words(change: dict[str, Any], place: str) -> None:
    obj = {**REGISTRY, **change}
    by_schema, by_parser = schema_refuses("node-registry", obj), parser_refuses("node-registry", obj)
    assert by_schema is not None
    assert by_parser is not None
    assert by_schema.place == by_parser.place == place
    assert by_schema.reason == by_parser.reason


@pytest.mark.parametrize("name", list(REGISTRY))
def test_a_missing_or_unknown_field_is_named_in_the_same_words(name: str) -> None:
    cut = {field: value for field, value in REGISTRY.items() if field != name}
    if name == "attestation":
        cut[name] = {**REGISTRY[name], "a/b": 1}
    by_schema, by_parser = schema_refuses("node-registry", cut), parser_refuses("node-registry", cut)
    assert by_schema is not None
    assert by_parser is not None
    assert (by_schema.place, by_schema.reason) == (by_parser.place, by_parser.reason)


def test_of_several_errors_the_first_by_its_place_is_told() -> None:
    rows: list[dict[str, Any]] = [{**peer(number).to_json(), "source": 1} for number in range(1, 13)]
    rows[2]["direct_addresses"] = 1
    rows[2]["relay_url"] = 1
    error = schema_refuses("discovery-peers", [*[peer(20).to_json()] * 2, *rows[2:]])
    assert error is not None
    assert error.place == "/2/direct_addresses"


CONFIG = {"node_id": 1, "bind": "0.0.0.0:7001"}


@pytest.mark.parametrize(
    ("change", "place", "reason"),
    [
        ({"log_level": "loud"}, "/log_level", "must be one of debug, info, warning, error"),
        ({"admission": 1}, "/admission", "must be one of open, known, null"),
        ({"colour": 1}, "/colour", "is not a known field here"),
        ({"join": [""]}, "/join/0", "must not be empty"),
        ({"refresh_interval_s": 0}, "/refresh_interval_s", "must be at least 0.1, is 0"),
        ({"refresh_interval_s": "60"}, "/refresh_interval_s", "must be a number, not a string"),
        ({"trusted_signers": ["x"]}, "/trusted_signers/0", '"x" is not an Iroh node id'),
        ({"advertise": {"extra": ["x"]}}, "/advertise/extra/0", '"x" is not an address with a port'),
        ({"advertise": None}, "/advertise", "must be an object, not null"),
        ({"metrics": "x"}, "/metrics", '"x" is not an address for metrics'),
    ],
)
def test_a_bad_setting_is_refused_with_its_place(change: dict[str, Any], place: str, reason: str) -> None:
    error = schema_refuses("node-config", {**CONFIG, **change})
    assert error is not None
    assert (error.place, error.reason) == (place, reason)


def test_a_report_without_a_part_of_it_is_refused() -> None:
    report = load_schema("connectivity-report")["examples"][0]
    for name in ("cluster", "nodes", "edges", "summary"):
        with pytest.raises(InputError, match="is missing"):
            validate("connectivity-report", {field: value for field, value in report.items() if field != name})
    edge = {field: value for field, value in report["edges"][0].items() if field != "waited_s"}
    with pytest.raises(InputError, match="/edges/0/waited_s: is missing"):
        validate("connectivity-report", {**report, "edges": [edge]})


def test_a_schema_of_ones_own_is_used_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "own.schema.json"
    path.write_text('{"type": "array", "items": {"pattern": "^a"}, "minItems": 2, "contains": {"const": "ab"}}')
    validate_text(path, b'["ab", "ac"]')
    for text, reason in {
        b'["b", "ab"]': '/0: "b" does not match \\^a',
        b'["ab"]': "at least 2 items, has 1",
        b'["ac", "ac"]': "does not contain",
    }.items():
        with pytest.raises(InputError, match=reason):
            validate_text(path, text, file="doc.json")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "must be an object"),
        ("{", "not JSON"),
        ('{"type": "nothing"}', "not a usable schema"),
        ('{"$ref": "urn:nowhere"}', "not a usable schema"),
    ],
)
def test_a_schema_that_is_none_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InputError, match=reason):
        validate(path, {})


def test_an_unknown_schema_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r'no schema is called "peers"; known are node-registry'):
        load_schema("peers")
    with pytest.raises(InputError, match="does not exist"):
        load_schema("/nowhere/x.schema.json")
