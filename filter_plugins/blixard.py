# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role computes on the controller, each filter a line over a function of the package."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections import Counter
from pathlib import Path

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.blixard.fleet.plugins.plugin_utils import package as _package  # noqa: F401

from blixard.documents.data_dir_files import KEPT, REGISTRY_FILE_NAME
from blixard.documents.entry_states import PRESENT, state_of
from blixard.documents.record import read_record
from blixard.documents.registry_file import read_registry
from blixard.errors import BlixardError, InputError
from blixard.fleet import membership, places, quorum
from blixard.fleet import report as fleet_report
from blixard.fleet import steps as tags
from blixard.fleet.answers import shown
from blixard.fleet.observe import observe
from blixard.fleet.pending import pending
from blixard.fleet.signature import fleet_key
from blixard.fleet.source import package
from blixard.model.entry import NodeRegistryEntry

Hosts = t.Iterable[str]
ALL_AT_ONCE = "100%"

HostVars = t.Mapping[str, t.Mapping[str, t.Any]]


def json_text(value: object, indent: int = 0) -> str:
    """Write `value` as JSON whose further lines are indented by `indent` spaces more, as in a document."""
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n" + " " * indent)


def gathered(hostvars: HostVars, hosts: Hosts) -> dict[str, t.Any]:
    """Return the registry entries that this run has from `hosts`, by name."""
    _refuse_facts(hostvars, hosts)
    looks = {name: hostvars[name].get("__blixard_look") for name in hosts}
    return {name: look["entry"] for name, look in looks.items() if look and look.get("entry")}


def _refuse_facts(hostvars: HostVars, hosts: Hosts) -> None:
    """Refuse hosts that say what this run's own variables are.

    What a module returns as facts comes before the role's defaults and the inventory, unless `inject_facts_as_vars` is
    false, as it is in this project's ansible.cfg. The role gathers no facts.
    """
    if not C.INJECT_FACTS_AS_VARS:
        return
    for name in hosts:
        said = [fact for fact in hostvars[name].get("ansible_facts", {}) if fact.startswith(("blixard_", "__blixard_"))]
        if said:
            raise AnsibleFilterError(
                f"{name}: it returned variables of this run as facts ({shown(', '.join(sorted(said)), 1)}); the host is"
                " not in good hands, leave it out, and set inject_facts_as_vars = false in ansible.cfg"
            )


def states(hostvars: HostVars, hosts: Hosts) -> dict[str, str]:
    """Return the state that the inventory gives each of `hosts`, where it gives one."""
    known = [name for name in hosts if name in hostvars]
    return {name: hostvars[name]["blixard_state"] for name in known if "blixard_state" in hostvars[name]}


def nodes(hostvars: HostVars, hosts: Hosts) -> dict[str, dict[str, t.Any]]:
    """Return what the inventory says of each of `hosts`: its node's number, and that it is not ours."""
    return {name: _node(hostvars[name]) for name in hosts if name in hostvars}


def _node(variables: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    number = {"node_id": int(variables["blixard_node_id"])} if "blixard_node_id" in variables else {}
    return {**number, "managed": boolean(variables.get("blixard_node_manage", True))}


def signers(trusted: t.Sequence[str], key: str, key_file: str) -> list[str]:
    """Return the ids that may sign off: those that are trusted, or where there are none that of the fleet key."""
    own = None if trusted else fleet_key(key, key_file)
    return list(trusted) if own is None else [own.public().base64]


def limited(
    hostvars: HostVars,
    playing: Hosts,
    fleet: Hosts,
    registry_dir: str,
    change: t.Mapping[str, str],
    leaving: Hosts = (),
) -> str | None:
    """Return why a change that everybody must hear of may not begin in this run, null when all hosts take part."""
    missing = membership.left_out(
        registry_dir,
        fleet=fleet,
        states=states(hostvars, hostvars),
        inventory=list(hostvars),
        playing=list(playing),
        leaving=list(leaving),
    )
    return membership.refuse_left_out(missing, **change)


def refused_tags(run: t.Collection[str], skip: t.Collection[str], having: t.Sequence[str]) -> str | None:
    """Return why `--tags` and `--skip-tags` would not do what they say, null when they do."""
    return tags.refused(run, skip, having, alone=_is_alone(context.CLIARGS.get("args") or ()))


def _is_alone(playbooks: t.Sequence[str]) -> bool:
    """Tell whether a playbook of ours runs by itself, and not as a part of somebody else's."""
    own = Path(__file__).resolve().parents[1] / "playbooks"
    return bool(playbooks) and all(
        name.startswith("blixard.fleet.") or Path(name).resolve().parent == own for name in playbooks
    )


def untold(hostvars: HostVars, hosts: Hosts, left: t.Collection[int]) -> list[str]:
    """Return a line for each of `hosts` that may still let one of the nodes `left` in."""
    return [f"{name}: {why}" for name in hosts if (why := _not_told(hostvars[name], left))]


def _not_told(variables: t.Mapping[str, t.Any], left: t.Collection[int]) -> str | None:
    if not _has_our_node(variables):
        return None
    answer = variables.get("__blixard_told")
    if not answer or answer.get("failed") or answer.get("unreachable"):
        return shown((answer or {}).get("msg") or "could not be reached")
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
    _refuse_facts(hostvars, hosts)
    asked = [name for name in hosts if _has_our_node(hostvars[name])]
    waiting = {int(hostvars[name]["blixard_node_id"]) for name in others if _waits(hostvars[name])}
    return fleet_report.merge([_part(name, hostvars[name]) for name in asked], names, cluster, waiting)


def _has_our_node(variables: t.Mapping[str, t.Any]) -> bool:
    return variables.get("blixard_state") != "absent" and boolean(variables.get("blixard_node_manage", True))


def _waits(variables: t.Mapping[str, t.Any]) -> bool:
    """Whether a host of another batch has its turn still to come, and no node that runs until then."""
    return "__blixard_connectivity" not in variables and _agent(variables).get("state", "running") != "running"


def voters(chosen: t.Sequence[str], hostvars: HostVars, registry_dir: str) -> dict[str, t.Any]:
    """Return who votes: the hosts that are `chosen`, or for `all` every present member of the record."""
    if list(chosen) == ["all"]:
        record = read_record(registry_dir, missing_ok=True)
        return {
            "ids": {name: entry.node_id for name, entry in record.items() if state_of(entry) == PRESENT},
            "declared": False,
        }
    unknown = [name for name in chosen if name not in hostvars]
    if unknown:
        mend = "name hosts of the inventory, or all for every member"
        raise InputError(f"no such host: {', '.join(unknown)}", file="blixard_voters", mend=mend)
    return {"ids": {name: int(hostvars[name]["blixard_node_id"]) for name in chosen}, "declared": True}


def _is_up(variables: t.Mapping[str, t.Any]) -> bool:
    """Tell whether a host's node ran when this run looked at it, or was started in this run."""
    came_up = any(node["agent"] == "running" for node in _report(variables).get("nodes", ()))
    return came_up or _agent(variables).get("state") == "running"


def _looked_at(variables: t.Mapping[str, t.Any]) -> bool:
    """Tell whether this run knows from the host itself whether a node of ours runs there."""
    return _has_our_node(variables) and bool(_agent(variables))


def _down(hostvars: HostVars, ids: t.Mapping[str, int], everybody: Hosts) -> list[str]:
    """Return the voters that are away.

    One that this run did not look at is up when peers reached it in this run, or else when they are connected to it.
    Two must say so where there are three to ask: a host that was taken over could say anything.
    """
    looks = {name: hostvars[name] for name in everybody if _looked_at(hostvars[name])}
    asked = [variables for variables in looks.values() if _is_up(variables)]
    tried = {edge["to"] for variables in asked for edge in _report(variables).get("edges", ())}
    seen = Counter(node for variables in asked for node in _sees(variables, tried))
    enough = 1 if len(asked) < 3 else 2
    return [
        name for name, number in ids.items() if not (_is_up(looks[name]) if name in looks else seen[number] >= enough)
    ]


def _sees(variables: t.Mapping[str, t.Any], tried: t.Collection[int]) -> set[int]:
    """Return the nodes that a host's node reached, and those of the ones that nobody tried that it is connected to."""
    reached = {edge["to"] for edge in _report(variables).get("edges", ()) if edge["reached"]}
    return reached | (set(_agent(variables).get("connected", ())) - set(tried))


def _report(variables: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    """Return a host's part of the check that this run made, empty before it."""
    return (variables.get("__blixard_connectivity") or {}).get("report") or {}


def _agent(variables: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    return (variables.get("__blixard_look") or {}).get("agent") or {}


def rolling(hostvars: HostVars, who: t.Mapping[str, t.Any], everybody: Hosts, serial: t.Any = None) -> dict[str, t.Any]:
    """Return the batches in which nodes are restarted (`serial`), the `risk` in them, and the `warning` to give."""
    names = list(everybody)
    _refuse_facts(hostvars, names)
    found = quorum.plan(
        names,
        voters=quorum.Voters(**who),
        down=_down(hostvars, who["ids"], names),
        restarting=[name for name in names if hostvars[name].get("__blixard_restarts")],
        serial=serial,
    )
    return {"serial": found.serial, "risk": found.risk, "warning": found.warning}


def rolling_risk(hostvars: HostVars, who: t.Mapping[str, t.Any], everybody: Hosts, batch: Hosts) -> str | None:
    """Return why this batch would endanger the voters' quorum as things are now, null when it does not."""
    guard, down = quorum.Voters(**who), _down(hostvars, who["ids"], everybody)
    taking = [name for name in batch if hostvars[name].get("__blixard_restarts")]
    return guard.risk(down=down, taking=taking, mend=quorum.safer(guard, down))


def leaving_risk(hostvars: HostVars, who: t.Mapping[str, t.Any], everybody: Hosts, leaving: Hosts) -> str | None:
    """Return why the hosts `leaving` may not be decommissioned now, null when they may."""
    mend = (
        "let them leave one after the other, those that are down first; if these nodes do not vote, say who does with"
        " blixard_voters"
    )
    down = _down(hostvars, who["ids"], everybody)
    return quorum.Voters(**who).leaving_risk(down=down, leaving=list(leaving), mend=mend)


def batch_size(hostvars: HostVars, asked: t.Any = "") -> t.Any:
    """Return the size of batches that was asked for or that this run has worked out, for a play without hosts yet."""
    if asked:
        return asked
    plans = (hostvars[name].get("__blixard_rolling") for name in hostvars)
    return next((plan["serial"] for plan in plans if plan), ALL_AT_ONCE)


def after_batches(hosts: t.Any, batches: t.Any) -> t.Any:
    """Return the hosts of the play that follows the last of several batches: no host where all went at once."""
    return membership.NO_HOSTS if batches == ALL_AT_ONCE else hosts


def tolerance(batches: t.Any, asked: t.Any = "") -> t.Any:
    """Return the `max_fail_percentage` that was asked for; without, the first failure of several batches ends a run."""
    return asked if asked != "" else 100 if batches == ALL_AT_ONCE else 0


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


def rotation_risks(who: t.Mapping[str, t.Any], rotation: t.Mapping[str, t.Any]) -> list[str]:
    """Return why one of the batches would endanger the voters' quorum; those half through may be down already."""
    guard = quorum.Voters(**who)
    mend = f"set blixard_rotate_batch to {guard.at_once(())}"
    risks = (guard.risk(down=(), taking=batch, mend=mend) for batch in rotation["batches"])
    return [risk for risk in risks if risk]


def next_of(hostvars: HostVars, hosts: Hosts, field: str) -> dict[str, t.Any]:
    """Return what the next keys of `hosts` gave, `entry` or `announcement`, by name; nothing where there is none."""
    answers = {name: hostvars[name].get("__blixard_next_key") or {} for name in hosts}
    return {name: answer[field] for name, answer in answers.items() if answer.get(field)}


def _part(name: str, variables: t.Mapping[str, t.Any]) -> fleet_report.Part:
    answer = variables.get("__blixard_connectivity") or {"msg": "it left the run before the check"}
    problem = answer.get("msg") or "the check broke off, run with -vvv to see where"
    return fleet_report.Part(name, int(variables["blixard_node_id"]), answer.get("report"), shown(problem))


def same_entry(one: t.Mapping[str, t.Any], other: t.Mapping[str, t.Any]) -> bool:
    """Tell whether two registry entries say the same of their node, whatever else stands in them."""
    first, second = (dataclasses.replace(NodeRegistryEntry.from_json(dict(each)), extra={}) for each in (one, other))
    return first == second


def recorded_seq(path: str) -> int:
    """Return the sequence number of an entry in the record; 0 where there is none that could count."""
    try:
        attestation = read_registry(path).attestation
    except BlixardError:
        return 0  # what is wrong with it is said where the record is read as a whole
    return attestation.seq if attestation else 0


def described(path: str) -> dict[str, t.Any]:
    """Describe a file on the controller as iroh_node_info describes those on hosts."""
    return observe(Path(path))


def leftovers(data_dir: str, of_ours: bool) -> list[str]:
    """Return the path of all that a node leaves in its data directory, its key first.

    Where the node is not ours (`of_ours` is false), only what this role put there.
    """
    kept = [each.name for each in reversed(KEPT) if of_ours or not each.by_node or each.name == REGISTRY_FILE_NAME]
    return [f"{data_dir}/{name}" for name in kept]


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
        """Return the filters by name."""
        return {
            "after_batches": after_batches,
            "fleet_dir": places.fleet_dir_or_nowhere,
            "gathered": gathered,
            "hosts": for_people(membership.fleet_hosts),
            "limited": for_people(limited),
            "json": json_text,
            "leftovers": leftovers,
            "misplaced": places.misplaced,
            "names": membership.names,
            "next": next_of,
            "node_names": node_names,
            "nodes": nodes,
            "observe": described,
            "package": for_people(package),
            "pattern": membership.pattern,
            "pending": pending,
            "report": report,
            "leaving_risk": leaving_risk,
            "risk": rolling_risk,
            "rolling": for_people(rolling),
            "rotation": rotation_order,
            "rotation_risks": rotation_risks,
            "refused_tags": refused_tags,
            "same_entry": same_entry,
            "seq": recorded_seq,
            "serial": batch_size,
            "shown": shown,
            "signers": for_people(signers),
            "states": states,
            "steps": tags.steps,
            "table": fleet_report.table,
            "troubles": fleet_report.troubles,
            "tolerance": tolerance,
            "untold": untold,
            "voters": for_people(voters),
        }
