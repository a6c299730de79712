# SPDX-License-Identifier: MIT
"""Azure: this machine's tags and user data from its metadata service, and the virtual machines with a tag.

Machines of a scale set in uniform mode are not in the list; those of one in flexible mode are.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from blixard.errors import InputError
from blixard.sources.cloud import Instance, Own
from blixard.sources.cloud_services import (
    Service,
    all_pages,
    checked_token,
    dig,
    each,
    object_of,
    own_tags,
    query,
    texts,
)
from blixard.sources.http_client import Target

if TYPE_CHECKING:
    from blixard.sources.cloud import CloudLocation

_METADATA = "http://169.254.169.254"
_COMPUTE = "/metadata/instance/compute?api-version=2021-02-01&format=json"
_TOKEN = "/metadata/identity/oauth2/token"  # noqa: S105 # where a token is had
_TOKEN_VERSION = "2018-02-01"  # noqa: S105 # of its API
_MANAGEMENT = {
    "AzurePublicCloud": "https://management.azure.com",
    "AzureUSGovernmentCloud": "https://management.usgovcloudapi.net",
    "AzureChinaCloud": "https://management.chinacloudapi.cn",
}
_MACHINES = ("Microsoft.Compute/virtualMachines", "2024-07-01")
_INTERFACES = ("Microsoft.Network/networkInterfaces", "2024-05-01")
_PUBLIC = ("Microsoft.Network/publicIPAddresses", "2024-05-01")
_RUNNING = "PowerState/running"
_SUBSCRIPTION = re.compile(r"[0-9A-Za-z-]{1,64}")
_REFUSED = "give the machine a managed identity with the role Reader"


class Azure:
    """Azure as `cloud.Cloud`. It proves itself by the machine's managed identity."""

    def __init__(self, *, metadata: str = _METADATA, api: str | None = None) -> None:
        """`metadata`: URL of the metadata service. `api`: of the Resource Manager; None for that of this cloud."""
        self._metadata_url = metadata
        self._api = api

    def own(self) -> Own:
        """Ask the metadata service, as `Cloud.own`."""
        compute = self._compute(self._metadata())
        return Own(own_tags(_pairs(compute)), _user_data(compute.get("userData")))

    def instances(self, location: CloudLocation) -> Iterable[Instance]:
        """Ask the Resource Manager, as `Cloud.instances`."""
        metadata = self._metadata()
        compute = self._compute(metadata)
        subscription = location.options.get("subscription") or compute.get("subscriptionId")
        if not isinstance(subscription, str) or not _SUBSCRIPTION.fullmatch(subscription):
            raise InputError("the subscription is not known", mend="add &subscription=… to the location")
        management = self._api or _MANAGEMENT.get(str(compute.get("azEnvironment")), _MANAGEMENT["AzurePublicCloud"])
        token = _token(metadata, management, location)
        manager = Service.of_api(management, "the Resource Manager", refused=_REFUSED, token=token)

        def listed(what: tuple[str, str], **more: str) -> list[object]:
            kind, version = what
            first = query(f"/subscriptions/{subscription}/providers/{kind}", {"api-version": version, **more})
            return list(all_pages(lambda page: _ask(manager, page or first)))

        assert location.tag is not None  # noqa: S101 # a location without one asks for nothing here
        resources = listed(_MACHINES), listed(_INTERFACES), listed(_PUBLIC) if location.is_public else []
        states: list[object] = []
        with contextlib.suppress(InputError):  # where it may not tell, or has no time left, all of them count
            states = listed(_MACHINES, statusOnly="true")
        return joined(location.tag, *resources, states)

    def _metadata(self) -> Service:
        return Service.of_metadata(self._metadata_url, "Azure", refused=_REFUSED, headers={"Metadata": "true"})

    def _compute(self, metadata: Service) -> dict[str, object]:
        return object_of(metadata.ask(_COMPUTE).body, "the metadata of this machine")


def _pairs(compute: dict[str, object]) -> Iterator[tuple[object, object]]:
    return ((dig(tag, "name"), dig(tag, "value")) for tag in each(compute, "tagsList"))


def _user_data(encoded: object) -> str:
    try:
        return base64.b64decode(encoded if isinstance(encoded, str) else "", validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        raise InputError("the user data are not base64", file="the metadata of this machine") from None


def _token(metadata: Service, resource: str, location: CloudLocation) -> str:
    arguments = {"api-version": _TOKEN_VERSION, "resource": f"{resource}/"}
    if "client_id" in location.options:
        arguments["client_id"] = location.options["client_id"]
    given = object_of(metadata.ask(query(_TOKEN, arguments)).body, "the managed identity")
    return checked_token(given.get("access_token"), metadata.what)


def _ask(manager: Service, path: str) -> tuple[list[object], str | None]:
    """Return a page of a list, and the path of the next one."""
    values, link = parse_list(manager.ask(path).body)
    return values, None if link is None else _next_path(manager, link)


def _next_path(manager: Service, link: str) -> str:
    """Return the path of the next page; with another server than the first the token would go there."""
    after, before = Target.parse(link), Target.parse(manager.base)
    if (after.scheme, after.where) != (before.scheme, before.where):
        raise manager.error("has the next page at another server, which is not asked")
    return after.path


def parse_list(body: bytes) -> tuple[list[object], str | None]:
    """Read one page of a list of the Resource Manager: its values, and the URL of the next page.

    Raises:
        InputError: it is something else.
    """
    document = object_of(body, "the Resource Manager")
    values, link = document.get("value"), document.get("nextLink")
    if not isinstance(values, list) or not isinstance(link, str | None):
        raise InputError("the Resource Manager answers with something that is not a list")
    return values, link or None


def joined(
    tag: tuple[str, str],
    machines: Iterable[object],
    interfaces: Iterable[object],
    public: Iterable[object],
    states: Iterable[object] = (),
) -> list[Instance]:
    """Return the machines with a tag as instances, with the addresses of their network interfaces.

    One that is told not to run, such as a deallocated one, is left out.

    Args:
        tag: key, compared as Azure does without regard to case, and value.
        machines: what the Resource Manager lists of virtual machines.
        interfaces: the same of network interfaces, which name their machine by id, also without regard to case.
        public: the same of public addresses, which interfaces name by id.
        states: the same of the power states of machines.
    """
    is_off = {_id(one) for one in states if _power(one) not in (None, _RUNNING)}
    public_ips = {_id(one): dig(one, "properties", "ipAddress") for one in public}
    private_of: dict[str, list[object]] = {}
    public_of: dict[str, list[object]] = {}
    for interface in interfaces:
        machine = _id(dig(interface, "properties", "virtualMachine"))
        for config in each(interface, "properties", "ipConfigurations"):
            private_of.setdefault(machine, []).append(dig(config, "properties", "privateIPAddress"))
            at = _id(dig(config, "properties", "publicIPAddress"))
            public_of.setdefault(machine, []).append(public_ips.get(at))
    found = []
    for one in machines:
        tags, at = _tags(one), _id(one)
        if at and at not in is_off and _carries(tags, *tag):
            addresses = texts(private_of.get(at, ())), texts(public_of.get(at, ()))
            found.append(Instance(_name(at), own_tags(tags.items()), *addresses))
    return found


def _carries(tags: Mapping[str, object], key: str, value: str) -> bool:
    return any(name.lower() == key.lower() and said == value for name, said in tags.items())


def _power(machine: object) -> str | None:
    """Return the power state of a machine, such as `PowerState/deallocated`; None where nothing tells."""
    codes = (dig(status, "code") for status in each(machine, "properties", "instanceView", "statuses"))
    return next((code for code in codes if isinstance(code, str) and code.startswith("PowerState/")), None)


def _tags(machine: object) -> dict[str, object]:
    tags = dig(machine, "tags")
    return tags if isinstance(tags, dict) else {}


def _id(one: object) -> str:
    found = dig(one, "id")
    return found.lower() if isinstance(found, str) else ""


def _name(at: str) -> str:
    """Return a resource group and the machine's name in it, from /subscriptions/S/resourceGroups/G/providers/…/NAME."""
    parts = at.split("/")
    return f"{parts[4]}/{parts[-1]}" if len(parts) > 4 else at
