# SPDX-License-Identifier: MIT
"""Who votes, which of them are away now, and what this run may therefore take down."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from blixard.documents.entry_states import PRESENT, state_of
from blixard.documents.record import read_record
from blixard.errors import InputError
from blixard.fleet.membership import EVERYBODY
from blixard.fleet.quorum import Plan, Voters, plan, safer

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from blixard.fleet.host_view import HostView

MANY = 3
"""With as many hosts to ask, two must say that a voter is there: one that was taken over could say anything."""


def who_votes(chosen: Sequence[str], hosts: Mapping[str, HostView], record_dir: str) -> Voters:
    """Return who votes: the hosts that are `chosen`, or for `all` every present member of the record.

    A record may be new, as on a fresh controller: a host whose node was seen running is a member as well.

    Args:
        chosen: names, or `all` alone.
        hosts: the hosts of the inventory.
        record_dir: the folder of the record.

    Raises:
        InputError: a chosen host is not among `hosts` or has no number, or the record cannot be read.
    """
    if list(chosen) == EVERYBODY:
        record = read_record(record_dir, missing_ok=True)
        present = {name: entry.node_id for name, entry in record.items() if state_of(entry) == PRESENT}
        new = [host for name, host in hosts.items() if name not in record and host.was_looked_at and host.is_up]
        return Voters(present | {host.name: host.node_id for host in new}, declared=False)
    unknown = [name for name in chosen if name not in hosts]
    if unknown:
        mend = "name hosts of the inventory, or all for every member"
        raise InputError(f"no such host: {', '.join(unknown)}", file="blixard_voters", mend=mend)
    return Voters({name: hosts[name].node_id for name in chosen}, declared=True)


def down(voters: Voters, hosts: Mapping[str, HostView]) -> list[str]:
    """Return the names of voters that are away.

    One that this run did not look at is up when peers reached it in this run, or else when they are connected to it.
    """
    looked_at = {name: host for name, host in hosts.items() if host.was_looked_at}
    asked = [host for host in looked_at.values() if host.is_up]
    edges = [edge for host in asked for edge in host.edges]
    lost = {edge["to"] for edge in edges} - {edge["to"] for edge in edges if edge["reached"]}
    seen = Counter(node_id for host in asked for node_id in host.sees(lost))
    enough = 1 if len(asked) < MANY else 2
    return [
        name
        for name, node_id in voters.ids.items()
        if not (looked_at[name].is_up if name in looked_at else seen[node_id] >= enough)
    ]


def rolling(
    voters: Voters, hosts: Mapping[str, HostView], serial: object = None, batch: Collection[str] | None = None
) -> Plan:
    """Return how the nodes of `hosts`, in the order of the play, are restarted; see `blixard.fleet.quorum.plan`.

    Args:
        voters: who votes.
        hosts: the hosts of the play.
        serial: the batches that were asked for.
        batch: the hosts that a play of somebody's own restarts now, all at once; null where the batches are ours.
    """
    if batch is not None:
        return Plan("100%", batch_risk(voters, hosts, batch, own_play=True))
    restarting = [name for name, host in hosts.items() if host.restarts]
    return plan(list(hosts), voters=voters, down=down(voters, hosts), restarting=restarting, serial=serial)


def batch_risk(
    voters: Voters, hosts: Mapping[str, HostView], batch: Collection[str], *, own_play: bool = False
) -> str | None:
    """Return why the hosts of this `batch` may not be restarted as things are now, as one line; None when they may."""
    away = down(voters, hosts)
    taking = [name for name in batch if hosts[name].restarts]
    return voters.risk(down=away, taking=taking, mend=safer(voters, away, own_play=own_play))


def leaving_risk(voters: Voters, hosts: Mapping[str, HostView], leaving: Collection[str]) -> str | None:
    """Return why the hosts `leaving` may not be decommissioned now, as one line; None when they may."""
    mend = (
        "let them leave one after the other, those that are down first; if these nodes do not vote, say who does with"
        " blixard_voters"
    )
    return voters.leaving_risk(down=down(voters, hosts), leaving=leaving, mend=mend)


def rotation_risk(voters: Voters, batches: Sequence[Collection[str]]) -> str | None:
    """Return why one of the `batches` that get new keys would endanger the quorum, as one line; None where none does.

    Who is down does not count: a host that is half through its rotation may be.
    """
    mend = f"set blixard_rotate_batch to {voters.at_once(())}"
    risks = (voters.risk(down=(), taking=batch, mend=mend) for batch in batches)
    return next((risk for risk in risks if risk), None)
