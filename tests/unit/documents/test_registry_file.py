# SPDX-License-Identifier: MIT
"""Registry files: the seed's form, byte for byte the same for the same entry."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from tests.unit.documents.samples import SEED_REGISTRY, attested, entry, key, with_real_ids
from tests.unit.model.strategies import entries

from blixard.documents.registry_file import format_registry, parse_registry, read_registry, write_registry
from blixard.errors import InputError
from blixard.model.entry import NodeRegistryEntry


@given(entries)
def test_what_is_written_reads_back_and_is_written_the_same(one: NodeRegistryEntry) -> None:
    data = format_registry(one)
    again = parse_registry(data)
    assert again == one
    assert format_registry(again) == data


def test_the_form_on_disk_is_the_seeds() -> None:
    text = format_registry(entry(1)).decode()
    assert text.startswith('{\n  "cluster_node_id": 1,\n  "iroh_node_id": "')
    assert text.endswith('  "address": "192.168.1.1:7001"\n}\n')


def test_the_seeds_own_example_loads_with_a_real_id_in_it() -> None:
    loaded = parse_registry(with_real_ids(SEED_REGISTRY).encode())
    assert loaded == NodeRegistryEntry(
        cluster_node_id=1,
        iroh_node_id=key(1).public().base64,
        direct_addresses=["192.168.1.10:7001", "10.0.0.5:7001"],
        relay_url="https://relay.iroh.network",
        address="192.168.1.10:7001",
    )


def test_the_seeds_own_example_as_printed_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError) as caught:
        parse_registry(SEED_REGISTRY.encode(), file="node1.json")
    text = str(caught.value)
    assert text.startswith('node1.json: /iroh_node_id: "base64-encoded-node-id" is a placeholder')
    assert "32 bytes" in text
    assert "blixard key show" in text


def test_unknown_fields_are_kept() -> None:
    obj = {**attested(1).to_json(), "zone": {"rack": [1, None]}, "a": 1.5}
    one = parse_registry(json.dumps(obj).encode())
    assert one.extra == {"zone": {"rack": [1, None]}, "a": 1.5}
    assert json.loads(format_registry(one)) == obj


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "node-registry.json"
    write_registry(path, attested(1), mode=0o640)
    assert read_registry(path) == attested(1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "node-registry.json"
    with pytest.raises(InputError, match=f"{path}: does not exist"):
        read_registry(path)
    path.write_text("{}")
    with pytest.raises(InputError, match=f"{path}: /cluster_node_id: is missing"):
        read_registry(path)
    path.write_bytes(b" " * 65537)
    with pytest.raises(InputError, match="too large"):
        read_registry(path)
    with pytest.raises(InputError, match="too large"):
        parse_registry(b" " * 65537)
