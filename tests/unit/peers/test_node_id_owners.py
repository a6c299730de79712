# SPDX-License-Identifier: MIT
"""Of all that claim one node id the one with the best standing holds it."""

from __future__ import annotations

from tests.unit.peers.people import endpoint_id

from blixard.peers.claims import NodeIdOwners

ONE, TWO = endpoint_id(1), endpoint_id(2)
BETTER, WORSE = (False, False, 1, 0, 0, "a"), (False, False, 2, 0, 0, "a")


def test_whoever_gains_or_loses_a_node_id_is_named() -> None:
    owners = NodeIdOwners()
    assert owners.claim(TWO, 7, WORSE) == [TWO]
    assert owners.claim(TWO, 7, WORSE) == []
    assert owners.claim(ONE, 7, BETTER) == [TWO, ONE]
    assert (owners.holder(7), owners.held_by(ONE), owners.held_by(TWO)) == (ONE, 7, None)
    assert owners.withdraw(ONE) == [ONE, TWO]
    assert owners.withdraw(TWO) == [TWO]
    assert owners.withdraw(TWO) == []
    assert (owners.holder(7), owners.held_by(TWO)) == (None, None)


def test_a_claim_to_another_node_id_takes_the_former_one_back() -> None:
    owners = NodeIdOwners()
    owners.claim(ONE, 7, BETTER)
    assert owners.claim(ONE, 8, BETTER) == [ONE, ONE]
    assert (owners.holder(7), owners.holder(8)) == (None, ONE)
