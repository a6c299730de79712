# SPDX-License-Identifier: MIT
"""The command line as a whole: wrong words are one line, and what reads our output may go away."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.run import blixard, refused

from blixard import __version__


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["check", "--sample", "x"],
            'argument --sample: "x" is no sample of nodes; write auto, all, or how many, at most 50000;'
            " see blixard check --help",
        ),
        (
            ["check", "--timeout", "nan"],
            "argument --timeout: must be seconds from 0.1 to 3600; see blixard check --help",
        ),
        (["check", "--timeout", "x"], "argument --timeout: must be seconds from 0.1 to 3600; see blixard check --help"),
        (["peers", "--nonsense"], "the following arguments are required: ACTION; see blixard peers --help"),
        (
            ["node", "--id", "1", "--bind", "127.0.0.1:1", "--nonsense"],
            "unrecognized arguments: --nonsense; see blixard --help",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line_that_says_where_help_is(words: list[str], line: str) -> None:
    assert refused(blixard(*words), 2) == f"blixard: command line: {line}"


def test_the_command_alone_shows_its_help() -> None:
    assert blixard() == blixard("--help")


def test_a_flag_is_not_to_be_abbreviated() -> None:
    # `--det` taken for `--detach` would be handed on to the node in the background, and start one more each time.
    assert "unrecognized arguments: --det" in refused(blixard("node", "--id", "1", "--bind", "127.0.0.1:1", "--det"), 2)


def test_every_command_has_a_help_and_the_version_is_known() -> None:
    for command in ("node", "stop", "status", "discover", "check", "key", "registry", "peers"):
        ran = blixard(command, "--help")
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith(f"usage: blixard {command} ")
    assert blixard("--version").out == f"blixard {__version__}\n"


def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m blixard key generate --out '{tmp_path}/key' >/dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    line = "blixard: output: No space left on device; see to it, and run this again\n"
    assert (done.returncode, done.stderr) == (2, line)


def test_who_reads_only_the_beginning_of_the_output_causes_no_complaint() -> None:
    command = f"'{sys.executable}' -m blixard node --help | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("u", "")


def test_a_command_imports_its_own_file_and_not_those_of_the_others() -> None:
    shown = "import sys; print(*sorted(name for name in sys.modules if name.endswith('_command')))"
    for command, file in (("stop", "node_command"), ("key", "key_command"), ("peers", "peers_command")):
        script = f"from blixard.cli.main import main\ntry: main(['{command}', '--help'])\nexcept SystemExit: {shown}"
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert ran.stdout.splitlines()[-1] == f"blixard.cli.{file}"


def test_every_command_of_a_file_is_found_by_its_name() -> None:
    shown = blixard("--help").out
    commands = re.findall(r"^    ([a-z]+) ", shown, re.MULTILINE)

    assert commands == [
        *("node", "stop", "status", "discover", "check", "report", "key", "registry", "peers", "publish", "record"),
        "raft",
    ]
    for command in commands:
        assert blixard(command, "--help").out.startswith(f"usage: blixard {command} ")
