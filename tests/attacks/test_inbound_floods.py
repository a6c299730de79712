# SPDX-License-Identifier: MIT
"""Nobody is kept out: honest callers are let in while one host with fifty endpoints does what it can against it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from tests.attacks.callers import CLUSTER, victims
from tests.attacks.floods import MISDEEDS, admission_of, first_packets, flood
from tests.integration.nodes import Node, eventually, give_peers

from blixard.agent.own_entry import key_path
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.attestation import attest
from blixard.trust.keys import SecretKey, read_secret_key

MakeNode = Callable[[int], Node]

FLOODER, ELSEWHERE = "127.0.0.2", "127.0.0.3"
PATIENCE = 60.0


def entry_of(key: SecretKey, node_id: int) -> Callable[[str], NodeRegistryEntry]:
    """What an honest caller signs about itself, at the host from which it calls."""

    def entry(host: str) -> NodeRegistryEntry:
        mine = NodeRegistryEntry(node_id, key.public().base64, [f"{host}:7001"], None, f"{host}:7001")
        return attest(mine, key, cluster=CLUSTER, now=datetime.now(timezone.utc))

    return entry


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_a_member_and_a_fresh_guest_are_let_in_during_a_flood(node: MakeNode, misdeed: str) -> None:
    one, two = node(1), node(2)
    give_peers([one], [one.make_identity(), two.make_identity()])
    one.start("--admission", "open")
    member, guest = read_secret_key(key_path(two.data_dir)), SecretKey.generate()
    async with flood(one, FLOODER, MISDEEDS[misdeed]) as state:
        before = state.calls
        for host in (FLOODER, ELSEWHERE):
            await admission_of(one, member, entry_of(member, 2), host=host, within=PATIENCE)
            await admission_of(one, guest, entry_of(guest, 77), host=host, within=PATIENCE)
        assert state.calls > before, "the flood went on meanwhile"


async def test_handshakes_that_never_end_keep_nobody_out_and_send_a_forged_address_little(node: MakeNode) -> None:
    one, two = node(1), node(2)
    give_peers([one], [one.make_identity(), two.make_identity()])
    one.start("--admission", "known")
    member = read_secret_key(key_path(two.data_dir))
    packets = await first_packets(one, FLOODER, 100)
    async with victims(FLOODER, 4 * len(packets)) as forged:
        for number, address in enumerate(forged):
            address.send(packets[number % len(packets)], "127.0.0.1", one.port)
        await admission_of(one, member, entry_of(member, 2), host=FLOODER, within=PATIENCE)
        eventually(lambda: one.status()["refused_callers"].get("no_handshake"))
        assert sum(each.received for each in forged) <= 3 * sum(map(len, packets)) * 4


async def test_who_had_to_go_is_counted_by_kind_and_logged_in_few_lines(node: MakeNode) -> None:
    one = node(1).start()
    async with flood(one, FLOODER, MISDEEDS["silent"], enough=1000):
        refused = eventually(lambda: one.status()["refused_callers"])
    assert refused.keys() & {"displaced", "no_hello"}
    lines = [line for line in one.log.splitlines() if "refused" in line]
    assert 0 < len(lines) < 100
    assert any(FLOODER in line or "endpoint=" in line for line in lines)
