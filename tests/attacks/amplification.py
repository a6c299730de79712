# SPDX-License-Identifier: MIT
"""Making a node send to a victim: peers that sign a victim's addresses as their own, and what the victim gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from tests.attacks.callers import Caller, Victim, callers, victims
from tests.integration.nodes import Node, eventually

GUEST_HOST, VICTIM_HOST = "127.0.0.2", "127.0.0.9"
FIRST_GUEST = 100


@dataclass(frozen=True)
class Attack:
    """Who claims what, while it goes on."""

    node: Node
    attackers: Sequence[Caller]
    victims: Sequence[Victim]

    @property
    def sent(self) -> int:
        """Bytes that the attackers sent, handshakes included."""
        return sum(each.sent for each in self.attackers)

    @property
    def received(self) -> int:
        """Bytes that the victims got."""
        return sum(each.received for each in self.victims)

    @property
    def claimed(self) -> list[str]:
        return [each.address for each in self.victims]

    async def tried_by_the_node(self, attempts: int) -> None:
        """Wait until the node has tried to reach each attacker so often, in vain."""

        def look() -> bool:
            tries = [peer["attempts"] for peer in self.node.status()["peers"] if peer["node_id"] >= FIRST_GUEST]
            return len(tries) == len(self.attackers) and min(tries) >= attempts

        await asyncio.to_thread(eventually, look, within=300.0)


@asynccontextmanager
async def guests(node: Node, *, count: int, addresses: int, host: str = VICTIM_HOST) -> AsyncIterator[Attack]:
    """Guests that say where the victim is instead of where they are, and go."""
    async with victims(host, addresses) as targets, callers(node, GUEST_HOST, count) as made:
        attack = Attack(node, made, targets)
        for number, each in enumerate(made, FIRST_GUEST):
            connection, welcome = await each.say(each.entry(number, attack.claimed))
            assert welcome.admitted
            await each.leave(connection)
        yield attack


@asynccontextmanager
async def member(node: Node, attacker: Caller, *, rounds: int, addresses: int) -> AsyncIterator[Attack]:
    """A member that signs new addresses of the victim again and again, and goes."""
    async with victims(VICTIM_HOST, addresses * rounds) as targets:
        attack = Attack(node, [attacker], targets)
        for number in range(rounds):
            claimed = attack.claimed[number * addresses :][:addresses]
            later = datetime.now(timezone.utc) + timedelta(seconds=number)
            connection, welcome = await attacker.say(attacker.entry(FIRST_GUEST, claimed, now=later))
            assert welcome.admitted
            await attacker.leave(connection)
        yield attack
