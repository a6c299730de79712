# SPDX-License-Identifier: MIT
"""A node is no weapon: whoever is let in cannot make it send more than a little to somebody else."""

from __future__ import annotations

from collections.abc import Callable

from tests.attacks.amplification import FIRST_GUEST, GUEST_HOST, guests, member
from tests.attacks.callers import callers, victims
from tests.integration.nodes import Node, are_meshed, eventually, give_peers

from blixard.agent.control_client import ask
from blixard.agent.own_entry import key_path
from blixard.trust.keys import read_secret_key

MakeNode = Callable[[int], Node]

LARGEST_FACTOR = 3
ONE_TRY = 2 * 1200


async def test_twenty_guests_with_a_victims_addresses_cannot_make_a_node_send_it_anything(node: MakeNode) -> None:
    one = node(1).start()
    async with guests(one, count=20, addresses=64) as attack:
        await attack.tried_by_the_node(4)
        assert attack.received == 0
        reasons = {
            (address["state"], address["reason"])
            for peer in one.status()["peers"]
            for address in peer["addresses"]
            if peer["node_id"] >= FIRST_GUEST
        }
        assert reasons == {("held_back", "only the peer itself names it")}


async def test_guests_cannot_make_a_node_send_much_to_their_own_host_either(node: MakeNode) -> None:
    one = node(1).start()
    async with guests(one, count=20, addresses=64, host=GUEST_HOST) as attack:
        await attack.tried_by_the_node(4)
        assert attack.received <= 4 * ONE_TRY
        assert attack.received <= LARGEST_FACTOR * attack.sent


async def test_one_guest_alone_gets_no_more_out_of_it_than_it_puts_in_three_times(node: MakeNode) -> None:
    one = node(1).start()
    async with guests(one, count=1, addresses=64, host=GUEST_HOST) as attack:
        await attack.tried_by_the_node(4)
        assert attack.received <= LARGEST_FACTOR * attack.sent


async def test_a_member_that_signs_ever_new_addresses_of_a_victim_has_it_tried_a_few_times_for_ever(
    node: MakeNode,
) -> None:
    one, taken_over = node(1), node(FIRST_GUEST)
    give_peers([one], [one.make_identity(), taken_over.make_identity()])
    one.start("--admission", "known")
    key = read_secret_key(key_path(taken_over.data_dir))
    async with (
        callers(one, GUEST_HOST, 1, key=key) as (attacker,),
        member(one, attacker, rounds=5, addresses=64) as attack,
    ):
        await attack.tried_by_the_node(3)
        assert 0 < attack.received <= 4 * ONE_TRY
        assert attack.received <= LARGEST_FACTOR * attack.sent


async def test_a_check_of_an_operator_sends_nothing_to_what_a_guest_claims(node: MakeNode) -> None:
    one = node(1).start()
    async with guests(one, count=4, addresses=16) as attack:
        report = ask(one.data_dir, "check", {"timeout_s": 2.0}, timeout=30.0)
        assert [edge["reached"] for edge in report["edges"]] == [False] * 4
        assert {edge["error"]["kind"] for edge in report["edges"]} == {"bad_address"}
        assert attack.received == 0


async def test_a_guest_that_names_another_relay_makes_nobody_connect_there(node: MakeNode) -> None:
    one = node(1).start()
    async with callers(one, GUEST_HOST, 1) as (guest,), victims("127.0.0.9", 1) as (victim,):
        entry = guest.entry(FIRST_GUEST, [victim.address], relay_url="https://127.0.0.9:7443/")
        connection, welcome = await guest.say(entry)
        assert welcome.admitted
        assert one.peers()[FIRST_GUEST]["relay_url"] is None
        await guest.leave(connection)


def test_a_member_that_moved_is_found_as_soon_as_it_calls(node: MakeNode) -> None:
    one, two = node(1), node(2)
    give_peers([one, two], [one.make_identity(), two.make_identity()])
    for each in (one, two):
        each.start("--admission", "known")
    eventually(lambda: are_meshed([one, two]))
    two.stop()
    two.port = node(9).port
    two.start("--admission", "known")
    eventually(lambda: are_meshed([one, two]))
    states = {address["address"]: address["state"] for address in one.peers()[2]["addresses"]}
    assert states[f"127.0.0.1:{two.port}"] == "usable"


def test_guests_behind_one_address_are_met_and_dialled_back(node: MakeNode) -> None:
    one, two, three = node(1).start(), node(2), node(3)
    for guest in (two, three):
        guest.start("--join", one.registry)
    eventually(lambda: one.state_of(two) == one.state_of(three) == "connected")
    states = [address["state"] for peer in one.peers().values() for address in peer["addresses"]]
    assert states == ["usable", "usable"]
