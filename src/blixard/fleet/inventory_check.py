# SPDX-License-Identifier: MIT
"""What an inventory says that no run can do with, found for all of its hosts before the first one is touched."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from blixard.agent.check_sample import parse_sample
from blixard.agent.options import OPTIONS, Option, from_words
from blixard.documents.entry_states import ABSENT, parse_state, state_of
from blixard.documents.record import check_name
from blixard.errors import InputError, one_line
from blixard.fleet.membership import EVERYBODY, names
from blixard.fleet.quorum import batches
from blixard.model.ids import EndpointId
from blixard.model.limits import MAX_NODE_ID, MAX_SAFE_INTEGER
from blixard.model.words import named, quoted
from blixard.raft.voters import MAX_VOTERS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from blixard.model.entry import NodeRegistryEntry

    Variables = Mapping[str, Any]
    Hosts = Mapping[str, Variables]

OF_THE_FLEET = (
    *("blixard_hosts", "blixard_cluster", "blixard_admission", "blixard_trusted_signers", "blixard_voters"),
    *("blixard_fleet_dir", "blixard_record_dir", "blixard_registry_dir", "blixard_peers_file", "blixard_report_file"),
    "blixard_report_html",
    *("blixard_fleet_key", "blixard_fleet_key_file", "blixard_upstream_compat", "blixard_announced"),
    *("blixard_max_removals", "blixard_prune", "blixard_decommission", "blixard_rotate", "blixard_rotate_min_age"),
)
"""Variables of which a fleet has one value, in this run and in the next one with another `--limit`."""

OF_A_RUN = ("blixard_package", "blixard_requirements", "blixard_build_dir", "blixard_serial")
"""Variables of which a run has one value, for the hosts that it works on."""

SECRET = frozenset({"blixard_fleet_key"})

LISTS = frozenset(
    {"blixard_hosts", "blixard_trusted_signers", "blixard_voters", "blixard_decommission", "blixard_rotate"}
)

SETTINGS = {
    "blixard_node_id": "node_id",
    "blixard_cluster": "cluster",
    "blixard_bind": "bind",
    "blixard_relay_url": "relay_url",
    "blixard_advertise_include": "advertise.include",
    "blixard_advertise_exclude": "advertise.exclude",
    "blixard_advertise_extra": "advertise.extra",
    "blixard_registries": "registries",
    "blixard_dns": "dns",
    "blixard_etcd": "etcd",
    "blixard_etcd_user": "etcd_user",
    "blixard_cloud": "cloud",
    "blixard_refresh_interval": "refresh_interval_s",
    "blixard_admission": "admission",
    "blixard_trusted_signers": "trusted_signers",
    "blixard_metrics": "metrics",
    "blixard_log_level": "log_level",
    "blixard_log_format": "log_format",
}
"""The node's setting that a variable becomes."""

NAMES_HOSTS = ("blixard_voters", "blixard_join", "blixard_rotate")
"""Variables that name hosts of the inventory; those in `NAMES_MEMBERS` may name members that it has lost, too."""

NAMES_MEMBERS = ("blixard_decommission", "blixard_announced")

NUMBERS = {
    "blixard_max_removals": 0,
    "blixard_rotate_min_age": 0,
    "blixard_rotate_batch": 1,
    "blixard_signature_seq": 1,
}
"""Variables that are whole numbers, and the least that each can be."""

PATHS = ("blixard_data_dir", "blixard_config_file", "blixard_venv")
"""Variables that are paths on a host, where no folder is the one to begin from."""

_UNSET = object()
_TRUE = ("true", "yes", "on", "1", "y", "t")
"""What Ansible takes for true."""


def troubles(
    hosts: Hosts,
    *,
    playing: Collection[str],
    inventory: Collection[str],
    members: Mapping[str, NodeRegistryEntry],
    recorded: Collection[str] = (),
    cluster: str,
    defaults: Variables,
    numbered: bool = True,
    unread: Collection[str] = (),
) -> list[str]:
    """Return a line for each thing that is wrong, hosts with the same one together; none when all is well.

    Args:
        hosts: variables by name, of the fleet and of the hosts that the run works on.
        playing: names of the hosts that the run works on.
        inventory: every name in the inventory.
        members: the record; empty where the run reads it before anything else.
        recorded: names that the record has, where it was not read.
        cluster: the cluster that the run is for.
        defaults: the role's defaults; one that is a template counts as no value.
        numbered: the run asks hosts, and each of them must have a number.
        unread: variables that are not looked at, such as a key in a vault whose password this run need not have.
    """
    present = {name: each for name, each in hosts.items() if each.get("blixard_state") != ABSENT}
    asked = [name for name in playing if numbered and name in present]
    numberless = [name for name in asked if present[name].get("blixard_node_id") is None]
    plays = set(playing)
    run = {name: each for name, each in hosts.items() if name in plays}
    return [
        *_wrong_names(hosts),
        *_differing(hosts, [name for name in OF_THE_FLEET if name not in unread], defaults),
        *_differing(run, OF_A_RUN, defaults),
        *of_another_cluster(members, cluster),
        *_wrong_values(hosts),
        *([f"blixard_node_id of {named(numberless)}: is not set; give each host its own number"] if numberless else []),
        *_same_numbers(present),
        *_nameless_voters(present),
        *_unknown_hosts(hosts, NAMES_HOSTS, inventory),
        *_unknown_hosts(hosts, NAMES_MEMBERS, {*inventory, *members, *recorded}),
    ]


def of_another_cluster(members: Mapping[str, NodeRegistryEntry], cluster: str) -> Iterator[str]:
    """Tell of a record that is another cluster's, as when two of them have one inventory."""
    others: dict[str, list[str]] = defaultdict(list)
    for name, entry in members.items():
        if entry.attestation and entry.attestation.cluster != cluster and state_of(entry) != ABSENT:
            others[entry.attestation.cluster].append(name)
    for other, on in others.items():
        yield (
            f"the record has {named(on)} of cluster {quoted(other)}, and this run is for {quoted(cluster)}; give each"
            " cluster a folder of its own with blixard_fleet_dir, or name the right one with blixard_cluster"
        )


def _wrong_names(hosts: Iterable[str]) -> Iterator[str]:
    for name in hosts:
        try:
            check_name(name)
        except InputError as error:
            yield f"{error}; an address goes into ansible_host"


def _differing(hosts: Hosts, variables: Iterable[str], defaults: Variables) -> Iterator[str]:
    for variable in variables:
        by_value: dict[str, list[str]] = defaultdict(list)
        for name, each in hosts.items():
            by_value[_text(variable, each.get(variable, _default(variable, defaults)))].append(name)
        if len(by_value) > 1:
            hidden = ["one value", *["another"] * (len(by_value) - 1)]
            words = hidden if variable in SECRET else [one_line(value) for value in by_value]
            said = ", ".join(f"{value} on {named(on)}" for value, on in zip(words, by_value.values(), strict=True))
            yield (
                f"{variable} is not the same for all hosts: {said}; give all of them one value, or roll out fleets of"
                " their own, with -e blixard_hosts=GROUP for each"
            )


def _default(variable: str, defaults: Variables) -> object:
    value = defaults.get(variable, _UNSET)
    return _UNSET if isinstance(value, str) and "{{" in value else value


def _text(variable: str, value: object) -> str:
    """Return a value as text, the same for the spellings of one value."""
    if value is _UNSET:
        return "not set"
    if variable in LISTS:
        return ",".join(names(value)) or "nothing"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text or "nothing"


def _wrong_values(hosts: Hosts) -> Iterator[str]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, each in hosts.items():
        for variable, trouble in _troubles_of(each):
            found[variable, trouble].append(name)
    for (variable, trouble), on in found.items():
        yield f"{variable} of {named(on)}: {trouble}"


def _troubles_of(variables: Variables) -> Iterator[tuple[str, str]]:
    for variable, option in _OPTIONS.items():
        try:
            if variables.get(variable) is not None:
                _convert(option, variables[variable])
        except InputError as error:
            yield variable, f"{error.reason}; {error.mend or f'write {option.form}'}"
    for variable, least in NUMBERS.items():
        value = variables.get(variable, least)
        if isinstance(value, bool) or not str(value).isdecimal() or int(str(value)) < least:
            yield variable, f"{quoted(str(value))} is not a whole number from {least}"
    for variable in PATHS:
        path = str(variables.get(variable, "/"))
        if not path.startswith("/"):
            yield variable, f"{quoted(path)} is no absolute path on the host; begin it with /"
    yield from _troubles_of_sample(variables.get("blixard_check_sample", "auto"))
    yield from _troubles_of_serial(variables.get("blixard_serial"))
    yield from _troubles_of_announced(variables.get("blixard_announced"))
    if _is_too_large_to_sign(variables.get("blixard_node_id")):
        yield "blixard_node_id", f"must be at most {MAX_SAFE_INTEGER} to be signed"
    try:
        parse_state(variables.get("blixard_state", "present"))
    except InputError as error:
        yield "blixard_state", str(error)


def _troubles_of_sample(sample: object) -> Iterator[tuple[str, str]]:
    try:
        parse_sample(sample)
    except InputError as error:
        yield "blixard_check_sample", f"{error.reason}; {error.mend}"


def _troubles_of_serial(serial: object) -> Iterator[tuple[str, str]]:
    for size in serial if isinstance(serial, (list, tuple)) else [serial] if serial not in (None, "") else []:
        try:
            batches(["one"], size)
        except InputError as error:
            yield "blixard_serial", f"{error.reason}; {error.mend}"


def _troubles_of_announced(announced: object) -> Iterator[tuple[str, str]]:
    for name, text in announced.items() if isinstance(announced, Mapping) else ():
        try:
            EndpointId.parse(str(text))
        except InputError as error:
            yield "blixard_announced", f"{name}: {error.reason}; {error.mend}"


def _is_too_large_to_sign(number: object) -> bool:
    return str(number).isdecimal() and MAX_SAFE_INTEGER < int(str(number)) <= MAX_NODE_ID


_OPTIONS: dict[str, Option] = {
    variable: next(option for option in OPTIONS if option.key == key) for variable, key in SETTINGS.items()
}


def _convert(option: Option, value: object) -> None:
    if option.from_text is from_words:
        value = names(value)
    elif isinstance(value, str):
        value = option.from_text(value)
    if value == "" and option.nullable:
        return
    option.convert(value, "")


def _nameless_voters(hosts: Hosts) -> Iterator[str]:
    """Tell of a Raft cluster whose voters nobody has named: they are to be the same whatever the record has."""
    voting = [name for name, each in hosts.items() if str(each.get("blixard_raft")).lower() in _TRUE]
    for name in voting[:1]:
        chosen = names(hosts[name].get("blixard_voters", EVERYBODY))
        if not chosen or chosen == EVERYBODY or len(chosen) > MAX_VOTERS:
            yield (
                f"blixard_raft of {named(voting)}: needs to know who votes; name three or five hosts in blixard_voters,"
                f" {MAX_VOTERS} at most"
            )


def _same_numbers(hosts: Hosts) -> Iterator[str]:
    by_number: dict[str, list[str]] = defaultdict(list)
    for name, each in hosts.items():
        number = str(each.get("blixard_node_id"))
        # Whether somebody who leaves is another who stays is looked at then, with what the hosts say.
        if number.isdecimal() and name not in names(each.get("blixard_decommission")):
            by_number[number].append(name)
    for number, on in by_number.items():
        if len(on) > 1:
            yield (
                f"blixard_node_id of {named(on)} is {number}: give each host its own number; if one is the former name"
                " of another, keep it in the inventory with blixard_state: absent, and run site.yml"
            )


def _unknown_hosts(hosts: Hosts, variables: Iterable[str], known: Collection[str]) -> Iterator[str]:
    for variable in variables:
        said: Sequence[str] = [name for each in hosts.values() for name in _named_by(variable, each)]
        unknown = [name for name in dict.fromkeys(said) if name not in known]
        if unknown:
            yield f"{variable}: no such host: {named(unknown)}; name hosts as the inventory has them"


def _named_by(variable: str, variables: Variables) -> list[str]:
    value = variables.get(variable)
    if variable == "blixard_announced":
        return list(value) if isinstance(value, Mapping) else []
    given = names(value or ())
    # Who leaves for good is named.
    return [] if given == EVERYBODY and variable in NAMES_HOSTS else given
