# SPDX-License-Identifier: MIT
"""The page of one running node: its peers as its row of the matrix and as a table, its sources, what happened lately.

Made of the node's status at each request, without a script. It has what `blixard status` says, and no addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from blixard.documents.json_times import format_time
from blixard.pages.document import counted, escaped, grouped, page
from blixard.pages.mesh_page import milliseconds

if TYPE_CHECKING:
    from blixard.peers.events import Event

MAX_PEERS = 500
"""Peers that are listed, those without a connection first."""

MAX_SOURCES = 100

_ORDER = ("refused", "open", "backing_off", "connecting", "discovered", "connected")
_WORDS = {"backing_off": "backing off", "open": "circuit open"}
_SIGNS = {"connected": "", "discovered": "·", "connecting": "…", "refused": "–"}


def node_page(
    *,
    cluster: str,
    node_id: int,
    version: str,
    peers: Sequence[Mapping[str, Any]],
    sources: Sequence[Mapping[str, Any]],
    events: Iterable[Event],
) -> bytes:
    """Return the page of a node as HTML.

    Args:
        cluster: its cluster.
        node_id: its number.
        version: of the package.
        peers: as in its status (schema `node-status`).
        sources: as in its status.
        events: the last ones of its manager, the oldest first.
    """
    wanted = [peer for peer in peers if peer["wanted"] or peer["state"] == "connected"]
    up = sum(peer["state"] == "connected" for peer in wanted)
    level, mark = ("good", "✓") if up == len(wanted) else ("bad", "✕")
    verdict = f"connected with {grouped(up)} of {counted(len(wanted), 'peer')}" if wanted else "no peers known"
    ordered = sorted(peers, key=lambda peer: (_ORDER.index(peer["state"]), peer["node_id"]))
    title = f"node {node_id} of {cluster}"
    body = f"""<header>
<p class="fleet">{escaped(title)}, version {escaped(version)}</p>
<h1><span class="mark {level}" aria-hidden="true">{mark}</span> {escaped(verdict[0].upper() + verdict[1:])}</h1>
</header>
<main>
{_row(ordered)}
{_peers(ordered)}
{_sources(sources)}
{_events(list(events))}
</main>"""
    return page(f"{title}: {verdict}", body)


def _row(peers: Sequence[Mapping[str, Any]]) -> str:
    cells = "".join(_cell(peer) for peer in sorted(peers[:MAX_PEERS], key=lambda peer: int(peer["node_id"])))
    return f"""<section aria-labelledby="row-title">
<h2 id="row-title">Its row of the matrix</h2>
<ul class="row">{cells or "<li>–</li>"}</ul>
</section>"""


def _cell(peer: Mapping[str, Any]) -> str:
    state, rtt = peer["state"], peer["rtt_ms"]
    if state == "connected":
        name = "fast" if rtt is None or rtt < 2 else "middle" if rtt < 20 else "slow"
    else:
        name = "none" if state in ("discovered", "connecting") else "bad"
    said = f"node {peer['node_id']}: {_WORDS.get(state, state)}, {milliseconds(rtt)}"
    sign = _SIGNS.get(state, "✕")
    return f'<li class="{name}" title="{escaped(said)}">{sign}<span class="unseen">{escaped(said)}</span></li>'


def _peers(peers: Sequence[Mapping[str, Any]]) -> str:
    rows = [_peer_row(peer) for peer in peers[:MAX_PEERS]]
    heads = ("Node", "State", "Since", "Path", "Round trip", "Failures", "Next try", "Last error", "Sources")
    return _table("peers", "Peers", heads, rows, len(peers) - MAX_PEERS)


def _peer_row(peer: Mapping[str, Any]) -> Sequence[object]:
    error = peer["last_error"] if peer["state"] != "connected" else None
    next_try = peer["next_attempt_s"]
    return (
        peer["node_id"],
        _WORDS.get(peer["state"], peer["state"]),
        peer["since"],
        peer["path"] or "–",
        milliseconds(peer["rtt_ms"]),
        peer["failures"],
        "–" if next_try is None else f"in {next_try:.1f} s",
        f"{error['kind']}: {error['message']}" if error else "",
        ", ".join(peer["sources"]),
    )


def _sources(sources: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            source["name"],
            source["state"].replace("_", " "),
            source["peers"],
            source["good_at"] or "never",
            "; ".join(filter(None, [source["error"], *source["problems"]])),
        )
        for source in sources[:MAX_SOURCES]
    ]
    heads = ("Source", "State", "Peers", "Last good answer", "Trouble")
    return _table("sources", "Sources", heads, rows, len(sources) - MAX_SOURCES)


def _events(events: Sequence[Event]) -> str:
    rows = [
        (format_time(event.at), event.node_id, event.kind.replace("_", " "), _details(event))
        for event in reversed(events)
    ]
    return _table("events", "Recent events", ("When", "Node", "Event", "Details"), rows, 0)


def _details(event: Event) -> str:
    return ", ".join(f"{name}: {value}" for name, value in event.details.items() if value is not None)


def _table(name: str, title: str, heads: Sequence[str], rows: Sequence[Sequence[object]], more: int) -> str:
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    lines = "".join(
        f'<tr><th scope="row">{escaped(first)}</th>{"".join(f"<td>{escaped(each)}</td>" for each in rest)}</tr>'
        for first, *rest in rows
    )
    left = f"<p>… and {grouped(more)} more.</p>" if more > 0 else ""
    return f"""<section id="{name}" aria-labelledby="{name}-title">
<h2 id="{name}-title">{title}</h2>
<div class="wide" tabindex="0" role="region" aria-label="Table: {title}"><table>
<thead><tr>{head}</tr></thead>
<tbody>{lines or f'<tr><td colspan="{len(heads)}">None.</td></tr>'}</tbody>
</table></div>{left}
</section>"""
