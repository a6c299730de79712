# SPDX-License-Identifier: MIT
"""GCP: this machine's attributes from its metadata server, and the instances of a project with a label.

A label takes 63 characters, so a whole entry stands in an instance's metadata; both count as tags here.
`GCE_METADATA_HOST` says where the metadata server is, as for Google's own tools.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
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

if TYPE_CHECKING:
    from blixard.sources.cloud import CloudLocation
    from blixard.sources.http_client import Reply

_METADATA_HOST = "169.254.169.254"
_API = "https://compute.googleapis.com"
_FLAVOR = "Google"
_PATH = "/computeMetadata/v1"
_PAGE_SIZE = "500"
_NO_RESULTS = "NO_RESULTS_ON_PAGE"
_LABEL = re.compile(r"[\w-]{1,63}")
_PROJECT = re.compile(r"[a-z0-9.:-]{1,128}")
_FIELDS = (
    "nextPageToken,items/*/warning/code,items/*/instances(name,status,labels,metadata/items,"
    "networkInterfaces(networkIP,ipv6Address,accessConfigs/natIP,ipv6AccessConfigs/externalIpv6))"
)
_REFUSED = "give the machine's service account compute.instances.list (roles/compute.viewer), and a scope for it"


class Gcp:
    """GCP as `cloud.Cloud`. It proves itself by the machine's own service account."""

    def __init__(self, *, metadata: str | None = None, api: str = _API) -> None:
        """`metadata`: URL of the metadata server; None for Google's variable, or the usual one. `api`: of Compute."""
        self._metadata_url = metadata
        self._api = api

    def own(self) -> Own:
        """Ask the metadata server, as `Cloud.own`."""
        reply = self._ask(self._metadata(), "/instance/attributes/?recursive=true&alt=json")
        attributes = object_of(reply.body, "the attributes of this machine")
        user_data = attributes.get("user-data")
        return Own(own_tags(attributes.items()), user_data if isinstance(user_data, str) else "")

    def instances(self, location: CloudLocation) -> Iterable[Instance]:
        """Ask Compute, as `Cloud.instances`."""
        assert location.tag is not None  # noqa: S101 # a location without one asks for nothing here
        key, value = location.tag
        if not _LABEL.fullmatch(key) or not _LABEL.fullmatch(value):
            raise InputError("a label of GCP has letters, digits, _ and - only, at most 63")
        metadata = self._metadata()
        project = location.options.get("project")
        if project is None:
            project = metadata.token(self._ask(metadata, "/project/project-id"))
        if not _PROJECT.fullmatch(project):
            raise InputError("the project is not known", mend="add &project=… to the location")
        given = object_of(self._ask(metadata, "/instance/service-accounts/default/token").body, "the service account")
        token = checked_token(given.get("access_token"), metadata.what)
        compute = Service.of_api(self._api, "Compute", refused=_REFUSED, token=token)
        path = f"/compute/v1/projects/{project}/aggregated/instances"
        arguments = {"filter": f"labels.{key}={value}", "maxResults": _PAGE_SIZE, "fields": _FIELDS}

        def ask(page: str | None) -> tuple[list[Instance], str | None]:
            more = {} if page is None else {"pageToken": page}
            return parse_compute(compute.ask(query(path, {**arguments, **more})).body)

        return all_pages(ask)

    def _metadata(self) -> Service:
        host = os.environ.get("GCE_METADATA_HOST") or _METADATA_HOST
        url = self._metadata_url or f"http://{host}"
        return Service.of_metadata(url, "GCP", what="server", refused=_REFUSED, headers={"Metadata-Flavor": _FLAVOR})

    def _ask(self, metadata: Service, path: str) -> Reply:
        reply = metadata.ask(_PATH + path)
        if reply.headers.get("metadata-flavor") != _FLAVOR:
            raise metadata.error("does not say that it is Google's", "another server has its address")
        return reply


def parse_compute(body: bytes) -> tuple[list[Instance], str | None]:
    """Read an answer of Compute's aggregated list of instances.

    Raises:
        InputError: it is something else.
    """
    document = object_of(body, "Compute")
    scopes = document.get("items", {})
    token = document.get("nextPageToken")
    if not isinstance(scopes, dict) or not isinstance(token, str | None):
        raise InputError("Compute answers with something that is not its list of instances")
    warnings = {*texts(dig(scope, "warning", "code") for scope in scopes.values())} - {_NO_RESULTS}
    if warnings:
        # What is missing would look as if it were gone.
        raise InputError(f"Compute does not list all zones: {', '.join(sorted(warnings))}")
    found = [one for scope in scopes.values() for one in each(scope, "instances")]
    return [_instance(one) for one in found if dig(one, "status") == "RUNNING"], token or None


def _instance(one: object) -> Instance:
    interfaces = each(one, "networkInterfaces")
    labels = dig(one, "labels")
    attributes = ((dig(item, "key"), dig(item, "value")) for item in each(one, "metadata", "items"))
    pairs = [*attributes, *(labels.items() if isinstance(labels, dict) else ())]
    private = texts(dig(each_one, name) for each_one in interfaces for name in ("networkIP", "ipv6Address"))
    public = texts(
        dig(config, name)
        for interface in interfaces
        for kind, name in (("accessConfigs", "natIP"), ("ipv6AccessConfigs", "externalIpv6"))
        for config in each(interface, kind)
    )
    (name,) = texts([dig(one, "name")]) or ("an instance",)
    return Instance(name, own_tags(pairs), private, public)
