# SPDX-License-Identifier: MIT
"""The page of a connectivity report: verdict, what is wrong, what changed, the matrix, the nodes, the edges.

What matters is in the HTML. The script draws matrix and graph, filters, and shows an edge; without it the page still
says what is wrong.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from blixard.pages.changes import Changes, changes
from blixard.pages.document import escaped, grouped, page
from blixard.pages.mesh import Finding, Mesh, findings, mesh_of, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from blixard.pages.changes import Change
    from blixard.pages.mesh import Edge, Node

MAX_FINDINGS = 50
"""Findings, and changes, that are listed; the table of edges has them all."""

GRAPH_NODES = 30
"""Nodes of which a circle with all their edges can still be read."""

_STATES = ("good", "unreached", "refused", "untold")
_PATHS = (None, "direct", "relay")
_NODE_STATES = ("down", "not asked", "trouble", "good")
_MARKS = {"good": "✓", "unsure": "?", "bad": "✕", "down": "✕", "trouble": "!", "not asked": "?"}


def mesh_page(report: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> bytes:
    """Return the page of a report as HTML, the same bytes for the same reports.

    Args:
        report: as `parse_report` returns it.
        before: an earlier report of the same fleet, for what has changed since.
    """
    mesh = mesh_of(report)
    found = findings(mesh)
    level, sentence = verdict(mesh, found)
    changed = changes(mesh_of(before), mesh) if before is not None else None
    fleet = f"Mesh of {mesh.cluster}" if mesh.cluster else "Mesh, seen by a stranger"
    body = "\n".join(
        [
            _header(fleet, level, sentence, mesh),
            "<main>",
            _wrong(list(found)),
            _changed(changed) if changed else "",
            _TOOLBAR,
            _MATRIX,
            _GRAPH if len(mesh.nodes) <= GRAPH_NODES else "",
            _nodes(mesh),
            _EDGES,
            "</main>",
        ]
    )
    title = f"{sentence} {fleet}"
    return page(title, body, script="mesh.js", data=_for_script(mesh, changed), attributes=f' data-level="{level}"')


# --- The parts --------------------------------------------------------------------------------------------


def _header(fleet: str, level: str, sentence: str, mesh: Mesh) -> str:
    figures = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in _figures(mesh))
    return f"""<header>
<p class="fleet">{escaped(fleet)}</p>
<h1><span class="mark {level}" aria-hidden="true">{_MARKS[level]}</span> {escaped(sentence)}</h1>
<dl class="figures">{figures}</dl>
</header>"""


def _figures(mesh: Mesh) -> Iterable[tuple[str, str]]:
    states: Counter[str] = Counter(edge.state for edge in mesh.edges)
    yield "Nodes", grouped(len(mesh.nodes))
    yield "Edges that are good", f"{grouped(states['good'])} of {grouped(len(mesh.edges))}"
    for state, name in (("unreached", "Not reached"), ("refused", "Not let in"), ("untold", "Could not be told")):
        if states[state]:
            yield name, grouped(states[state])
    relayed = sum(edge.path == "relay" for edge in mesh.edges)
    if relayed:
        yield "Over a relay", grouped(relayed)
    times = sorted(edge.rtt_ms for edge in mesh.edges if edge.rtt_ms is not None)
    if times:
        yield "Round trip, middle", milliseconds(times[len(times) // 2])
        yield "Round trip, slowest", milliseconds(times[-1])
    counts = [len(node.incoming) for node in mesh.nodes]
    if mesh.is_sampled:
        least, most = min(counts), max(counts)
        yield "Sampled: each node is checked by", f"{least} others" if least == most else f"{least} to {most} others"


def milliseconds(value: float | None) -> str:
    """Return a round trip as people read it."""
    if value is None:
        return "–"
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def _wrong(found: Sequence[Finding]) -> str:
    if not found:
        return ""
    return f"""<section id="wrong" aria-labelledby="wrong-title">
<h2 id="wrong-title">What is wrong</h2>
<ul class="findings">{_lines(found, lambda each: (each.level, _MARKS[each.level]))}</ul>
</section>"""


def _changed(changed: Changes) -> str:
    marks = {"worse": ("bad", "↓"), "better": ("good", "↑"), "other": ("other", "·")}
    lines = _lines(changed.lines, lambda each: marks[each.kind]) or "<li>Nothing.</li>"
    return f"""<section id="changes" aria-labelledby="changes-title">
<h2 id="changes-title">What changed since the last report</h2>
<ul class="findings">{lines}</ul>
</section>"""


def _lines(all_of_them: Sequence[Any], mark: Any) -> str:
    shown: Sequence[Finding | Change] = all_of_them[:MAX_FINDINGS]
    lines = [_line(each, *mark(each)) for each in shown]
    if len(all_of_them) > len(shown):
        lines.append(f"<li>… and {grouped(len(all_of_them) - len(shown))} more: see the table of edges.</li>")
    return "".join(lines)


def _line(each: Finding | Change, name: str, sign: str) -> str:
    place = "".join(
        f' data-{end}="{value}"' for end, value in (("start", each.start), ("end", each.end)) if value is not None
    )
    title = f"<strong>{escaped(each.title)}</strong>"
    title = f'<button type="button" class="link"{place}>{title}</button>' if place else title
    marked = f'<span class="mark {name}" aria-hidden="true">{sign}</span>'
    return f"<li>{marked} {title} <span>{escaped(each.text)}</span></li>"


def _nodes(mesh: Mesh) -> str:
    order = sorted(range(len(mesh.nodes)), key=lambda place: (_NODE_STATES.index(mesh.nodes[place].state), place))
    has_groups = any(node.groups for node in mesh.nodes)
    rows = "".join(_node_row(mesh, place, has_groups) for place in order)
    groups = '<th scope="col">Groups</th>' if has_groups else ""
    return f"""<section id="nodes" aria-labelledby="nodes-title">
<h2 id="nodes-title">Nodes</h2>
<div class="wide" tabindex="0" role="region" aria-label="Table of nodes"><table>
<thead><tr><th scope="col">State</th><th scope="col">Node</th>{groups}<th scope="col">Reached by</th>\
<th scope="col">Reaches</th><th scope="col">Slowest round trip</th><th scope="col">Version</th>\
<th scope="col">Notes</th></tr></thead>
<tbody>{rows}</tbody>
</table></div>
</section>"""


def _node_row(mesh: Mesh, place: int, has_groups: bool) -> str:
    node = mesh.nodes[place]
    number = f" <small>{node.number}</small>" if node.number is not None and node.name != f"node {node.number}" else ""
    button = f'<button type="button" class="link" data-node="{place}">{escaped(node.name)}</button>'
    agent = [] if node.agent in ("running", "stranger", "no part of this report") else [node.agent]
    cells = [
        f'<td class="state {node.state.replace(" ", "-")}">{_MARKS[node.state]} {node.state}</td>',
        f'<th scope="row">{button}{number}</th>',
        f"<td>{escaped(', '.join(node.groups))}</td>" if has_groups else "",
        f'<td class="number">{_share(node.incoming)}</td>',
        f'<td class="number">{_share(node.outgoing)}</td>',
        f'<td class="number">{_slowest(mesh, place, node)}</td>',
        f"<td>{escaped(node.version or '–')}</td>",
        f"<td>{escaped('; '.join([*agent, *node.notes]))}</td>",
    ]
    return f'<tr data-row="{place}">{"".join(cells)}</tr>'


def _share(edges: Sequence[Edge]) -> str:
    return f"{grouped(sum(edge.state == 'good' for edge in edges))} of {grouped(len(edges))}" if edges else "–"


def _slowest(mesh: Mesh, place: int, node: Node) -> str:
    edge = node.slowest
    if edge is None:
        return "–"
    way = f"to {mesh.name(edge.end)}" if edge.start == place else f"from {mesh.name(edge.start)}"
    return f"{milliseconds(edge.rtt_ms)} <small>{escaped(way)}</small>"


# What the script fills. Every control has its label, every picture its words.
_TOOLBAR = """<form class="toolbar" role="search" id="toolbar" aria-label="Filter">
<label>Search <kbd>/</kbd> <input type="search" id="search" autocomplete="off" \
placeholder="name, number or group"></label>
<label>Show <select id="show"></select></label>
<label hidden>Group <select id="group"></select></label>
<label>Order <select id="order"><option value="number">by number</option><option value="name">by name</option>\
<option value="worst">worst first</option></select></label>
<button type="button" id="reset">Reset <kbd>Esc</kbd></button>
<output id="shown"></output>
</form>
<noscript><p>The matrix needs JavaScript. The lists on this page say the same in words.</p></noscript>"""

_MATRIX = """<section id="matrix" aria-labelledby="matrix-title">
<h2 id="matrix-title">Who reaches whom</h2>
<p class="legend"><span>Row → column</span> <span><i class="swatch fast"></i><i class="swatch middle"></i>\
<i class="swatch slow"></i> <span id="scale">round trip, fast to slow</span></span> \
<span><b class="swatch unreached">✕</b> not reached</span> <span><b class="swatch refused">–</b> not let in</span> \
<span><b class="swatch untold">?</b> could not be told</span> <span><i class="swatch relay"></i> over a relay</span> \
<span><i class="swatch blank"></i> not checked</span></p>
<div class="beside">
<div id="frame" class="wide"><canvas id="cells" aria-hidden="true"></canvas>\
<canvas id="cursor" tabindex="0" role="application" aria-roledescription="matrix" \
aria-label="Matrix of who reaches whom; the table of edges below has the same in words" aria-describedby="keys">\
</canvas><div id="tip" aria-hidden="true" hidden></div></div>
<aside id="edge" aria-labelledby="edge-title"><h3 id="edge-title">Edge</h3>
<div id="details"><p>Point at a cell, or choose something that is wrong.</p></div>
<p id="keys" class="hint"><kbd>←</kbd> <kbd>↑</kbd> <kbd>→</kbd> <kbd>↓</kbd> move in the matrix, <kbd>n</kbd> goes to \
the next bad edge, <kbd>Enter</kbd> keeps an edge, <kbd>Esc</kbd> lets go, <kbd>/</kbd> searches.</p>
</aside>
</div>
<p id="says" class="unseen" role="status"></p>
</section>"""

_GRAPH = """<section id="graph" aria-labelledby="graph-title">
<h2 id="graph-title">Graph</h2>
<div id="circle"></div>
</section>"""

_EDGES = """<section id="edges" aria-labelledby="edges-title">
<h2 id="edges-title">Edges</h2>
<div class="wide" tabindex="0" role="region" aria-label="Table of edges"><table>
<thead><tr><th scope="col">Edge</th><th scope="col">State</th><th scope="col">Path</th>\
<th scope="col">Round trip</th><th scope="col">Attempts</th><th scope="col">Waited</th>\
<th scope="col">Error</th></tr></thead>
<tbody id="rows"></tbody>
</table></div>
<button type="button" id="more" hidden>Show more</button>
</section>"""


# --- For the script ---------------------------------------------------------------------------------------


def _for_script(mesh: Mesh, changed: Changes | None) -> dict[str, Any]:
    """Return the mesh in columns, since a thousand nodes have twenty thousand edges, and each error once."""
    errors: dict[tuple[str, str] | None, int] = {None: 0}
    for edge in mesh.edges:
        errors.setdefault(edge.reason, len(errors))
    groups = sorted({group for node in mesh.nodes for group in node.groups})
    place = {group: index for index, group in enumerate(groups)}
    data: dict[str, Any] = {
        "names": [node.name for node in mesh.nodes],
        "numbers": ["" if node.number is None else str(node.number) for node in mesh.nodes],
        "states": [node.state for node in mesh.nodes],
        "groups": groups,
        "in": [[place[group] for group in node.groups] for node in mesh.nodes],
        "errors": [None if reason is None else list(reason) for reason in errors],
        "edges": {
            "start": [edge.start for edge in mesh.edges],
            "end": [edge.end for edge in mesh.edges],
            "state": [_STATES.index(edge.state) for edge in mesh.edges],
            "path": [_PATHS.index(edge.path) for edge in mesh.edges],
            "rtt": [None if edge.rtt_ms is None else round(edge.rtt_ms, 3) for edge in mesh.edges],
            "attempts": [edge.attempts for edge in mesh.edges],
            "waited": [round(edge.waited_s, 2) for edge in mesh.edges],
            "matched": [int(edge.id_matched) for edge in mesh.edges],
            "admitted": [int(edge.admitted) for edge in mesh.edges],
            "error": [errors[edge.reason] for edge in mesh.edges],
        },
    }
    if changed is not None:
        was = [changed.before.get((edge.start, edge.end)) for edge in mesh.edges]
        data["edges"]["was"] = [-1 if edge is None else _STATES.index(edge.state) for edge in was]
        data["edges"]["wasRtt"] = [None if edge is None else edge.rtt_ms for edge in was]
        data["edges"]["changed"] = [int((edge.start, edge.end) in changed.edges) for edge in mesh.edges]
    return data
