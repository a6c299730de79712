# SPDX-License-Identifier: MIT
"""The signature beside the peers file: kept while it holds, made anew when it does not, never by a stranger."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.documents.samples import CLUSTER, NOW, attested, key

from blixard.documents.json_bytes import sha256_hex
from blixard.documents.peers_file import build_peers, format_peers
from blixard.errors import InputError, TrustError
from blixard.fleet.signature import Signature, fleet_key, keep_signature, refused_key
from blixard.trust.keys import create_secret_key
from blixard.trust.peers_signature import verify_peers

FLEET, NEXT = key(100), key(101)
ONE = format_peers(build_peers([attested(1)]))
TWO = format_peers(build_peers([attested(1), attested(2)]))
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def peers(tmp_path: Path) -> Path:
    path = tmp_path / "discovery-peers.json"
    path.write_bytes(ONE)
    return path


def _keep(path: Path, **changes: Any) -> Signature:
    arguments: dict[str, Any] = {
        "key": FLEET,
        "cluster": CLUSTER,
        "signers": [FLEET.public().hex],
        "now": NOW,
        "sha256": None,
        "check": False,
    }
    return keep_signature(path, **{**arguments, **changes})


def _sig(path: Path) -> bytes:
    return path.with_name("discovery-peers.json.sig").read_bytes()


def test_the_peers_file_is_signed_once_and_again_when_it_changes(peers: Path) -> None:
    first = _keep(peers)
    assert (first.changed, first.signer) == (True, FLEET.public().base64)
    assert first.sha256 == sha256_hex(_sig(peers))

    assert _keep(peers, now=LATER) == Signature(False, first.signer, first.seq, first.sha256)

    peers.write_bytes(TWO)
    second = _keep(peers, now=LATER)
    assert second.changed
    assert second.seq == int(LATER.timestamp())
    assert verify_peers(TWO, _sig(peers), signers=[FLEET.public()], cluster=CLUSTER, min_seq=second.seq)


def test_the_number_grows_also_when_the_clock_went_back(peers: Path) -> None:
    first = _keep(peers, now=LATER)
    peers.write_bytes(TWO)

    assert _keep(peers, now=NOW).seq == (first.seq or 0) + 1


def test_a_fleet_without_key_and_signers_signs_nothing(peers: Path) -> None:
    assert _keep(peers, key=None, signers=[]) == Signature()
    assert not peers.with_name("discovery-peers.json.sig").exists()


def test_a_fleet_can_sign_before_its_nodes_trust_the_key(peers: Path) -> None:
    assert _keep(peers, signers=[]).changed


def test_during_a_change_of_key_both_are_trusted_and_the_new_one_signs_anew(peers: Path) -> None:
    both = [FLEET.public().base64, NEXT.public().base64]
    first = _keep(peers, signers=both)
    second = _keep(peers, signers=both, key=NEXT)
    assert (second.changed, second.signer) == (True, NEXT.public().base64)
    assert (second.seq or 0) > (first.seq or 0)
    assert not _keep(peers, key=None, signers=[NEXT.public().hex]).changed


def test_a_key_that_the_nodes_do_not_trust_signs_nothing(peers: Path) -> None:
    with pytest.raises(InputError, match="is not one of blixard_trusted_signers; add it there"):
        _keep(peers, key=NEXT)
    assert not peers.with_name("discovery-peers.json.sig").exists()


def test_without_the_key_what_is_there_must_be_good(peers: Path) -> None:
    with pytest.raises(TrustError, match=r"is not signed, .* set blixard_fleet_key"):
        _keep(peers, key=None)
    signed = _keep(peers)

    assert _keep(peers, key=None) == Signature(False, signed.signer, signed.seq, signed.sha256)

    with pytest.raises(TrustError, match="is not one of the trusted signers"):
        _keep(peers, key=None, signers=[NEXT.public().hex])
    with pytest.raises(TrustError, match="for cluster"):
        _keep(peers, key=None, cluster="other")
    peers.write_bytes(TWO)
    with pytest.raises(TrustError, match=r"does not fit the file; set blixard_fleet_key"):
        _keep(peers, key=None)


def test_check_mode_says_that_a_file_which_is_to_change_would_be_signed_and_writes_nothing(peers: Path) -> None:
    assert _keep(peers, check=True).changed
    assert not peers.with_name("discovery-peers.json.sig").exists()
    _keep(peers)
    before = _sig(peers)

    assert _keep(peers, check=True, sha256=sha256_hex(TWO)).changed
    with pytest.raises(TrustError, match="is to change, and the run that writes it must sign it"):
        _keep(peers, check=True, sha256=sha256_hex(TWO), key=None)
    assert not _keep(peers, check=True, sha256=sha256_hex(ONE)).changed
    peers.unlink()
    assert _keep(peers, check=True, sha256=sha256_hex(TWO)).changed
    assert _sig(peers) == before


def test_what_is_no_signature_is_named_and_left_as_it_is(peers: Path) -> None:
    sig = peers.with_name("discovery-peers.json.sig")
    sig.write_text("{}\n")

    with pytest.raises(InputError, match=r"discovery-peers\.json\.sig: /domain: is missing"):
        _keep(peers)
    assert sig.read_text() == "{}\n"


def test_the_fleet_key_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    made = create_secret_key(tmp_path / "fleet-key")
    digits = (tmp_path / "fleet-key").read_text()

    for given in (fleet_key(digits, ""), fleet_key("", str(tmp_path / "fleet-key"))):
        assert given is not None
        assert given.public() == made.public()
    assert fleet_key("", "") is None


def test_a_key_file_is_the_same_from_whatever_folder_a_run_is_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create_secret_key(tmp_path / "fleet-key")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(InputError, match="blixard_fleet_key_file: is a relative path; give the whole path"):
        fleet_key("", "fleet-key")
    with pytest.raises(InputError) as caught:
        fleet_key("", made.to_bytes().hex())
    assert made.to_bytes().hex() not in str(caught.value), "the key itself in the wrong variable"
    at_home = fleet_key("", "~/fleet-key")
    assert at_home is not None
    assert at_home.public() == made.public()


def test_why_a_key_cannot_sign_is_known_without_a_file_to_sign(tmp_path: Path) -> None:
    own = create_secret_key(tmp_path / "fleet-key").public().hex

    assert refused_key([own], "", str(tmp_path / "fleet-key")) is None
    assert refused_key([], "", str(tmp_path / "fleet-key")) is None
    assert refused_key([own], "", "") is None
    assert "is not one of blixard_trusted_signers" in str(refused_key([NEXT.public().hex], "", f"{tmp_path}/fleet-key"))
    assert str(tmp_path / "missing") in str(refused_key([own], "", str(tmp_path / "missing")))
    assert "blixard_trusted_signers: " in str(refused_key(["nobody"], "", ""))


def test_a_key_that_cannot_be_used_is_not_shown(tmp_path: Path) -> None:
    secret = "5eed" * 15
    with pytest.raises(InputError, match="blixard_fleet_key: is not a secret key") as caught:
        fleet_key(secret, "")
    assert secret not in str(caught.value)
    with pytest.raises(InputError, match="given twice"):
        fleet_key(secret, "file")

    path = tmp_path / "fleet-key"
    path.write_text(secret * 4)
    path.chmod(0o644)
    with pytest.raises(InputError, match="fleet-key") as caught:
        fleet_key("", str(path))
    assert secret not in str(caught.value)
