# SPDX-License-Identifier: MIT
"""Locks under a prefix in etcd, and transactions that hold only under them.

    lock       held while one publication is written
    rollout    held by a run: from before it pulls the record until its last host is done

A lock is a key with a lease, which its holder renews; when the holder dies, the lease runs out and the key goes. The
fence is that the key is of this lease. Every transaction of a publication has two: `lock` is the publisher's, and
`rollout` is its run's, or nobody's. A run that stood still for longer than its lease can publish nothing more, and who
publishes without a lock never comes between a run's pull and its publication.

The lease of a run goes as `RunLock.held` from the process that keeps it to those that publish.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blixard.documents.lock_holder import words_of
from blixard.errors import BlixardError, InputError
from blixard.publishing.etcd_leases import Lease
from blixard.sources.etcd_client import encoded
from blixard.sources.http_client import Deadline, Limits

if TYPE_CHECKING:
    from blixard.sources.etcd_client import Etcd

LOCK = "lock"
ROLLOUT = "rollout"

LEASE = 30
"""Seconds for which a lock is kept without being renewed: three times what the slowest call takes."""

PATIENCE = 60
"""Seconds that a publication waits for another one."""

_LIMITS = Limits()
_TRY = 1.0

Holder = Mapping[str, object]
Pause = Callable[[float], bool]
"""Waits for so many seconds; returns early, and True, when there is nothing more to wait for."""


@dataclass(frozen=True)
class Operation:
    """A step of a transaction: as etcd has it, and its size in bytes."""

    request: Mapping[str, object]
    size: int


def put(key: bytes, value: bytes) -> Operation:
    """Return the step that puts a value."""
    return Operation({"request_put": {"key": encoded(key), "value": encoded(value)}}, len(key) + len(value))


def remove(key: bytes) -> Operation:
    """Return the step that removes a key, if it is there."""
    return Operation({"request_delete_range": {"key": encoded(key)}}, len(key))


class Lock:
    """One of the keys above, wanted or held by a lease of its own. Blocking; for one thread at a time."""

    def __init__(self, client: Etcd, name: str, who: Holder) -> None:
        """Get a lease; `who`: as of `lock_holder.holder`.

        Raises:
            InputError: etcd gives no good answer; so with all methods.
        """
        self._client = client
        self._key = client.place.key(name)
        self._value = encoded(json.dumps(dict(who)).encode())
        self._lease = Lease(client, LEASE)
        self.lease = self._lease.number
        self.is_ours = _of_lease(self._key, self.lease)

    def take(
        self, patience: float, pause: Pause, taken: Callable[[str], InputError], say: Callable[[str], object] = str
    ) -> None:
        """Wait for the lock, at most `patience` seconds.

        Args:
            patience: 0 for one try.
            pause: waits between tries.
            taken: makes an error of who has it.
            say: is told once that this waits, and for whom.

        Raises:
            InputError: what `taken` makes.
        """
        end = Deadline(Limits(total=patience))
        has_said = False
        while not self._try():
            problem = taken(holder_of(self._client, self._key))
            if end.is_over():
                raise problem
            if not has_said:
                say(f"{problem.file}: {problem.reason}")
                has_said = True
            if pause(_TRY):
                raise problem
            self.renew()

    def _try(self) -> bool:
        taking = {"request_put": {"key": encoded(self._key), "value": self._value, "lease": self.lease}}
        # It is ours, too, when an endpoint took it and did not come to say so.
        return any(
            _transact(self._client, [fence], steps)[0]
            for fence, steps in ((_free(self._key), [taking]), (self.is_ours, []))
        )

    def renew(self) -> bool:
        """Keep the lease for another while; tell whether it is there."""
        return self._lease.renew()

    def release(self) -> None:
        """Give the lock back."""
        self._lease.end()


class RunLock(Lock):
    """The lock `rollout`, for a whole run."""

    def __init__(self, client: Etcd, who: Holder) -> None:
        super().__init__(client, ROLLOUT, who)

    @property
    def held(self) -> str:
        """What those under this lock are told of it, see `base.held_of`."""
        return f"{self._client.place} {self.lease}"

    def wait_for(self, patience: float, pause: Pause, say: Callable[[str], object]) -> None:
        """Have the lock, as `Lock.take`; give the lease back when it was not to be had."""
        try:
            self.take(patience, pause, lambda who: _busy(self._client, who), say)
        except BaseException:
            self.release()
            raise

    def keep(self, is_over: Pause) -> str | None:
        """Hold the lock until the run is over; return why it was lost, if that comes first.

        A lock counts as lost somewhat before another run can have it.
        """
        alive = _lasting()
        while not is_over(LEASE / 6):
            renewed = _lasting()
            try:
                if not (self.renew() and _holds(self._client, self.is_ours)):
                    return "its lease ran out, or somebody removed it"
                alive = renewed
            except BlixardError as error:
                if alive.is_over():
                    return f"it could not be renewed: {error}"
        return None


def _lasting() -> Deadline:
    return Deadline(Limits(total=LEASE * 2 / 3))


class RunFence:
    """What a publication asks of the lock `rollout`: that it is of the run's lease, or nobody's where it has none."""

    def __init__(self, client: Etcd, lease: str | None) -> None:
        self._client = client
        self._lease = lease
        self._key = client.place.key(ROLLOUT)
        self.compare = _free(self._key) if lease is None else _of_lease(self._key, lease)

    def check(self) -> None:
        """Make sure that it is so now.

        Raises:
            InputError: it is not; the line says who has the lock.
        """
        if _holds(self._client, self.compare):
            return
        who = holder_of(self._client, self._key)
        if self._lease is None:
            raise _busy(self._client, who)
        now = f"now it is of {who}" if who else "now it is nobody's"
        raise InputError(
            f"the lock of this run was lost, {now}", file=str(self._client.place), mend="run this again from its pull"
        )


def _busy(client: Etcd, who: str) -> InputError:
    reason = f"another run is at work on this record: {who or 'it ends just now'}"
    return InputError(reason, file=str(client.place), mend="wait until it ends, and run this again")


@contextlib.contextmanager
def publishing(client: Etcd, who: Holder, run: RunFence) -> Iterator[Publishing]:
    """Hold `lock` of a prefix; waits up to `PATIENCE` seconds for who has it. Blocking.

    Raises:
        InputError: somebody else has it or `rollout`, or etcd gives no good answer.
    """
    run.check()
    lock = Lock(client, LOCK, who)
    try:
        lock.take(PATIENCE, lambda seconds: threading.Event().wait(seconds), lambda who: _taken(client, who))
        yield Publishing(client, lock, run)
    finally:
        lock.release()


def _taken(client: Etcd, who: str) -> InputError:
    reason = f"is being published to: {who or 'it ends just now'}"
    return InputError(reason, file=str(client.place), mend="run this again")


class Publishing:
    """A publication that has its locks."""

    def __init__(self, client: Etcd, lock: Lock, run: RunFence) -> None:
        self._client = client
        self._lock = lock
        self._run = run

    def commit(self, operations: Sequence[Operation], unchanged: bytes, revision: int) -> int:
        """Do all of it while the locks hold and the key `unchanged` has this revision; return the new revision.

        Raises:
            InputError: it was not done, or etcd gives no good answer.
        """
        self._lock.renew()
        is_same = {"key": encoded(unchanged), "target": "MOD", "mod_revision": str(revision), "result": "EQUAL"}
        fences = [self._lock.is_ours, self._run.compare, is_same]
        is_done, after = _transact(self._client, fences, [each.request for each in operations])
        if not is_done:
            self._run.check()
            raise InputError(
                "the lock was lost, and somebody else may have published",
                file=str(self._client.place),
                mend="nodes have the last whole publication; run this again",
            )
        return after


def holder_of(client: Etcd, key: bytes) -> str:
    """Return in words who holds a lock; empty where nobody does."""
    found = client.value(key, Deadline(_LIMITS))
    return "" if found is None else words_of(found.value or b"")


def _free(key: bytes) -> dict[str, str]:
    return {"key": encoded(key), "target": "CREATE", "create_revision": "0", "result": "EQUAL"}


def _of_lease(key: bytes, lease: str) -> dict[str, str]:
    return {"key": encoded(key), "target": "LEASE", "lease": lease, "result": "EQUAL"}


def _holds(client: Etcd, compare: dict[str, str]) -> bool:
    return _transact(client, [compare], [])[0]


def _transact(client: Etcd, compare: list[dict[str, str]], success: list[Any]) -> tuple[bool, int]:
    """Do these steps if all of that is so; tell whether it is, and the revision then."""
    answer = client.call("kv/txn", {"compare": compare, "success": success}, Deadline(_LIMITS))
    return answer.get("succeeded") is True, _revision(answer)


def _revision(answer: Mapping[str, Any]) -> int:
    header = answer.get("header")
    text = str(header.get("revision")) if isinstance(header, dict) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise InputError("etcd's answer has no revision")
    return int(text)
