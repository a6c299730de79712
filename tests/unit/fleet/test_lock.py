# SPDX-License-Identifier: MIT
"""The lock file that hosts install by: it covers what the package asks for, and names no place to get it from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from blixard.errors import InputError
from blixard.fleet.wanted_package import EXTRAS, package

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "roles/blixard/files/requirements.lock"
PIN = re.compile(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)(?: ; [^\\]+)?((?: --hash=sha256:[0-9a-f]{64})+)")


LOCKS = pytest.mark.parametrize("lock", sorted(LOCK.parent.glob("*.lock")), ids=lambda path: path.stem)


def pins(lock: Path = LOCK) -> dict[str, str]:
    lines = lock.read_text().replace("\\\n", "").splitlines()
    found = [PIN.fullmatch(" ".join(line.split())) for line in lines if not line.startswith("#")]
    assert all(found), lines
    return {match[1]: match[2] for match in found if match}


def test_each_dependency_is_pinned_within_its_range_and_by_digests() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    (listed,) = re.findall(r"^dependencies = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    wanted = [Requirement(each) for each in re.findall(r'"(.*?)"', listed)]
    assert len(wanted) >= 3
    for requirement in wanted:
        assert requirement.specifier.contains(pins()[requirement.name]), requirement


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_an_extra_adds_is_pinned_within_its_range_and_nothing_is_pinned_twice(extra: str) -> None:
    lock = LOCK.with_name(f"requirements-{extra}.lock")
    text = (ROOT / "pyproject.toml").read_text()
    (listed,) = re.findall(rf"^{extra} = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    listed = re.sub(r'"blixard\[.*?\]",', "", listed)  # an extra that this one includes
    wanted = [Requirement(each) for each in re.findall(r'"(.*?)"', listed)]
    assert wanted
    for requirement in wanted:
        assert requirement.specifier.contains(pins(lock)[requirement.name]), requirement
    assert pins(lock).keys().isdisjoint(pins())


def test_extras_that_a_host_may_have_side_by_side_agree_on_every_version() -> None:
    versions: dict[str, set[str]] = {}
    for extra in EXTRAS:
        for name, version in pins(LOCK.with_name(f"requirements-{extra}.lock")).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


@LOCKS
def test_it_names_no_index_and_no_path(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "/" not in text.replace("`make lock`", "")
    assert not re.search(r"^\s*-(?!-hash)", text, re.MULTILINE)


def test_the_package_says_its_lock_files_digest(tmp_path: Path) -> None:
    wheel, lock = tmp_path / "x.whl", tmp_path / "requirements.lock"
    wheel.write_bytes(b"")
    lock.write_text(f"# words\na==1 \\\n    --hash=sha256:{'0' * 64}  # why\n\n--only-binary=:all:\n")
    first = package(str(wheel), str(ROOT), str(lock))["lock_digest"]
    lock.write_text(lock.read_text() + "\n")
    assert package(str(wheel), str(ROOT), str(lock))["lock_digest"] != first


@pytest.mark.parametrize(
    "text",
    [
        "iroh>=1.2\n",
        "iroh==1.2.0\n",
        "iroh --hash=sha256:00\n",
        "iroh==1.2.0 --hash=md5:00\n",
        f"a==1 --hash=sha256:{'0' * 64}\nb==1\n",
        "https://example.org/x.whl\n",
    ],
)
def test_a_lock_file_that_pins_nothing_is_refused_with_file_and_mend(tmp_path: Path, text: str) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(text)
    with pytest.raises(InputError, match="has no exact version with digest") as caught:
        package("", str(ROOT), str(lock))
    assert caught.value.file == str(lock)
    assert "make lock" in caught.value.mend


def test_a_relative_path_is_of_where_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "requirements.lock").write_text("# empty\n")
    monkeypatch.chdir(tmp_path)
    assert package("", str(ROOT), "requirements.lock")["lock"] == str(tmp_path / "requirements.lock")


def test_a_lock_file_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        package("", str(ROOT), str(tmp_path / "none"))
