# SPDX-License-Identifier: MIT
"""What a node says about itself: its addresses as they are now, signed with its own key, and its registry file."""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.agent.advertise import AddressDecision, candidates_of, decide, local_addresses
from blixard.documents.data_dir_files import REGISTRY_FILE_NAME as REGISTRY_FILE_NAME
from blixard.documents.files import read_limited, write_atomic
from blixard.documents.peers_file import read_peers
from blixard.documents.registry_file import format_registry, read_registry
from blixard.documents.size_limits import MAX_REGISTRY_BYTES
from blixard.errors import InputError, TrustError
from blixard.model.entry import NodeRegistryEntry
from blixard.model.numbers import is_ahead
from blixard.trust.attestation import attest, verify_attestation
from blixard.trust.keys import KEY_FILE_NAME, SecretKey, read_secret_key

if TYPE_CHECKING:
    from pathlib import Path

    from blixard.agent.node_config import NodeConfig
    from blixard.clock import Clock
    from blixard.model.ids import EndpointId
    from blixard.trust.keys import SecretKey


def advertised(config: NodeConfig, port: int) -> list[AddressDecision]:
    """Judge this host's addresses for an endpoint bound to `port`, each with the reason for or against it."""
    local = local_addresses()
    # Who binds to the address of a bridge wants it told; among all addresses of a host it is there by chance.
    bridges = local.bridges if config.bind.ip.is_unspecified else frozenset()
    return decide(candidates_of((config.bind.ip, port), local), config.advertise, bridge_addresses=bridges)


def own_entry(config: NodeConfig, own: EndpointId, port: int) -> NodeRegistryEntry:
    """Return this node's entry as it is now, not signed.

    Raises:
        InputError: no address is left to tell, and there is no relay.
    """
    decisions = advertised(config, port)
    told = [str(decision.address) for decision in decisions if decision.advertised]
    if not told and config.relay_url is None:
        kept = ", ".join(f"{decision.address} ({decision.reason})" for decision in decisions) or "this host has none"
        raise InputError(
            f"no address to tell the peers: {kept}",
            place="/advertise",
            mend="name one with --advertise-extra, or include its network with --advertise-include",
        )
    bound = config.bind if config.bind.port else type(config.bind)(config.bind.ip, port)
    return NodeRegistryEntry(
        cluster_node_id=config.node_id,
        iroh_node_id=own.base64,
        direct_addresses=told,
        relay_url=config.relay_url,
        address=told[0] if told and config.bind.ip.is_unspecified else str(bound),
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
    config: NodeConfig, key: SecretKey, port: int, *, now: datetime, previous: NodeRegistryEntry | None
) -> NodeRegistryEntry:
    """Return this node's entry, signed; the signature of `previous` is kept while nothing has changed."""
    return attest(own_entry(config, key.public(), port), key, cluster=config.cluster, now=now, previous=previous)


def key_path(data_dir: Path) -> Path:
    """Return where a node keeps its secret key."""
    return data_dir / KEY_FILE_NAME


async def current_entry(config: NodeConfig) -> NodeRegistryEntry:
    """Return the signed entry of a node that does not run now; writes nothing.

    The endpoint is bound for a moment, which proves that its address and port can be had.

    Raises:
        InputError: there is no usable key, or the address cannot be bound.
    """
    from blixard.transport.connector import bind_endpoint, bound_port

    key = read_secret_key(key_path(config.data_dir), own=True)
    endpoint = await bind_endpoint(key, str(config.bind))
    try:
        port = bound_port(endpoint, config.bind.ip.version == 6)
    finally:
        await endpoint.close()
    now = datetime.now(timezone.utc)
    previous = last_signed(config, key.public(), now)
    return signed_entry(config, key, port, now=now, previous=previous)


class OwnEntry:
    """What this node says of itself now.

    Attributes:
        entry: the signed entry.
    """

    def __init__(self, config: NodeConfig, key: SecretKey, port: int, clock: Clock) -> None:
        """`port` is the one that the endpoint really has.

        Raises:
            InputError: as `signed_entry`.
        """
        self._key = key
        self._port = port
        self._clock = clock
        self.entry = self.signed(config, last_signed(config, key.public(), clock.wall()))

    def signed(self, config: NodeConfig, previous: NodeRegistryEntry | None) -> NodeRegistryEntry:
        """Return the entry under `config`, with the signature of `previous` where nothing has changed."""
        return signed_entry(config, self._key, self._port, now=self._clock.wall(), previous=previous)

    def addresses(self, config: NodeConfig) -> list[dict[str, Any]]:
        """Return each address of this host, whether the peers are told of it, and why."""
        return [decision.to_json() for decision in advertised(config, self._port)]

    def is_ahead(self) -> bool:
        """Tell whether the entry was signed far ahead of now, by a clock that was set since: then no peer takes it."""
        return is_ahead(self.entry.seq, self._clock.wall())

    def update(self, config: NodeConfig) -> bool:
        """Look at the addresses anew, keep the registry file as it must be, and tell whether the entry changed.

        Raises:
            InputError: there is no address to tell any more, or the file cannot be written. What was said last
                stands then.
        """
        entry = self.signed(config, self.entry)
        changed, self.entry = entry != self.entry, entry
        _keep_file(config.data_dir / REGISTRY_FILE_NAME, format_registry(entry))
        return changed


def _keep_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` unless that is what stands there: who watches the file shall not read it for nothing."""
    try:
        if read_limited(path, MAX_REGISTRY_BYTES) == data:
            return
    except InputError:
        pass  # missing or damaged: it is written anew
    write_atomic(path, data, 0o644)
