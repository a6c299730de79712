# SPDX-License-Identifier: MIT
"""What unit tests of several rooms share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

# Holds the data directory until its standard input ends or it is told to stop.
HOLDER = """
import signal, sys
from pathlib import Path
from blixard.agent.process import only_node_here
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with only_node_here(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

Hold = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Give the function that starts a process which holds a data directory."""
    with ExitStack() as stack:

        def start(data_dir: Path, *words: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", HOLDER, str(data_dir), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            return process

        yield start
