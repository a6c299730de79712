# SPDX-License-Identifier: MIT
"""A tree that cannot be released is refused before anything is built, with one line: file, place, mend."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from tools.release import notes_of, refuse_changes, release, sums_of, version_of

from blixard.errors import InputError

FILES = {
    "src/blixard/__init__.py": '"""Words."""\n\n__version__ = "1.2.3"\n',
    "plugins/module_utils/package.py": 'VERSION = "1.2.3"\n',
    "galaxy.yml": "---\nnamespace: blixard\nversion: 1.2.3\n",
    "requirements.txt": "blixard[controller]==1.2.3\n",
    "CHANGELOG.md": "# Changelog\n\n## [1.2.3] - 2026-01-31\n\n### Added\n\n- A thing.\n\n"
    "## [1.2.2] - 2025-01-01\n\n- Old.\n",
}


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one commit that could be released."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Something")


def refused(root: Path, tag: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        release(root, tag)
    assert not (root / "dist").exists()
    return str(caught.value)


def test_the_version_is_the_one_that_all_files_state(tree: Path) -> None:
    assert version_of(tree) == "1.2.3"


@pytest.mark.parametrize(
    ("name", "place"),
    [("plugins/module_utils/package.py", 1), ("galaxy.yml", 3), ("requirements.txt", 1)],
)
def test_a_file_with_another_version_is_named_with_its_line(tree: Path, name: str, place: int) -> None:
    (tree / name).write_text((tree / name).read_text().replace("1.2.3", "1.2.4"))
    commit(tree)
    assert refused(tree) == (
        f"{name}: line {place}: version 1.2.4, not 1.2.3; state the same version as src/blixard/__init__.py"
    )


def test_a_file_without_version_is_named(tree: Path) -> None:
    (tree / "requirements.txt").write_text("blixard[controller]\n")
    commit(tree)
    assert refused(tree) == "requirements.txt: states no version; add the line: blixard[controller]==VERSION"


def test_a_version_without_a_section_in_the_changelog_is_refused(tree: Path) -> None:
    changelog = (tree / "CHANGELOG.md").read_text()
    (tree / "CHANGELOG.md").write_text(changelog.replace("[1.2.3] - 2026-01-31", "[Unreleased]"))
    commit(tree)
    assert refused(tree) == (
        "CHANGELOG.md: no section for version 1.2.3;"
        " give what is under [Unreleased] the heading: ## [1.2.3] - YEAR-MONTH-DAY"
    )


def test_a_section_that_lists_nothing_is_refused_although_the_next_one_does(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text((tree / "CHANGELOG.md").read_text().replace("- A thing.\n", ""))
    commit(tree)
    assert refused(tree) == "CHANGELOG.md: line 3: the section lists no change; list the changes"


def test_the_notes_are_the_section_of_the_version_alone() -> None:
    assert notes_of(FILES["CHANGELOG.md"], "1.2.3") == "### Added\n\n- A thing.\n"
    assert notes_of(FILES["CHANGELOG.md"], "1.2.2") == "- Old.\n"
    with pytest.raises(InputError):
        notes_of(FILES["CHANGELOG.md"], "1.2")


@pytest.mark.parametrize("name", ["galaxy.yml", "new file"])
def test_a_file_that_is_not_committed_is_refused_and_named(tree: Path, name: str) -> None:
    with (tree / name).open("a") as file:
        file.write("# more\n")
    assert refused(tree) == f"{name}: is not as committed; commit it, or take it back"


def test_an_ignored_file_is_nothing_uncommitted(tree: Path) -> None:
    (tree / ".gitignore").write_text("/dist/\n")
    commit(tree)
    (tree / "dist").mkdir()
    (tree / "dist" / "old.whl").write_text("")
    refuse_changes(tree)


def test_a_tag_of_another_version_is_refused(tree: Path) -> None:
    assert refused(tree, "v1.2.4") == "tag v1.2.4: does not belong to version 1.2.3; tag the commit v1.2.3"


def test_digests_stand_beside_the_names_without_folders(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hashlib.sha256(b"abc").hexdigest() == digest
    assert sums_of([tmp_path / "a"]) == f"{digest}  a\n"
