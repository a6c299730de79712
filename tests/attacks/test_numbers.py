# SPDX-License-Identifier: MIT
"""Numbers and times that a key's holder may choose freely: none locks anybody out, now or later."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.run import blixard, refused
from tests.unit.documents.samples import CLUSTER, NOW, RUN, attested, entry, key

from blixard.agent.node_config import parse_config
from blixard.agent.own_entry import OwnEntry
from blixard.clock import SystemClock
from blixard.documents.json_bytes import canonical_bytes, pretty_bytes, sha256_hex
from blixard.documents.peers_file import build_peers, format_peers
from blixard.documents.record import merge_record, write_record
from blixard.documents.registry_file import write_registry
from blixard.errors import InputError, TrustError
from blixard.fleet.registry import update_record
from blixard.fleet.signature import keep_signature
from blixard.manager.additions import Additions
from blixard.model.encodings import encode_base64
from blixard.model.entry import Attestation, DiscoveredPeer, NodeRegistryEntry
from blixard.peers.claims import Origin
from blixard.peers.table import PeerTable
from blixard.sources.base import Sighting
from blixard.transport.hello import AdmissionContext, Hello, refusal
from blixard.trust.attestation import AttestationCheck, attest, verify_attestation
from blixard.trust.peers_signature import parse_sig, renew_signature, sign_peers, verify_peers

HIGHEST = 2**53 - 1
DAY = 86400
SECONDS = int(NOW.timestamp())
POWER_CUT = datetime(1970, 1, 1, 0, 5, tzinfo=timezone.utc)
FLEET = key(100)
DATA = format_peers(build_peers([attested(1)]))


class FakeClock(SystemClock):
    """A wall clock that a test sets."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def wall(self) -> datetime:
        return self.at


def signed_as(
    seq: int,
    number: int = 1,
    *,
    issued_at: str = "2026-01-15T09:30:00Z",
    expires_at: str | None = None,
    **changes: Any,
) -> NodeRegistryEntry:
    """An entry that its own node signed under a number and times of its choice."""
    one = entry(number, **changes)
    node_id, iroh_node_id, addresses, relay_url = one.content()
    message = canonical_bytes(
        {
            "domain": "blixard/registry/v1",
            "cluster": CLUSTER,
            "seq": seq,
            "issued_at": issued_at,
            "expires_at": expires_at,
            "node_id": node_id,
            "iroh_node_id": iroh_node_id,
            "direct_addresses": list(addresses),
            "relay_url": relay_url,
        }
    )
    signature = encode_base64(key(number).sign(message))
    return dataclasses.replace(one, attestation=Attestation(CLUSTER, seq, issued_at, expires_at, signature))


def peers_signed_as(seq: int, data: bytes = DATA) -> bytes:
    """A `.sig` file by the fleet key under a number of its choice."""
    message = canonical_bytes(
        {"domain": "blixard/peers/v1", "cluster": CLUSTER, "seq": seq, "sha256": sha256_hex(data)}
    )
    return pretty_bytes(
        {
            "domain": "blixard/peers/v1",
            "cluster": CLUSTER,
            "seq": seq,
            "signer": FLEET.public().base64,
            "signature": encode_base64(FLEET.sign(message)),
        }
    )


def seq_of(one: NodeRegistryEntry) -> int:
    assert one.attestation is not None
    return one.attestation.seq


def as_peer(one: NodeRegistryEntry) -> DiscoveredPeer:
    return DiscoveredPeer.from_entry(one, "hello", NOW)


@pytest.mark.parametrize("seq", [SECONDS + DAY + 1, 10**10, 253402300800, HIGHEST])
def test_an_attestation_under_a_number_more_than_a_day_ahead_is_refused_everywhere(seq: int, tmp_path: Path) -> None:
    one = signed_as(seq)
    with pytest.raises(TrustError, match=rf"number {seq} stands for .*ahead of .*2026-01-15T09:30:00Z.*set the clock"):
        verify_attestation(one, cluster=CLUSTER, now=NOW)
    check = AttestationCheck(cluster=CLUSTER, wall=lambda: NOW)
    assert str(seq) in str(check.problem(as_peer(one)))
    house = AdmissionContext(cluster=CLUSTER, admission="open", node_id=9, known_as=None, holder=None)
    hello = Hello(cluster=CLUSTER, node_id=1, entry=one, purpose="mesh")
    no = refusal(hello, one.endpoint_id, house, NOW)
    assert no is not None
    assert no.kind == "bad_entry"
    update = update_record(tmp_path / "registry", {"one": one.to_json()}, **run())
    assert len(update.refused) == 1
    assert update.refused[0].startswith("one: ")
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize("seq", [1, SECONDS, SECONDS + DAY])
def test_a_number_within_a_day_of_the_clock_holds(seq: int) -> None:
    assert verify_attestation(signed_as(seq), now=NOW).seq == seq
    assert (
        verify_peers(DATA, peers_signed_as(seq), signers=[FLEET.public()], cluster=CLUSTER, min_seq=0, now=NOW) == seq
    )


@pytest.mark.parametrize(
    ("issued_at", "expires_at", "words"),
    [
        ("2026-01-16T09:30:00Z", None, None),
        ("2026-01-16T09:30:01Z", None, "more than a day ahead"),
        ("2026-01-15T09:30:00Z", "2026-01-15T09:30:00Z", "not after it was signed"),
        ("2026-01-15T09:30:00Z", "2026-01-15T09:30:01Z", None),
    ],
)
def test_an_attestation_begins_within_a_day_of_the_clock_and_before_it_ends(
    issued_at: str, expires_at: str | None, words: str | None
) -> None:
    one = signed_as(SECONDS, issued_at=issued_at, expires_at=expires_at)
    if words is None:
        assert verify_attestation(one, now=NOW)
    else:
        with pytest.raises(TrustError, match=words):
            verify_attestation(one, now=NOW)


def test_a_machine_whose_clock_is_not_set_refuses_nobody_for_it() -> None:
    assert verify_attestation(attested(1), now=POWER_CUT)
    sig = sign_peers(DATA, FLEET, cluster=CLUSTER, previous_seq=None, now=NOW)
    assert verify_peers(DATA, sig, signers=[FLEET.public()], cluster=CLUSTER, min_seq=0, now=POWER_CUT) == SECONDS


def test_a_node_whose_clock_is_not_set_goes_on_from_its_own_last_number() -> None:
    moved = attest(entry(1, relay_url=None), key(1), cluster=CLUSTER, now=POWER_CUT, previous=attested(1))
    assert seq_of(moved) == SECONDS + 1


@pytest.mark.parametrize("now", [NOW, POWER_CUT])
def test_a_node_with_the_highest_number_signs_again(now: datetime) -> None:
    for one in (entry(1), entry(1, relay_url=None)):
        healed = attest(one, key(1), cluster=CLUSTER, now=now, previous=signed_as(HIGHEST))
        assert seq_of(healed) == int(now.timestamp())
        assert verify_attestation(healed, cluster=CLUSTER, now=now)


def test_what_a_node_signed_before_its_clock_was_set_back_is_signed_anew() -> None:
    ahead = attest(entry(1), key(1), cluster=CLUSTER, now=NOW + timedelta(days=400))
    assert seq_of(attest(entry(1), key(1), cluster=CLUSTER, now=NOW, previous=ahead)) == SECONDS


def test_a_node_that_runs_while_its_clock_is_set_back_notices_and_signs_anew(tmp_path: Path) -> None:
    clock = FakeClock(NOW + timedelta(days=400))
    config = parse_config(
        f'{{"node_id": 1, "bind": "127.0.0.1:7001", "data_dir": "{tmp_path}"}}'.encode(), file="settings"
    )
    own = OwnEntry(config, key(1), {4: 7001}, clock)
    assert not own.is_ahead()
    clock.at = NOW
    assert own.is_ahead()
    assert own.update(config)
    assert not own.is_ahead()
    assert seq_of(own.entry) == SECONDS


def test_the_fleets_signature_is_bounded_and_comes_back_like_a_nodes(tmp_path: Path) -> None:
    poisoned = peers_signed_as(HIGHEST)
    with pytest.raises(TrustError, match=f"number {HIGHEST} stands for a day after the year 9999"):
        verify_peers(DATA, poisoned, signers=[FLEET.public()], cluster=CLUSTER, min_seq=0, now=NOW)
    assert parse_sig(renew_signature(DATA, poisoned, FLEET, cluster=CLUSTER, now=NOW))[1] == SECONDS
    assert parse_sig(sign_peers(DATA, FLEET, cluster=CLUSTER, previous_seq=HIGHEST, now=POWER_CUT))[1] == 300
    peers = tmp_path / "discovery-peers.json"
    peers.write_bytes(DATA)
    peers.with_name("discovery-peers.json.sig").write_bytes(poisoned)
    arguments: dict[str, Any] = {"cluster": CLUSTER, "now": NOW, "sha256": None, "check": False}
    with pytest.raises(TrustError, match=str(HIGHEST)):
        keep_signature(peers, key=None, signers=[FLEET.public().base64], **arguments)
    assert keep_signature(peers, key=FLEET, signers=[], **arguments).seq == SECONDS


def run(**changes: Any) -> dict[str, Any]:
    """What a run of the playbook gives with what it gathered."""
    return {**RUN, **changes}


def test_a_recorded_number_far_ahead_gives_way_to_a_good_one_and_is_said_until_then(tmp_path: Path) -> None:
    record = tmp_path / "registry"
    write_record(record, {}, {"one": signed_as(HIGHEST), "two": attested(2)})
    (line,) = update_record(record, {"two": attested(2).to_json()}, **run()).refused
    assert line.startswith("one.json in the record: ")
    assert "gather the host anew" in line
    update = update_record(record, {"one": attested(1).to_json()}, **run())
    assert not update.refused
    assert update.merged.record["one"].attestation == attested(1).attestation


def test_a_number_within_bounds_never_falls() -> None:
    record = {"one": signed_as(SECONDS + DAY)}
    assert merge_record(record, {"one": attested(1)}, now=NOW, max_removals=0).refused


def test_the_highest_number_seen_of_a_peer_cannot_be_poisoned() -> None:
    table = PeerTable(hold=1.0)
    check = AttestationCheck(cluster=CLUSTER, wall=lambda: NOW)
    additions = Additions(
        table, check, own=None, alone_since=lambda _: None, is_proven=lambda _: True, host_of=lambda _: None
    )
    assert additions.why_not(as_peer(signed_as(HIGHEST)), "hello")
    good = as_peer(attested(1))
    assert additions.why_not(good, "hello") is None
    additions.add(good, "hello")
    assert table.newest_seq(good.endpoint_id) == SECONDS


def test_what_came_under_the_highest_number_while_the_clock_was_not_set_gives_way_once_it_is() -> None:
    wall = [POWER_CUT]
    check = AttestationCheck(cluster=CLUSTER, wall=lambda: wall[0])
    table = PeerTable(hold=1.0)
    poisoned = as_peer(signed_as(HIGHEST))
    assert check.problem(poisoned) is None
    table.put(Origin("hello", "hello", 0), Sighting(poisoned, "hello"))
    wall[0] = NOW
    assert check.problem(poisoned) is not None
    assert [change.kind for change in table.refuse_ahead(NOW)] == ["removed"]
    assert table.newest_seq(poisoned.endpoint_id) == 0


def test_the_command_line_refuses_such_numbers_with_file_and_mend_and_signs_anew(tmp_path: Path) -> None:
    registry = tmp_path / "node-registry.json"
    write_registry(registry, signed_as(HIGHEST))
    secret = tmp_path / "iroh-secret-key"
    secret.write_text(key(1).to_bytes().hex() + "\n")
    secret.chmod(0o600)
    line = refused(blixard("registry", "verify", registry), 1)
    assert str(registry) in line
    assert "sign it anew" in line
    record = tmp_path / "registry"
    write_record(record, {}, {"one": signed_as(HIGHEST)})
    line = refused(blixard("peers", "build", "--record", record, "--out", tmp_path / "out.json"), 1)
    assert "one.json" in line
    assert blixard("registry", "sign", registry).code == 0
    assert blixard("registry", "verify", registry).code == 0

    peers, fleet = tmp_path / "peers.json", tmp_path / "fleet-key"
    peers.write_bytes(DATA)
    (tmp_path / "peers.json.sig").write_bytes(peers_signed_as(HIGHEST))
    fleet.write_text(FLEET.to_bytes().hex() + "\n")
    fleet.chmod(0o600)
    verify = ("peers", "verify", peers, "--signer", FLEET.public().base64)
    assert str(HIGHEST) in refused(blixard(*verify), 1)
    assert blixard("peers", "sign", peers, "--key", fleet).code == 0
    assert blixard(*verify).code == 0


@pytest.mark.parametrize("expires_at", ["2026-01-15T09:30:00Z", "2026-01-15T09:29:59Z", "1970-01-01T00:00:00Z"])
def test_an_attestation_that_ends_before_it_begins_is_neither_made_nor_taken(expires_at: str) -> None:
    for now in (None, NOW - timedelta(hours=1), NOW, POWER_CUT):
        with pytest.raises(TrustError, match=r"ends at|expired"):
            verify_attestation(signed_as(5, expires_at=expires_at), now=now)
    end = datetime.strptime(expires_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    with pytest.raises(InputError, match="choose a later end") as caught:
        attest(entry(1), key(1), cluster=CLUSTER, now=NOW, expires_at=end)
    assert caught.value.place == "/expires_at"


def test_a_time_of_signing_in_the_future_is_refused_whatever_the_number() -> None:
    with pytest.raises(TrustError, match="signed at 2099-01-01T00:00:00Z, more than a day ahead"):
        verify_attestation(signed_as(5, issued_at="2099-01-01T00:00:00Z"), now=NOW)


def test_a_host_cannot_have_every_check_fail_with_an_entry_that_ends_at_once(tmp_path: Path) -> None:
    brief = attest(entry(1), key(1), cluster=CLUSTER, now=NOW, expires_at=NOW + timedelta(seconds=1))
    (line,) = update_record(tmp_path / "registry", {"one": brief.to_json()}, **run()).refused
    assert line.startswith("one: ")
    assert "ends too soon" in line


def test_signing_anew_again_and_again_until_9999_costs_no_memory() -> None:
    table = PeerTable(hold=1.0)
    hello = Origin("hello", "hello", 0)
    for number in range(2000):
        one = attest(
            entry(1),
            key(1),
            cluster=CLUSTER,
            now=NOW + timedelta(seconds=number),
            expires_at=datetime(9999, 1, 1, tzinfo=timezone.utc),
        )
        table.put(hello, Sighting(as_peer(one), "hello"))
    assert len(table._expiries) < 200
    assert len(table) == 1
    assert [c.kind for c in table.expire(datetime(9999, 1, 2, tzinfo=timezone.utc))] == ["removed"]
