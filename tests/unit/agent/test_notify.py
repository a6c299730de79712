# SPDX-License-Identifier: MIT
"""Messages to the service manager."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from blixard.agent.process import notify, reloading, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Give the service manager's end of the socket."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@blixard-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(name if name[0] == "/" else "\0" + name[1:])
        link.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield link


def test_the_manager_hears_what_is_sent(manager: socket.socket) -> None:
    notify("READY=1")
    assert manager.recv(100) == b"READY=1"


def test_nothing_is_sent_without_a_manager(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


def test_a_manager_that_went_away_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")


def test_a_reload_is_announced_with_the_time_that_systemd_wants() -> None:
    first, second = reloading().splitlines()
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdigit()


OWN = "its own"


@pytest.mark.parametrize(
    ("microseconds", "owner", "interval"),
    [
        ("30000000", None, 15.0),
        ("30000000", OWN, 15.0),
        ("30000000", "1", None),
        ("30000000", "x", None),
        ("", None, None),
        (None, None, None),
        ("never", None, None),
        ("-5", None, None),
        ("0", None, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_must_be_and_only_by_its_own_process(
    monkeypatch: pytest.MonkeyPatch, microseconds: str | None, owner: str | None, interval: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", owner)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if value is OWN else value)
    assert watchdog_interval() == interval
