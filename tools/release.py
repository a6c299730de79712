#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make a release of the commit at hand: wheel, sdist, collection tarball and SHA256SUMS, in dist/.

    tools/release.py                 check that the tree can be released, then build
    tools/release.py --tag v1.2.3    refuse any other version than the tag's
    tools/release.py --notes         print the section of CHANGELOG.md that belongs to the version

The version stands in four files, and CHANGELOG.md has a section for it. What is built is the commit, not the folder:
files beside it that version control does not know get into nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from blixard.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
# Where the version stands, and the line that states it. The first file is the one to compare with.
VERSIONS = {
    "src/blixard/__init__.py": '__version__ = "VERSION"',
    "plugins/module_utils/package.py": 'VERSION = "VERSION"',
    "galaxy.yml": "version: VERSION",
    "requirements.txt": "blixard[controller]==VERSION",
}


def version_of(tree: Path) -> str:
    """Return the version of the tree, which every file of VERSIONS states; InputError names the file that differs."""
    version = ""
    for name, line in VERSIONS.items():
        text = (tree / name).read_text(encoding="utf-8")
        before, _, after = line.rpartition("VERSION")
        found = re.search(rf"^{re.escape(before)}(.+){re.escape(after)}$", text, re.MULTILINE)
        if not found:
            raise InputError("states no version", file=name, mend=f"add the line: {line}")
        if version and found[1] != version:
            place = f"line {text.count(chr(10), 0, found.start()) + 1}"
            mend = f"state the same version as {next(iter(VERSIONS))}"
            raise InputError(f"version {found[1]}, not {version}", file=name, place=place, mend=mend)
        version = found[1]
    return version


def notes_of(changelog: str, version: str) -> str:
    """Return the text of the version's section; InputError if there is none, or if it says nothing."""
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    found = re.search(rf"{heading}\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if not found:
        mend = f"give what is under [Unreleased] the heading: ## [{version}] - YEAR-MONTH-DAY"
        raise InputError(f"no section for version {version}", file="CHANGELOG.md", mend=mend)
    if not re.search(r"^- ", found[1], re.MULTILINE):
        place = f"line {changelog.count(chr(10), 0, found.start()) + 1}"
        raise InputError("the section lists no change", file="CHANGELOG.md", place=place, mend="list the changes")
    return found[1].strip() + "\n"


def _git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=root, check=True, stdout=subprocess.PIPE).stdout


def refuse_changes(root: Path) -> None:
    """Raise an InputError that names a file which is not as it was committed, if there is one."""
    changed = _git(root, "status", "--porcelain", "-z").decode().split("\0")[0]
    if changed:
        raise InputError("is not as committed", file=changed[3:], mend="commit it, or take it back")


def _export(root: Path, target: Path) -> None:
    """Lay the files of the commit out in `target`."""
    with tarfile.open(fileobj=io.BytesIO(_git(root, "archive", "--format=tar", "HEAD"))) as archive:
        archive.extractall(target, filter="data")


def _run(*command: str | Path, at: Path, **settings: str) -> None:
    """Run a command; its output is shown only if it fails."""
    said = subprocess.run(
        command, cwd=at, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if said.returncode:
        sys.stderr.buffer.write(said.stdout)
        raise SystemExit(said.returncode)


def _build(root: Path, tree: Path, out: Path) -> list[Path]:
    """Build the tree into the empty folder `out`, check what goes to the package index, and return the files."""
    # The same commit gives the same bytes of wheel and sdist.
    when = _git(root, "log", "-1", "--format=%ct").decode().strip()
    _run(sys.executable, "-m", "build", "--outdir", out, tree, at=tree, SOURCE_DATE_EPOCH=when)
    _run(sys.executable, "-m", "twine", "check", "--strict", *out.iterdir(), at=tree)
    _run(sys.executable, "-m", "ansible", "galaxy", "collection", "build", tree, "--output-path", out, at=tree)
    return sorted(out.iterdir())


def sums_of(files: Sequence[Path]) -> str:
    """Return the digests of the files in the form that `sha256sum --check` reads."""
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


def release(root: Path, tag: str | None) -> list[Path]:
    """Release the commit of the clean tree `root`: replace its folder dist/ and return the files in it."""
    refuse_changes(root)
    version = version_of(root)
    if tag and tag != f"v{version}":
        raise InputError(f"does not belong to version {version}", file=f"tag {tag}", mend=f"tag the commit v{version}")
    notes_of((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    with tempfile.TemporaryDirectory() as folder:
        tree, out = Path(folder, "tree"), Path(folder, "dist")
        out.mkdir()
        _export(root, tree)
        files = _build(root, tree, out)
        (out / "SHA256SUMS").write_text(sums_of(files), encoding="utf-8")
        shutil.rmtree(root / "dist", ignore_errors=True)
        shutil.copytree(out, root / "dist")
    return sorted((root / "dist").iterdir())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", help="the tag that the release is made for")
    parser.add_argument("--notes", action="store_true", help="print the changes of this version, and build nothing")
    options = parser.parse_args()
    try:
        if options.notes:
            print(notes_of((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version_of(ROOT)), end="")
        else:
            print(*(file.relative_to(ROOT) for file in release(ROOT, options.tag)), sep="\n")
    except InputError as error:
        print(f"release: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
