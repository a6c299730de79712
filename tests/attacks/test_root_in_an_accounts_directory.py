# SPDX-License-Identifier: MIT
"""Root works in a node's data directory, whose account was taken over and has planted what it could.

Whatever stands at a name that is known, root opens, changes, gives away and signals nothing outside of the directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blixard.agent.process import PID_FILE_NAME, stop
from blixard.documents.account import as_owner_of
from blixard.errors import BlixardError, InputError
from blixard.fleet.host import run
from blixard.fleet.identity import Wanted, keep_for
from blixard.trust.keys import create_secret_key

pytestmark = pytest.mark.root

ACCOUNT = 54321
"""A user and a group that this machine does not have."""

OTHER = 54322

# Written here as a host has them, and not taken from the code that is attacked.
NAMES = [
    "iroh-secret-key",
    "iroh-secret-key.next",
    "iroh-secret-key.new",
    "node-registry.json",
    "node-7-registry.json",
    "discovery-peers.json",
    "discovery-peers.json.sig",
    "seen-signatures.json",
    "remembered-peers",
    "registry.d",
    "agent.sock",
    "agent.pid",
    "agent.log",
    "node-config.json",
]
KEY = b"0123456789abcdef" * 4 + b"\n"
PEERS = b"[]\n"


class Watch:
    """Tells what was done to a file: opened, written, given another owner or mode (inotify(7))."""

    def __init__(self, path: Path, *, names: bool) -> None:
        """`names`: also tell that a name came or went, which counts as a change of mode or owner does."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        opened_read_or_written, attributes = 0x3B, 0x04
        mask = opened_read_or_written | (attributes if names else 0)
        assert libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask) > 0

    def events(self) -> list[int]:
        """The mask of each event since the last call."""
        try:
            data = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return []
        found = []
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            found.append(mask)
            data = data[16 + length :]
        return found

    def close(self) -> None:
        os.close(self._descriptor)


class Host:
    """A data directory of the account's, and what is outside of it and none of the account's business."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.data_dir = room / "data"
        self.outside = room / "outside"
        self.secret = self.outside / "secret"
        self.folder = self.outside / "folder"
        self.outside.mkdir()
        self.secret.write_bytes(KEY)
        self.secret.chmod(0o600)
        self.folder.mkdir(0o700)
        (self.folder / "node1.json").write_bytes(KEY)
        self.data_dir.mkdir(0o700)
        os.chown(self.data_dir, ACCOUNT, ACCOUNT)
        self.planted: list[str] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def own(self, name: str, content: bytes, mode: int = 0o644, owner: int = ACCOUNT) -> Path:
        """Put a good file of the account's."""
        path = self.data_dir / name
        path.write_bytes(content)
        path.chmod(mode)
        os.chown(path, owner, owner)
        return path

    def furnish(self) -> None:
        """Put what a node has there when all is well."""
        create_secret_key(self.data_dir / "iroh-secret-key")
        os.chown(self.data_dir / "iroh-secret-key", ACCOUNT, ACCOUNT)
        self.own("discovery-peers.json", PEERS)
        self.own("seen-signatures.json", b"{}\n")
        (self.data_dir / "registry.d").mkdir()
        os.chown(self.data_dir / "registry.d", ACCOUNT, ACCOUNT)

    @property
    def config(self) -> str:
        settings = {
            "node_id": 1,
            "bind": f"127.0.0.1:{self.port}",
            "data_dir": str(self.data_dir),
            "registries": [str(self.data_dir / "registry.d")],
        }
        return json.dumps(settings)

    def paths(self) -> dict[str, str]:
        inside = [*NAMES, "registry.d/node1.json", "."]
        return {name: f"{self.data_dir}/{name}" for name in inside}

    def state(self, *, linked: bool) -> dict[str, tuple[int, ...]]:
        """All that is outside: kind, mode, owner, size, and when its content and the rest of it last changed."""
        found: dict[str, tuple[int, ...]] = {}
        for path in [self.outside, *sorted(self.outside.rglob("*"))]:
            status = path.lstat()
            changed = 0 if linked else status.st_ctime_ns
            found[str(path)] = (
                *(status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_size),
                *(status.st_mtime_ns, changed),
            )
        return found

    @contextlib.contextmanager
    def spared(self) -> Iterator[None]:
        """Hold that nothing outside is opened or changed, and that root is root again.

        A file that has a name in the directory too may lose that one, or see it moved.
        """
        linked = self.secret.stat().st_nlink > 1
        watches = {path: Watch(path, names=not linked) for path in (self.secret, self.folder / "node1.json")}
        before = self.state(linked=linked)
        try:
            yield
            assert self.state(linked=linked) == before
            assert {path: watch.events() for path, watch in watches.items()} == {path: [] for path in watches}
            assert (os.geteuid(), os.getegid(), os.getuid()) == (0, 0, 0)
        finally:
            for watch in watches.values():
                watch.close()


@pytest.fixture
def host() -> Iterator[Host]:
    # Not pytest's own folder, which the account may not enter.
    room = Path(tempfile.mkdtemp(prefix="blixard-attack-"))
    room.chmod(0o755)
    try:
        yield Host(room)
    finally:
        shutil.rmtree(room)


@pytest.fixture(autouse=True)
def nothing_is_waited_for() -> Iterator[None]:
    """End a test that hangs, such as on a FIFO."""

    def alarm(*_: object) -> None:
        raise AssertionError("hangs")

    before = signal.signal(signal.SIGALRM, alarm)
    signal.alarm(120)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_what_holds_the_attacks_does_notice_them(host: Host) -> None:
    """Else all of the following would prove nothing."""
    for touch in (host.secret.read_bytes, lambda: host.secret.chmod(0o644), lambda: os.chown(host.secret, 1, 1)):
        with pytest.raises(AssertionError), host.spared():
            touch()
    with pytest.raises(AssertionError), host.spared():
        (host.outside / "new").touch()


# --- Operations -------------------------------------------------------------------------------------------------------

Operation = Callable[[Host], object]


def _host(operation: str, **options: Any) -> dict[str, Any]:
    answer = run(operation, options)
    assert not answer.get("failed") or "\n" not in answer["msg"] or operation == "check"
    return answer


def _look(host: Host) -> object:
    return _host("look", data_dir=str(host.data_dir), config=host.config, paths=host.paths(), expected={}, min_seq=0)


def _look_without_settings(host: Host) -> object:
    return _host("look", data_dir=str(host.data_dir), config=None, paths=host.paths(), expected={}, min_seq=0)


def _check(host: Host) -> object:
    config = str(host.data_dir / "node-config.json")
    return _host("check", data_dir=str(host.data_dir), config=config, timeout=1.0, sample=0, settle=False)


def _refresh(host: Host) -> object:
    return _host("refresh", data_dir=str(host.data_dir))


def _prepare_rotation(host: Host) -> object:
    return _host("rotation", data_dir=str(host.data_dir), config=host.config, min_age=0, new=None, check=False)


def _swap_keys(host: Host) -> object:
    return _host("rotation", data_dir=str(host.data_dir), new="00" * 31 + "01", check=False)


def _put(host: Host) -> None:
    source = host.room / "source"
    source.write_bytes(PEERS)
    digest = hashlib.sha256(PEERS).hexdigest()
    for name in {*host.planted, "discovery-peers.json", "registry.d/node1.json"}:
        _host(
            "put",
            data_dir=str(host.data_dir),
            name=name,
            mode="0644",
            sha256=digest,
            source=str(source),
            diff=True,
        )


def _give(host: Host) -> None:
    wanted = Wanted(owner=str(OTHER), group=str(OTHER), data_dir=True)
    with contextlib.suppress(BlixardError):
        keep_for(host.data_dir / "iroh-secret-key", wanted, check=False)


def _keep_key(host: Host) -> None:
    for regenerate in ("fail", "never", "always"):
        with contextlib.suppress(BlixardError):
            keep_for(host.data_dir / "iroh-secret-key", Wanted(regenerate=regenerate), check=False)


def _remove_key(host: Host) -> None:
    with contextlib.suppress(BlixardError):
        keep_for(host.data_dir / "iroh-secret-key", Wanted(state="absent"), check=False)


def _stop(host: Host) -> None:
    with contextlib.suppress(BlixardError):
        stop(host.data_dir)


OPERATIONS = (
    _look,
    _look_without_settings,
    _check,
    _refresh,
    _prepare_rotation,
    _swap_keys,
    _put,
    _give,
    _keep_key,
    _remove_key,
    _stop,
)

# --- What is planted --------------------------------------------------------------------------------------------------

Plant = Callable[[Host, Path], None]


def _link_to_a_file(host: Host, path: Path) -> None:
    path.symlink_to(host.secret)


def _link_to_a_folder(host: Host, path: Path) -> None:
    path.symlink_to(host.folder)


def _link_to_nothing(host: Host, path: Path) -> None:
    path.symlink_to(host.outside / "new")


def _hard_link(host: Host, path: Path) -> None:
    os.link(host.secret, path)


def _fifo(_: Host, path: Path) -> None:
    os.mkfifo(path)


def _socket(host: Host, path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(host.room / "s"))
    (host.room / "s").rename(path)


def _folder(host: Host, path: Path) -> None:
    path.mkdir()
    (path / "node1.json").symlink_to(host.secret)


def _huge_file(_: Host, path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(1 << 40)


PLANTS = (
    _link_to_a_file,
    _link_to_a_folder,
    _link_to_nothing,
    _hard_link,
    _fifo,
    _socket,
    _folder,
    _huge_file,
)


def plant(host: Host, kind: Plant, name: str) -> None:
    """Put what `kind` makes in the place of what stands at a name, as the account's own where it can be."""
    path = host.data_dir / name
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    kind(host, path)
    if kind is not _hard_link:
        os.chown(path, ACCOUNT, ACCOUNT, follow_symlinks=False)


def words(function: Callable[..., object]) -> str:
    return function.__name__.strip("_").replace("_", " ")


@pytest.mark.parametrize("kind", PLANTS, ids=words)
@pytest.mark.parametrize("operation", [_look, _prepare_rotation, _swap_keys, _put, _give, _keep_key], ids=words)
def test_nothing_outside_is_touched_whatever_stands_at_one_of_the_names(
    host: Host, operation: Operation, kind: Plant
) -> None:
    for name in NAMES:
        shutil.rmtree(host.data_dir)
        host.data_dir.mkdir(0o700)
        os.chown(host.data_dir, ACCOUNT, ACCOUNT)
        host.furnish()
        plant(host, kind, name)
        host.planted = [name]
        with host.spared():
            operation(host)


@pytest.mark.parametrize("kind", PLANTS, ids=words)
@pytest.mark.parametrize("operation", OPERATIONS, ids=words)
def test_nothing_outside_is_touched_when_it_stands_at_all_of_the_names(
    host: Host, operation: Operation, kind: Plant
) -> None:
    for name in NAMES:
        plant(host, kind, name)
    host.planted = NAMES
    with host.spared():
        operation(host)


@pytest.mark.parametrize("operation", OPERATIONS, ids=words)
def test_a_directory_that_is_a_link_of_the_accounts_gives_root_no_more_than_the_account_has(
    host: Host, operation: Operation
) -> None:
    shutil.rmtree(host.data_dir)
    host.data_dir.symlink_to(host.folder)
    os.chown(host.data_dir, ACCOUNT, ACCOUNT, follow_symlinks=False)
    with host.spared():
        operation(host)


# --- Races ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def swapping(directory: Path, name: str, *others: str) -> Iterator[None]:
    """Have the account put `others` in the place of `name` by turns, as fast as it can, in a process of its own."""
    child = os.fork()
    if child == 0:
        try:
            os.chdir(directory)
            os.setgroups([])
            os.setgid(ACCOUNT)
            os.setuid(ACCOUNT)
            while os.getppid() != 1:
                for other in others:
                    for old, new in ((name, ".aside"), (other, name), (name, other), (".aside", name)):
                        with contextlib.suppress(OSError):
                            Path(old).rename(new)
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


ROUNDS = 15


@pytest.mark.parametrize("operation", [_look, _put, _give, _prepare_rotation], ids=words)
@pytest.mark.parametrize("name", ["iroh-secret-key", "discovery-peers.json", "registry.d", "node-registry.json"])
def test_a_name_that_is_swapped_all_the_time_leads_nowhere(host: Host, operation: Operation, name: str) -> None:
    host.furnish()
    for kind in (_link_to_a_file, _link_to_a_folder, _hard_link, _folder):
        plant(host, kind, words(kind))
    for _ in range(ROUNDS):
        with contextlib.suppress(OSError):
            host.own("iroh-secret-key", KEY, 0o600, owner=0)
        if operation is _give:
            os.chown(host.data_dir, ACCOUNT, ACCOUNT)
        with host.spared(), swapping(host.data_dir, name, *map(words, (_link_to_a_file, _hard_link, _folder))):
            operation(host)


def test_a_directory_that_is_swapped_for_a_link_by_the_owner_of_the_one_above_leads_nowhere(host: Host) -> None:
    above = host.room / "home"
    above.mkdir(0o755)
    host.data_dir.rename(above / "data")
    host.data_dir = above / "data"
    os.chown(above, ACCOUNT, ACCOUNT)
    (above / "link").symlink_to(host.folder)
    os.chown(above / "link", ACCOUNT, ACCOUNT, follow_symlinks=False)
    host.furnish()
    for _ in range(ROUNDS):
        with host.spared(), swapping(above, "data", "link"):
            for operation in (_look_without_settings, _put, _give, _stop):
                with contextlib.suppress(BlixardError):
                    operation(host)


# --- Signals ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def holder(path: Path, user: int) -> Iterator[int]:
    """Have a process of `user` hold the lock of a file; gives its id."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            descriptor = os.open(path, os.O_RDWR)
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
            os.write(tell, b"x")
            signal.pause()
        finally:
            os._exit(0)
    try:
        assert os.read(told, 1) == b"x"
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
        os.close(told)
        os.close(tell)


def is_alive(pid: int) -> bool:
    descriptor = os.pidfd_open(pid)
    try:
        return not select.select([descriptor], [], [], 0)[0]
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("how", ["link", "hard link"])
def test_a_process_of_roots_that_locks_another_file_is_not_signalled(host: Host, how: str) -> None:
    locked = host.outside / "lock"
    locked.touch(0o644)
    with holder(locked, 0) as pid:
        if how == "link":
            (host.data_dir / PID_FILE_NAME).symlink_to(locked)
        else:
            os.link(locked, host.data_dir / PID_FILE_NAME)
        with pytest.raises(InputError, match=r"agent\.pid"), host.spared():
            stop(host.data_dir)
        assert is_alive(pid)


def test_a_process_of_roots_that_locks_the_accounts_own_pid_file_is_not_signalled(host: Host) -> None:
    with holder(host.own(PID_FILE_NAME, b"", 0o600), 0) as pid:
        with pytest.raises(InputError, match="its node runs as another user"):
            stop(host.data_dir)
        assert is_alive(pid)


def test_the_accounts_own_process_is_stopped_by_root(host: Host) -> None:
    with holder(host.own(PID_FILE_NAME, b"", 0o600), ACCOUNT) as pid:
        gone = os.pidfd_open(pid)
        assert stop(host.data_dir) is True
        assert select.select([gone], [], [], 0)[0]
        os.close(gone)


# --- Impostors on the control socket ----------------------------------------------------------------------------------


@contextlib.contextmanager
def impostor(path: Path, talk: Callable[[socket.socket], None]) -> Iterator[None]:
    """Have the account listen on the control socket and talk to one caller after the other."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    os.chown(path, ACCOUNT, ACCOUNT)
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(ACCOUNT)
            os.setuid(ACCOUNT)
            listener.listen()
            os.write(1, b"")
            while True:
                with listener.accept()[0] as caller, contextlib.suppress(OSError):
                    talk(caller)
        finally:
            os._exit(0)
    listener.listen()
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        listener.close()


def _drip(caller: socket.socket) -> None:
    while True:
        caller.sendall(b" ")
        select.select([], [], [], 0.05)


def _flood(caller: socket.socket) -> None:
    while True:
        caller.sendall(b"x" * (1 << 16))


def _progress_without_end(caller: socket.socket) -> None:
    while True:
        caller.sendall(b'{"progress": 1}\n')


@pytest.mark.parametrize("talk", [_drip, _flood, _progress_without_end], ids=words)
def test_an_impostor_on_the_socket_neither_holds_a_look_up_nor_fills_the_memory(
    host: Host, talk: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blixard.fleet.look.INFO_TIMEOUT", 1.0)
    host.furnish()
    with impostor(host.data_dir / "agent.sock", talk), host.spared():
        answer = run("look", {**LOOK, "data_dir": str(host.data_dir)})
    assert answer["agent"]["state"] in ("not answering", "not running"), answer
    assert len(json.dumps(answer)) < 2000


@pytest.mark.parametrize(
    "said",
    [
        '{"result": null}',
        '{"result": []}',
        '{"result": {"config_sha256": null}}',
        '{"result": {"config_sha256": null, "version": "1", "iroh_node_id": "x", "entry": [1]}}',
        '{"result": {"config_sha256": 1, "version": {}, "iroh_node_id": "x", "entry": {"attestation": 7}}}',
        '{"result": {"config_sha256": 1, "version": 1, "iroh_node_id": 1, "addresses": [1, {"address": "x:y"}]}}',
        '{"error": {"a": "\\u001b[2J\\n"}}',
    ],
)
def test_an_impostors_answer_that_is_none_is_told_as_one(host: Host, said: str) -> None:
    host.furnish()
    options = {**LOOK, "data_dir": str(host.data_dir), "config": host.config}
    with impostor(host.data_dir / "agent.sock", _saying(said)), host.spared():
        answer = run("look", options)
    assert answer["agent"]["state"] in ("not answering", "running"), answer
    assert answer["entry_source"] == "key"


def _saying(said: str) -> Callable[[socket.socket], None]:
    def talk(caller: socket.socket) -> None:
        caller.recv(4096)
        caller.sendall(said.encode() + b"\n")

    return talk


def test_a_node_of_the_accounts_is_asked_by_root(host: Host) -> None:
    host.furnish()
    info: dict[str, Any] = {
        "config_sha256": None,
        "version": "0.1.0",
        "iroh_node_id": "x",
        "entry": None,
        "addresses": [],
    }
    with impostor(host.data_dir / "agent.sock", _saying(json.dumps({"result": info}))):
        answer = run("look", {**LOOK, "data_dir": str(host.data_dir)})
    assert (answer["agent"]["state"], answer["entry_source"]) == ("running", "agent")


def test_a_socket_of_somebody_elses_is_not_talked_to(host: Host) -> None:
    """Such as one of root's, to which a link leads that the account planted."""
    heard = host.room / "theirs"
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(heard))
        heard.chmod(0o600)
        theirs.listen()
        theirs.setblocking(False)
        (host.data_dir / "agent.sock").symlink_to(heard)
        os.chown(host.data_dir / "agent.sock", ACCOUNT, ACCOUNT, follow_symlinks=False)
        answer = run("look", {**LOOK, "data_dir": str(host.data_dir)})
        with pytest.raises(BlockingIOError):
            theirs.accept()
    assert "not for this user" in answer["msg"]


LOOK: dict[str, Any] = {"config": None, "paths": {}, "expected": {}, "min_seq": 0}

# --- What goes on working ---------------------------------------------------------------------------------------------


def test_root_works_with_no_more_rights_than_the_account_and_is_root_again(host: Host) -> None:
    with as_owner_of(host.data_dir):
        assert (os.geteuid(), os.getegid(), os.getuid(), os.getgroups()) == (ACCOUNT, ACCOUNT, 0, [ACCOUNT])
        with pytest.raises(PermissionError):
            host.secret.read_bytes()
        with as_owner_of(host.outside):
            assert os.geteuid() == ACCOUNT
    assert (os.geteuid(), os.getegid()) == (0, 0)
    assert host.secret.read_bytes() == KEY


def test_root_is_root_again_after_a_failure(host: Host) -> None:
    with pytest.raises(ValueError, match="x"), as_owner_of(host.data_dir):
        raise ValueError("x")
    assert (os.geteuid(), os.getegid()) == (0, 0)


def test_a_group_that_the_account_is_not_in_is_not_taken_over_from_its_directory(host: Host) -> None:
    os.chown(host.data_dir, ACCOUNT, 0)
    with as_owner_of(host.data_dir):
        assert os.getegid() != 0
        assert 0 not in os.getgroups()


def test_in_a_directory_of_its_own_root_stays_root_but_for_one_where_others_may_write(host: Host) -> None:
    with as_owner_of(host.outside):
        assert os.geteuid() == 0
    host.outside.chmod(0o777)
    with pytest.raises(InputError, match=r"others may write there; chmod go-w"), as_owner_of(host.outside):
        pass


def test_a_link_that_root_made_to_the_data_directory_is_followed(host: Host) -> None:
    link = host.room / "link"
    link.symlink_to("data")
    with as_owner_of(link):
        assert os.geteuid() == ACCOUNT


def test_a_restored_host_is_given_to_its_account_with_all_that_a_node_keeps_and_nothing_else(host: Host) -> None:
    host.furnish()
    host.own("registry.d/node1.json", b"{}\n")
    host.own("registry.d/note.txt", b"mine\n")
    (host.data_dir / "remembered-peers").mkdir(0o700)
    os.chown(host.data_dir / "remembered-peers", ACCOUNT, ACCOUNT)
    host.own("remembered-peers/0123456789abcdef0123456789abcdef", b"{}\n[]\n", 0o600)
    host.own("agent.log", b"a line\n")
    host.own("agent.pid", b"1\n")
    host.own("discovery-peers.json.sig", b"{}\n")
    host.own("node-registry.json", b"{}\n")
    host.own("iroh-secret-key.new", KEY, 0o600)
    host.own("iroh-secret-key.next", KEY, 0o600)
    host.own("of-somebody-else", b"x", 0o600)
    host.data_dir.chmod(0o755)

    wanted = Wanted(owner=str(OTHER), group=str(OTHER), data_dir=True)
    would = keep_for(host.data_dir / "iroh-secret-key", wanted, check=True)
    assert host.data_dir.stat().st_uid == ACCOUNT
    kept = keep_for(host.data_dir / "iroh-secret-key", wanted, check=False)

    assert (kept.changed, would.changed) == (True, True)
    assert (
        kept.given
        == would.given
        == (
            "discovery-peers.json",
            "discovery-peers.json.sig",
            "registry.d",
            "node-registry.json",
            "seen-signatures.json",
            "remembered-peers",
            "agent.log",
            "agent.pid",
            "iroh-secret-key.new",
            "iroh-secret-key.next",
            ".",
            "iroh-secret-key",
        )
    )
    owners = {path.name: path.lstat().st_uid for path in host.data_dir.rglob("*")}
    theirs = {name for name, owner in owners.items() if owner == ACCOUNT}
    assert theirs == {"of-somebody-else", "note.txt"}
    assert host.data_dir.stat().st_mode & 0o7777 == 0o700
    assert host.data_dir.stat().st_uid == OTHER
    assert not keep_for(host.data_dir / "iroh-secret-key", wanted, check=False).changed


def test_a_key_that_root_put_back_is_given_to_the_account(host: Host) -> None:
    host.own("iroh-secret-key", KEY, 0o600, owner=0)
    seen = run("look", {**LOOK, "data_dir": str(host.data_dir), "config": host.config})
    assert (seen["key"]["owner"], seen["entry"]) == ("root", None)

    wanted = Wanted(owner=str(ACCOUNT), group=str(ACCOUNT), data_dir=True)
    assert keep_for(host.data_dir / "iroh-secret-key", wanted, check=False).given == ("iroh-secret-key",)

    seen = run("look", {**LOOK, "data_dir": str(host.data_dir), "config": host.config})
    assert (seen["key"]["owner"], seen["entry_source"]) == (str(ACCOUNT), "key")


def test_a_directory_that_holds_the_python_which_root_runs_is_not_given_away(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = host.data_dir / "venv"
    venv.mkdir()
    monkeypatch.setattr("sys.prefix", str(venv))
    with pytest.raises(InputError, match="holds the Python that root runs, and is not given away"):
        keep_for(host.data_dir / "iroh-secret-key", Wanted(owner=str(OTHER), data_dir=True), check=False)
    assert host.data_dir.stat().st_uid == ACCOUNT


@pytest.mark.parametrize("name", ["iroh-secret-key", "discovery-peers.json", "agent.log", "registry.d"])
def test_what_root_left_in_the_directory_is_not_given_away_under_a_name_that_the_account_chose(
    host: Host, name: str
) -> None:
    """The account may move whatever lies in its own directory; a backup that root left there stays root's."""
    host.furnish()
    backup = host.own("backup", b"all the passwords", 0o600, owner=0)
    if name == "registry.d":
        backup.unlink()
        backup.mkdir(0o700)
        (backup / "passwords").write_bytes(b"all of them")
        shutil.rmtree(host.data_dir / name)
    backup.rename(host.data_dir / name)

    with pytest.raises(InputError, match=f"{name}: .*not given away"):
        keep_for(host.data_dir / "iroh-secret-key", Wanted(owner=str(OTHER), data_dir=True), check=False)
    assert (host.data_dir / name).stat().st_uid == 0


def test_a_file_that_is_put_there_is_the_accounts_and_put_once(host: Host) -> None:
    os.umask(os.umask(0o077))
    source = host.room / "source"
    source.write_bytes(PEERS)
    source.chmod(0o600)
    options = {
        "data_dir": str(host.data_dir),
        "name": "registry.d/node1.json",
        "mode": "0644",
        "sha256": hashlib.sha256(PEERS).hexdigest(),
        "diff": True,
    }
    assert run("put", {**options, "source": None}) == {"changed": True, "before": None}
    assert not (host.data_dir / "registry.d").exists()
    assert run("put", {**options, "source": str(source)}) == {"changed": True, "before": None}
    assert run("put", {**options, "source": str(source)}) == {"changed": False, "before": "[]\n"}
    status = (host.data_dir / "registry.d" / "node1.json").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (ACCOUNT, ACCOUNT, 0o644)


@pytest.mark.parametrize("name", ["../outside/new", "/etc/new", "a/../../outside/new", ".", ""])
def test_a_name_that_leads_out_of_the_directory_is_refused(host: Host, name: str) -> None:
    options = {"data_dir": str(host.data_dir), "name": name, "mode": "0644", "sha256": "", "diff": False}
    with host.spared():
        assert run("put", {**options, "source": None})["failed"]
