# SPDX-License-Identifier: MIT
"""A node's settings on its host: written where they differ, shown before; a node that does not start says why."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from blixard.agent.process import NodeFailed
from blixard.errors import InputError
from blixard.fleet.host import run
from blixard.fleet.service import NotStarted, Unit, run_with

CONFIG = '{"node_id": 1}\n'


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(0o700)
    return path


@pytest.mark.parametrize("inside", [True, False])
def test_check_mode_says_what_stands_there_and_leaves_it(data_dir: Path, inside: bool) -> None:
    path = (data_dir if inside else data_dir.parent / "etc") / "node-config.json"
    new = run_with(data_dir, config_file=path, config=CONFIG, check=True, diff=True)
    assert new == {"changed": True, "config": {"changed": True, "before": None}}
    assert not path.parent.exists() or not path.exists()

    path.parent.mkdir(exist_ok=True)
    path.write_text("old\n")
    seen = run_with(data_dir, config_file=path, config=CONFIG, check=True, diff=True)
    assert seen["config"] == {"changed": True, "before": "old\n"}
    assert path.read_text() == "old\n"

    path.write_text(CONFIG)
    path.chmod(0o640)
    assert run_with(data_dir, config_file=path, config=CONFIG, check=True, diff=True)["config"]["changed"] is False


def test_settings_that_the_node_refuses_are_written_and_its_own_word_is_the_error(data_dir: Path) -> None:
    path = data_dir.parent / "etc" / "node-config.json"
    with pytest.raises(NodeFailed, match=r"the node did not start: .*node-config\.json"):
        run_with(data_dir, config_file=path, config=CONFIG)
    assert path.read_text() == CONFIG
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_folders_of_the_settings_are_entered_by_the_node_s_account_whatever_umask_root_has(data_dir: Path) -> None:
    path = data_dir.parent / "etc" / "blixard" / "node-config.json"
    before = os.umask(0o377)
    try:
        with pytest.raises(NodeFailed):
            run_with(data_dir, config_file=path, config=CONFIG)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, path.parent.parent)] == [
        0o640,
        0o755,
        0o755,
    ]


def test_a_link_in_the_place_of_the_settings_is_replaced_and_not_followed(data_dir: Path) -> None:
    other = data_dir.parent / "other"
    other.write_text("mine\n")
    path = data_dir / "node-config.json"
    path.symlink_to(other)
    with pytest.raises(NodeFailed):
        run_with(data_dir, config_file=path, config=CONFIG)
    assert other.read_text() == "mine\n"
    assert not path.is_symlink()


def test_settings_that_cannot_be_written_are_one_line_and_nothing_is_started(data_dir: Path) -> None:
    (data_dir.parent / "etc").write_text("a file\n")
    path = data_dir.parent / "etc" / "node-config.json"
    with pytest.raises(InputError, match="etc: cannot be made: File exists; move it away"):
        run_with(data_dir, config_file=path, config=CONFIG)
    assert list(data_dir.iterdir()) == []


def test_a_group_that_is_not_there_is_named_except_in_check_mode(data_dir: Path) -> None:
    path = data_dir.parent / "node-config.json"
    assert run_with(data_dir, config_file=path, config=CONFIG, group="nobody-of-that-name", check=True)["changed"]
    with pytest.raises(InputError, match="there is no group nobody-of-that-name on this host"):
        run_with(data_dir, config_file=path, config=CONFIG, group="nobody-of-that-name")


def test_without_systemd_the_unit_is_written_and_the_error_says_what_to_set(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blixard.fleet.service.UNITS", str(data_dir.parent / "units"))
    monkeypatch.setenv("PATH", str(data_dir))  # a machine of the tests may have systemd, which is not to be asked
    path = data_dir / "node-config.json"
    asked: dict[str, object] = {"data_dir": str(data_dir), "config_file": str(path), "config": CONFIG, "group": None}
    asked |= {"unit": "[Unit]\n", "service": "blixard", "check": False, "diff": False}

    said = run("service", asked)

    assert said == {
        "failed": True,
        "msg": "systemctl: is not on this host; set blixard_service_manager to process",
    }
    assert (data_dir.parent / "units" / "blixard.service").read_text() == "[Unit]\n"


def test_facts_are_written_beside_the_unit_for_everybody_to_read_and_shown_before(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = data_dir.parent / "root"
    monkeypatch.setattr("blixard.fleet.service.UNITS", str(root / "units"))
    monkeypatch.setattr("blixard.fleet.service.FACTS", str(root / "facts.d"))
    monkeypatch.setenv("PATH", str(data_dir))
    unit = Unit("blixard", "[Unit]\n", '{"node_id": 1}\n')
    path = data_dir / "node-config.json"

    would = run_with(data_dir, config_file=path, config=CONFIG, unit=unit, check=True, diff=True)
    assert would["facts"] == {"changed": True, "before": None}
    assert not root.exists()

    before = os.umask(0o377)
    try:
        with pytest.raises(NotStarted):
            run_with(data_dir, config_file=path, config=CONFIG, unit=unit)
    finally:
        os.umask(before)
    written = root / "facts.d" / "blixard.fact"
    assert written.read_text() == unit.facts
    assert [stat.S_IMODE(each.stat().st_mode) for each in (written, written.parent)] == [0o644, 0o755]


def test_an_error_of_the_service_has_a_line_for_each_of_the_node_s_own() -> None:
    assert str(NotStarted("systemctl restart blixard: failed\n\x1b[2Jone\n\ntwo")).splitlines() == [
        "systemctl restart blixard: failed",
        "\\x1b[2Jone",
        "two",
    ]
    assert Unit("blixard", "").path == Path("/etc/systemd/system/blixard.service")
