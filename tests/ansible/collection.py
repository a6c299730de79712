# SPDX-License-Identifier: MIT
"""The project as a user of the collection has it: installed by ansible-galaxy, used from a folder of the user's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import yaml
from tests.ansible.fleet import PROJECT, Run

PACKAGES = Path(sysconfig.get_path("purelib"))
COLLECTION = Path("ansible_collections", "blixard", "fleet")


def git(*arguments: str | Path, at: Path) -> str:
    """Run git in the folder `at` and return what it prints."""
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "init.defaultBranch=main"]
    command = ["git", *identity, *map(str, arguments)]
    return subprocess.run(command, cwd=at, check=True, capture_output=True, text=True).stdout


def copy_tree(target: Path) -> Path:
    """Make a repository in `target` whose one commit is the project's working tree as it is now, ready for release."""
    target.mkdir()
    for name in git("ls-files", "--cached", "--others", "--exclude-standard", "-z", at=PROJECT).split("\0"):
        source, copy = PROJECT / name, target / name
        if name and (source.is_symlink() or source.is_file()):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    _name_the_release(target)
    git("init", "--quiet", at=target)
    git("add", "--all", "--force", at=target)
    git("commit", "--quiet", "--message", "The tree under test", at=target)
    return target


def _name_the_release(tree: Path) -> None:
    """Give the unreleased changes the heading of the version, as whoever makes a release does."""
    version = yaml.safe_load((tree / "galaxy.yml").read_text())["version"]
    changelog = (tree / "CHANGELOG.md").read_text()
    if f"## [{version}]" not in changelog:
        (tree / "CHANGELOG.md").write_text(changelog.replace("## [Unreleased]", f"## [{version}] - 2026-11-27", 1))


def make_release(source: Path) -> subprocess.CompletedProcess[str]:
    """Make the release of the repository `source`, in its folder dist/."""
    command: list[str | Path] = [sys.executable, source / "tools" / "release.py"]
    return subprocess.run(command, cwd=source, env=_environment(source), capture_output=True, text=True, check=False)


def galaxy(*arguments: str | Path, at: Path) -> None:
    """Run `ansible-galaxy collection` with nobody's settings."""
    command = [sys.executable, "-m", "ansible", "galaxy", "collection", *map(str, arguments)]
    done = subprocess.run(command, cwd=at, env=_environment(at), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _environment(home: Path) -> dict[str, str]:
    """The environment without what this project sets for itself, and without a home folder's collections."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH"))}
    return {**kept, "ANSIBLE_HOME": str(home / ".ansible"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"}


@dataclass(frozen=True)
class Controller:
    """An environment with ansible-core and its kind from this one, and with what is asked for as the package."""

    python: Path

    @classmethod
    def make(cls, folder: Path) -> Controller:
        """Make one that lacks the package: what only an editable installation adds is not taken over."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        made = cls(folder / "bin" / "python")
        (made._packages / "shared.pth").write_text(f"{PACKAGES}\n")
        return made

    @property
    def _packages(self) -> Path:
        (folder,) = self.python.parents[1].glob("lib/python*/site-packages")
        return folder

    def install(self, wheel: Path) -> None:
        """Install the package from its wheel."""
        pip: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            self.python,
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
        ]
        subprocess.run([*pip, "--ignore-installed", wheel], check=True, capture_output=True)

    def pretend(self, version: str) -> None:
        """Have a package of this name that has nothing but a version."""
        package = self._packages / "blixard"
        package.mkdir()
        (package / "__init__.py").write_text(f"__version__ = {version!r}\n")

    def play(self, repository: Path, *arguments: str | Path) -> Run:
        """Run ansible-playbook in the user's repository, with what its ansible.cfg says and nothing else."""
        command: list[str | Path] = [self.python, "-m", "ansible", "playbook", *map(str, arguments)]
        environment = _environment(repository)
        done = subprocess.run(
            command, cwd=repository, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return Run(done.returncode, done.stdout)
