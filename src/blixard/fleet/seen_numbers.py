# SPDX-License-Identifier: MIT
"""The numbers that nodes have seen of the fleet key, and what they mean for the next one.

A node takes no peers file under a lower number than one that it has seen. Where a signature was made while a clock was
wrong, and lost, the next one must have a higher number. A host may have been taken over: the word of one host alone
moves no number, and what is far ahead of the clock moves none whoever says it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blixard.model.numbers import date_of, is_ahead

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from blixard.model.ids import EndpointId

OPTION = "blixard_signature_seq"
_SHOWN = 5

FEWEST = 2
"""Hosts whose word moves the number, and more than half of those that say anything."""


def held_against(seen: Mapping[str, Sequence[Mapping[str, Any]]], signers: Collection[EndpointId]) -> dict[str, int]:
    """Return the number below which each host takes no peers file that one of `signers` signs.

    Args:
        seen: for each host what iroh_node_info returned as `seen`.
        signers: ids of the fleet keys that the nodes trust.
    """
    ids = {None, *(each.base64 for each in signers)}
    numbers = {host: [each["seq"] for each in told if each["signer"] in ids] for host, told in seen.items()}
    return {host: max(each) for host, each in numbers.items() if each}


def agreed(held: Mapping[str, int], now: datetime) -> int:
    """Return the highest number that enough hosts hold a peers file against; 0 where too few say so.

    Args:
        held: number by host.
        now: the present, with a time zone: what is far ahead of it counts for nothing.
    """
    numbers = sorted((number for number in held.values() if not is_ahead(number, now)), reverse=True)
    needed = max(FEWEST, len(held) // 2 + 1)
    return numbers[needed - 1] if len(numbers) >= needed else 0


def refuse_lower(held: Mapping[str, int], seq: int, now: datetime, *, kept: bool) -> str | None:
    """Return why hosts would take no peers file under the number `seq`, and what to do; None when all of them do.

    Args:
        held: number by host.
        seq: the number of the signature.
        now: the present, with a time zone.
        kept: the signature is there already, and holds: who has seen a higher number has seen a newer file.
    """
    higher = {host: number for host, number in held.items() if number > seq}
    if not higher:
        return None
    top, names = max(higher.values()), sorted(higher)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    what = (
        f"the number is {seq}, and {', '.join(names[:_SHOWN])}{more} saw {top} of the fleet key, so no lower one counts"
    )
    if is_ahead(top, now):
        mend = f"that is {date_of(top)}: set the clocks of this machine and of those, and run this again"
    elif kept and top <= now.timestamp():
        mend = (
            "what is here is older: fetch record, peers file and signature from where they changed last, or sign what"
            f" is here with -e {OPTION}={top + 1}"
        )
    else:
        mend = (
            f"too few hosts say so to go by it: if it is true, run this with -e {OPTION}={top + 1}, or leave those out"
        )
    return f"{what}; {mend}"
