# SPDX-License-Identifier: MIT
"""Which addresses of a peer count, and how often one that only the peer itself names is tried."""

from __future__ import annotations

import ipaddress
from random import Random

import pytest
from tests.simulation.network import endpoint

from blixard.dialling.address_proofs import Proofs, Tries, host_of, normal

ALICE, BOB = endpoint(0, 1), endpoint(0, 2)
HOME, NEXT_DOOR, VICTIM = "10.0.0.1:7001", "10.0.0.1:53", "203.0.113.9:7001"


@pytest.fixture
def proofs() -> Proofs:
    return Proofs()


def guest(proofs: Proofs, *addresses: str) -> None:
    """Alice, whom nobody names, says that she is at these addresses."""
    proofs.learn(ALICE, addresses, vouched=(), is_guest=True)


def member(proofs: Proofs, *addresses: str, vouched: tuple[str, ...] = (HOME,), number: int = 1) -> None:
    """A member says that it is at these addresses; the operator named some."""
    proofs.learn(endpoint(0, number), addresses, vouched=vouched, is_guest=False)


def test_what_the_operator_brings_counts(proofs: Proofs) -> None:
    member(proofs, HOME, VICTIM)
    assert proofs.counting(ALICE) == (HOME,)
    assert HOME not in proofs.held_back(ALICE)
    assert proofs.held_back(ALICE)[VICTIM] == "only the peer itself names it"


def test_an_address_counts_when_the_peer_came_from_there_and_not_before(proofs: Proofs) -> None:
    guest(proofs, HOME, VICTIM)
    assert proofs.counting(ALICE) == ()
    proofs.met(ALICE, HOME)
    assert proofs.counting(ALICE) == (HOME,)


def test_what_a_guest_names_elsewhere_is_never_tried(proofs: Proofs) -> None:
    guest(proofs, VICTIM)
    proofs.met(ALICE, HOME)
    assert proofs.take_tries(ALICE) == ()


def test_another_port_of_a_guests_own_host_is_tried_and_not_often(proofs: Proofs) -> None:
    guest(proofs, *(f"10.0.0.1:{port}" for port in range(1, 65)))
    proofs.met(ALICE, "10.0.0.1:50000")
    assert sum(len(proofs.take_tries(ALICE)) for _ in range(1000)) == 2


def test_guests_without_end_have_few_tries_at_one_host_together(proofs: Proofs) -> None:
    taken = 0
    for number in range(1000):
        each = endpoint(0, number)
        proofs.learn(each, [NEXT_DOOR], vouched=(), is_guest=True)
        proofs.met(each, f"10.0.0.1:{number + 1000}")
        taken += len(proofs.take_tries(each))
        proofs.forget(each)
    assert taken == 4


def test_members_have_few_tries_at_one_host_together_whatever_the_port(proofs: Proofs) -> None:
    taken = 0
    for number in range(1, 100):
        for port in (1, 2, 3):
            member(proofs, f"203.0.113.9:{number * 100 + port}", vouched=(), number=number)
            taken += len(proofs.take_tries(endpoint(0, number)))
    assert taken == 4


def test_a_member_that_names_ever_other_hosts_runs_out_of_tries(proofs: Proofs) -> None:
    taken = 0
    for number in range(250):
        member(proofs, HOME, *(f"203.0.{number}.{last}:7001" for last in range(1, 60)))
        taken += len(proofs.take_tries(ALICE))
    assert taken == 8


def test_where_a_try_found_the_peer_it_cost_nothing_and_the_address_counts(proofs: Proofs) -> None:
    for number in range(1, 50):
        member(proofs, f"203.0.113.9:{number}", vouched=())
        assert proofs.take_tries(ALICE) == (f"203.0.113.9:{number}",)
        proofs.found(ALICE, f"203.0.113.9:{number}")
        assert proofs.counting(ALICE) == (f"203.0.113.9:{number}",)


def test_the_address_that_was_tried_least_is_tried_first_and_the_host_where_the_peer_was_met_before_others(
    proofs: Proofs,
) -> None:
    member(proofs, VICTIM, NEXT_DOOR, vouched=())
    proofs.met(ALICE, HOME)
    assert proofs.take_tries(ALICE) == (NEXT_DOOR, VICTIM)
    assert "2 tries" not in proofs.held_back(ALICE)[VICTIM]
    assert "1 try" in proofs.held_back(ALICE)[VICTIM]
    member(proofs, VICTIM, "198.51.100.1:1", vouched=())
    assert proofs.take_tries(ALICE) == ("198.51.100.1:1", VICTIM)


def test_a_guest_is_dialled_at_few_addresses_however_many_it_came_from(proofs: Proofs) -> None:
    ports = [f"10.0.0.1:{port}" for port in range(1, 21)]
    guest(proofs, *ports)
    for address in ports:
        proofs.met(ALICE, address)
    assert len(proofs.counting(ALICE)) == 4


def test_the_eight_addresses_at_which_a_member_was_met_last_count_and_its_host_is_that_of_the_last(
    proofs: Proofs,
) -> None:
    met = [f"198.51.100.{number}:7001" for number in range(1, 10)]
    member(proofs, *met, vouched=())
    assert (proofs.host(ALICE), proofs.host(BOB)) == (None, None)
    for address in met:
        proofs.met(ALICE, address)
    assert proofs.counting(ALICE) == tuple(met[1:])
    assert proofs.host(ALICE) == "198.51.100.9"


def test_all_addresses_of_one_ipv6_network_are_one_host(proofs: Proofs) -> None:
    for number in range(1, 10):
        member(proofs, f"[2001:db8::{number}]:7001", vouched=(), number=number)
    assert sum(len(proofs.take_tries(endpoint(0, number))) for number in range(1, 10)) == 4
    assert host_of(ipaddress.ip_address("::ffff:192.0.2.1")) == "192.0.2.1"


def test_hosts_without_end_cost_no_memory_without_end_and_guests_leave_room_for_members() -> None:
    tries = Tries()
    given = [tries.spend(f"192.0.2.{number}", for_guest=True) for number in range(10_000)]
    assert sum(given) == 2048
    given = [tries.spend(f"198.51.100.{number}", for_guest=False) for number in range(10_000)]
    assert sum(given) == 2048


def test_whatever_is_claimed_and_met_and_forgotten_one_host_is_tried_four_times_at_most() -> None:
    rng = Random(7)
    for _ in range(50):
        proofs, spent = Proofs(), 0
        for _ in range(400):
            each = endpoint(0, rng.randrange(8))
            claimed = [f"203.0.113.{rng.randrange(1, 3)}:{rng.randrange(1, 6)}" for _ in range(rng.randrange(5))]
            act = rng.randrange(4)
            if act == 0:
                proofs.forget(each)
            elif act == 1:
                proofs.learn(each, claimed, vouched=(), is_guest=rng.random() < 0.5)
            elif act == 2:
                proofs.met(each, f"203.0.113.1:{rng.randrange(6, 90)}")
            else:
                spent += sum(address.startswith("203.0.113.1:") for address in proofs.take_tries(each))
        assert spent <= 4


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("192.0.2.1:7001", "192.0.2.1:7001"),
        ("[::ffff:192.0.2.1]:7001", "192.0.2.1:7001"),
        ("[2001:db8::1]:7001", "[2001:db8::1]:7001"),
        ("[fe80::1%3]:7001", None),
        ("https://relay.example", None),
        (None, None),
    ],
)
def test_the_address_of_a_path_is_read_in_its_normal_form(path: str | None, address: str | None) -> None:
    assert normal(path) == address
