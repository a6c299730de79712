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
    return {name: hostvars[name]["blixard_state"] for name in hosts if "blixard_state" in hostvars[name]}


def node_names(hostvars: HostVars, hosts: Hosts) -> dict[int, str]:
    """Return the names of `hosts` by node id, of those that have one."""
    return {int(hostvars[name]["blixard_node_id"]): name for name in hosts if "blixard_node_id" in hostvars[name]}


def report(
    hostvars: HostVars, hosts: Hosts, names: t.Mapping[int, str], cluster: str, others: Hosts = ()
) -> dict[str, t.Any]:
    """Return the connectivity report of the parts that `hosts` gave in this run; `others` are in other batches.

    A host whose node is not ours has nobody to ask; it is in the report as what the others reach.
    """
    asked = [name for name in hosts if boolean(hostvars[name].get("blixard_node_manage", True))]
    waiting = {int(hostvars[name]["blixard_node_id"]) for name in others if _waits(hostvars[name])}
    return fleet_report.merge([_part(name, hostvars[name]) for name in asked], names, cluster, waiting)


def _waits(variables: t.Mapping[str, t.Any]) -> bool:
    """Whether a host of another batch has its turn still to come, and no node that runs until then."""
    look = variables.get("__blixard_look")
    return "__blixard_connectivity" not in variables and bool(look) and look["agent"]["state"] != "running"


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
            "blixard_node_names": node_names,
            "blixard_observe": described,
            "blixard_package": for_people(package),
            "blixard_pending": pending,
            "blixard_report": report,
            "blixard_states": states,
            "blixard_table": fleet_report.table,
            "blixard_troubles": fleet_report.troubles,
        }
