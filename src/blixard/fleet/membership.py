# SPDX-License-Identifier: MIT
"""Who the fleet is: the hosts that a playbook works on, and the members that a run leaves out."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from blixard.documents.entry_states import ABSENT, PRESENT, state_of
from blixard.documents.record import read_record
from blixard.errors import InputError, bounded_lines
from blixard.model.words import MAX_NAMES, named, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blixard.fleet.host_view import HostView

GROUP = "blixard"
"""The group of the inventory that is the fleet, where `blixard_hosts` does not say otherwise."""

EVERYBODY = ["all"]
"""What a list of hosts is that means all of them."""

NO_HOSTS = "all:!all"
"""Ansible's pattern for no host at all, without a warning."""


def names(value: object) -> list[str]:
    """Return a list of texts, which on the command line may be written as one text, with commas or as JSON."""
    if value is None:
        return []
    each = _of_text(value) if isinstance(value, str) else value if isinstance(value, Iterable) else [value]
    return [name for name in (str(name).strip() for name in each) if name]


def _of_text(text: str) -> list[object]:
    try:
        listed = json.loads(text) if text.lstrip().startswith("[") else None
    except ValueError:
        listed = None
    return listed if isinstance(listed, list) else list(text.split(","))


def pattern(hosts: str | Iterable[object] | None) -> str:
    """Return the host pattern that means exactly `hosts`, no host at all when there are none."""
    return ",".join(names(hosts or ())) or NO_HOSTS


Matching = Callable[[str, str], Collection[str]]
"""Gives the names of the hosts that a pattern of Ansible's matches, within a limit that may be empty."""


def fleet_hosts(chosen: object, limit: str, groups: Collection[str], matching: Matching) -> str:
    """Return the host pattern of the fleet: what was `chosen` with `blixard_hosts`, or the group `blixard`.

    Args:
        chosen: a pattern, a list of patterns, or nothing.
        limit: what the run was limited to; empty without.
        groups: the names of the inventory's groups.
        matching: tells which hosts a pattern means.

    Raises:
        InputError: it means no host, or none of those that the run is limited to: the run would end without having done
            anything, as if all were well.
    """
    wanted = ",".join(names(chosen or GROUP))
    mend = "set blixard_hosts to the group that is the fleet, as in -e blixard_hosts=GROUP"
    if wanted == GROUP and GROUP not in groups and not matching(GROUP, ""):
        raise InputError(f"there is no group {GROUP}", file="the inventory", mend=mend)
    if not matching(wanted, ""):
        raise InputError(f"no host is in {quoted(wanted)}", file="the inventory", mend=mend)
    if limit and not matching(wanted, limit):
        mend = f"the fleet is {quoted(wanted)}; limit the run to hosts of it"
        raise InputError(f"--limit {limit} leaves no host of the fleet", mend=mend)
    return wanted


def joins_through(name: str, join: Iterable[str], inventory: Mapping[str, HostView]) -> list[str]:
    """Return the names among `join` that the host `name` joins through: other hosts, and none that is leaving."""
    leaving = {host.name for host in inventory.values() if host.state not in (None, PRESENT)}
    return [each for each in dict.fromkeys(join) if each != name and each not in leaving]


def left_out(
    record_dir: str,
    *,
    fleet: Iterable[str],
    inventory: Mapping[str, HostView],
    playing: Collection[str],
    leaving: Collection[str] = (),
) -> list[str]:
    """Return the hosts of the fleet that this run does not work on, sorted; they would hear nothing of a change.

    Two sources say who belongs to the fleet: the record has its members, and the inventory those that `blixard_hosts`
    names. Members that the inventory does not have cannot be reached by any run and do not count.

    Args:
        record_dir: the folder of the record.
        fleet: names that the pattern of the fleet matches, whatever `--limit` says.
        inventory: every host of the inventory by name.
        playing: names that this run works on.
        leaving: names of hosts that leave in this run; these need not hear of it.

    Raises:
        InputError: the record cannot be read.
    """
    members = {name for name, entry in read_record(record_dir, missing_ok=True).items() if state_of(entry) != ABSENT}
    expected = {*members.intersection(inventory), *fleet} - {*playing, *leaving}
    return sorted(name for name in expected if name not in inventory or inventory[name].state != ABSENT)


def strangers(hosts: Iterable[str], record_dir: str) -> list[str]:
    """Return those of `hosts` that are no members of the record, sorted; all of them where there is none yet.

    Raises:
        InputError: the record cannot be read.
    """
    record = read_record(record_dir, missing_ok=True)
    return sorted(name for name in hosts if name not in record or state_of(record[name]) == ABSENT)


def refuse_left_out(missing: Sequence[str], change: str, variable: str) -> str | None:
    """Return the line that refuses a `change` of which the hosts `missing` would hear nothing; None without any.

    Args:
        missing: names of hosts, see `left_out`.
        change: what everybody must hear of.
        variable: the variable that chooses hosts instead of `--limit`.
    """
    if not missing:
        return None
    return (
        f"{named(missing, MAX_NAMES)}: not in this run, and everybody must hear of {change}; run this without --limit"
        f" and choose with -e {variable}=node3"
    )


def refuse_leaving(leaving: Sequence[str], join: Collection[str]) -> str | None:
    """Return why the hosts `leaving` cannot be decommissioned as this run was told, as one line; None when they can.

    Args:
        leaving: names that `blixard_decommission` gives.
        join: names of the hosts that others join through.
    """
    if not leaving:
        return "name the hosts that are to leave, as in -e blixard_decommission=node3"
    joined = [name for name in leaving if name in join]
    if not joined:
        return None
    return f"{', '.join(joined)}: others join through it; take it out of blixard_join and run site.yml first"


def refuse_unknown(leaving: Iterable[str], members: Collection[str], record_dir: str) -> str | None:
    """Return the line that names the hosts `leaving` that the record does not have; None when it has them all."""
    unknown = [name for name in leaving if name not in members]
    if not unknown:
        return None
    return f"{', '.join(unknown)}: not in {record_dir}; it has {named(sorted(members), MAX_NAMES)}"


def untold(hosts: Iterable[HostView], left: Collection[int]) -> list[str]:
    """Return a line for each of `hosts` whose node may still let one of the nodes `left` in."""
    return [f"{host.name}: {why}" for host in hosts if (why := _not_told(host, left))]


def _not_told(host: HostView, left: Collection[int]) -> str | None:
    if not host.has_our_node:
        return None
    answer = host.refresh
    if not answer or answer.get("failed") or answer.get("unreachable"):
        return bounded_lines(answer.get("msg") or "could not be reached")
    known = [str(node_id) for node_id in left if node_id in answer["peers"]]
    return f"its node still knows node {', '.join(known)}" if known else "; ".join(answer["problems"]) or None
