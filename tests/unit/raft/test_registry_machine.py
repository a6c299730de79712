# SPDX-License-Identifier: MIT
"""The replicated registry: which commands it takes, and that all voters come to the same."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.raft.cluster import CLUSTER, NOW, attested, put

from blixard.errors import InputError
from blixard.raft.registry_machine import MAX_CLIENTS, RegistryMachine
from blixard.trust.keys import SecretKey

LATER = NOW + timedelta(days=1)


@pytest.fixture
def machine() -> RegistryMachine:
    made = RegistryMachine(CLUSTER)
    for body in opening():
        assert made.apply(body) == {"done": True}
    return made


def opening() -> list[dict[str, Any]]:
    return [
        {"op": "genesis", "id": "g", "voters": [1, 2, 3]},
        {"op": "admit", "voter": 1, "incarnation": "a"},
        {"op": "admit", "voter": 2, "incarnation": "b"},
    ]


def test_nothing_is_stored_before_a_majority_is_admitted() -> None:
    machine = RegistryMachine(CLUSTER)
    for body in opening()[:2]:
        machine.apply(body)
    assert "majority" in machine.apply(put(attested(7)))["refused"]
    assert machine.get(7) is None


def test_the_first_id_of_the_cluster_stays(machine: RegistryMachine) -> None:
    assert machine.apply({"op": "genesis", "id": "other", "voters": [9]}) == {"done": False}
    assert (machine.genesis, set(machine.voters)) == ("g", {1, 2, 3})


def test_an_admitted_incarnation_stays_until_the_voter_is_removed(machine: RegistryMachine) -> None:
    assert machine.apply({"op": "admit", "voter": 1, "incarnation": "x"}) == {"done": False}
    machine.change_members("rem", 1)
    machine.change_members("add", 1)
    assert machine.apply({"op": "admit", "voter": 1, "incarnation": "x"}) == {"done": True}


def test_a_lower_number_is_refused_and_a_higher_one_taken(machine: RegistryMachine) -> None:
    newer, older = attested(7, seq_at=LATER, port=2), attested(7)
    assert machine.apply(put(newer)) == {"done": True}
    assert "number" in machine.apply(put(older, number=2))["refused"]
    item = machine.get(7)
    assert item is not None
    assert item["entry"] == newer.to_json()


def test_an_old_copy_does_not_bring_back_what_was_removed(machine: RegistryMachine) -> None:
    machine.apply(put(attested(7)))
    assert machine.apply({"op": "remove", "client": "c", "number": 2, "node_id": 7}) == {"done": True}
    assert "was removed" in machine.apply(put(attested(7), number=3))["refused"]
    assert machine.apply(put(attested(7, seq_at=LATER, port=2), number=4)) == {"done": True}


def test_a_repeated_command_is_done_once(machine: RegistryMachine) -> None:
    machine.apply(put(attested(7)))
    machine.apply({"op": "remove", "client": "d", "number": 1, "node_id": 7})
    assert machine.apply({"op": "remove", "client": "d", "number": 1, "node_id": 7}) == {"done": True}
    assert machine.apply({"op": "remove", "client": "d", "number": 2, "node_id": 7}) == {"done": False}
    assert "older" in machine.apply({"op": "remove", "client": "d", "number": 1, "node_id": 7})["refused"]


def test_only_so_many_clients_are_remembered(machine: RegistryMachine) -> None:
    for number in range(MAX_CLIENTS + 5):
        machine.apply({"op": "remove", "client": f"c{number}", "number": 1, "node_id": 7})
    assert len(machine.to_json()["clients"]) == MAX_CLIENTS


def test_a_forged_entry_a_foreign_one_and_a_stolen_id_are_refused(machine: RegistryMachine) -> None:
    forged = attested(7).to_json() | {"relay_url": "https://evil.example"}
    body = put(attested(7)) | {"entry": forged}
    assert "signature" in machine.apply(body)["refused"]
    machine.apply(put(attested(7), number=2))
    other_key = attested(7, key=SecretKey.from_bytes(b"z" * 32))
    assert "another Iroh id" in machine.apply(put(other_key, number=3))["refused"]
    same_key = attested(8, key=SecretKey.from_bytes(bytes([7]) * 32))
    assert "node 7's" in machine.apply(put(same_key, number=4))["refused"]


def test_a_name_is_one_nodes_until_it_is_given_up(machine: RegistryMachine) -> None:
    taken = put(attested(8), number=2) | {"name": "host7"}
    assert machine.apply(put(attested(7))) == {"done": True}
    assert "another node has the name host7" in machine.apply(taken)["refused"]
    renamed = put(attested(7, seq_at=LATER, port=2), number=3) | {"name": "renamed"}
    assert machine.apply(renamed) == {"done": True}
    assert machine.apply(taken | {"number": 4}) == {"done": True}
    assert machine.apply({"op": "remove", "client": "c", "number": 5, "node_id": 8}) == {"done": True}
    assert machine.apply(put(attested(9), number=6) | {"name": "host7"}) == {"done": True}


def test_a_state_with_a_node_a_key_or_a_name_twice_is_refused(machine: RegistryMachine) -> None:
    machine.apply(put(attested(7)))
    machine.apply(put(attested(8), number=2))
    good = machine.to_json()
    for entries in ([*good["entries"], good["entries"][0]], [[n, "same", entry] for n, _, entry in good["entries"]]):
        with pytest.raises(InputError, match="twice"):
            RegistryMachine(CLUSTER).restore(good | {"entries": entries})


def test_a_state_restores_to_the_same_state(machine: RegistryMachine) -> None:
    machine.apply(put(attested(7)))
    machine.apply(put(attested(8), number=2))
    machine.apply({"op": "remove", "client": "c", "number": 3, "node_id": 8})
    state = json.loads(json.dumps(machine.to_json()))
    RegistryMachine.check(state)
    other = RegistryMachine(CLUSTER)
    other.restore(state)
    assert other.to_json() == machine.to_json()
    body = put(attested(9), number=4)
    assert other.apply(body) == machine.apply(body)
    assert other.to_json() == machine.to_json()


def test_a_state_of_another_cluster_is_refused_and_changes_nothing(machine: RegistryMachine) -> None:
    before = machine.to_json()
    with pytest.raises(InputError, match="of cluster"):
        machine.restore(RegistryMachine("elsewhere").to_json())
    assert machine.to_json() == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
BODIES = JSON | st.fixed_dictionaries(
    {"op": st.sampled_from(["put", "remove", "admit", "genesis", "barrier", "x"])},
    optional=dict.fromkeys(
        ("client", "number", "name", "entry", "node_id", "voter", "incarnation", "id", "voters"), JSON
    ),
)


@given(bodies=st.lists(BODIES, max_size=6))
def test_no_command_breaks_it_and_all_voters_come_to_the_same(bodies: list[Any]) -> None:
    one, other = RegistryMachine(CLUSTER), RegistryMachine(CLUSTER)
    for body in [*opening(), *bodies]:
        assert one.apply(body) == other.apply(body)
    assert json.dumps(one.to_json()) == json.dumps(other.to_json())
    RegistryMachine.check(one.to_json())
