# SPDX-License-Identifier: MIT
"""A hello proves nothing about who brings it: what was captured, is old, or has expired lets nobody in or back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from tests.attacks.callers import CLUSTER, callers
from tests.integration.nodes import Node

from blixard.model.entry import NodeRegistryEntry
from blixard.transport.hello import Hello, encode
from blixard.trust.attestation import attest

MakeNode = Callable[[int], Node]

NUMBER = 100


def addresses_of(node: Node) -> list[str]:
    return [address["address"] for address in node.peers()[NUMBER]["addresses"]]


async def test_a_hello_that_was_captured_from_another_caller_lets_nobody_in(node: MakeNode) -> None:
    one = node(1).start()
    async with callers(one, "127.0.0.2", 2) as (honest, thief):
        entry = honest.entry(NUMBER, [honest.address])
        captured = encode(Hello(cluster=CLUSTER, node_id=NUMBER, entry=entry))
        _, welcome = await honest.say_bytes(captured)
        assert welcome.admitted
        stolen, refused = await thief.say_bytes(captured)
        assert not refused.admitted
        assert refused.entry is None
        assert str(refused.reason).startswith(("node_id_taken", "bad_entry"))
        again, _ = await honest.say_bytes(captured)
        assert one.peers()[NUMBER]["iroh_node_id"] == honest.key.public().base64
        for connection in (stolen, again):
            connection.close(0, b"bye")


async def test_a_captured_hello_of_one_who_is_away_lets_nobody_in_either(node: MakeNode) -> None:
    one = node(1).start()
    async with callers(one, "127.0.0.2", 2) as (honest, thief):
        captured = encode(Hello(cluster=CLUSTER, node_id=NUMBER, entry=honest.entry(NUMBER, [honest.address])))
        _, refused = await thief.say_bytes(captured)
        assert (refused.admitted, str(refused.reason).partition(":")[0]) == (False, "bad_entry")
        assert one.peers() == {}


async def test_an_entry_with_a_lower_number_than_one_seen_before_changes_nothing(node: MakeNode) -> None:
    one = node(1).start()
    async with callers(one, "127.0.0.2", 1) as (caller,):
        now = datetime.now(timezone.utc)
        old = caller.entry(NUMBER, ["127.0.0.8:1"], now=now - timedelta(days=1))
        new = caller.entry(NUMBER, [caller.address], now=now)
        for entry in (old, new):
            connection, welcome = await caller.say(entry)
            assert welcome.admitted
        assert addresses_of(one) == [caller.address]
        connection, _ = await caller.say(old)
        assert addresses_of(one) == [caller.address]
        connection.close(0, b"bye")


async def test_an_entry_that_has_expired_lets_nobody_in(node: MakeNode) -> None:
    one = node(1).start()
    async with callers(one, "127.0.0.2", 1) as (caller,):
        now = datetime.now(timezone.utc)
        plain = NodeRegistryEntry(NUMBER, caller.key.public().base64, [caller.address], None, caller.address)
        expired = attest(
            plain, caller.key, cluster=CLUSTER, now=now - timedelta(days=2), expires_at=now - timedelta(days=1)
        )
        _, refused = await caller.say(expired)
        assert (refused.admitted, str(refused.reason).partition(":")[0]) == (False, "bad_entry")
        assert "expired" in str(refused.reason)
        assert one.peers() == {}
