# SPDX-License-Identifier: MIT
"""How many of the nodes that vote may be away at once, and what to do when it would be more."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from blixard.errors import InputError
from blixard.model.words import quoted

_SIZE = re.compile(r"([0-9]{1,9})(%?)")


def spare(voters: Collection[str]) -> int:
    """Return how many of `voters` may be away while the rest still has a majority."""
    return (len(set(voters)) - 1) // 2 if voters else 0


@dataclass(frozen=True)
class Voters:
    """Who votes.

    Attributes:
        ids: node ids by host name.
        declared: somebody said so. Otherwise every member is taken for a voter, and where nobody may be away any more
            a change is not refused: it goes through one node at a time.
    """

    ids: Mapping[str, int]
    declared: bool

    def at_once(self, down: Collection[str]) -> int:
        """Return how many may be taken down together while `down` are away.

        Of one or two voters none can be spared; they go one after the other, since there is no other way.
        """
        left = spare(self.ids) - len(down)
        return max(left, 0 if self.declared and len(self.ids) > 2 else 1)

    def risk(self, *, down: Collection[str], taking: Collection[str], mend: str) -> str | None:
        """Return why `taking` may not be taken down now, as one line; None when they may.

        Taking down nobody who votes is always safe, also where the quorum is lost: starting nodes is what brings it
        back.

        Args:
            down: names of hosts that are away now.
            taking: names of hosts that would be taken down together.
            mend: what to change.
        """
        going, away = self._apart(down, taking)
        if len(going) <= (self.at_once(away) if going else 0):
            return None
        already = f" while {', '.join(away)} {'is' if len(away) == 1 else 'are'} down already" if away else ""
        return (
            f"{', '.join(going)} would be down at once{already}: {len(going) + len(away)} of {len(self.ids)} voters,"
            f" and their quorum bears {spare(self.ids)}; {mend}"
        )

    def warning(self, *, down: Collection[str], taking: Collection[str]) -> str | None:
        """Return what is to be said where `taking` may go, and their quorum does not bear it all the same."""
        going, away = self._apart(down, taking)
        if not going or len(away) < spare(self.ids):
            return None
        already = f", and {', '.join(away)} {'is' if len(away) == 1 else 'are'} down" if away else ""
        return (
            f"the quorum of {len(self.ids)} voters bears {spare(self.ids)} of them being away{already}:"
            f" {', '.join(going)} will be down all the same, one node at a time, and so long nothing can be voted on"
        )

    def _apart(self, down: Collection[str], taking: Collection[str]) -> tuple[list[str], list[str]]:
        """Return those who would go, and those who are away already and vote."""
        return (
            [name for name in self.ids if name in taking and name not in down],
            [name for name in self.ids if name in down],
        )

    def leaving_risk(self, *, down: Collection[str], leaving: Collection[str], mend: str) -> str | None:
        """Return why `leaving` may not leave for good now; None when they may.

        While they leave the present quorum must hold, and afterwards that of those who stay.
        """
        at_once = Voters(self.ids, declared=True).risk(down=down, taking=leaving, mend=mend)
        staying = Voters({name: number for name, number in self.ids.items() if name not in leaving}, self.declared)
        away = [name for name in staying.ids if name in down]
        if at_once or len(away) <= spare(staying.ids) or len(staying.ids) == len(self.ids):
            return at_once
        return (
            f"{', '.join(away)} {'is' if len(away) == 1 else 'are'} down, and the quorum of those who would stay"
            f" ({', '.join(staying.ids)}) bears {spare(staying.ids)}; {mend}"
        )


@dataclass(frozen=True)
class Plan:
    """How nodes are restarted: in which batches (Ansible's `serial`), and why not (`risk`), or at what cost."""

    serial: object
    risk: str | None = None
    warning: str | None = None


def plan(
    hosts: Sequence[str], *, voters: Voters, down: Collection[str], restarting: Collection[str], serial: object = None
) -> Plan:
    """Return how those of `hosts` that are `restarting` go down and come back, and what endangers the quorum in it.

    Args:
        hosts: names in the order of the play.
        voters: who votes.
        down: names of voters that are away now; those among `hosts` are up after their batch.
        restarting: names of hosts whose running node is to be restarted.
        serial: the batches that were asked for; without, they are as large as is safe.

    Raises:
        InputError: `serial` is no size of a batch.
    """
    at_once = voters.at_once(down)
    fits = sum(name in restarting and name not in down for name in voters.ids) <= at_once
    wanted = serial if serial is not None else "100%" if fits else max(1, at_once)
    started: set[str] = set()
    warning = None
    for batch in batches(hosts, wanted):
        away = [name for name in down if name not in started]
        going = [name for name in batch if name in restarting]
        if risk := voters.risk(down=away, taking=going, mend=safer(voters, away)):
            return Plan(wanted, risk)
        warning = warning or voters.warning(down=away, taking=going)
        started |= set(batch)
    return Plan(wanted, None, warning)


def safer(voters: Voters, down: Collection[str], *, own_play: bool = False) -> str:
    """Return what makes a restart safe; a play of somebody's own has batches of its own."""
    left = voters.at_once(down)
    if own_play and (left > 0 or not voters.declared):
        return f"give the play `serial: {max(left, 1)}`, or run blixard.fleet.site, which works it out"
    if left > 0:
        return f"set blixard_serial to {left} or less"
    return f"bring those back first, with --limit {','.join(down)} if they are only to be started"


def batches(hosts: Sequence[str], serial: object) -> list[list[str]]:
    """Return `hosts` in the batches that Ansible makes of them.

    Args:
        hosts: names in the order of the play.
        serial: a number of hosts, a percentage, or a list of them whose last one counts for all further batches.

    Raises:
        InputError: it is none of these.
    """
    sizes = list(serial) if isinstance(serial, (list, tuple)) else [serial]
    cut: list[list[str]] = []
    done = 0
    while done < len(hosts):
        size = _size(sizes[min(len(cut), len(sizes) - 1)], len(hosts))
        cut.append(list(hosts[done : done + size]))
        done += size
    return cut


def _size(serial: object, hosts: int) -> int:
    text = str(serial).strip()
    match = _SIZE.fullmatch(text)
    if match is None:
        mend = "set a number of hosts, a percentage such as 25%, or a list of them"
        raise InputError(f"{quoted(text)} is no size of a batch", file="blixard_serial", mend=mend)
    number = int(match[1])
    # Ansible takes a percentage that is not even one host for one, and 0 for everybody at once.
    return max(1, hosts * number // 100) if match[2] else number or hosts
