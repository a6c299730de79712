# SPDX-License-Identifier: MIT
"""What a node tells Prometheus: the families, and their text form.

Written here rather than with a client library: the values come from the status and are put into text once a scrape,
so a library would only add a package to every host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from blixard.dialling.protocols import DIAL_ERRORS
from blixard.peers.status import AnswerKind, PeerState
from blixard.transport.acceptor import TurnedAway
from blixard.transport.hello import RefusalKind

if TYPE_CHECKING:
    from datetime import datetime

    from blixard.peers.events import Event
    from blixard.peers.status import PeerStatus, SourceStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_Labels = Mapping[str, object]

_REFUSED = (*get_args(RefusalKind), *get_args(TurnedAway))


@dataclass(frozen=True)
class Family:
    """A metric: its values by label."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Iterable[tuple[_Labels, float]]


def exposition(families: Iterable[Family]) -> bytes:
    """Return the text that Prometheus reads. Source: its text exposition format, version 0.0.4."""
    lines: list[str] = []
    for family in families:
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
        lines += [f"{family.name}{_labels(labels)} {float(value)!r}" for labels, value in family.samples]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _labels(labels: _Labels) -> str:
    pairs = ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class EventCounts:
    """Counts events; what is counted here can be read from no status."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    def add(self, event: Event) -> None:
        """Count one event."""
        self.kinds[event.kind] += 1
        if event.kind == "failed":
            self.failures[str(event.details.get("error"))] += 1

    def families(self) -> Iterator[Family]:
        """Return the counters."""
        for kind, name, text in _COUNTED:
            yield Family(name, "counter", text, [({}, self.kinds[kind])])
        yield Family(
            "blixard_dial_failures_total",
            "counter",
            "Dials that failed, by kind of error.",
            _by_kind(self.failures, DIAL_ERRORS),
        )


def _by_kind(counts: Mapping[str, int], known: Iterable[str]) -> list[tuple[_Labels, float]]:
    """Return the counts by kind, those of `known` kinds from 0 on: else a rate would miss the first of each kind."""
    return [({"kind": kind}, counts.get(kind, 0)) for kind in sorted({*known, *counts})]


_COUNTED = (
    ("connecting", "blixard_dials_total", "Dials of peers."),
    ("connected", "blixard_connections_made_total", "Connections made, whoever dialled."),
    ("disconnected", "blixard_connections_lost_total", "Connections that ended."),
    ("discovered", "blixard_peers_discovered_total", "Peers that were discovered."),
    ("removed", "blixard_peers_removed_total", "Peers that left."),
    ("quarantined", "blixard_addresses_quarantined_total", "Addresses at which another node answered."),
    ("circuit_opened", "blixard_circuit_opened_total", "Times that a peer's circuit breaker opened."),
)


def peer_families(peers: Iterable[PeerStatus]) -> Iterator[Family]:
    """Return what the status says of the peers; only connected ones have series of their own."""
    known = list(peers)
    connected = [peer for peer in known if peer.state == "connected"]
    states = Counter(peer.state for peer in known)
    paths = Counter(peer.path or "unknown" for peer in connected)
    yield Family(
        "blixard_peers",
        "gauge",
        "Known peers, by state.",
        [({"state": state}, states[state]) for state in get_args(PeerState)],
    )
    yield Family(
        "blixard_connections",
        "gauge",
        "Live connections, by the path in use.",
        [({"path": path}, paths[path]) for path in ("direct", "relay", "unknown")],
    )
    yield Family(
        "blixard_peer_rtt_seconds",
        "gauge",
        "Round trip of the last answered ping.",
        [({"node_id": peer.node_id}, peer.rtt_ms / 1000) for peer in connected if peer.rtt_ms is not None],
    )


def source_families(sources: Iterable[SourceStatus], now: datetime) -> Iterator[Family]:
    """Return what the status says of the sources at `now`."""
    asked = list(sources)
    yield Family(
        "blixard_source_up",
        "gauge",
        "Whether the last answer of a source was a good one.",
        [({"source": source.name}, source.state in ("found", "nothing")) for source in asked],
    )
    yield Family(
        "blixard_source_from_memory",
        "gauge",
        "Whether a source counts with what was taken before a restart, since it is not good now.",
        [({"source": source.name}, source.memory_of is not None) for source in asked],
    )
    yield Family(
        "blixard_source_peers",
        "gauge",
        "Peers in the last good answer of a source.",
        [({"source": source.name}, source.peers) for source in asked],
    )
    yield Family(
        "blixard_source_problems",
        "gauge",
        "Parts of the last good answer of a source that were refused.",
        [({"source": source.name}, len(source.problems)) for source in asked],
    )
    yield Family(
        "blixard_source_answers_total",
        "counter",
        "Answers of a source, by kind: what it found, that there is nothing, that it failed.",
        [
            ({"source": source.name, "result": kind}, source.answers.get(kind, 0))
            for source in asked
            for kind in get_args(AnswerKind)
        ],
    )
    yield Family(
        "blixard_source_seconds_since_good_answer",
        "gauge",
        "Age of the last good answer of a source.",
        [
            ({"source": source.name}, max(0.0, (now - source.good_at).total_seconds()))
            for source in asked
            if source.good_at is not None
        ],
    )
    yield Family(
        "blixard_source_last_good_answer_timestamp_seconds",
        "gauge",
        "Unix time of the last good answer of a source.",
        [({"source": source.name}, source.good_at.timestamp()) for source in asked if source.good_at is not None],
    )


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """What is told of the node itself.

    `refused` are callers by kind of refusal, the numbers those of lines, `more` is of parts that not every node has.
    """

    node_id: int
    cluster: str
    version: str
    refused: Mapping[str, int]
    not_remembered: int = 0
    not_written: int = 0
    is_reachable: bool = True
    has_relay: bool = False
    relay_connections: int = 0
    live_in: Mapping[str, bool] = field(default_factory=dict)
    more: Iterable[Family] = ()


def start_families(started: datetime) -> Iterator[Family]:
    """Return when the node started, under the name that every program has it: it tells one that comes back at once."""
    text = "Unix time at which the node started."
    yield Family("process_start_time_seconds", "gauge", text, [({}, started.timestamp())])


def node_families(node: NodeFacts) -> Iterator[Family]:
    """Return what is known of the node itself and of those it turned away."""
    about = {"node_id": node.node_id, "cluster": node.cluster, "version": node.version}
    yield Family("blixard_info", "gauge", "Which node this is.", [(about, 1)])
    yield Family(
        "blixard_not_remembered",
        "gauge",
        "Things that must survive a restart and could not be written to the data directory.",
        [({}, node.not_remembered)],
    )
    yield Family(
        "blixard_not_written",
        "gauge",
        "Things that the node could not write, what must survive a restart included; they are tried again.",
        [({}, node.not_written)],
    )
    yield Family(
        "blixard_not_reachable",
        "gauge",
        "Whether the node has no address to tell that peers on other hosts can reach.",
        [({}, not node.is_reachable)],
    )
    yield Family(
        "blixard_relay_configured",
        "gauge",
        "Whether the node has a relay of its own.",
        [({}, node.has_relay)],
    )
    yield Family(
        "blixard_relay_connections",
        "gauge",
        "Relays that the node is connected to: its own, and those over which it met peers.",
        [({}, node.relay_connections)],
    )
    yield Family(
        "blixard_etcd_live",
        "gauge",
        "Whether etcd was told that the node runs, the last time that this was due.",
        [({"place": place}, is_told) for place, is_told in sorted(node.live_in.items())],
    )
    yield Family(
        "blixard_refused_callers_total",
        "counter",
        "Callers that were not let in, by kind of refusal.",
        _by_kind(node.refused, _REFUSED),
    )
    yield from node.more


def gossip_families(counts: Mapping[str, Mapping[str, int]]) -> Iterator[Family]:
    """Return what is known of the node's gossip: the counts of `Gossip.counts`."""
    for name, text in _GOSSIP.items():
        samples = [({"kind": kind}, count) for kind, count in counts[name].items()]
        yield Family(f"blixard_gossip_{name}_total", "counter", text, samples)


_GOSSIP = {
    "exchanges": "Exchanges that came to their end, by who began them.",
    "failed": "Exchanges that did not, by reason.",
    "entries": "Entries that peers handed on: taken, and dropped by reason.",
    "sent": "What was sent in exchanges, the parts of peers files apart: frames and their bytes.",
}
