# SPDX-License-Identifier: MIT
"""Where a fleet's record, peers file and report are on the controller: where Ansible never parses them.

Ansible parses every file in an inventory folder as inventory, and the values in it are templates; what hosts said of
themselves must not be among them. It skips every name that begins with a dot.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.documents.files import read_limited
from blixard.errors import InputError
from blixard.model.limits import MAX_REGISTRY_BYTES
from blixard.model.words import quoted
from blixard.publishing.base import PublishContext
from blixard.publishing.factory import make_destinations
from blixard.sources.urls import scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

FOLDER = ".blixard"
RECORD = "registry"
PEERS_FILE = "discovery-peers.json"
REPORT_FILE = "connectivity-report.json"

FLEET_DIR = "blixard_fleet_dir"
RECORD_DIR = "blixard_record_dir"
PUBLISH = "blixard_publish"

NOWHERE = "/dev/null"
"""Stands for a place that cannot be known: nothing can be read or made below it."""

# Read for their variables, beside every source of the inventory and beside the playbook.
_VARIABLES = ("group_vars", "host_vars")


def fleet_dir(sources: Sequence[str]) -> str:
    """Return the folder of a fleet's files: the hidden one in the folder of its inventory.

    Args:
        sources: `ansible_inventory_sources`, the same for all hosts of a run: paths of files and folders, and texts
            such as `node1,`.

    Raises:
        InputError: no source is a file or folder, or several folders have a record.
    """
    homes = _homes(sources)
    if not homes:
        raise InputError(
            "is no file and no folder, so there is no place for the fleet's record",
            file=f"inventory {quoted(','.join(sources))}",
            mend=f"set {FLEET_DIR}, as in -e {FLEET_DIR}=PATH",
        )
    kept = [home / FOLDER for home in homes if _has_record(home / FOLDER / RECORD)]
    if len(kept) > 1:
        both = " and ".join(map(str, kept))
        raise InputError(f"{both} both hold a record", mend=f"say which one counts with {FLEET_DIR}")
    return str(kept[0] if kept else homes[0] / FOLDER)


def misplaced(places: Mapping[str, str], sources: Sequence[str], playbook_dir: str = "") -> str | None:
    """Return why a run may not go on with its files where they are, with the command that moves them; null if it may.

    Args:
        places: path by the variable that it is the value of: `blixard_record_dir`, `blixard_peers_file`,
            `blixard_report_file`.
        sources: `ansible_inventory_sources`.
        playbook_dir: the folder of the playbook, whose variables Ansible reads too.
    """
    paths = {name: _absolute(path) for name, path in places.items()}
    if any(path.is_relative_to(NOWHERE) for path in paths.values()):
        return _no_place(sources)
    for name, path in places.items():
        if not Path(path).is_absolute():
            mend = f"set {FLEET_DIR}, or the variable itself, to one"
            return made_of_none({name: path}) or f"{name}: {quoted(path)} is not a whole path; {mend}"
    return _left_behind(sources, paths) or _parsed(_Parsed.of(sources, playbook_dir), paths)


def refused_publish(places: Sequence[str], sources: Sequence[str], playbook_dir: str = "") -> str | None:
    """Return why nothing can be published to one of `places`, as one line; null if to all of them.

    Args:
        places: `blixard_publish`.
        sources: `ansible_inventory_sources`.
        playbook_dir: the folder of the playbook.
    """
    try:
        make_destinations(places, PublishContext(lambda: datetime.now(timezone.utc)))
    except InputError as error:
        return f"{PUBLISH}: {error}"
    folders = {f"{PUBLISH}[{index}]": place for index, place in enumerate(places) if scheme_of(place) is None}
    for name, path in folders.items():
        if not Path(path).is_absolute():
            return (
                f"{name}: {quoted(path)} is not a whole path; give the whole path of a folder that is there, or a URL"
            )
    return _parsed(_Parsed.of(sources, playbook_dir), {name: Path(path) for name, path in folders.items()})


def made_of_none(paths: Mapping[str, str]) -> str | None:
    """Return why a path cannot be meant, as one line: it is made of `inventory_dir` where there is none; else null.

    Args:
        paths: path by the variable that it is the value of.
    """
    for name, path in paths.items():
        if Path(path).parts[:1] == ("None",):
            return (
                f"{name}: {path} is made of inventory_dir, which hosts of an inventory that is no file and no folder do"
                f" not have; set {name} to a path, as in -e {name}=PATH"
            )
    return None


def fleet_dir_or_nowhere(sources: Sequence[str]) -> str:
    """Return the folder of a fleet's files, or NOWHERE; then `misplaced` says why, in one line."""
    try:
        return fleet_dir(sources)
    except InputError:
        return NOWHERE


def _no_place(sources: Sequence[str]) -> str | None:
    try:
        fleet_dir(sources)
    except InputError as error:
        return str(error)
    return f"{NOWHERE} is no folder; set {FLEET_DIR} to one"


def _absolute(path: str) -> Path:
    return Path(os.path.normpath(Path.cwd() / Path(path).expanduser()))


def _homes(sources: Iterable[str]) -> list[Path]:
    """Return the folders that the sources are or lie in, each once, in order."""
    homes: dict[str, Path] = {}
    for source in sources:
        path = _absolute(source)
        if path.is_dir() or path.is_file():
            home = path if path.is_dir() else path.parent
            homes.setdefault(os.path.realpath(home), home)
    return list(homes.values())


def _has_record(folder: Path) -> bool:
    """Tell whether there is an entry of a node in a folder, which may be somebody else's and hold other files."""
    try:
        with os.scandir(folder) as found:  # looked at until there is one, of ten thousand as a rule the first
            return any(item.name.endswith(".json") and _is_entry(Path(item.path)) for item in found)
    except OSError:
        return False


def _is_entry(path: Path) -> bool:
    try:
        return b'"cluster_node_id"' in read_limited(path, MAX_REGISTRY_BYTES)
    except InputError:
        return False


# --- What a release before this one left in the inventory's own folder ------------------------------------


def _left_behind(sources: Sequence[str], paths: Mapping[str, Path]) -> str | None:
    """Return the line about a record or a peers file at its former place while there is none where it is to be."""
    for folder in _former_places(sources):
        old, registry = folder / RECORD, paths[RECORD_DIR]
        if old != registry and _has_record(old) and _has_record(registry):
            remove = shlex.join(["rm", "-r", str(old)])
            return f"{old} and {registry} both hold a record; remove the one that counts no more: {remove}"
        moves = _moves(folder, paths)
        if moves:
            return (
                f"{folder} holds the fleet's {' and '.join(moves)} of an older release, where Ansible may take it"
                f" for inventory; move it: ({_commands(folder, moves, paths)})"
            )
    return None


def _former_places(sources: Iterable[str]) -> Iterator[Path]:
    """Yield what was the inventory's own folder: that of a file, and each in a folder that Ansible goes into."""
    for path in map(_absolute, sources):
        if path.is_file():
            yield path.parent
        for where, names, _ in os.walk(path):
            names[:] = sorted(name for name in names if not name.startswith(".") and name not in (*_VARIABLES, RECORD))
            # The data directory of a node has a peers file too, but no record.
            if Path(where) == path or _has_record(Path(where) / RECORD):
                yield Path(where)


def _moves(folder: Path, paths: Mapping[str, Path]) -> dict[str, Path]:
    """Return what of a former release's is in `folder` and has no successor: its destinations by name."""
    registry, peers = paths[RECORD_DIR], paths["blixard_peers_file"]
    moves = {}
    if registry != folder / RECORD and _has_record(folder / RECORD) and not _has_record(registry):
        moves[RECORD] = registry
    if peers != folder / PEERS_FILE and (folder / PEERS_FILE).is_file() and not peers.exists():
        moves[PEERS_FILE] = peers
    return moves


def _commands(folder: Path, moves: Mapping[str, Path], paths: Mapping[str, Path]) -> str:
    """Return the shell commands that make the moves, in `folder`; what belongs to the peers file goes with it."""
    also = dict(moves)
    if PEERS_FILE in moves and (folder / f"{PEERS_FILE}.sig").is_file():
        also[f"{PEERS_FILE}.sig"] = moves[PEERS_FILE].with_name(f"{moves[PEERS_FILE].name}.sig")
    report = paths["blixard_report_file"]
    if report != folder / REPORT_FILE and (folder / REPORT_FILE).is_file() and not report.exists():
        also[REPORT_FILE] = report
    made = dict.fromkeys(_short(folder, destination.parent) for destination in also.values())
    steps = [shlex.join(["mkdir", "-p", *made])]
    by_parent: dict[str, list[str]] = {}
    for name, destination in also.items():
        if destination.is_dir():
            steps.append(f"mv {name}/*.json {shlex.quote(_short(folder, destination))}/")
        elif destination.name == name:
            by_parent.setdefault(_short(folder, destination.parent), []).append(name)
        else:
            steps.append(shlex.join(["mv", name, _short(folder, destination)]))
    steps += [shlex.join(["mv", *names, f"{parent}/"]) for parent, names in by_parent.items()]
    return " && ".join([f"cd {shlex.quote(str(folder))}", *steps])


def _short(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


# --- Where Ansible parses files ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Parsed:
    """What Ansible parses: these files, and everything in these folders that is not hidden there."""

    files: tuple[Path, ...]
    folders: tuple[Path, ...]

    @classmethod
    def of(cls, sources: Iterable[str], playbook_dir: str) -> _Parsed:
        paths = [_absolute(source) for source in sources]
        files = tuple(path for path in paths if path.is_file())
        folders = tuple(path for path in paths if path.is_dir())
        beside = [path.parent for path in files] + ([_absolute(playbook_dir)] if playbook_dir else [])
        return cls(files, (*folders, *(folder / name for folder in beside for name in _VARIABLES)))

    def has(self, path: Path) -> Path | None:
        """Return the file or folder on whose account Ansible would parse `path`, however it is spelled."""
        spelled = _spellings(path)
        for one in self.files:
            if not spelled.isdisjoint(_spellings(one)):
                return one
        for folder in self.folders:
            if any(_shows(each, base) for each in spelled for base in _spellings(folder)):
                return folder
        return None


def _spellings(path: Path) -> set[Path]:
    return {path, Path(os.path.realpath(path))}


def _shows(path: Path, folder: Path) -> bool:
    """Tell whether `path` is in `folder` without being hidden there."""
    return path.is_relative_to(folder) and not _hidden(path.relative_to(folder))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _parsed(parsed: _Parsed, paths: Mapping[str, Path]) -> str | None:
    """Return the line about files that are where Ansible parses them."""
    for name, path in paths.items():
        where = parsed.has(path)
        if where is not None:
            home = where.parent if where.is_file() or where.name in _VARIABLES else where
            away = home / FOLDER / path.name
            there = f", and move what is there: {_move(path, away)}" if path.exists() else ""
            return (
                f"{name}: {path} is where Ansible takes it for inventory ({where}); leave the variable out, or set it"
                f" to {away}{there}"
            )
    return None


def _move(path: Path, away: Path) -> str:
    """Return the commands that move a file, and the signature that belongs to it, or a folder."""
    what = [path, *(each for each in (path.with_name(f"{path.name}.sig"),) if each.is_file())]
    return (
        f"{shlex.join(['mkdir', '-p', str(away.parent)])} && {shlex.join(['mv', *map(str, what), f'{away.parent}/'])}"
    )
