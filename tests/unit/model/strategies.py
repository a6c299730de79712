# SPDX-License-Identifier: MIT
"""Hypothesis strategies for values, entries and peers."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from hypothesis import strategies as st

from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.model.ids import EndpointId
from blixard.model.limits import MAX_NODE_ID
from blixard.trust.keys import SecretKey

secret_keys = st.binary(min_size=32, max_size=32).map(SecretKey.from_bytes)
endpoint_ids = secret_keys.map(SecretKey.public)
node_ids = st.integers(min_value=1, max_value=MAX_NODE_ID)
ports = st.integers(min_value=1, max_value=65535)

_v4 = st.ip_addresses(v=4).filter(lambda ip: not (ip.is_multicast or ip.is_unspecified or str(ip) == "255.255.255.255"))
_v6 = st.ip_addresses(v=6).filter(
    lambda ip: not (ip.is_multicast or ip.is_unspecified or getattr(ip, "ipv4_mapped", None))
)
direct_addresses = st.one_of(
    st.builds(lambda ip, port: f"{ip}:{port}", _v4, ports),
    st.builds(lambda ip, port: f"[{ip}]:{port}", _v6, ports),
)
_labels = st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True)
host_names = st.lists(_labels, min_size=1, max_size=4).map(".".join)
listening = st.one_of(direct_addresses, st.builds(lambda name, port: f"{name}:{port}", host_names, ports))
relay_urls = st.one_of(
    st.none(),
    st.builds(
        lambda scheme, name, path: f"{scheme}://{name}{path}",
        st.sampled_from(["http", "https", "HTTPS"]),
        st.one_of(host_names, listening),
        st.sampled_from(["", "/", "/relay", "/a?b=c"]),
    ),
)


def written(endpoint_id: EndpointId) -> st.SearchStrategy[str]:
    """Any of the forms in which an id may be written."""
    return st.sampled_from([endpoint_id.base64, endpoint_id.hex, endpoint_id.hex.upper()])


iroh_node_ids = endpoint_ids.flatmap(written)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_extra_names = st.text(min_size=1, max_size=8).map(lambda name: f"x-{name}")
extras = st.dictionaries(_extra_names, json_values, max_size=2)
moments = st.datetimes(
    min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(timezone.utc)
)

entries = st.builds(
    NodeRegistryEntry,
    cluster_node_id=node_ids,
    iroh_node_id=iroh_node_ids,
    direct_addresses=st.lists(direct_addresses, max_size=5),
    relay_url=relay_urls,
    address=listening,
    extra=extras,
)
peers = st.builds(
    DiscoveredPeer,
    node_id=node_ids,
    iroh_node_id=iroh_node_ids,
    direct_addresses=st.lists(direct_addresses, max_size=5),
    relay_url=relay_urls,
    source=st.text(min_size=1, max_size=20),
    discovered_at=moments,
    extra=extras,
)
peer_lists = st.lists(peers, max_size=4, unique_by=(lambda peer: peer.node_id, lambda peer: peer.iroh_node_id))
