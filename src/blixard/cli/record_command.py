# SPDX-License-Identifier: MIT
"""`blixard record`: the record that several controllers share."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.agent.node_config import etcd_of_environment
from blixard.cli.output import print_json, print_line
from blixard.errors import InputError, one_line
from blixard.model.ids import EndpointId
from blixard.model.times import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def register(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("record", help="the record that several controllers share")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    pull = actions.add_parser(
        "pull",
        help="bring the record here as it was published",
        description="Replaces record, manifest, peers file and signature by what is published in etcd, when that fits "
        "together, is signed by whoever signed what is here, and is not older. Changes here that were not published "
        "are kept, unless --discard is given.",
    )
    pull.add_argument("--registry-dir", type=Path, required=True, metavar="DIR", help="the record")
    pull.add_argument("--peers", type=Path, required=True, metavar="FILE", help="the peers file of it")
    pull.add_argument(
        "--signer", action="append", default=[], metavar="ID", help="a fleet key that is trusted, for the first time"
    )
    pull.add_argument("--check", action="store_true", help="write nothing; exit code 1 if something differs")
    pull.add_argument("--discard", action="store_true", help="also over changes that were not published")
    pull.add_argument("--json", action="store_true", help="print one JSON document")
    pull.add_argument("place", metavar="LOC", help="etcd://HOST:PORT/PREFIX, or etcds://")
    pull.set_defaults(run=run)
    lock = actions.add_parser(
        "lock",
        usage="blixard record lock [--wait SECONDS] LOC -- COMMAND …",
        help="run a command while no other run works on the record",
        description="Holds a lock in etcd while the command runs, and ends with the exit code of the command. What is "
        "published there meanwhile has to come from the command. If the lock is lost, the command is ended, and what "
        "it still publishes is refused.",
    )
    lock.add_argument(
        "--wait", type=_seconds, default=0, metavar="SECONDS", help="how long to wait for another run; 0 if not given"
    )
    lock.add_argument("place", metavar="LOC", help="etcd://HOST:PORT/PREFIX, or etcds://")
    lock.add_argument("command", nargs="*", metavar="COMMAND", help="what to run, after --")
    lock.set_defaults(run=run_locked)
    live = actions.add_parser(
        "live",
        help="which nodes say in etcd that they run",
        description="Lists the keys of nodes with etcd_live. Nobody has signed them, and a node that cannot reach etcd "
        "has none.",
    )
    live.add_argument("--json", action="store_true", help="print one JSON document")
    live.add_argument("place", metavar="LOC", help="etcd://HOST:PORT/PREFIX, or etcds://")
    live.set_defaults(run=run_live)


def run_live(args: argparse.Namespace) -> int:
    """List which nodes say in etcd that they run."""
    # Imported here: no other command needs it.
    from blixard.publishing.etcd_leases import living
    from blixard.sources.etcd_client import Etcd, EtcdPlace

    client = Etcd(EtcdPlace.parse(args.place), etcd_of_environment(os.environ))
    nodes, unread = living(client)
    if args.json:
        print_json({"place": str(client.place), "nodes": [each.to_json() for each in nodes], "unread": unread})
        return 0
    for each in nodes:
        print_line(f"node {each.node_id} {each.endpoint_id.short} runs since {format_time(each.since)}")
    print_line(f"{client.place}: {len(nodes)} nodes" + (f", and {unread} keys that cannot be read" if unread else ""))
    return 0


def _seconds(text: str) -> float:
    if not (text.isascii() and text.isdigit() and int(text) <= _LONGEST_WAIT):
        raise argparse.ArgumentTypeError(f"must be a number of seconds up to {_LONGEST_WAIT}")
    return float(text)


_LONGEST_WAIT = 24 * 60 * 60
_TO_END = 10
"""Seconds that a command has to end after it was asked to, before it is killed."""


def run_locked(args: argparse.Namespace) -> int:
    """Run a command under the lock of a record; returns its exit code, or 1 when the lock was lost."""
    # Imported here: no other command needs it.
    from blixard.documents.lock_holder import holder
    from blixard.publishing.base import RUN_LOCK, held_of
    from blixard.publishing.etcd_locks import RunFence, RunLock
    from blixard.sources.etcd_client import Etcd, EtcdPlace

    # As it was given: argparse takes a second -- away from some places.
    words = args.arguments[args.arguments.index("--") + 1 :] if "--" in args.arguments else []
    if not words:
        mend = "write blixard record lock LOC -- COMMAND …"
        raise InputError("says no command to run", file="command line", mend=mend)
    client = Etcd(EtcdPlace.parse(args.place), etcd_of_environment(os.environ))
    outer = held_of(os.environ.get(RUN_LOCK, "")).get(str(client.place))
    if outer is not None:
        RunFence(client, outer).check()
        with _Command(words, {}) as command:
            return command.code()
    lock = RunLock(client, holder(os.getpid(), datetime.now(timezone.utc)))
    lock.wait_for(args.wait, threading.Event().wait, _tell)
    try:
        with _Command(words, {RUN_LOCK: lock.held}) as command:
            lost = lock.keep(command.ends_within)
            if lost is None:
                return command.code()
            command.end()
    finally:
        lock.release()
    _tell(f"{client.place}: the lock was lost: {lost}; the command was ended, run it again")
    return 1


def _tell(line: str) -> None:
    print(f"blixard: {one_line(line)}", file=sys.stderr, flush=True)


class _Command:
    """A command that runs, and gets the signals that this process gets.

    Without a terminal it has a session of its own, so that its children are ended with it. With one it stays in this
    session, since it may have something to ask there; the terminal sends it its interrupts itself.
    """

    def __init__(self, words: Sequence[str], variables: Mapping[str, str]) -> None:
        self._is_alone = not sys.stdin.isatty()
        try:
            self._process = subprocess.Popen(  # noqa: S603 # whoever calls this says what to run
                words, env={**os.environ, **variables}, start_new_session=self._is_alone
            )
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise InputError(f"cannot be run: {reason}", file=words[0]) from None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Command:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._pass_on)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _pass_on(self, number: int, _frame: object) -> None:
        if self._is_alone or number != signal.SIGINT:
            self._send(number)

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._is_alone:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    def ends_within(self, seconds: float) -> bool:
        """Tell whether it ends within so many seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def code(self) -> int:
        """Wait for its end; return its exit code, as a shell has it."""
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def end(self) -> None:
        """Have it end, in the hard way if it must be."""
        self._send(signal.SIGTERM)
        if not self.ends_within(_TO_END):
            self._send(signal.SIGKILL)
            self._process.wait()


def run(args: argparse.Namespace) -> int:
    """Pull; with --check 1 when something differs."""
    # Imported here: no other command needs it.
    from blixard.publishing.base import Outcome, PublishContext
    from blixard.publishing.factory import report
    from blixard.publishing.pull import Here, pull, shared_at

    now = datetime.now(timezone.utc)
    place = shared_at(args.place, PublishContext(lambda: now, etcd=etcd_of_environment(os.environ)))
    lines = pull(
        place.look(),
        place.name,
        Here(args.registry_dir, args.peers),
        signers=[EndpointId.parse(each) for each in args.signer],
        now=now,
        check=args.check,
        discard=args.discard,
    )
    if args.json:
        print_json(report([Outcome(place.name, "changed" if lines else "unchanged", lines)]))
    else:
        for line in lines:
            print_line(line)
        words = ("is not what is published" if args.check else "pulled") if lines else "up to date"
        print_line(f"{place.name}: {words}")
    return 1 if args.check and lines else 0
