# SPDX-License-Identifier: MIT
"""What a node says about itself: its addresses as they are now, signed with its own key."""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.agent.advertise import Verdict, candidates_of, judge, local_addresses
from blixard.documents.data_dir_files import REGISTRY_FILE_NAME as REGISTRY_FILE_NAME
from blixard.documents.peers_file import read_peers
from blixard.documents.registry_file import read_registry
from blixard.errors import InputError, TrustError
from blixard.model.entry import NodeRegistryEntry
from blixard.model.numbers import is_ahead
from blixard.trust.attestation import attest, verify_attestation
from blixard.trust.keys import KEY_FILE_NAME, SecretKey, read_secret_key

if TYPE_CHECKING:
    from blixard.agent.config import NodeConfig
    from blixard.model.ids import EndpointId


def advertised(config: NodeConfig, port: int) -> list[Verdict]:
    """Judge this host's addresses for an endpoint bound to `port`, each with the reason for or against it."""
    local = local_addresses()
    # Who binds to the address of a bridge wants it told; among all addresses of a host it is there by chance.
    bridges = local.bridges if config.bind.ip.is_unspecified else frozenset()
    return judge(candidates_of((config.bind.ip, port), local), config.advertise, bridge_addresses=bridges)


def own_entry(config: NodeConfig, own: EndpointId, port: int) -> NodeRegistryEntry:
    """Return this node's entry as it is now, not signed.

    Raises:
        InputError: no address is left to tell, and there is no relay.
    """
    verdicts = advertised(config, port)
    told = [str(verdict.address) for verdict in verdicts if verdict.told]
    if not told and config.relay_url is None:
        kept = ", ".join(f"{verdict.address} ({verdict.why})" for verdict in verdicts) or "this host has none"
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
    return max((each for each in known if _is_ours(each, own, config.cluster, now)), key=_seq, default=None)


def _seq(entry: NodeRegistryEntry) -> int:
    return entry.attestation.seq if entry.attestation else 0


def _is_ours(entry: NodeRegistryEntry, own: EndpointId, cluster: str, now: datetime) -> bool:
    try:
        verify_attestation(entry, cluster=cluster)
    except TrustError:
        return False
    return entry.endpoint_id == own and not is_ahead(_seq(entry), now)


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
