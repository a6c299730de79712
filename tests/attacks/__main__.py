# SPDX-License-Identifier: MIT
"""The floods, with figures: `python -m tests.attacks [amplification] [inbound]`; about three minutes, loopback only."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.attacks.amplification import FIRST_GUEST, GUEST_HOST, VICTIM_HOST, Attack, guests, member
from tests.attacks.callers import callers
from tests.attacks.floods import MISDEEDS, admission_of, flood
from tests.attacks.test_inbound_floods import ELSEWHERE, FLOODER, entry_of
from tests.integration.nodes import Node, give_peers

from blixard.agent.own_entry import key_path
from blixard.dialling.address_proofs import HOST_TRIES
from blixard.trust.keys import SecretKey, read_secret_key

MINUTE = 60.0
TRY_BYTES = 2 * 1200
CALLS = 4


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextlib.asynccontextmanager
async def running(number: int, room: Path, admission: str, *others: Node) -> AsyncIterator[Node]:
    """A node that knows `others` from its peers file."""
    node = Node(number, room)
    give_peers([node], [each.make_identity() for each in (node, *others)])
    await asyncio.to_thread(node.start, "--admission", admission)
    try:
        yield node
    finally:
        node.kill()


async def amplification(room: Path) -> None:
    """Three attacks at the same time, each on a node of its own, for a minute."""
    tell(f"{'amplification':44} {'sent B':>9} {'victim B':>9} {'factor 60 s':>12} {'for ever':>9}")
    taken_over = Node(FIRST_GUEST, room / "member")
    async with (
        running(1, room / "elsewhere", "open") as one,
        running(2, room / "same", "open") as two,
        running(3, room / "member", "known", taken_over) as three,
        callers(three, GUEST_HOST, 1, key=read_secret_key(key_path(taken_over.data_dir))) as (attacker,),
        guests(one, count=20, addresses=64, host=VICTIM_HOST) as elsewhere,
        guests(two, count=20, addresses=64, host=GUEST_HOST) as same,
        member(three, attacker, rounds=5, addresses=64) as signed,
    ):
        await asyncio.sleep(MINUTE)
        for name, attack, most in (
            ("20 guests, a victim elsewhere", elsewhere, 0),
            ("20 guests, a victim at their own address", same, HOST_TRIES),
            ("a member, 5 times 64 addresses of a victim", signed, HOST_TRIES),
        ):
            tell(_factors(name, attack, most))


def _factors(name: str, attack: Attack, most_tries: int) -> str:
    for_ever = max(attack.received, most_tries * TRY_BYTES) / attack.sent
    return f"{name:44} {attack.sent:9} {attack.received:9} {attack.received / attack.sent:12.2f} {for_ever:9.2f}"


async def inbound(room: Path) -> None:
    """Each flood, and honest callers in the midst of it: by turns from the flooder's host and from another one."""
    tell(f"{'fifty endpoints of one host':24} {'honest caller':24} {'p50 s':>7} {'max s':>7}  refused by kind")
    two = Node(2, room)
    async with running(1, room, "open", two) as one:
        known = read_secret_key(key_path(two.data_dir))
        for name in ("no flood", *MISDEEDS):
            before = dict(one.status()["refused_callers"])
            async with flood(one, FLOODER, MISDEEDS[name]) if name in MISDEEDS else contextlib.nullcontext():
                for who, where in (
                    ("member", FLOODER),
                    ("member", ELSEWHERE),
                    ("guest", FLOODER),
                    ("guest", ELSEWHERE),
                ):
                    seconds = [
                        await _call(one, known if who == "member" else None, number, where) for number in range(CALLS)
                    ]
                    refused = one.status()["refused_callers"]
                    kinds = {kind: count - before.get(kind, 0) for kind, count in refused.items()}
                    tell(_times(name, f"{who} at {where}", seconds) + "  " + _list(kinds))


async def _call(node: Node, key: SecretKey | None, number: int, host: str) -> float:
    own, node_id = (key, 2) if key is not None else (SecretKey.generate(), 5000 + number + int(time.monotonic() * 1e6))
    return await admission_of(node, own, entry_of(own, node_id), host=host, within=MINUTE)


def _times(name: str, who: str, seconds: Sequence[float]) -> str:
    return f"{name:24} {who:24} {statistics.median(seconds):7.2f} {max(seconds):7.2f}"


def _list(kinds: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()) if count) or "none"


async def main(names: Sequence[str]) -> None:
    """Run what is named, or all."""
    with tempfile.TemporaryDirectory(prefix="blixard-attacks-") as room:
        for name, work in (("amplification", amplification), ("inbound", inbound)):
            if not names or name in names:
                (Path(room) / name).mkdir()
                for each in ("elsewhere", "same", "member"):
                    (Path(room) / name / each).mkdir()
                await work(Path(room) / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=("amplification", "inbound", []), metavar="amplification|inbound")
    asyncio.run(main(parser.parse_args().names))
