# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role computes on the controller, each filter a line over a function of the package."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean

from blixard.errors import BlixardError
from blixard.fleet import quorum
from blixard.fleet import report as fleet_report
from blixard.fleet.observe import observe
from blixard.fleet.pending import pending
from blixard.fleet.source import package

Hosts = t.Iterable[str]
HostVars = t.Mapping[str, t.Mapping[str, t.Any]]


def json_text(value: object, indent: int = 0) -> str:
    """Write `value` as JSON whose further lines are indented by `indent` spaces more, as in a document."""
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n" + " " * indent)


def gathered(hostvars: HostVars, hosts: Hosts) -> dict[str, t.Any]:
    """Return the registry entries that this run has from `hosts`, by name."""
    looks = {name: hostvars[name].get("__blixard_look") for name in hosts}
    return {name: look["entry"] for name, look in looks.items() if look and look.get("entry")}


def states(hostvars: HostVars, hosts: Hosts) -> dict[str, str]:
    """Return the state that the inventory gives each of `hosts`, where it gives one."""
    known = [name for name in hosts if name in hostvars]
    return {name: hostvars[name]["blixard_state"] for name in known if "blixard_state" in hostvars[name]}


def names(value: str | t.Sequence[str]) -> list[str]:
    """Return a list of names, which may be written as one text with commas, as it is on the command line."""
    each = value.split(",") if isinstance(value, str) else value
    return [name for name in (str(name).strip() for name in each) if name]


def untold(hostvars: HostVars, hosts: Hosts, left: t.Collection[int]) -> list[str]:
    """Return a line for each of `hosts` that may still let one of the nodes `left` in."""
    return [f"{name}: {why}" for name in hosts if (why := _not_told(hostvars[name], left))]


def _not_told(variables: t.Mapping[str, t.Any], left: t.Collection[int]) -> str | None:
    if not _has_our_node(variables):
        return None
    answer = variables.get("__blixard_told")
    if not answer or answer.get("failed") or answer.get("unreachable"):
        return str((answer or {}).get("msg") or "could not be reached")
    known = [str(node_id) for node_id in left if node_id in answer["peers"]]
    return f"its node still knows node {', '.join(known)}" if known else "; ".join(answer["problems"]) or None


def node_names(hostvars: HostVars, hosts: Hosts) -> dict[int, str]:
    """Return the names of `hosts` by node id, of those that have one."""
    return {int(hostvars[name]["blixard_node_id"]): name for name in hosts if "blixard_node_id" in hostvars[name]}


def report(
    hostvars: HostVars, hosts: Hosts, names: t.Mapping[int, str], cluster: str, others: Hosts = ()
) -> dict[str, t.Any]:
    """Return the connectivity report of the parts that `hosts` gave in this run; `others` are in other batches.

    A host whose node is not ours has nobody to ask; it is in the report as what the others reach.
    """
    asked = [name for name in hosts if _has_our_node(hostvars[name])]
    waiting = {int(hostvars[name]["blixard_node_id"]) for name in others if _waits(hostvars[name])}
    return fleet_report.merge([_part(name, hostvars[name]) for name in asked], names, cluster, waiting)


def _has_our_node(variables: t.Mapping[str, t.Any]) -> bool:
    return variables.get("blixard_state") != "absent" and boolean(variables.get("blixard_node_manage", True))


def _waits(variables: t.Mapping[str, t.Any]) -> bool:
    """Whether a host of another batch has its turn still to come, and no node that runs until then."""
    look = variables.get("__blixard_look")
    return "__blixard_connectivity" not in variables and bool(look) and look["agent"]["state"] != "running"


def _is_up(variables: t.Mapping[str, t.Any]) -> bool:
    """Tell whether a host's node ran when this run looked at it, or was started in this run."""
    look = variables.get("__blixard_look") or {}
    rolled_out = (variables.get("__blixard_connectivity") or {}).get("report")
    return bool(rolled_out) or (look.get("agent") or {}).get("state") == "running"


def rolling_risk(hostvars: HostVars, voters: t.Sequence[str], everybody: Hosts, batch: Hosts) -> str | None:
    """Return why this batch would endanger the voters' quorum, null when it does not.

    A voter outside of this run counts as up when a node of this run is connected to it.
    """
    in_run = set(everybody)
    looks = [hostvars[name].get("__blixard_look") or {} for name in in_run]
    connected = {node for look in looks for node in (look.get("agent") or {}).get("connected", ())}
    down = [
        name
        for name in voters
        if not (_is_up(hostvars[name]) if name in in_run else _node_id(hostvars, name) in connected)
    ]
    taking = [name for name in batch if hostvars[name].get("__blixard_restarts")]
    left = quorum.spare(voters) - len(down)
    mend = f"set blixard_serial to {left} or less" if left > 0 else "bring back those that are down first"
    return quorum.risk(voters, down=down, taking=taking, mend=mend)


def _node_id(hostvars: HostVars, name: str) -> int | None:
    return int(hostvars[name]["blixard_node_id"]) if name in hostvars else None


def rotation_order(hostvars: HostVars, hosts: Hosts, chosen: t.Sequence[str]) -> dict[str, t.Any]:
    """Return who gets a new key: those half through first, then those of `chosen` (all, if empty) that are due."""
    states = {name: hostvars[name].get("__blixard_key_state") or {} for name in hosts}
    begun = [name for name, state in states.items() if state.get("new") or state.get("restart")]
    due = [
        name
        for name, state in states.items()
        if state.get("due") and name not in begun and (not chosen or name in chosen)
    ]
    size = max(1, min(int(hostvars[name].get("blixard_rotate_batch", 1)) for name in states) if states else 1)
    order = begun + due
    batches = [order[first : first + size] for first in range(0, len(order), size)]
    return {"begun": begun, "due": due, "all": order, "batches": batches}


def rotation_risks(voters: t.Sequence[str], batches: t.Iterable[t.Sequence[str]]) -> list[str]:
    """Return why one of the batches would endanger the voters' quorum."""
    mend = f"set blixard_rotate_batch to {max(1, quorum.spare(voters))}"
    if len(voters) < 3:
        return []  # there is no way to do it without them, and one after the other is the gentlest
    risks = (quorum.risk(voters, down=(), taking=batch, mend=mend) for batch in batches)
    return [risk for risk in risks if risk]


def next_of(hostvars: HostVars, hosts: Hosts, field: str) -> dict[str, t.Any]:
    """Return what the next keys of `hosts` gave, `entry` or `announcement`, by name; nothing where there is none."""
    answers = {name: hostvars[name].get("__blixard_next_key") or {} for name in hosts}
    return {name: answer[field] for name, answer in answers.items() if answer.get(field)}


def _part(name: str, variables: t.Mapping[str, t.Any]) -> fleet_report.Part:
    answer = variables.get("__blixard_connectivity") or {"msg": "it left the run before the check"}
    problem = answer.get("msg") or "the check broke off, run with -vvv to see where"
    return fleet_report.Part(name, int(variables["blixard_node_id"]), answer.get("report"), str(problem))


def described(path: str) -> dict[str, t.Any]:
    """Describe a file on the controller as iroh_node_info describes those on hosts."""
    return observe(Path(path))


def for_people(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """Turn the package's errors into those that Ansible shows as one line."""

    def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            return function(*args, **kwargs)
        except BlixardError as error:
            raise AnsibleFilterError(str(error)) from None

    return call


class FilterModule:
    """The filters of the role `blixard`."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "blixard_gathered": gathered,
            "blixard_json": json_text,
            "blixard_names": names,
            "blixard_next": next_of,
            "blixard_node_names": node_names,
            "blixard_observe": described,
            "blixard_package": for_people(package),
            "blixard_pending": pending,
            "blixard_report": report,
            "blixard_risk": rolling_risk,
            "blixard_rotation": rotation_order,
            "blixard_rotation_risks": rotation_risks,
            "blixard_states": states,
            "blixard_table": fleet_report.table,
            "blixard_troubles": fleet_report.troubles,
            "blixard_untold": untold,
        }
