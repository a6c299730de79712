# SPDX-License-Identifier: MIT
"""A node lives in a directory that is its own, with files that are its own, or says in a line what to do about it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from blixard.agent.data_dir import make_data_dir
from blixard.errors import InputError

SOMEBODY = 54321
as_root = pytest.mark.root

OWN_FILES = [
    "iroh-secret-key",
    "iroh-secret-key.next",
    "agent.pid",
    "agent.log",
    "node-registry.json",
    "seen-signatures.json",
]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(0o700)
    return path


def refusal(path: Path) -> str:
    """The line with which a data directory is refused."""
    with pytest.raises(InputError) as caught:
        make_data_dir(path)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_what_is_made_is_for_its_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_data_dir(tmp_path / "data" / "node1")
    finally:
        os.umask(before)
    assert (tmp_path / "data" / "node1").stat().st_mode & 0o7777 == 0o700
    assert (tmp_path / "data").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777, 0o2770])
def test_a_directory_that_others_may_write_is_refused_with_the_chmod_that_mends_it(data_dir: Path, mode: int) -> None:
    data_dir.chmod(mode)
    line = refusal(data_dir)
    assert "which lets others" in line
    subprocess.run(line.rpartition("; ")[2], shell=True, check=True)
    make_data_dir(data_dir)


def test_a_directory_that_others_may_read_is_taken(data_dir: Path) -> None:
    data_dir.chmod(0o755)
    make_data_dir(data_dir)
    assert data_dir.stat().st_mode & 0o777 == 0o755


@as_root
def test_a_directory_of_somebody_elses_is_refused_with_the_chown_that_mends_it(data_dir: Path) -> None:
    os.chown(data_dir, SOMEBODY, SOMEBODY)
    line = refusal(data_dir)
    assert f"belongs to {SOMEBODY}" in line
    subprocess.run(line.rpartition("; ")[2], shell=True, check=True)
    make_data_dir(data_dir)


def test_a_link_that_the_operator_made_is_followed_and_its_target_is_what_counts(data_dir: Path) -> None:
    link = data_dir.parent / "link"
    link.symlink_to(data_dir)
    make_data_dir(link)
    data_dir.chmod(0o777)
    assert "which lets others" in refusal(link)


@pytest.fixture
def where_everybody_may_write() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / "tmp"
        path.mkdir()
        path.chmod(0o1777)
        yield path


@as_root
@pytest.mark.parametrize("how", ["folder", "link"])
def test_what_somebody_made_beforehand_where_everybody_may_is_refused(
    where_everybody_may_write: Path, how: str
) -> None:
    theirs = where_everybody_may_write / "blixard"
    if how == "folder":
        theirs.mkdir(0o755)
    else:
        (where_everybody_may_write.parent / "own").mkdir()
        theirs.symlink_to("../own")
    os.chown(theirs, SOMEBODY, SOMEBODY, follow_symlinks=False)
    for path in (theirs, theirs / "node1", theirs / "a" / "b"):
        assert str(theirs) in refusal(path)
    assert list(theirs.iterdir()) == []


def test_what_the_user_made_there_is_taken(where_everybody_may_write: Path) -> None:
    make_data_dir(where_everybody_may_write / "blixard" / "node1")
    make_data_dir(where_everybody_may_write / "blixard" / "node1")
    assert (where_everybody_may_write / "blixard" / "node1").is_dir()


def _link(path: Path) -> None:
    (path.parent.parent / "elsewhere").write_bytes(b"")
    path.symlink_to("../elsewhere")


def _dangling_link(path: Path) -> None:
    path.symlink_to("../new")


def _hard_link(path: Path) -> None:
    (path.parent.parent / "elsewhere").touch(0o600)
    os.link(path.parent.parent / "elsewhere", path)


def _folder(path: Path) -> None:
    path.mkdir(0o700)


def _fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def _open_to_others(path: Path) -> None:
    path.touch()
    path.chmod(0o622)


@pytest.mark.parametrize("plant", [_link, _dangling_link, _hard_link, _folder, _fifo, _open_to_others])
@pytest.mark.parametrize("name", OWN_FILES)
def test_a_file_that_is_not_the_nodes_own_is_refused_by_name_and_left_as_it_is(
    data_dir: Path, name: str, plant: object
) -> None:
    assert callable(plant)
    plant(data_dir / name)
    before = (data_dir / name).lstat()
    line = refusal(data_dir)
    assert line.startswith(f"{data_dir / name}: ")
    assert "; " in line
    assert (data_dir / name).lstat() == before
    assert not (data_dir.parent / "new").exists()


@as_root
@pytest.mark.parametrize("name", [*OWN_FILES, "agent.sock"])
def test_a_file_of_somebody_elses_is_refused_with_the_chown_that_mends_it(data_dir: Path, name: str) -> None:
    path = data_dir / name
    if name == "agent.sock":
        with closing(socket.socket(socket.AF_UNIX)) as made:
            made.bind(str(path))
        path.chmod(0o600)
    else:
        path.touch(0o600)
    os.chown(path, SOMEBODY, SOMEBODY)
    line = refusal(data_dir)
    assert line.startswith(f"{path}: belongs to {SOMEBODY}")
    subprocess.run(line.rpartition("; ")[2], shell=True, check=True)
    make_data_dir(data_dir)


def test_a_key_that_others_may_read_is_refused(data_dir: Path) -> None:
    (data_dir / "iroh-secret-key").touch()
    (data_dir / "iroh-secret-key").chmod(0o640)
    assert "chmod 0600" in refusal(data_dir)


def test_a_mend_names_the_file_also_where_the_shell_would_read_it_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "it's $(odd)"
    path.mkdir()
    path.chmod(0o777)
    subprocess.run(refusal(path).rpartition("; ")[2], shell=True, check=True)
    make_data_dir(path)


def test_a_key_whose_maker_was_killed_before_it_was_done_is_taken(data_dir: Path) -> None:
    """It has the name under which it was written, too, for one moment."""
    (data_dir / ".iroh-secret-key.abc123.part").touch(0o600)
    os.link(data_dir / ".iroh-secret-key.abc123.part", data_dir / "iroh-secret-key")
    make_data_dir(data_dir)
    assert [path.name for path in data_dir.iterdir()] == ["iroh-secret-key"]


def test_files_that_are_given_to_the_node_may_be_links_of_the_operators(data_dir: Path) -> None:
    (data_dir.parent / "shared.json").write_text("[]\n")
    (data_dir / "discovery-peers.json").symlink_to("../shared.json")
    (data_dir / "registry.d").symlink_to("..")
    make_data_dir(data_dir)
    assert {path.name for path in data_dir.iterdir() if path.is_symlink()} == {"discovery-peers.json", "registry.d"}


def _blixard(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "blixard", *words], capture_output=True, text=True, check=False)


def _node(data_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return _blixard("node", "--id", "1", "--bind", "127.0.0.1:0", "--data-dir", data_dir, *words)


@pytest.mark.parametrize("words", [(), ("--detach",)], ids=["in the foreground", "in the background"])
@pytest.mark.parametrize("name", ["agent.log", "agent.pid", "iroh-secret-key", "agent.sock"])
def test_a_node_ends_with_one_line_before_it_binds_anything(data_dir: Path, name: str, words: tuple[str, ...]) -> None:
    victim = data_dir.parent / "victim"
    victim.write_text("as it was\n")
    (data_dir / name).symlink_to(victim)
    ran = _node(data_dir, *words)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert f"{data_dir / name}: is a link" in ran.stderr
    assert victim.read_text() == "as it was\n"
    assert [path.name for path in data_dir.iterdir()] == [name]


def test_a_socket_that_a_killed_node_left_keeps_no_node_out(data_dir: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(data_dir / "agent.sock"))
    (data_dir / "agent.sock").chmod(0o600)
    assert _node(data_dir, "--detach").returncode == 0
    assert "stopped" in _blixard("stop", "--data-dir", data_dir).stdout


def _as_somebody(path: Path) -> str:
    """What a user who is not root is told of a data directory; empty where it is taken."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(SOMEBODY)
            os.setuid(SOMEBODY)
            make_data_dir(path)
        except Exception as error:
            os.write(tell, f"{type(error).__name__} {error}".encode())
        finally:
            os._exit(0)
    os.close(tell)
    os.waitpid(child, 0)
    with os.fdopen(told) as words:
        return words.read()


@as_root
def test_a_user_who_is_not_root_makes_a_folder_in_what_root_gave_to_many(where_everybody_may_write: Path) -> None:
    room = where_everybody_may_write
    room.parent.chmod(0o755)
    room.chmod(0o777)
    assert "which lets others write there; name a folder in it with --data-dir" in _as_somebody(room)
    assert _as_somebody(room / "node") == ""
    assert (room / "node").stat().st_mode & 0o7777 == 0o700
    assert _as_somebody(room / "node") == ""

    (room / "node" / "agent.log").symlink_to("/etc/hostname")
    assert "agent.log: is a link, not a file" in _as_somebody(room / "node")
    (room / "roots").mkdir(0o755)
    assert _as_somebody(room / "roots") == ""
    (room / "another").mkdir(0o755)
    os.chown(room / "another", SOMEBODY + 1, SOMEBODY)
    assert f"was made by {SOMEBODY + 1} where everybody may" in _as_somebody(room / "another")
