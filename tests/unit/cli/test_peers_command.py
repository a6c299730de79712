# SPDX-License-Identifier: MIT
"""`blixard peers`: build and its drift gate, validate, sign, verify, diff."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tests.unit.cli.run import Ran, blixard, refused
from tests.unit.documents.samples import SEED_PEERS, attested, entry, key

from blixard.documents.peers_file import format_peers, parse_peers, read_peers
from blixard.documents.record import write_record


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record of two attested nodes."""
    folder = tmp_path / "registry"
    write_record(folder, {}, {"alpha": attested(1), "beta": attested(2)})
    return folder


@pytest.fixture
def peers(record: Path, tmp_path: Path) -> Path:
    """The peers file built of it."""
    path = tmp_path / "discovery-peers.json"
    assert build(record, path).code == 0
    return path


@pytest.fixture
def fleet_key(tmp_path: Path) -> Path:
    """A fleet key."""
    path = tmp_path / "fleet.key"
    path.write_text(key(100).to_bytes().hex() + "\n")
    path.chmod(0o600)
    return path


def build(record: Path, out: Path, *flags: str) -> Ran:
    return blixard("peers", "build", "--record", record, "--out", out, *flags)


def sign(peers: Path, fleet_key: Path, *flags: str) -> Ran:
    return blixard("peers", "sign", peers, "--key", fleet_key, *flags)


def verify(peers: Path, number: int = 100, *flags: str) -> Ran:
    return blixard("peers", "verify", peers, "--signer", key(number).public().hex, *flags)


def test_a_peers_file_is_built_and_the_second_time_left_alone(record: Path, tmp_path: Path) -> None:
    out = tmp_path / "peers.json"
    first = build(record, out)
    assert first.code == 0
    assert "+ alpha (node 1)" in first.out
    assert "+2 −0 ~0 peers" in first.out
    assert [peer.node_id for peer in read_peers(out)] == [1, 2]
    stamp = out.stat().st_mtime_ns
    assert build(record, out).out == f"{out}: up to date, 2 peers\n"
    assert out.stat().st_mtime_ns == stamp


def test_drift_is_told_by_name_and_not_mended_under_check(record: Path, peers: Path) -> None:
    assert build(record, peers, "--check").code == 0
    write_record(record, {}, {"gamma": attested(3)})
    before = peers.read_bytes()
    ran = build(record, peers, "--check")
    assert ran.code == 1
    assert "+ gamma (node 3)" in ran.out
    assert "+1 −0 ~0 peers" in ran.out
    assert peers.read_bytes() == before


def test_drift_is_told_also_when_the_file_is_missing_broken_or_in_another_form(record: Path, peers: Path) -> None:
    peers.write_text(json.dumps(json.loads(peers.read_text())))
    ran = build(record, peers, "--check")
    assert (ran.code, "the same peers in another form" in ran.out) == (1, True)
    peers.write_text("{")
    ran = build(record, peers, "--check")
    assert (ran.code, "cannot be read" in ran.out) == (1, True)
    peers.unlink()
    assert build(record, peers, "--check").code == 1
    assert not peers.exists()


def test_the_form_for_upstream_is_written_on_request(record: Path, peers: Path) -> None:
    assert build(record, peers, "--upstream-compat").code == 0
    assert json.loads(peers.read_text())[0]["discovered_at"] == {
        "secs_since_epoch": 1768469400,
        "nanos_since_epoch": 0,
    }
    assert build(record, peers, "--check").code == 1
    assert build(record, peers, "--check", "--upstream-compat").code == 0


def test_nothing_is_built_of_an_entry_whose_attestation_does_not_hold(record: Path, peers: Path) -> None:
    before = peers.read_bytes()
    forged = dataclasses.replace(attested(1), direct_addresses=("10.9.9.9:7001",))
    write_record(record, {}, {"alpha": forged})
    assert "alpha.json: node 1" in refused(build(record, peers), 1)
    write_record(record, {}, {"alpha": attested(1)})
    assert 'not "east"' in refused(build(record, peers, "--cluster", "east"), 1)
    assert peers.read_bytes() == before


def test_nothing_is_built_of_a_record_that_is_empty_missing_or_bad(record: Path, peers: Path, tmp_path: Path) -> None:
    before = peers.read_bytes()
    (tmp_path / "empty").mkdir()
    assert "has no registry files" in refused(build(tmp_path / "empty", peers), 2)
    assert "does not exist" in refused(build(tmp_path / "none", peers), 2)
    write_record(record, {}, {"clone": entry(9, iroh_node_id=key(1).public().hex)})
    assert "is also that of node 1" in refused(build(record, peers), 2)
    (record / "clone.json").write_text("{")
    assert "clone.json: is not JSON" in refused(build(record, peers), 2)
    assert peers.read_bytes() == before


def test_a_good_file_is_called_good_and_a_bad_one_refused(peers: Path) -> None:
    assert blixard("peers", "validate", peers).out == f"{peers}: good, 2 peers, 2 attested\n"
    peers.write_text(SEED_PEERS)
    assert refused(blixard("peers", "validate", peers), 2).startswith(f"blixard: {peers}: /0/iroh_node_id: ")


def test_a_file_is_signed_once_and_then_verifies(peers: Path, fleet_key: Path) -> None:
    assert "is not signed" in refused(verify(peers), 1)
    assert sign(peers, fleet_key).code == 0
    sig = peers.with_name(peers.name + ".sig").read_bytes()
    ran = verify(peers)
    assert (ran.code, "good, signed by" in ran.out) == (0, True)
    assert "nothing to do" in sign(peers, fleet_key).out
    assert peers.with_name(peers.name + ".sig").read_bytes() == sig


def test_of_many_changes_the_first_are_shown_and_all_when_asked_for(record: Path, tmp_path: Path) -> None:
    write_record(record, {}, {f"more{number}": attested(number) for number in range(10, 40)})

    brief = build(record, tmp_path / "brief.json").out.splitlines()
    verbose = build(record, tmp_path / "verbose.json", "--verbose").out.splitlines()

    assert brief[:20] == verbose[:20]
    assert brief[20:22] == ["… and 12 more, all with --verbose", "+32 −0 ~0 peers"]
    assert verbose[32] == "+32 −0 ~0 peers"


def test_a_changed_file_is_signed_under_a_higher_number(record: Path, peers: Path, fleet_key: Path) -> None:
    sign(peers, fleet_key)
    sig = peers.with_name(peers.name + ".sig")
    first = json.loads(sig.read_text())["seq"]
    write_record(record, {}, {"gamma": attested(3)})
    build(record, peers)
    assert "does not fit the file" in refused(verify(peers), 1)
    assert sign(peers, fleet_key).code == 0
    second = json.loads(sig.read_text())["seq"]
    assert second > first
    assert verify(peers).code == 0
    assert "older than what was seen" in refused(verify(peers, 100, "--min-seq", str(second + 1)), 1)


def test_a_file_is_signed_under_the_number_that_is_asked_for_once_and_under_none_that_no_node_takes(
    peers: Path, fleet_key: Path
) -> None:
    sign(peers, fleet_key)
    sig = peers.with_name(peers.name + ".sig")
    wanted = json.loads(sig.read_text())["seq"] + 3600

    assert f"number {wanted}" in sign(peers, fleet_key, "--seq", str(wanted)).out
    assert json.loads(sig.read_text())["seq"] == wanted
    assert verify(peers).code == 0
    assert "nothing to do" in sign(peers, fleet_key, "--seq", str(wanted)).out
    assert "no node takes it" in refused(sign(peers, fleet_key, "--seq", str(wanted + 10**6)), 1)
    assert json.loads(sig.read_text())["seq"] == wanted


def test_a_signature_by_another_key_or_for_another_cluster_is_refused(peers: Path, fleet_key: Path) -> None:
    sign(peers, fleet_key, "--cluster", "east")
    assert "not one of the trusted signers" in refused(verify(peers, 101), 1)
    assert 'not "west"' in refused(verify(peers, 100, "--cluster", "west"), 1)
    commas = f"{key(101).public().base64},{key(100).public().hex}"
    assert blixard("peers", "verify", peers, "--signer", commas).code == 0
    both = blixard("peers", "verify", peers, "--signer", key(101).public().base64, "--signer", key(100).public().hex)
    assert both.code == 0
    assert "--signer: " in refused(blixard("peers", "verify", peers, "--signer", "x"), 2)


def test_a_broken_signature_file_is_refused_with_its_place(peers: Path, fleet_key: Path) -> None:
    sig = peers.with_name(peers.name + ".sig")
    sig.write_text("{}")
    assert f"{sig}: /domain: is missing" in refused(verify(peers), 2)
    assert f"{sig}: /domain: is missing" in refused(sign(peers, fleet_key), 2)


def test_what_is_no_peers_file_is_not_signed(tmp_path: Path, fleet_key: Path) -> None:
    path = tmp_path / "peers.json"
    path.write_text("[1]")
    assert "/0: must be an object" in refused(sign(path, fleet_key), 2)
    assert not path.with_name("peers.json.sig").exists()


def test_a_diff_ends_with_one_when_anything_differs(record: Path, peers: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(format_peers(parse_peers(peers.read_bytes())[1:]))
    ran = blixard("peers", "diff", peers, other, "--record", record)
    assert (ran.code, ran.out) == (1, f"− alpha (node 1) {key(1).public().short}\n+0 −1 ~0 peers\n")
    assert blixard("peers", "diff", peers, peers).code == 0
    assert "does not exist" in refused(blixard("peers", "diff", peers, tmp_path / "none"), 2)


def test_a_wrong_command_line_ends_with_two() -> None:
    assert blixard("peers").code == 2
    assert blixard("peers", "sign", "x").code == 2


def test_the_record_by_the_option_s_old_name_is_taken_and_the_new_name_said(record: Path, tmp_path: Path) -> None:
    ran = blixard("peers", "build", "--registry-dir", record, "--out", tmp_path / "peers.json")

    assert (ran.code, ran.err) == (0, "blixard: --registry-dir is called --record now\n")
    assert build(record, tmp_path / "peers.json", "--check").err == ""
