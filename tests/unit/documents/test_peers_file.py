# SPDX-License-Identifier: MIT
"""Peers files: sorted, without a clock, the same bytes for the same peers, readable by others."""

from __future__ import annotations

import base64
import json
import random
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.documents.samples import NOW, SEED_PEERS, attested, entry, key, peer, with_real_ids
from tests.unit.model.strategies import peer_lists

from blixard.documents.peers_file import (
    build_peers,
    diff_peers,
    format_peers,
    parse_peers,
    read_peers,
    write_peers,
)
from blixard.errors import InputError
from blixard.model.entry import DiscoveredPeer
from blixard.model.limits import MAX_PEERS, MAX_PEERS_BYTES


@given(peer_lists, st.booleans(), st.randoms(use_true_random=False))
def test_what_is_written_reads_back_and_is_written_the_same(
    peers: list[DiscoveredPeer], upstream: bool, rng: random.Random
) -> None:
    data = format_peers(peers, upstream_compat=upstream)
    shuffled = rng.sample(peers, len(peers))
    assert format_peers(shuffled, upstream_compat=upstream) == data
    again = parse_peers(data)
    assert again == sorted(peers, key=lambda one: one.node_id)
    assert format_peers(again, upstream_compat=upstream) == data


def strict_reader(data: bytes, *, upstream: bool) -> list[dict[str, object]]:
    """A reader of the seed's format that knows nothing of this package and takes nothing else."""
    rows = json.loads(data.decode("utf-8"))
    assert isinstance(rows, list)
    for row in rows:
        assert set(row) - {"attestation"} == {
            "node_id",
            "iroh_node_id",
            "direct_addresses",
            "relay_url",
            "source",
            "discovered_at",
        }
        assert type(row["node_id"]) is int
        assert 1 <= row["node_id"] < 2**64
        assert len(base64.b64decode(row["iroh_node_id"], validate=True)) == 32
        assert type(row["direct_addresses"]) is list
        for address in row["direct_addresses"]:
            assert re.fullmatch(r"(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\]):\d+", address)
        assert row["relay_url"] is None or re.fullmatch(r"https?://[^ ]+", row["relay_url"])
        assert type(row["source"]) is str
        if upstream:
            assert set(row["discovered_at"]) == {"secs_since_epoch", "nanos_since_epoch"}
            assert all(type(number) is int and number >= 0 for number in row["discovered_at"].values())
            assert row["discovered_at"]["nanos_since_epoch"] < 10**9
        else:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", row["discovered_at"])
    return rows


@pytest.mark.parametrize("upstream", [False, True])
def test_a_strict_reader_of_the_seeds_format_takes_what_is_built(upstream: bool) -> None:
    rows = strict_reader(
        format_peers(build_peers([attested(2), attested(1), entry(3, relay_url=None)]), upstream_compat=upstream),
        upstream=upstream,
    )
    assert [row["node_id"] for row in rows] == [1, 2, 3]
    assert [row["source"] for row in rows] == ["static"] * 3
    assert [row["relay_url"] for row in rows] == ["https://relay.example.org"] * 2 + [None]
    assert [row["iroh_node_id"] for row in rows] == [key(number).public().base64 for number in (1, 2, 3)]
    assert rows[0]["direct_addresses"] == ["192.168.1.1:7001", "[2001:db8::1]:7001"]
    if not upstream:
        assert [row["discovered_at"] for row in rows] == ["2026-01-15T09:30:00Z"] * 2 + ["1970-01-01T00:00:00Z"]


def test_the_seeds_own_example_loads_with_real_ids_in_it() -> None:
    loaded = parse_peers(with_real_ids(SEED_PEERS).encode())
    assert [one.node_id for one in loaded] == [1, 2]
    assert [one.relay_url for one in loaded] == ["https://relay.iroh.network", None]
    assert {one.discovered_at for one in loaded} == {datetime(2024, 1, 1, tzinfo=timezone.utc)}
    assert strict_reader(format_peers(loaded), upstream=False) == json.loads(with_real_ids(SEED_PEERS))


def test_the_seeds_own_example_as_printed_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match=r'peers\.json: /0/iroh_node_id: "base64-encoded-node-id" is a placeholder'):
        parse_peers(SEED_PEERS.encode(), file="peers.json")


def test_peers_are_built_with_the_time_of_their_last_change() -> None:
    later = entry(2, extra={"recorded_at": "2026-02-01T00:00:00Z"})
    peers = build_peers([later, attested(1), entry(3)])
    assert [one.discovered_at for one in peers] == [
        NOW,
        datetime(2026, 2, 1, tzinfo=timezone.utc),
        datetime(1970, 1, 1, tzinfo=timezone.utc),
    ]
    assert peers[0].attestation == attested(1).attestation


def test_peers_are_built_without_those_that_left_and_with_those_that_are_leaving() -> None:
    leaving, left = entry(1, extra={"state": "draining"}), entry(2, extra={"state": "absent"})
    assert [one.node_id for one in build_peers([leaving, left, entry(3)])] == [1, 3]


@pytest.mark.parametrize(
    ("extra", "place"), [({"state": "gone"}, "/state"), ({"state": 1}, "/state"), ({"recorded_at": 1}, "/recorded_at")]
)
def test_a_bad_field_of_the_record_is_refused(extra: dict[str, object], place: str) -> None:
    with pytest.raises(InputError) as caught:
        build_peers([entry(1, extra=extra)])
    assert caught.value.place == place


def test_one_node_id_twice_is_refused_when_read_built_or_written() -> None:
    both = [peer(1), peer(2, node_id=1)]
    rows = json.dumps([one.to_json() for one in both]).encode()
    for act in (lambda: parse_peers(rows), lambda: format_peers(both)):
        with pytest.raises(InputError, match="node id 1 is also that of entry /0") as caught:
            act()
        assert caught.value.place == "/1/node_id"
    with pytest.raises(InputError, match="node id 1 is also"):
        build_peers([entry(1), entry(2, cluster_node_id=1)])


def test_one_iroh_id_under_two_node_ids_is_refused_when_read_built_or_written() -> None:
    both = [peer(1), peer(2, iroh_node_id=key(1).public().base64)]
    rows = json.dumps([one.to_json() for one in both]).encode()
    for act in (lambda: parse_peers(rows), lambda: format_peers(both)):
        with pytest.raises(InputError, match="is also that of node 1") as caught:
            act()
        assert caught.value.place == "/1/iroh_node_id"
    with pytest.raises(InputError, match="is also that of node 1"):
        build_peers([entry(1), entry(2, iroh_node_id=key(1).public().hex)])


def test_a_list_of_too_many_peers_or_bytes_is_refused() -> None:
    with pytest.raises(InputError, match="at most 50000 items, has 50001"):
        parse_peers(b"[" + b"1," * MAX_PEERS + b"1]")
    with pytest.raises(InputError, match="too large"):
        parse_peers(b" " * (MAX_PEERS_BYTES + 1))


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "discovery-peers.json"
    write_peers(path, [peer(2), peer(1)], upstream_compat=True)
    assert read_peers(path) == [peer(1), peer(2)]


def test_a_diff_counts_and_names_what_changed() -> None:
    old = [peer(1), peer(2), peer(3), peer(5)]
    new = [
        peer(1, direct_addresses=["10.0.0.1:7001"]),
        peer(3, iroh_node_id=key(9).public().hex, relay_url="https://r.example"),
        peer(4),
        peer(5, discovered_at=NOW + timedelta(seconds=1)),
    ]
    difference = diff_peers(old, new, {1: "alpha", 4: "delta"})
    assert str(difference) == "+1 −1 ~3 peers"
    assert difference.lines() == [
        "~ alpha (node 1) addresses −192.168.1.1:7001 +10.0.0.1:7001",
        f"− node 2 {key(2).public().short}",
        f"~ node 3 id {key(3).public().short} → {key(9).public().short}, relay none → https://r.example",
        f"+ delta (node 4) {key(4).public().short}",
        "~ node 5 discovered at",
    ]
    assert difference
    assert not diff_peers(old, reversed(old))
    assert str(diff_peers(old, old)) == "+0 −0 ~0 peers"


def test_a_diff_tells_a_new_order_of_addresses_from_new_ones() -> None:
    texts = ["10.0.0.1:1", "10.0.0.2:1"]
    difference = diff_peers([peer(1, direct_addresses=texts)], [peer(1, direct_addresses=texts[::-1])])
    assert difference.lines() == ["~ node 1 addresses in another order"]
