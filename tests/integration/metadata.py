# SPDX-License-Identifier: MIT
"""Metadata services and listing APIs of the three clouds on loopback, as their documentation describes them.

They are ours: no emulator of them exists that demands what the real ones do (moto's metadata service answers without a
token and has no tags; there is none for GCP and Azure). EC2 itself is moto's, see `test_cloud`.
"""

from __future__ import annotations

import base64
import http.server
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

SECRET = "hush-hush-token"  # what no test may find anywhere but in a header
IMDS = "AQAEA-session-token=="


@dataclass
class Asked:
    """One request; names of headers are in lower case, and the path is without its query."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass
class Told:
    """An answer."""

    status: int = 200
    body: bytes | str | dict[str, Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


Service = Callable[[Asked], Told]


@dataclass
class Running:
    """A running server."""

    url: str
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def running(service: Service) -> Iterator[Running]:
    """Run a service until the block ends."""
    server = Running("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            path, _, query = self.path.partition("?")
            names = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, path, dict(urllib.parse.parse_qsl(query, strict_parsing=bool(query))), names)
            server.asked.append(asked)
            told = service(asked)
            try:
                self.send_response(told.status)
                for name, value in told.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(told.content())
            except OSError:
                return

        do_GET = do_PUT = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        web.daemon_threads = True
        server.url = f"http://127.0.0.1:{web.server_address[1]}"
        thread = threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            web.shutdown()
            thread.join()


@dataclass
class Machine:
    """What a metadata service tells of the machine that asks. `allows_tags`: AWS tells tags only if allowed to."""

    tags: dict[str, str] = field(default_factory=dict)
    user_data: str | None = None
    allows_tags: bool = True
    has_identity: bool = True


def aws_metadata(machine: Machine) -> Service:
    """IMDSv2: a token by PUT with its time to live, and every GET with the token; never version 1."""

    def told(asked: Asked) -> Told:
        if "x-forwarded-for" in asked.headers:
            return Told(403)
        if asked.path == "/latest/api/token":
            ttl = asked.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
            good = asked.method == "PUT" and ttl.isdigit() and 1 <= int(ttl) <= 21600
            return Told(200, IMDS) if good else Told(400)
        if asked.method != "GET" or asked.headers.get("x-aws-ec2-metadata-token") != IMDS:
            return Told(401)
        found = _aws_tree(machine).get(asked.path)
        return Told(404) if found is None else Told(200, found)

    return told


def _aws_tree(machine: Machine) -> dict[str, str | None]:
    tags, roles = "/latest/meta-data/tags/instance", "/latest/meta-data/iam/security-credentials"
    given = {"Code": "Success", "AccessKeyId": "ASIAROLE", "SecretAccessKey": SECRET, "Token": f"{SECRET}/session"}
    return {
        "/latest/user-data": machine.user_data,
        "/latest/meta-data/placement/region": "eu-central-1",
        f"{tags}/": "\n".join(machine.tags) if machine.allows_tags else None,
        **({f"{tags}/{name}": value for name, value in machine.tags.items()} if machine.allows_tags else {}),
        f"{roles}/": "blixard-node" if machine.has_identity else None,
        f"{roles}/blixard-node": json.dumps(given) if machine.has_identity else None,
    }


def gcp_metadata(machine: Machine) -> Service:
    """The metadata server of GCP: demands the header `Metadata-Flavor`, and has it in each answer."""
    flavor = {"Metadata-Flavor": "Google"}

    def told(asked: Asked) -> Told:
        if asked.headers.get("metadata-flavor") != "Google" or "x-forwarded-for" in asked.headers:
            return Told(403, "", flavor)
        user_data = {} if machine.user_data is None else {"user-data": machine.user_data}
        identity = {"access_token": SECRET, "expires_in": 3599, "token_type": "Bearer"}
        tree = {
            "/instance/attributes/": json.dumps({**machine.tags, **user_data}),
            "/project/project-id": "our-project",
            "/instance/service-accounts/default/token": json.dumps(identity) if machine.has_identity else None,
        }
        found = tree.get(asked.path.removeprefix("/computeMetadata/v1"))
        return Told(404, "", flavor) if found is None else Told(200, found, flavor)

    return told


def azure_metadata(machine: Machine) -> Service:
    """IMDS of Azure: demands the header `Metadata` and an api-version."""

    def told(asked: Asked) -> Told:
        if asked.headers.get("metadata") != "true" or "x-forwarded-for" in asked.headers:
            return Told(400, {"error": "Bad request. Required metadata header not specified"})
        if "api-version" not in asked.query:
            return Told(400, {"error": "Bad request. api-version was not specified in the request"})
        if asked.path == "/metadata/identity/oauth2/token":
            if not machine.has_identity:
                return Told(400, {"error": "invalid_request", "error_description": "Identity not found"})
            return Told(200, {"access_token": SECRET, "resource": asked.query["resource"], "token_type": "Bearer"})
        if asked.path != "/metadata/instance/compute":
            return Told(404)
        return Told(
            200,
            {
                "azEnvironment": "AzurePublicCloud",
                "subscriptionId": "8d10da13-8125-4ba9-a717-bf7490507b3d",
                "tagsList": [{"name": name, "value": value} for name, value in machine.tags.items()],
                "userData": base64.b64encode((machine.user_data or "").encode()).decode(),
            },
        )

    return told


@dataclass
class Listed:
    """An instance as a listing API tells it."""

    name: str
    tags: dict[str, str]
    private: str | None = "10.0.0.1"
    public: str | None = None
    is_running: bool = True


def allowed(asked: Asked) -> bool:
    """Tell whether a request has the token that the metadata service gave."""
    return asked.headers.get("authorization") == f"Bearer {SECRET}"


def compute(instances: list[Listed], *, a_page: int = 2) -> Service:
    """Compute of GCP: the aggregated list with filter, fields and pages."""

    def told(asked: Asked) -> Told:
        if asked.path != "/compute/v1/projects/our-project/aggregated/instances":
            return Told(404)
        if not allowed(asked):
            return Told(403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": SECRET}})
        key, _, value = asked.query["filter"].removeprefix("labels.").partition("=")
        chosen = [one for one in instances if _label(one.tags.get(key, "")) == value]
        start = int(asked.query.get("pageToken", "0"))
        more = {"nextPageToken": str(start + a_page)} if len(chosen) > start + a_page else {}
        shown = [_compute_instance(one) for one in chosen[start : start + a_page]]
        # Each scope without an instance is there too, with a warning.
        empty = {"warning": {"code": "NO_RESULTS_ON_PAGE"}}
        return Told(200, {"items": {"zones/a": {"instances": shown} if shown else empty, "zones/b": empty}, **more})

    return told


def _label(text: str) -> str:
    return text if len(text) <= 63 else ""


def _compute_instance(one: Listed) -> dict[str, Any]:
    labels = {name: value for name, value in one.tags.items() if len(value) <= 63}
    items = [{"key": name, "value": value} for name, value in one.tags.items() if len(value) > 63]
    access = [{"natIP": one.public}] if one.public else []
    return {
        "name": one.name,
        "status": "RUNNING" if one.is_running else "TERMINATED",
        "labels": labels,
        "metadata": {"items": [*items, {"key": "startup-script", "value": "#!/bin/sh\n" * 100}]},
        "networkInterfaces": [{"networkIP": one.private, "accessConfigs": access}],
    }


def resource_manager(instances: list[Listed], *, a_page: int = 2) -> Service:
    """The Resource Manager of Azure: the lists of machines, network interfaces and public addresses, with pages."""
    base = "/subscriptions/8d10da13-8125-4ba9-a717-bf7490507b3d"
    group = f"{base}/resourceGroups/Fleet/providers"

    def told(asked: Asked) -> Told:
        if not allowed(asked):
            return Told(403, {"error": {"code": "AuthorizationFailed", "message": SECRET}})
        kind = asked.path.removeprefix(f"{base}/providers/")
        has_states = asked.query.get("statusOnly") == "true"
        rows = {
            "Microsoft.Compute/virtualMachines": [
                (_state if has_states else _machine)(group, one) for one in instances
            ],
            "Microsoft.Network/networkInterfaces": [_interface(group, one) for one in instances],
            "Microsoft.Network/publicIPAddresses": [_public(group, one) for one in instances if one.public],
        }.get(kind)
        if rows is None or "api-version" not in asked.query:
            return Told(404)
        start = int(asked.query.get("$skiptoken", "0"))
        version = asked.query["api-version"]
        states = "&statusOnly=true" if has_states else ""
        link = f"http://{asked.headers['host']}{asked.path}?api-version={version}{states}&$skiptoken={start + a_page}"
        more = {"nextLink": link} if len(rows) > start + a_page else {}
        return Told(200, {"value": rows[start : start + a_page], **more})

    return told


def _machine(group: str, one: Listed) -> dict[str, Any]:
    return {"id": f"{group}/Microsoft.Compute/virtualMachines/{one.name}", "name": one.name, "tags": one.tags}


def _state(group: str, one: Listed) -> dict[str, Any]:
    power = {"code": f"PowerState/{'running' if one.is_running else 'deallocated'}", "level": "Info"}
    view = {"statuses": [{"code": "ProvisioningState/succeeded", "level": "Info"}, power]}
    return {"id": _machine(group, one)["id"].upper(), "name": one.name, "properties": {"instanceView": view}}


def _interface(group: str, one: Listed) -> dict[str, Any]:
    # The Resource Manager does not keep the case of the ids that resources name each other by.
    public = {"publicIPAddress": {"id": _public(group, one)["id"].upper()}} if one.public else {}
    return {
        "id": f"{group}/Microsoft.Network/networkInterfaces/{one.name}-nic",
        "properties": {
            "virtualMachine": {"id": _machine(group, one)["id"].upper()},
            "ipConfigurations": [{"properties": {"privateIPAddress": one.private, **public}}],
        },
    }


def _public(group: str, one: Listed) -> dict[str, Any]:
    at = f"{group}/Microsoft.Network/publicIPAddresses/{one.name}-ip"
    return {"id": at, "properties": {"ipAddress": one.public}}
