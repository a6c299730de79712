# SPDX-License-Identifier: MIT
"""What a node says about itself: its addresses as they are now, signed with its own key, and its registry file."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.agent.advertise import AddressDecision, candidates_of, decide, local_addresses, only_loopback, reasons
from blixard.documents.data_dir_files import REGISTRY_FILE_NAME as REGISTRY_FILE_NAME
from blixard.documents.files import read_limited, write_atomic
from blixard.documents.peers_file import read_peers
from blixard.documents.registry_file import format_registry, read_registry
from blixard.errors import InputError, TrustError
from blixard.model.entry import NodeRegistryEntry
from blixard.model.limits import MAX_REGISTRY_BYTES
from blixard.model.numbers import is_ahead
from blixard.trust.attestation import attest, verify_attestation
from blixard.trust.keys import KEY_FILE_NAME, SecretKey, read_secret_key

if TYPE_CHECKING:
    from blixard.agent.node_config import NodeConfig
    from blixard.agent.options import Bind
    from blixard.clock import Clock
    from blixard.model.ids import EndpointId


Ports = Mapping[int, int]
"""The UDP ports of an endpoint, by IP version."""


def ports_of(bind: Bind) -> Ports:
    """Return the ports that an endpoint has which is bound to `bind` as it is asked for."""
    return dict.fromkeys((4, 6) if bind.ip.is_unspecified else (bind.ip.version,), bind.port)


def advertised(config: NodeConfig, ports: Ports) -> list[AddressDecision]:
    """Judge this host's addresses for an endpoint that has `ports`, each with the reason for or against it."""
    candidates = candidates_of(config.bind.ip, ports, local_addresses())
    return decide(candidates, config.advertise, version=config.bind.ip.version)


def not_reachable(config: NodeConfig, ports: Ports) -> str | None:
    """Return why no peer on another host can reach a node with these `ports`; None if one may, or is not meant to.

    Whoever binds loopback means this host alone. Over a relay, others reach the node all the same.
    """
    if not config.bind.ip.is_unspecified or config.relay_url is not None:
        return None
    return only_loopback(advertised(config, ports))


def own_entry(config: NodeConfig, own: EndpointId, ports: Ports) -> NodeRegistryEntry:
    """Return this node's entry as it is now, not signed.

    Raises:
        InputError: no address is left to tell, and there is no relay.
    """
    decisions = advertised(config, ports)
    told = [str(decision.address) for decision in decisions if decision.advertised]
    if not told and config.relay_url is None:
        raise InputError(
            f"no address to tell the peers: {reasons(decisions) or 'this host has none'}",
            place="/advertise",
            mend="name one with --advertise-extra, or include its network with --advertise-include",
        )
    ip, port = config.bind.ip, config.bind.port or ports[config.bind.ip.version]
    return NodeRegistryEntry(
        cluster_node_id=config.node_id,
        iroh_node_id=own.base64,
        direct_addresses=told,
        relay_url=config.relay_url,
        address=told[0] if told and ip.is_unspecified else str(type(config.bind)(ip, port)),
    )


def last_signed(config: NodeConfig, own: EndpointId, now: datetime) -> NodeRegistryEntry | None:
    """Return what this node signed last, from its registry file or from the peers file that it was given.

    The peers file counts too: it brings back the memory of a node that lost its data, and what was signed on
    this host before the node first ran. A number far ahead of `now`, which no peer takes, is no memory.
    """
    known: list[NodeRegistryEntry] = []
    with contextlib.suppress(InputError):
        known.append(read_registry(config.data_dir / REGISTRY_FILE_NAME))
    with contextlib.suppress(InputError):
        known += [
            NodeRegistryEntry(p.node_id, p.iroh_node_id, p.direct_addresses, p.relay_url, "0.0.0.0:1", p.attestation)
            for p in read_peers(config.peers_file)
            if p.iroh_node_id == own.base64
        ]
    ours = (each for each in known if _is_ours(each, own, config.cluster, now))
    return max(ours, key=lambda each: each.seq, default=None)


def _is_ours(entry: NodeRegistryEntry, own: EndpointId, cluster: str, now: datetime) -> bool:
    try:
        verify_attestation(entry, cluster=cluster)
    except TrustError:
        return False
    return entry.endpoint_id == own and not is_ahead(entry.seq, now)


def signed_entry(
    config: NodeConfig, key: SecretKey, ports: Ports, *, now: datetime, previous: NodeRegistryEntry | None
) -> NodeRegistryEntry:
    """Return this node's entry, signed; the signature of `previous` is kept while nothing has changed."""
    return attest(own_entry(config, key.public(), ports), key, cluster=config.cluster, now=now, previous=previous)


def key_path(data_dir: Path) -> Path:
    """Return where a node keeps its secret key."""
    return data_dir / KEY_FILE_NAME


async def current_entry(config: NodeConfig) -> NodeRegistryEntry:
    """Return the signed entry of a node that does not run now; writes nothing.

    The endpoint is bound for a moment, which proves that its address and port can be had.

    Raises:
        InputError: there is no usable key, or the address cannot be bound.
    """
    from blixard.transport.connector import bind_endpoint, bound_ports

    key = read_secret_key(key_path(config.data_dir), own=True)
    endpoint = await bind_endpoint(key, str(config.bind), relays=None)
    try:
        ports = bound_ports(endpoint, str(config.bind))
    finally:
        await endpoint.close()
    now = datetime.now(timezone.utc)
    previous = last_signed(config, key.public(), now)
    return signed_entry(config, key, ports, now=now, previous=previous)


class OwnEntry:
    """What this node says of itself now.

    Attributes:
        entry: the signed entry.
        not_reachable: why no peer on another host can reach the node; None while one may.
        problem: why the registry file does not say so; None when it does.
    """

    def __init__(self, config: NodeConfig, key: SecretKey, ports: Ports, clock: Clock) -> None:
        """`ports` are those that the endpoint really has.

        Raises:
            InputError: as `signed_entry`.
        """
        self._key = key
        self._ports = ports
        self._clock = clock
        self._path = config.data_dir / REGISTRY_FILE_NAME
        self._writing = threading.Lock()
        self.problem: str | None = None
        self.entry = self.signed(config, last_signed(config, key.public(), clock.wall()))
        self.not_reachable = not_reachable(config, ports)

    def signed(self, config: NodeConfig, previous: NodeRegistryEntry | None) -> NodeRegistryEntry:
        """Return the entry under `config`, with the signature of `previous` where nothing has changed."""
        return signed_entry(config, self._key, self._ports, now=self._clock.wall(), previous=previous)

    def addresses(self, config: NodeConfig) -> list[dict[str, Any]]:
        """Return each address of this host, whether the peers are told of it, and why."""
        return [decision.to_json() for decision in advertised(config, self._ports)]

    def is_ahead(self) -> bool:
        """Tell whether the entry was signed far ahead of now, by a clock that was set since: then no peer takes it."""
        return is_ahead(self.entry.seq, self._clock.wall())

    def update(self, config: NodeConfig) -> bool:
        """Look at the addresses anew, keep the registry file as it must be, and tell whether the entry changed.

        The entry holds also while the file cannot be written: `problem` says so.

        Raises:
            InputError: there is no address to tell any more. What was said last stands then.
        """
        try:
            entry = self.signed(config, self.entry)
        except InputError as error:
            self.not_reachable = str(error)
            raise
        changed, self.entry = entry != self.entry, entry
        self.not_reachable = not_reachable(config, self._ports)
        self.write_again()
        return changed

    def write_again(self) -> None:
        """Write the registry file if it does not say what the entry says."""
        with self._writing:
            try:
                _keep_file(self._path, format_registry(self.entry))
            except InputError as error:
                self.problem = str(error)
            else:
                self.problem = None


def _keep_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` unless that is what stands there: who watches the file shall not read it for nothing."""
    try:
        if read_limited(path, MAX_REGISTRY_BYTES) == data:
            return
    except InputError:
        pass  # missing or damaged: it is written anew
    write_atomic(path, data, 0o644)
