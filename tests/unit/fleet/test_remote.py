# SPDX-License-Identifier: MIT
"""What the controller has run on a host, and what it makes of the answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from blixard.fleet.host import run
from blixard.fleet.remote import command, result


def _answer(stdout: str = "", stderr: str = "", rc: int = 0) -> dict[str, Any]:
    return {"rc": rc, "stdout": stdout, "stderr": stderr}


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    return result("node1", "refresh", {"python": "/opt/x", "data_dir": "/var/lib/blixard"}, answer)


def _looking(*, data_dir: str, paths: dict[str, str], config: str | None = None) -> dict[str, Any]:
    return {"data_dir": data_dir, "config": config, "paths": paths, "expected": {}, "min_seq": 0}


def test_options_reach_the_host_as_they_are_whatever_is_in_them(tmp_path: Path) -> None:
    path = str(tmp_path / "a 'quoted' \"name\" $HOME `x` \\ é")
    line = command(sys.executable, "look", _looking(data_dir=str(tmp_path), paths={"odd": path}))

    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["files"] == {"odd": {"path": path, "kind": "absent"}}


def test_nothing_in_the_callers_folder_takes_the_place_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "blixard.py").write_text("raise SystemExit('imported from the current folder')\n")
    line = command(sys.executable, "look", _looking(data_dir="missing", paths={}))

    done = subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "said",
    [
        'Welcome to this host\n{"running": false, "peers": [], "problems": []}\n',
        # On a terminal, which sudo or su may ask for, all lines end so, and there is no other place for warnings.
        'We trust you.\r\n{"running": false, "peers": [], "problems": []}\r\nsudo: cannot write the log\r\n',
    ],
)
def test_what_sudo_su_or_a_shell_prints_beside_the_answer_does_not_matter(said: str) -> None:
    assert _result(_answer(said)) == {"running": False, "peers": [], "problems": []}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (_answer(stderr="/bin/sh: 1: /opt/x: not found\n", rc=127), "has no package blixard"),
        (_answer(stderr="/opt/x: Error while finding module: No module named 'blixard'\n", rc=1), "runtime"),
        (_answer(stderr="Traceback …\nOSError: disk on fire\n", rc=1), "ended with 1: OSError: disk on fire"),
        (_answer("not JSON\n"), "ended with 0: not JSON"),
        (_answer("[]\n"), "ended with 0: []"),
        (_answer(rc=137), "ended with 137"),
        (_answer(stderr="\x1b[2Jgone" + "x" * 10_000, rc=1), r"ended with 1: \x1b[2Jgone"),
    ],
)
def test_an_answer_that_is_none_is_one_clear_line_that_names_the_python(answer: dict[str, Any], reason: str) -> None:
    said = _result(answer)

    assert said["failed"]
    assert said["msg"].startswith("/opt/x: ")
    assert reason in said["msg"]
    assert len(said["msg"].splitlines()) == 1
    assert said["msg"].isprintable()
    assert len(said["msg"]) < 1000


def test_what_the_package_refuses_comes_back_as_a_failure_and_not_as_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "iroh-secret-key").write_text("no key\n")
    config = json.dumps({"node_id": 1, "bind": "127.0.0.1:0", "data_dir": str(tmp_path)})

    said = run("look", _looking(data_dir=str(tmp_path), paths={}, config=config))

    assert said["failed"]
    assert said["msg"].startswith(f"{tmp_path}/iroh-secret-key: ")
