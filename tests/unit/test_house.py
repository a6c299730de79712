# SPDX-License-Identifier: MIT
"""The rooms of src/blixard: who may import whom, and who may touch iroh."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import blixard

SOURCE = Path(blixard.__file__).parent

# Lowest first: a room imports only what stands above it in this list.
ROOMS = (
    *("errors", "clock", "tasks", "ordered_set"),
    *("model", "documents", "trust", "sources", "publishing", "peers", "dialling", "transport", "manager"),
    *("discovery_manager", "node_discovery", "gossip", "raft", "pages", "agent", "cli", "fleet"),
)
# cli and fleet are two roofs of one house.
STRANGERS = {("cli", "fleet"), ("fleet", "cli")}
IROH = {"model", "trust", "transport", "agent"}
# Reading the clock, drawing random numbers and opening sockets is for the agent and above, and for these.
RANDOM = {"random.Random", "random.SystemRandom"}  # the type, and what a manager takes that is given none
OWN_TIME = {
    "clock.py": "the one clock that all others are given",
    "documents/schemas.py": "no time at all: importlib.resources",
    "sources/mdns_links.py": "a socket that hears multicasts",
    "sources/http_client.py": "asks servers in a thread, and has to give up in time",
    "dialling/host_lookup.py": "the system's resolver, in a thread",
}


def modules() -> Iterator[tuple[str, str, ast.Module]]:
    """Each module's room, its path below src/blixard, and what it says."""
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE)
        if place.name not in ("__init__.py", "__main__.py"):
            yield place.parts[0].removesuffix(".py"), place.as_posix(), ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_a_room_imports_only_what_is_below_it() -> None:
    wrong = []
    for room, place, tree in modules():
        for name in imported(tree):
            if name.startswith("blixard.") and (other := name.split(".")[1]) != room and other != "__version__":
                above = ROOMS.index(other) > ROOMS.index(room)
                wrong += [f"{place} imports {name}"] if above or (room, other) in STRANGERS else []
    assert wrong == []


def test_only_few_rooms_import_iroh() -> None:
    users = {room for room, _, tree in modules() if any(name.split(".")[0] == "iroh" for name in imported(tree))}
    assert users - {"fleet"} <= IROH
    # fleet/preloaded_modules imports all that an operation needs while only one thread runs.
    assert [place for room, place, tree in modules() if room == "fleet" and "iroh" in imported(tree)] == [
        "fleet/preloaded_modules.py"
    ]


def test_below_the_agent_nothing_reads_a_clock_draws_a_number_or_opens_a_socket_by_itself() -> None:
    outside = {"time", "random", "secrets", "socket"}
    found = {
        place: sorted(used)
        for room, place, tree in modules()
        if ROOMS.index(room) < ROOMS.index("agent") and place not in OWN_TIME
        if (used := {name for name in imported(tree) if name.split(".")[0] in outside and name not in RANDOM})
    }
    assert found == {}


def test_every_room_says_what_it_offers() -> None:
    for folder in sorted(path for path in SOURCE.iterdir() if (path / "__init__.py").is_file()):
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        files = {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}
        assert {name for name in files if f"`{name}`" not in said} == set(), f"{folder.name}/__init__.py"
