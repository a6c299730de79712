# SPDX-License-Identifier: MIT
"""The next number of the fleet key follows what nodes have seen, as far as they can be believed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.documents.samples import CLUSTER, NOW, attested, key

from blixard.documents.peers_file import build_peers, format_peers
from blixard.documents.registry_file import write_registry
from blixard.errors import TrustError
from blixard.fleet.signature import Signature, agreed, held_against, keep_signature, refuse_lower
from blixard.model.numbers import AHEAD

FLEET, OTHER = key(100), key(101)
NOW_SEQ = int(NOW.timestamp())
LATER = NOW_SEQ + 20 * 3600
"""What a clock that was twenty hours ahead wrote."""
TOO_FAR = int((NOW + AHEAD).timestamp()) + 1
FAR = int(NOW.replace(year=2099).timestamp())


@pytest.fixture
def peers(tmp_path: Path) -> Path:
    path = tmp_path / "discovery-peers.json"
    path.write_bytes(format_peers(build_peers([attested(1)])))
    return path


def _sign(path: Path, seen: dict[str, int], **changes: Any) -> Signature:
    told = {host: [{"signer": FLEET.public().base64, "seq": number}] for host, number in seen.items()}
    arguments: dict[str, Any] = {
        "key": FLEET,
        "cluster": CLUSTER,
        "signers": [FLEET.public().hex],
        "now": NOW,
        "sha256": None,
        "check": False,
        "seen": told,
    }
    return keep_signature(path, **{**arguments, **changes})


def _sig(path: Path) -> Path:
    return path.with_name("discovery-peers.json.sig")


def test_what_a_host_holds_a_file_against_is_the_highest_number_of_a_key_that_counts() -> None:
    fleet, other = FLEET.public().base64, OTHER.public().base64
    told: dict[str, list[dict[str, Any]]] = {
        "one": [{"signer": fleet, "seq": 5}, {"signer": other, "seq": 9}],
        "old": [{"signer": None, "seq": 4}],
        "new": [{"signer": other, "seq": 7}],
    }

    assert held_against(told, [FLEET.public()]) == {"one": 5, "old": 4}
    assert held_against(told, [FLEET.public(), OTHER.public()]) == {"one": 9, "old": 4, "new": 7}


@pytest.mark.parametrize(
    ("numbers", "number"),
    [
        ([], 0),
        ([9], 0),
        ([9, 9], 9),
        ([9, 8], 8),
        ([9, 1, 1], 1),
        ([9, 9, 1], 9),
        ([9, 9, 1, 1], 1),
        ([TOO_FAR] * 2, 0),
    ],
)
def test_two_hosts_and_more_than_half_of_them_agree_on_a_number(numbers: list[int], number: int) -> None:
    assert agreed({str(index): each for index, each in enumerate(numbers)}, NOW) == number


def test_a_lost_signature_of_a_clock_that_was_ahead_is_made_anew_above_its_number(peers: Path) -> None:
    seen = {"one": LATER, "two": LATER, "new": 0}

    assert _sign(peers, seen).seq == LATER + 1
    assert not _sign(peers, seen).changed
    assert not _sign(peers, {"one": LATER + 1, "two": LATER + 1}).changed


def test_a_signature_that_was_made_anew_too_low_is_raised(peers: Path) -> None:
    assert _sign(peers, {}).seq == NOW_SEQ
    assert _sign(peers, {"one": LATER, "two": LATER}).seq == LATER + 1


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("seen", [{"one": LATER}, {"one": LATER, "two": NOW_SEQ, "three": NOW_SEQ}])
def test_the_word_of_one_host_moves_nothing_and_the_line_says_how_to_believe_it(
    peers: Path, seen: dict[str, int], check: bool
) -> None:
    with pytest.raises(TrustError) as refused:
        _sign(peers, seen, check=check, sha256="0" * 64 if check else None)

    assert not _sig(peers).exists()
    assert str(refused.value) == (
        f"{peers}: the number is {NOW_SEQ}, and one saw {LATER} of the fleet key, so no lower one counts; too few hosts"
        f" say so to go by it: if it is true, run this with -e blixard_signature_seq={LATER + 1}, or leave those out"
    )
    assert _sign(peers, seen, at_least=LATER + 1).seq == LATER + 1
    assert not _sign(peers, seen, at_least=LATER + 1).changed


def test_nobody_drives_the_number_far_ahead_of_the_clock(peers: Path) -> None:
    """Not many hosts together, and not the operator: no node would take such a number."""
    with pytest.raises(TrustError, match=r"that is 2099-.*set the clocks of this machine and of those"):
        _sign(peers, {"one": FAR, "two": FAR, "three": FAR})
    with pytest.raises(TrustError, match="no node takes it; set the clock, or sign with a lower number"):
        _sign(peers, {}, at_least=TOO_FAR)
    assert not _sig(peers).exists()


def test_a_signature_that_is_older_than_what_nodes_have_is_not_made_anew_by_itself(peers: Path) -> None:
    """It is a copy of an earlier state that would come back as the latest."""
    _sign(peers, {}, now=NOW - timedelta(days=9))
    before = _sig(peers).read_bytes()

    for with_key in (FLEET, None):
        with pytest.raises(TrustError, match=rf"what is here is older: .*-e blixard_signature_seq={NOW_SEQ - 9}$"):
            _sign(peers, {"one": NOW_SEQ - 10, "two": NOW_SEQ - 10}, key=with_key)
    assert _sig(peers).read_bytes() == before


def test_where_the_signature_was_lost_the_manifest_still_has_the_number(peers: Path, tmp_path: Path) -> None:
    record = tmp_path / "registry"
    record.mkdir()
    write_registry(record / "one.json", attested(1))
    first = _sign(peers, {}, now=NOW + timedelta(hours=20), record=record)
    _sig(peers).unlink()

    assert _sign(peers, {"one": LATER}, record=record).seq == (first.seq or 0) + 1


def test_only_those_who_would_refuse_are_named_and_not_more_than_a_line_bears() -> None:
    held = {f"node{number}": LATER for number in range(1, 9)}

    assert refuse_lower(held, LATER, NOW, kept=False) is None
    assert "node1, node2, node3, node4, node5 and 3 more saw" in str(refuse_lower(held, LATER - 1, NOW, kept=False))
