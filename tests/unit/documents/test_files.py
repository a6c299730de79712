# SPDX-License-Identifier: MIT
"""Files: read within a limit without ever blocking, replaced in one step whatever kills the writer."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from blixard.documents.files import create_atomic, read_limited, write_all, write_atomic
from blixard.errors import InputError


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_read_up_to_the_limit_and_not_beyond(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_limited(path, 100) == b"x" * 100
    with pytest.raises(InputError, match="too large: 100 bytes, at most 99"):
        read_limited(path, 99)


def test_a_file_of_one_gibibyte_is_refused_without_reading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    monkeypatch.setattr(os, "fdopen", lambda *_args, **_options: pytest.fail("it was read"))
    with pytest.raises(InputError, match="too large: 1073741824 bytes"):
        read_limited(path, 65536)


def test_what_is_missing_or_no_file_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    expected = {
        "fifo": "is a FIFO, not a file",
        "folder": "is a folder, not a file",
        "loop": "cannot be read",
        "socket": "cannot be read",
        "missing": "does not exist",
        "nul\0byte": "cannot be read",
        "x" * 300: "cannot be read",
    }
    for name, reason in expected.items():
        with pytest.raises(InputError, match=reason) as caught:
            read_limited(tmp_path / name, 10)
        assert str(tmp_path) in str(caught.value)
    with pytest.raises(InputError, match="is a device, not a file"):
        read_limited("/dev/zero", 10)


def test_a_file_that_grows_while_it_is_read_stays_within_the_limit() -> None:
    # Files of the kernel say that they are empty, like one that was looked at before it grew.
    assert Path("/proc/self/maps").stat().st_size == 0
    with pytest.raises(InputError, match="grew beyond 10 bytes"):
        read_limited("/proc/self/maps", 10)


def test_forbidden_mode_bits_are_refused_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"secret")
    path.chmod(0o640)
    with pytest.raises(InputError, match="mode 0640") as caught:
        read_limited(path, 10, forbidden=0o077)
    assert f"chmod 0600 {path}" in str(caught.value)
    assert read_limited(path, 10, forbidden=0o007) == b"secret"


@pytest.mark.parametrize("write", [write_atomic, create_atomic])
def test_a_new_file_has_the_mode_that_was_asked_for_whatever_the_umask(tmp_path: Path, write: object) -> None:
    old = os.umask(0o077)
    try:
        assert callable(write)
        write(tmp_path / "open", b"data", 0o644)
        write(tmp_path / "closed", b"data")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "closed").stat().st_mode) == 0o600
    assert listed(tmp_path) == ["closed", "open"]


def test_a_file_is_replaced_and_a_link_to_it_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "file"
    target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomic(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert listed(tmp_path / "real") == ["file"]


def test_a_file_is_made_only_where_none_is(tmp_path: Path) -> None:
    create_atomic(tmp_path / "file", b"first")
    with pytest.raises(InputError, match="is there already"):
        create_atomic(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert listed(tmp_path) == ["file"]


def test_a_folder_that_is_missing_or_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "missing" / "file", tmp_path / "file" / "file"):
        with pytest.raises(InputError, match="cannot be written"):
            write_atomic(path, b"data")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(InputError, match="No space left on device"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert listed(tmp_path) == ["file"]


def test_a_name_of_the_longest_length_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127 + "x")
    write_atomic(path, b"data")
    assert path.read_bytes() == b"data"


# The child stops between the temporary file and its final name, says so, and waits to be killed.
CHILD = """
import os, pathlib, sys, time
from blixard.documents import files

def stop(*_):
    print("between", flush=True)
    time.sleep(600)

setattr({patched}, {name!r}, stop)
files.{function}(sys.argv[1], b"new" * 1000)
"""


def _kill_between(path: Path, *, patched: str, name: str, function: str) -> None:
    code = CHILD.format(patched=patched, name=name, function=function)
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"between\n"
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL


def test_a_writer_killed_before_the_rename_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    _kill_between(path, patched="pathlib.Path", name="replace", function="write_atomic")
    assert path.read_bytes() == b"old"
    leftover = [name for name in listed(tmp_path) if name != "file"]
    assert len(leftover) == 1
    assert leftover[0].startswith(".file.")

    write_atomic(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert listed(tmp_path) == ["file"], "the next write sweeps the leftover"


def test_a_maker_killed_before_the_link_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    _kill_between(path, patched="files.os", name="link", function="create_atomic")
    assert not path.exists()
    create_atomic(path, b"made")
    assert listed(tmp_path) == ["file"]


def test_a_sweep_leaves_the_temporary_file_of_a_writer_that_is_at_work(tmp_path: Path) -> None:
    path = tmp_path / "file"
    code = CHILD.format(patched="pathlib.Path", name="replace", function="write_atomic")
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"between\n"
        write_atomic(path, b"mine")
        others = [name for name in listed(tmp_path) if name != "file"]
        child.kill()
    assert len(others) == 1
    assert path.read_bytes() == b"mine"


def test_files_of_other_names_are_never_swept(tmp_path: Path) -> None:
    others = {".file.keep", ".file.part", ".other.abc12345.part", "file.abc12345.part", ".file.ABC.part"}
    for name in others:
        (tmp_path / name).write_bytes(b"")
    write_atomic(tmp_path / "file", b"data")
    assert set(listed(tmp_path)) == {"file", *others}


def test_many_files_are_written_with_one_look_through_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".one.abc_12.part").write_bytes(b"of a writer that was killed")
    (tmp_path / ".another.abc_12.part").write_bytes(b"of another file")
    looks: list[object] = []
    scan = os.scandir

    def look(path: Path) -> object:
        looks.append(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", look)

    write_all({tmp_path / name: name.encode() for name in ("one", "two", "link")}, 0o640)

    assert looks == [tmp_path]
    monkeypatch.undo()
    assert listed(tmp_path) == [".another.abc_12.part", "elsewhere", "link", "one", "two"]
    assert {name: (tmp_path / name).read_bytes() for name in ("one", "two", "link", "elsewhere")} == {
        "one": b"one",
        "two": b"two",
        "link": b"link",
        "elsewhere": b"link",
    }
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "two").stat().st_mode) == 0o640


def test_of_many_files_the_one_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"folder: cannot be written: Is a directory"):
        write_all({tmp_path / "one": b"1", tmp_path / "folder": b"2"})
    assert (tmp_path / "one").read_bytes() == b"1"
    assert listed(tmp_path) == ["folder", "one"]
