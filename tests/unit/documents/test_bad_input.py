# SPDX-License-Identifier: MIT
"""Everything that a registry and a peers file must withstand: one line each with file, place and reason."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.documents.samples import attested, peer

from blixard.documents.peers_file import read_peers
from blixard.documents.registry_file import read_registry
from blixard.errors import InputError

Read = Callable[[Path], object]


def in_registry(obj: dict[str, Any]) -> bytes:
    return json.dumps({**attested(1).to_json(), **obj}).encode()


def in_peers(obj: dict[str, Any]) -> bytes:
    return json.dumps([peer(2).to_json(), {**peer(1).to_json(), "attestation": None, **obj}]).encode()


BOTH = [(read_registry, in_registry, ""), (read_peers, in_peers, "/1")]
FORMS = pytest.mark.parametrize(("read", "inside", "prefix"), BOTH, ids=["registry", "peers"])


def refused(read: Read, path: Path, data: bytes) -> InputError:
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert line.isprintable(), "one line without control characters"
    assert len(line) < 2000
    return caught.value


BYTES = {
    "empty": (b"", "is empty"),
    "only spaces": (b"  \n", "is empty"),
    "a byte order mark": (b"\xef\xbb\xbf[]", "byte order mark"),
    "latin-1": (b'["\xe9"]', "not UTF-8"),
    "utf-16": ("[]".encode("utf-16"), "not UTF-8"),
    "binary": (bytes(range(256)), "not UTF-8|not JSON"),
    "nested lists": (b"[" * 50_000, "nested deeper"),
    "nested objects": (b'{"a":' * 10_000, "nested deeper"),
    "null": (b"null", "must be .*, not null"),
    "a number": (b"1", "must be .*, not an integer"),
    "a string": (b'"x"', "must be .*, not a string"),
    "html": (b"<html></html>", "not JSON"),
    "yaml": (b"- a: 1\n", "not JSON"),
    "two documents": (b"{}{}", "not JSON: Extra data"),
    "a comment": (b"[] // x", "not JSON: Extra data"),
}


@pytest.mark.parametrize("what", BYTES)
@pytest.mark.parametrize("read", [read_registry, read_peers])
def test_bytes_that_are_no_document_are_refused(read: Read, what: str, tmp_path: Path) -> None:
    data, reason = BYTES[what]
    assert re.search(reason, refused(read, tmp_path / "file.json", data).reason)


@FORMS
def test_a_document_that_is_cut_off_anywhere_is_refused(
    read: Read, inside: Callable[[dict[str, Any]], bytes], prefix: str, tmp_path: Path
) -> None:
    whole = inside({})
    for length in range(len(whole)):
        reason = refused(read, tmp_path / "file.json", whole[:length]).reason
        assert reason == "is empty" or "cut off" in reason, whole[:length]


@pytest.mark.parametrize("read", [read_registry, read_peers])
def test_a_file_of_one_gibibyte_is_refused(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(InputError, match="is too large: 1073741824 bytes"):
        read(path)


@pytest.mark.parametrize("read", [read_registry, read_peers])
def test_a_fifo_does_not_block(read: Read, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.json")
    with pytest.raises(InputError, match="is a FIFO, not a file"):
        read(tmp_path / "fifo.json")


@FORMS
def test_a_field_that_stands_there_twice_is_refused(
    read: Read, inside: Callable[[dict[str, Any]], bytes], prefix: str, tmp_path: Path
) -> None:
    data = inside({}).replace(b'"relay_url"', b'"relay_url": null, "relay_url"')
    assert refused(read, tmp_path / "file.json", data).place in ("/relay_url", "/0/relay_url")


WEAK = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
NON_CANONICAL = "8P///////////////////////////////////////38="
FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"iroh_node_id": "base64-encoded-node-id"}, "/iroh_node_id", "is a placeholder"),
    ({"iroh_node_id": "AAAA"}, "/iroh_node_id", "3 bytes long; an Iroh node id has 32"),
    ({"iroh_node_id": "A" * 88}, "/iroh_node_id", "66 bytes long"),
    ({"iroh_node_id": WEAK}, "/iroh_node_id", "weak key"),
    ({"iroh_node_id": NON_CANONICAL}, "/iroh_node_id", "canonical"),
    ({"iroh_node_id": 5}, "/iroh_node_id", "must be a string, not an integer"),
    ({"direct_addresses": {}}, "/direct_addresses", "must be a list, not an object"),
    ({"direct_addresses": ["notanaddr"]}, "/direct_addresses/0", "not an address with a port"),
    ({"direct_addresses": ["1.2.3.4:1", "host:2"]}, "/direct_addresses/1", "has a host name"),
    ({"direct_addresses": ["1.2.3.4:0"]}, "/direct_addresses/0", "port 0"),
    ({"direct_addresses": ["0.0.0.0:1"]}, "/direct_addresses/0", "unspecified"),
    ({"direct_addresses": ["[::]:1"]}, "/direct_addresses/0", "unspecified"),
    ({"direct_addresses": ["[fe80::1%eth0]:1"]}, "/direct_addresses/0", "zone"),
    ({"direct_addresses": [None]}, "/direct_addresses/0", "must be a string, not null"),
    ({"direct_addresses": ["1.2.3.4:1"] * 65}, "/direct_addresses", "at most 64 items, has 65"),
    ({"relay_url": "not a url"}, "/relay_url", "is not a URL"),
    ({"relay_url": "ftp://x"}, "/relay_url", "is not a relay URL"),
    ({"relay_url": ["https://x"]}, "/relay_url", "must be a string or null, not a list"),
    ({"attestation": 1}, "/attestation", "must be an object or null, not an integer"),
    ({"attestation": {}}, "/attestation/cluster", "is missing"),
    ({"iroh_node_id": "\x1b[2J\n\x07"}, "/iroh_node_id", "is not an Iroh node id"),
    ({"relay_url": "https://u:p@relay.example.org"}, "/relay_url", "user name or password"),
]


@pytest.mark.parametrize(("change", "place", "reason"), FIELDS)
@FORMS
def test_a_bad_field_is_refused_with_its_place(
    read: Read,
    inside: Callable[[dict[str, Any]], bytes],
    prefix: str,
    change: dict[str, Any],
    place: str,
    reason: str,
    tmp_path: Path,
) -> None:
    error = refused(read, tmp_path / "file.json", inside(change))
    assert error.place == prefix + place
    assert reason in error.reason


@pytest.mark.parametrize("value", [0, -1, 2**64, 10**25, 1.0, 1.5, True, None, "1", [1], {}])
@pytest.mark.parametrize(
    ("read", "inside", "place"),
    [(read_registry, in_registry, "/cluster_node_id"), (read_peers, in_peers, "/1/node_id")],
    ids=["registry", "peers"],
)
def test_a_bad_node_id_is_refused_with_its_place(
    read: Read, inside: Callable[[dict[str, Any]], bytes], place: str, value: object, tmp_path: Path
) -> None:
    assert refused(read, tmp_path / "file.json", inside({place.rpartition("/")[2]: value})).place == place


@pytest.mark.parametrize("name", ["cluster_node_id", "iroh_node_id", "direct_addresses", "relay_url", "address"])
def test_a_registry_without_one_of_its_fields_is_refused(name: str, tmp_path: Path) -> None:
    obj = attested(1).to_json()
    del obj[name]
    error = refused(read_registry, tmp_path / "file.json", json.dumps(obj).encode())
    assert (error.place, error.reason) == (f"/{name}", "is missing")


@pytest.mark.parametrize("name", list(peer(1).to_json()))
def test_a_peer_without_one_of_its_fields_is_refused(name: str, tmp_path: Path) -> None:
    obj = peer(1).to_json()
    del obj[name]
    error = refused(read_peers, tmp_path / "file.json", json.dumps([obj]).encode())
    assert (error.place, error.reason) == (f"/0/{name}", "is missing")


@pytest.mark.parametrize("value", [None, 1, "", "x" * 257])
def test_a_bad_source_is_refused(value: object, tmp_path: Path) -> None:
    assert refused(read_peers, tmp_path / "file.json", in_peers({"source": value})).place == "/1/source"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (None, ""),
        ("yesterday", ""),
        ("2024-01-01T00:00:00", ""),
        ([1], ""),
        ([1, 2**40], "/1"),
        ({"secs_since_epoch": 1}, "/nanos_since_epoch"),
        ({"secs_since_epoch": -1, "nanos_since_epoch": 0}, "/secs_since_epoch"),
    ],
)
def test_a_bad_time_is_refused(value: object, place: str, tmp_path: Path) -> None:
    error = refused(read_peers, tmp_path / "file.json", in_peers({"discovered_at": value}))
    assert error.place == f"/1/discovered_at{place}"


@pytest.mark.parametrize("item", [None, 1, "x", [], {}])
def test_an_entry_that_is_no_peer_is_refused_with_its_index(item: object, tmp_path: Path) -> None:
    error = refused(read_peers, tmp_path / "file.json", json.dumps([peer(1).to_json(), item]).encode())
    assert error.place.startswith("/1")


def test_two_peers_with_one_node_id_are_refused(tmp_path: Path) -> None:
    data = json.dumps([peer(1).to_json(), peer(2, node_id=1).to_json()]).encode()
    assert refused(read_peers, tmp_path / "file.json", data).place == "/1/node_id"


def test_one_iroh_id_under_two_node_ids_is_refused_in_whatever_forms_it_is_written(tmp_path: Path) -> None:
    second = {**peer(2).to_json(), "iroh_node_id": peer(1).endpoint_id.hex}
    data = json.dumps([peer(1).to_json(), second]).encode()
    assert refused(read_peers, tmp_path / "file.json", data).place == "/1/iroh_node_id"
