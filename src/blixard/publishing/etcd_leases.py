# SPDX-License-Identifier: MIT
"""Leases in etcd, and the keys by which nodes say that they run: `live/NODE_ID` under a prefix.

A key with a lease goes away when nobody has renewed the lease for its time: its owner died, or cannot reach etcd.
Blocking; each object is for one thread at a time. All of it raises InputError where etcd gives no good answer.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blixard.documents.json_bytes import loads
from blixard.errors import BlixardError, InputError
from blixard.model.ids import EndpointId
from blixard.model.limits import MAX_NODE_ID, MAX_PEERS, MIB
from blixard.model.times import format_time, parse_rfc3339
from blixard.sources.etcd_client import encoded, everything
from blixard.sources.http_client import Deadline, Limits

if TYPE_CHECKING:
    from datetime import datetime

    from blixard.sources.etcd_client import Etcd

LIVE = "live/"
_AFTER_LIVE = "live0"

LIVE_LEASE = 60
"""Seconds after which the key of a node goes that renews it no more; a node does so three times as often."""

_LIMITS = Limits()
_LOOK = Limits(total=20.0)
_ROOM = 64 * MIB
_MAX_DIGITS = 20


class Lease:
    """A lease of so many seconds, from the moment it is made."""

    def __init__(self, client: Etcd, seconds: int) -> None:
        self._client = client
        self.number = str(client.call("lease/grant", {"TTL": str(seconds)}, Deadline(_LIMITS)).get("ID"))

    def renew(self) -> bool:
        """Keep it for another while; tell whether it is there."""
        answer = self._client.call("lease/keepalive", {"ID": self.number}, Deadline(_LIMITS))
        result = answer.get("result")
        return isinstance(result, dict) and str(result.get("TTL", "0")) != "0"

    def end(self) -> None:
        """Let go of it, and of all keys with it; where etcd cannot be asked, it runs out by itself."""
        with contextlib.suppress(BlixardError):
            self._client.call("lease/revoke", {"ID": self.number}, Deadline(_LIMITS))


class LiveKey:
    """The key of a node that runs."""

    def __init__(self, client: Etcd, node_id: int, endpoint_id: EndpointId, since: datetime) -> None:
        self._client = client
        self._key = client.place.key(f"{LIVE}{node_id}")
        self._value = json.dumps({"iroh_node_id": endpoint_id.base64, "since": format_time(since)}).encode()
        self._lease: Lease | None = None

    def renew(self) -> None:
        """Have the key there for another `LIVE_LEASE` seconds."""
        if self._lease is None or not self._lease.renew():
            self._lease = None
            lease = Lease(self._client, LIVE_LEASE)
            put = {"key": encoded(self._key), "value": encoded(self._value), "lease": lease.number}
            self._client.call("kv/put", put, Deadline(_LIMITS))
            self._lease = lease

    def remove(self) -> None:
        """Take the key away."""
        if self._lease is not None:
            self._lease.end()
            self._lease = None


@dataclass(frozen=True)
class Living:
    """What a key says: that this node runs, since when; nobody has signed it."""

    node_id: int
    endpoint_id: EndpointId
    since: datetime

    def to_json(self) -> dict[str, object]:
        """Return it for `--json`."""
        return {
            "node_id": self.node_id,
            "iroh_node_id": self.endpoint_id.base64,
            "since": format_time(self.since),
        }


def living(client: Etcd) -> tuple[list[Living], int]:
    """Return which nodes say that they run, by their node ids, and how many keys cannot be read."""
    key = client.place.key
    found = everything(client, key(LIVE), key(_AFTER_LIVE), Deadline(_LOOK), most=MAX_PEERS, room=_ROOM)
    cut = len(key(LIVE))
    read = [parse_living(item.key[cut:], item.value or b"") for item in found.items]
    nodes = sorted((each for each in read if each is not None), key=lambda each: each.node_id)
    return nodes, len(read) - len(nodes)


def parse_living(name: bytes, value: bytes) -> Living | None:
    """Read a key below `LIVE`; None where it is of another form."""
    try:
        said = loads(value)
        if not isinstance(said, dict) or not (name.isdigit() and len(name) <= _MAX_DIGITS):
            return None
        node_id = int(name)
        endpoint_id, since = EndpointId.parse(str(said.get("iroh_node_id"))), parse_rfc3339(said.get("since"))
    except InputError:
        return None
    return Living(node_id, endpoint_id, since) if 0 < node_id <= MAX_NODE_ID else None
