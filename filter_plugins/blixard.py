# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the role `blixard`: Ansible's variables in, what the package decides of them out."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import typing as t
from pathlib import Path

import yaml
from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleFilterError
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.parsing.dataloader import DataLoader
from ansible_collections.blixard.fleet.plugins.plugin_utils import package as _package  # noqa: F401

from blixard.documents import data_dir_files
from blixard.documents.connectivity_report import parse_report
from blixard.documents.files import read_limited
from blixard.documents.peers_file import read_peers
from blixard.documents.record import read_record, record_files
from blixard.errors import BlixardError, InputError, bounded_lines, one_line, trouble_with_files
from blixard.fleet import (
    batches,
    inventory_check,
    membership,
    observe,
    places,
    raft_turn,
    registry,
    report,
    signature,
    staying,
    steps,
    voters,
    wanted_package,
    wanted_service,
    waves,
)
from blixard.fleet.host_view import HostView
from blixard.fleet.quorum import Voters
from blixard.model.limits import MAX_REPORT_BYTES
from blixard.model.words import named, quoted

if t.TYPE_CHECKING:
    from blixard.model.entry import NodeRegistryEntry

Hosts = t.Iterable[str]
HostVars = t.Mapping[str, t.Mapping[str, t.Any]]
Json = dict[str, t.Any]


def _view(name: str, variables: t.Mapping[str, t.Any]) -> HostView:
    return HostView(
        name,
        number=_number(name, variables.get("blixard_node_id")),
        state=variables.get("blixard_state"),
        managed=boolean(variables.get("blixard_node_manage", True)),
        variables=variables,
    )


def _number(name: str, value: t.Any) -> int | None:
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        where, mend = f"blixard_node_id of {name}", "give each host its own number"
        raise InputError(f"{quoted(str(value))} is no number", file=where, mend=mend) from None


def _views(hostvars: HostVars, names: Hosts) -> dict[str, HostView]:
    """Return those of `names` that the inventory has, in their order."""
    return {name: _view(name, hostvars[name]) for name in names if name in hostvars}


def _answering(hosts: dict[str, HostView]) -> dict[str, HostView]:
    """Return `hosts`, or refuse those of them that say what this run's own variables are.

    What a module returns as facts comes before the role's defaults and the inventory, unless `inject_facts_as_vars` is
    false, as it is in this project's ansible.cfg. The role gathers no facts.
    """
    for name, host in hosts.items() if C.INJECT_FACTS_AS_VARS else ():
        facts = host.variables.get("ansible_facts", {})
        said = sorted(fact for fact in facts if fact.startswith(("blixard_", "__blixard_")))
        if said:
            raise InputError(
                f"returned variables of this run as facts ({bounded_lines(', '.join(said), 1)})",
                file=name,
                mend="the host is not in good hands, leave it out, and set inject_facts_as_vars = false in ansible.cfg",
            )
    return hosts


def json_text(value: object, indent: int = 0) -> str:
    """Write `value` as JSON whose further lines are indented by `indent` spaces more, as in a document."""
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n" + " " * indent)


def gathered(hostvars: HostVars, hosts: Hosts) -> Json:
    """Return the registry entries that this run has from `hosts`, by name."""
    looks = {name: host.look for name, host in _answering(_views(hostvars, hosts)).items()}
    return {name: look["entry"] for name, look in looks.items() if look.get("entry")}


def seen(hostvars: HostVars, hosts: Hosts) -> Json:
    """Return the numbers of the fleet key that nodes have seen, by host, of those of `hosts` that say any."""
    return {
        name: host.look["seen"] for name, host in _answering(_views(hostvars, hosts)).items() if host.look.get("seen")
    }


def next_of(hostvars: HostVars, hosts: Hosts, field: str) -> Json:
    """Return what the next keys of `hosts` gave, `entry` or `announcement`, by name; nothing where there is none."""
    answers = {name: host.next_key for name, host in _views(hostvars, hosts).items()}
    return {name: answer[field] for name, answer in answers.items() if answer.get(field)}


def nodes(hostvars: HostVars) -> Json:
    """Return what the inventory says of each host: its node's number and state, and whether the node is ours.

    All at once, since a look at the variables of a large fleet takes longer than anything that is made of them.
    """
    return {
        host.name: {
            "managed": host.managed,
            **({} if host.number is None else {"node_id": host.number}),
            **({} if host.state is None else {"state": host.state}),
        }
        for host in _views(hostvars, hostvars).values()
    }


def join_files(join: Hosts, hostvars: HostVars, host: str, data_dir: str) -> dict[str, str]:
    """Return the registry file on `host` of each host that it is to join through, by that host's name."""
    folder = data_dir_files.paths(data_dir)["join"]
    # For each host, so that only who joins through all pays for a look at all.
    if list(join) == membership.EVERYBODY:
        join = [name for name in hostvars if "blixard_node_id" in hostvars[name]]
    through = membership.joins_through(host, join, _views(hostvars, join))
    return {name: f"{folder}/{name}.json" for name in through}


def etcd_files(sources: t.Mapping[str, str], data_dir: str) -> dict[str, dict[str, str]]:
    """Return source, name and path in the data directory of each file that is given, by what it is."""
    names = data_dir_files.ETCD_FILE_NAMES
    return {
        what: {"src": source, "name": names[what], "path": f"{data_dir}/{names[what]}"}
        for what, source in sources.items()
        if source
    }


def signers(trusted: t.Sequence[str], key: str, key_file: str) -> list[str]:
    """Return the ids that may sign off: those that are trusted, or where there are none that of the fleet key."""
    own = None if trusted else signature.fleet_key(key, key_file)
    return list(trusted) if own is None else [own.public().base64]


def hosts(
    chosen: t.Any, groups: t.Mapping[str, t.Collection[str]], limit: str | None = None, first: bool = False
) -> str:
    """Return the host pattern of the fleet, which means at least one host that this run may work on; or its `first`."""
    matching = functools.partial(_matching, groups)
    pattern = membership.fleet_hosts(chosen, limit or "", groups, matching)
    return next(iter(matching(pattern, limit or ""))) if first else pattern


def _matching(groups: t.Mapping[str, t.Collection[str]], pattern: str, limit: str) -> t.Collection[str]:
    """Return the hosts that a pattern and a limit match, as Ansible reads them."""
    if pattern in groups and not limit:
        return groups[pattern]
    inventory = InventoryManager(DataLoader(), parse=False)
    for host in groups.get("all", ()):
        inventory.add_host(host)
    for group, names in groups.items():
        if group not in ("all", "ungrouped"):
            inventory.add_group(group)
            for host in names:
                inventory.add_host(host, group)
    inventory.reconcile_inventory()
    inventory.subset(limit)
    return [host.name for host in inventory.get_hosts(pattern)]


def refused_inventory(
    hostvars: HostVars,
    playing: Hosts,
    fleet: Hosts,
    cluster: str,
    record_dir: str,
    peers_file: str,
    role: str,
    numbered: bool = True,
    unread: t.Sequence[str] = (),
) -> str | None:
    """Return what no run could do with, a line each; null when all that can be known before the first host is well."""
    ours = {name: hostvars[name] for name in dict.fromkeys([*fleet, *playing]) if name in hostvars}
    lines = []
    members: dict[str, NodeRegistryEntry] = {}
    recorded: t.Collection[str] = ()
    try:
        recorded = record_files(record_dir, missing_ok=True)
        if numbered:  # a run that asks no host comes to the record itself before it could harm anything
            members = read_record(record_dir, missing_ok=True)
            if Path(peers_file).exists():
                read_peers(peers_file)
    except InputError as error:
        lines.append(str(error))
    lines += inventory_check.troubles(
        ours,
        playing=list(playing),
        inventory=list(hostvars),
        members=members,
        recorded=recorded,
        cluster=cluster,
        defaults=yaml.safe_load((Path(role) / "defaults" / "main.yml").read_bytes()),
        numbered=numbered,
        unread=unread,
    )
    lines += [] if lines else _unlike_specs({name: hostvars[name] for name in playing}, role, unread)
    return "\n".join(lines) or None


def _unlike_specs(hosts: HostVars, role: str, unread: t.Collection[str]) -> list[str]:
    """Return a line for each value that is not of the type or among the choices of the role's argument specs.

    Ansible's own validation does this in a process for each host, which takes a tenth of a run that changes nothing.
    """
    specs = yaml.safe_load((Path(role) / "meta" / "argument_specs.yml").read_bytes())["argument_specs"]
    options = {name: {**each, "required": False} for name, each in specs["main"]["options"].items()}
    validator = ArgumentSpecValidator(options)
    found: dict[str, list[str]] = {}
    for name, variables in hosts.items():
        given = {each: variables[each] for each in options if each in variables and each not in unread}
        for trouble in validator.validate(given).error_messages:
            found.setdefault(trouble, []).append(name)
    return [f"{named(names)}: {one_line(trouble)}" for trouble, names in found.items()]


def refused_leaving(leaving: t.Sequence[str], hostvars: HostVars, join: t.Any) -> str | None:
    """Return why the hosts `leaving` may not be decommissioned as this run was told; null when they may."""
    through = [membership.names(hostvars[name].get("blixard_join", join)) for name in hostvars]
    return membership.refuse_leaving(leaving, [name for names in through for name in names])


def limited(
    hostvars: HostVars,
    playing: Hosts,
    fleet: Hosts,
    record_dir: str,
    change: t.Mapping[str, str],
    leaving: Hosts = (),
) -> str | None:
    """Return why a change that everybody must hear of may not begin in this run, null when all hosts take part."""
    inventory = _views(hostvars, hostvars)
    missing = membership.left_out(
        record_dir, fleet=fleet, inventory=inventory, playing=list(playing), leaving=list(leaving)
    )
    return membership.refuse_left_out(missing, **change)


def refused_tags(run: t.Collection[str], skip: t.Collection[str], having: t.Sequence[str]) -> str | None:
    """Return why `--tags` and `--skip-tags` would not do what they say, null when they do."""
    return steps.refused(run, skip, having, alone=_is_alone(context.CLIARGS.get("args") or ()))


def _is_alone(playbooks: t.Sequence[str]) -> bool:
    """Tell whether a playbook of ours runs by itself, and not as a part of somebody else's."""
    own = Path(__file__).resolve().parents[1] / "playbooks"
    return bool(playbooks) and all(
        name.startswith("blixard.fleet.") or Path(name).resolve().parent == own for name in playbooks
    )


def untold(hostvars: HostVars, hosts: Hosts, left: t.Collection[int]) -> list[str]:
    """Return a line for each of `hosts` that may still let one of the nodes `left` in."""
    return membership.untold(_views(hostvars, hosts).values(), left)


def fleet_report(hostvars: HostVars, hosts: Hosts, cluster: str, others: Hosts = ()) -> str:
    """Return the connectivity report of the parts that `hosts` gave in this run; `others` are in other batches.

    As text: Ansible looks for templates in every value of what is not, at each step of its way, and there are many.
    """
    inventory = _views(hostvars, hostvars)
    asked = _answering({name: _as_it_answered(hostvars, inventory[name]) for name in hosts if name in inventory})
    waiting = [inventory[name] for name in others if name in inventory]
    return json_text(report.fleet_report(asked.values(), inventory.values(), cluster=cluster, others=waiting))


def _as_it_answered(hostvars: HostVars, host: HostView) -> HostView:
    """Return the host with its variables as they are, without a look for templates: a module's answer has none."""
    raw = getattr(hostvars, "raw_get", hostvars.__getitem__)
    return dataclasses.replace(host, variables=raw(host.name))


def table(document: str, file: str = "", changed: t.Sequence[str] = ()) -> str:
    """Return the report for a terminal; `file` is where the whole of it is, `changed` what the run did before."""
    return report.table(json.loads(document), file, changed)


def changes(hostvars: HostVars, hosts: Hosts, record: t.Mapping[str, t.Any]) -> list[str]:
    """Return what a run changed, in two lines at most, from the result of its merge and the reasons to start nodes."""
    restarted = [host.name for host in _answering(_views(hostvars, hosts)).values() if host.pending]
    return report.changes(record["peers_changes"], record["peers_changed"], restarted)


def troubles(document: str, excused: t.Sequence[str] = (), file: str = "") -> list[str]:
    """Return what is wrong in a report; nothing is expected of the hosts `excused`."""
    return report.troubles(json.loads(document), excused, file)


def report_page(document: str, before: str = "") -> str:
    """Return a report as an HTML page; `before` is the file of the last one, if there is one that can be read."""
    from blixard.pages.mesh_page import mesh_page  # only for who wants one: this file is loaded in every run

    last = None
    with contextlib.suppress(InputError):  # this run writes over it
        last = parse_report(read_limited(before, MAX_REPORT_BYTES), file=before) if before else None
    return mesh_page(parse_report(document.encode()), last).decode()


def waves_of(hostvars: HostVars, hosts: Hosts) -> dict[str, int]:
    """Return how many may check at once, for each of `hosts` that shares its machine with too many of them."""
    return waves.waves({name: hostvars[name] for name in hosts if name in hostvars}, waves.cores_here())


def who_votes(chosen: t.Sequence[str], hostvars: HostVars, record_dir: str) -> Json:
    """Return who votes: the hosts that are `chosen`, or for `all` every present member of the record."""
    return dataclasses.asdict(voters.who_votes(chosen, _views(hostvars, hostvars), record_dir))


def rolling(
    hostvars: HostVars,
    who: t.Mapping[str, t.Any],
    everybody: Hosts,
    serial: t.Any = None,
    batch: t.Collection[str] | None = None,
) -> Json:
    """Return the batches in which nodes are restarted (`serial`), the `risk` in them, and the `warning` to give."""
    return dataclasses.asdict(voters.rolling(Voters(**who), _answering(_views(hostvars, everybody)), serial, batch))


def reasons(hostvars: HostVars, hosts: Hosts) -> list[str]:
    """Return why nodes of `hosts` are to be worked on, a line for the hosts with the same reasons."""
    return wanted_service.reasons(_answering(_views(hostvars, hosts)).values())


def batch_risk(
    hostvars: HostVars, who: t.Mapping[str, t.Any], everybody: Hosts, batch: Hosts, own_play: bool = False
) -> str | None:
    """Return why this batch would endanger the voters' quorum as things are now, null when it does not."""
    return voters.batch_risk(Voters(**who), _views(hostvars, everybody), list(batch), own_play=own_play)


def successor(hostvars: HostVars, status: str, everybody: Hosts, batch: Hosts) -> str:
    """Return the node id of the voter that a leader hands over to before this batch, empty where nobody has to."""
    numbers = {name: host.number or 0 for name, host in _views(hostvars, everybody).items()}
    found = raft_turn.successor(status, list(numbers.values()), [numbers[name] for name in batch])
    return "" if found is None else str(found)


def leaving_risk(hostvars: HostVars, who: t.Mapping[str, t.Any], everybody: Hosts, leaving: Hosts) -> str | None:
    """Return why the hosts `leaving` may not be decommissioned now, null when they may."""
    return voters.leaving_risk(Voters(**who), _views(hostvars, everybody), list(leaving))


def refused_staying(leaving: Hosts, hostvars: HostVars, record_dir: str) -> str | None:
    """Return why one of the hosts `leaving` is a host that stays, null when none is."""
    record = read_record(record_dir, missing_ok=True)
    return staying.refuse_staying(list(leaving), _answering(_views(hostvars, hostvars)), record)


def changed_keys(hostvars: HostVars, hosts: Hosts, record_dir: str) -> list[str]:
    """Return a line for each of `hosts` that has another key than the record, announced by nobody."""
    return staying.changed_keys(_answering(_views(hostvars, hosts)), read_record(record_dir, missing_ok=True))


def batch_size(hostvars: HostVars, asked: t.Any = "") -> t.Any:
    """Return the size of batches that was asked for or that this run has worked out, for a play without hosts yet."""
    return batches.serial((hostvars[name].get("__blixard_rolling") for name in hostvars), asked)


def rotation(hostvars: HostVars, hosts: Hosts, chosen: t.Sequence[str], min_age: t.Any) -> Json:
    """Return who gets a new key in which `batches`, those `begun` before and those `due`, and the `summary` of it."""
    found = _views(hostvars, hosts)
    sizes = [int(host.variables.get("blixard_rotate_batch", 1)) for host in found.values()]
    order = batches.rotation_order(found, [] if list(chosen) == membership.EVERYBODY else chosen, sizes)
    return {**dataclasses.asdict(order), "summary": order.summary(min_age)}


def rotation_risk(who: t.Mapping[str, t.Any], order: t.Mapping[str, t.Any]) -> str | None:
    """Return why one of the batches would endanger the voters' quorum, null when none does."""
    return voters.rotation_risk(Voters(**who), order["batches"])


def left_behind(data_dir: str, ours: bool) -> list[str]:
    """Return the path of all that a node leaves in its data directory, its key first."""
    return data_dir_files.left_behind(data_dir, ours=ours)


def _for_people(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """Turn the package's errors into those that Ansible shows as one line."""

    @functools.wraps(function)
    def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            return function(*args, **kwargs)
        except BlixardError as error:
            raise AnsibleFilterError(str(error)) from None
        except OSError as error:
            raise AnsibleFilterError(str(trouble_with_files(error, "the controller"))) from None

    return call


_FILTERS: dict[str, t.Callable[..., t.Any]] = {
    "after_batches": batches.hosts_after,
    "changed_keys": changed_keys,
    "changes": changes,
    "data_dir": data_dir_files.paths,
    "extras": wanted_package.extras,
    "fleet_dir": places.fleet_dir_or_nowhere,
    "gathered": gathered,
    "has_peers": observe.has_peers,
    "hosts": hosts,
    "join_files": join_files,
    "etcd_files": etcd_files,
    "json": json_text,
    "leaving_risk": leaving_risk,
    "left_behind": left_behind,
    "limited": limited,
    "made_of_none": places.made_of_none,
    "misplaced": places.misplaced,
    "named": named,
    "names": membership.names,
    "next": next_of,
    "nodes": nodes,
    "observe": observe.observe,
    "package": wanted_package.package_or_refusal,
    "paths": wanted_service.paths,
    "pattern": membership.pattern,
    "pip_runs": wanted_package.pip_runs,
    "reasons": reasons,
    "refused_inventory": refused_inventory,
    "refused_key": signature.refused_key,
    "refused_leaving": refused_leaving,
    "refused_publish": places.refused_publish,
    "refused_staying": refused_staying,
    "refused_tags": refused_tags,
    "refused_unknown": membership.refuse_unknown,
    "report": fleet_report,
    "report_page": report_page,
    "risk": batch_risk,
    "rolling": rolling,
    "rotation": rotation,
    "rotation_risk": rotation_risk,
    "same_entry": registry.says_same,
    "seen": seen,
    "seq": registry.recorded_seq,
    "serial": batch_size,
    "shown": bounded_lines,
    "signers": signers,
    "steps": steps.steps,
    "strangers": membership.strangers,
    "successor": successor,
    "table": table,
    "tolerance": batches.tolerance,
    "troubles": troubles,
    "untold": untold,
    "voters": who_votes,
    "waves": waves_of,
}


class FilterModule:
    """The filters of the role `blixard`; each is documented in the file of its name beside this one."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {name: _for_people(function) for name, function in _FILTERS.items()}
