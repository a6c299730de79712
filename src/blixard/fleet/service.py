# SPDX-License-Identifier: MIT
"""A node's settings and its service on the host: written where they differ, and started anew."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.documents.account import as_owner_of
from blixard.errors import BlixardError, InputError, bounded_lines
from blixard.fleet.put import have_file, name_in

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = "/etc/systemd/system"
FACTS = "/etc/ansible/facts.d"
"""Where Ansible finds a host's own facts: `NAME.fact` is `ansible_local.NAME`. Data, since it is not executable."""

CONFIG_MODE = "0640"
UNIT_MODE = "0644"
FACTS_MODE = "0644"

TIMEOUT = 120.0
"""Seconds for one command of systemd, which by itself gives up on a start after 90."""

JOURNAL_LINES = 5


class NotStarted(BlixardError):
    """The service does not start; in several lines, since what the node said last is among them."""

    def __str__(self) -> str:
        return bounded_lines(self.args[0])


@dataclass(frozen=True)
class Unit:
    """The systemd unit of a node: its `name` without the suffix, its `text`, and the `facts` that go with it."""

    name: str
    text: str
    facts: str | None = None

    @property
    def path(self) -> Path:
        """Where an administrator's units are."""
        return Path(UNITS) / f"{self.name}.service"

    @property
    def facts_path(self) -> Path:
        """Where Ansible looks for facts under this name."""
        return Path(FACTS) / f"{self.name}.fact"


def run_with(
    data_dir: Path,
    *,
    config_file: Path,
    config: str,
    group: str | None = None,
    unit: Unit | None = None,
    check: bool = False,
    diff: bool = False,
) -> dict[str, Any]:
    """Have the node run with these settings, started anew.

    Settings in the data directory are written by the account that owns it; elsewhere, and the unit, by whoever runs
    this. Whatever has their names is replaced, and no link followed.

    Args:
        data_dir: the node's data directory.
        config_file: its node-config.json; a missing directory for it is made.
        config: the settings.
        group: the group that may read them; None for whatever it is.
        unit: the service of systemd; None for a process in the background.
        check: only say what would change.
        diff: also return what is there now.

    Returns:
        `changed`, which is true, and with `diff` the text `config`, `unit` and `facts` that are there now, null where
        there is none to show or where they stay.

    Raises:
        InputError: something cannot be written.
        NotStarted, BlixardError: the node does not start, or the one that runs does not end.
    """
    written = {"config": _have_config(data_dir, config_file, config.encode(), group, check=check, diff=diff)}
    if unit is not None:
        text = unit.text.encode()
        written["unit"] = _have(unit.path, text, UNIT_MODE, check=check, diff=diff)
    if unit is not None and unit.facts is not None:
        if not check:
            _make_folder(unit.facts_path.parent)
        written["facts"] = _have(unit.facts_path, unit.facts.encode(), FACTS_MODE, check=check, diff=diff)
    if not check:
        _start_unit(unit.name) if unit is not None else _start_process(data_dir, config_file)
    return {"changed": True, **(written if diff else {})}


def _have_config(
    data_dir: Path, path: Path, data: bytes, group: str | None, *, check: bool, diff: bool
) -> dict[str, Any]:
    if name_in(str(data_dir), str(path)):
        with as_owner_of(data_dir):
            return _have(path, data, CONFIG_MODE, below=data_dir, check=check, diff=diff)
    if not check:
        _make_folder(path.parent)
    return _have(path, data, CONFIG_MODE, group=_number(group, check=check), check=check, diff=diff)


def _make_folder(folder: Path) -> None:
    """Make a folder, and those on the way to it, that the node's account can enter whatever umask root has."""
    for each in (*reversed(folder.parents), folder):
        try:
            if not each.exists():
                each.mkdir()
                each.chmod(0o755)
        except OSError as error:
            raise InputError(f"cannot be made: {error.strerror}", file=str(each), mend="move it away") from None


def _number(group: str | None, *, check: bool) -> int | None:
    if group is None or check:  # in check mode it may not be there yet
        return None
    from blixard.fleet.ownership import Account

    return Account(None, group).gid


def _have(path: Path, data: bytes, mode: str, *, check: bool, **wanted: Any) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    return have_file(path, None if check else data, sha256=digest, mode=int(mode, 8), **wanted)


def _start_process(data_dir: Path, config_file: Path) -> None:
    from blixard.agent.process import start_detached, stop

    stop(data_dir)
    start_detached(["node", "--config", str(config_file)], data_dir)


def _start_unit(name: str) -> None:
    for command in (["daemon-reload"], ["enable", name], ["restart", name]):
        done = _run(["systemctl", "--quiet", *command])
        if done.returncode:
            journal = _run(["journalctl", "--unit", name, f"--lines={JOURNAL_LINES}", "--output=cat", "--no-pager"])
            raise NotStarted(f"systemctl {' '.join(command)}: {done.stderr.strip()}\n{journal.stdout}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  (systemd's own programs, and a name that the controller gives)
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise NotStarted(f"{command[0]}: is not on this host; set blixard_service_manager to process") from None
    except subprocess.TimeoutExpired:
        raise NotStarted(f"{' '.join(command)}: not done after {TIMEOUT:.0f} s") from None
