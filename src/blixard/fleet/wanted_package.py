# SPDX-License-Identifier: MIT
"""Which package the hosts are to have, and a digest of it that tells whether they have it."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard import __version__
from blixard.documents.files import read_limited
from blixard.errors import InputError
from blixard.model.words import quoted
from blixard.sources import file_systems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MEND = "set blixard_package to a wheel, a source tree or a requirement"
MAX_LOCK_BYTES = 1024 * 1024
"""A lock file of hundreds of packages, each with dozens of digests."""
EXTRAS = ("aws", "azure", "dns", "gcs", "mdns", "s3", "sftp")
"""Extras of the package that a node's settings need: named like the setting, or by the scheme of locations in it."""
_BY_SCHEME = {"aws": "aws", "dns": "dns", **file_systems.EXTRAS}
"""Not `azure:`, which is the cloud and needs no package."""
SOURCE_ALONE = {"raft": "PySyncObj has no wheels, and hosts build nothing"}
"""Extras that no lock file of the role can have, by the setting that needs them, and why."""
LOCK_MEND = "set blixard_requirements to a file as `make lock` makes it"


def package(spec: str, project: str, lock: str) -> dict[str, Any]:
    """Return what `spec` names, without building or fetching anything.

    Args:
        spec: path of a wheel, path of a source tree, or a pip requirement such as `blixard==0.1.0`.
        project: the folder that the role is part of. An empty `spec` stands for it where it is a source tree, and for
            the controller's own version of the package where the role was installed without one.
        lock: path of the lock file for what the package depends on.

    Returns:
        `kind` (`source`, `wheel` or `requirement`), `place` (path or requirement) and `digest` (hex), which
        is the same for the same content, wherever it lies; `lock` and `lock_digest` of the lock file likewise.

    Raises:
        InputError: there is no such wheel or source tree, or the lock file cannot be used.
    """
    path = Path(lock).expanduser().absolute()  # what is sent is what was looked at, wherever Ansible would look for it
    return {**_package(spec, project), "lock": str(path), "lock_digest": _digest_lock(path)}


def package_or_refusal(spec: str, project: str, lock: str) -> dict[str, Any]:
    """Return the same, or why there is no such package as `refused`, for a task that says it in one line."""
    try:
        return package(spec, project, lock)
    except InputError as error:
        return {"refused": str(error)}


def extras(
    asked: Sequence[str], lock: str, settings: Mapping[str, Sequence[str] | str | bool | None], *, own: bool = False
) -> dict[str, Any]:
    """Return which extras of the package a host gets: those that were asked for, and those that its settings need.

    Args:
        asked: names of extras.
        lock: path of the role's lock file; what an extra adds to it is in `requirements-EXTRA.lock` beside it.
        settings: settings of the node that name sources, by their names in its configuration.
        own: the lock file is the operator's own and has the extras in it.

    Returns:
        `names`, sorted; `locks`, the paths of their lock files; `digest` (hex) of those, empty without any; or
        `refused`, why they cannot be had.
    """
    names = sorted({*asked, *_needed(settings)})
    try:
        if not own:
            _check_wheels([*names, *(setting for setting, value in settings.items() if value)])
        paths = [] if own else [_lock_of(name, Path(lock).expanduser().absolute()) for name in names]
        digests = [_digest_lock(path) for path in paths]
    except InputError as error:
        return {"refused": str(error), "names": names, "locks": [], "digest": ""}
    digest = hashlib.sha256(" ".join(digests).encode()).hexdigest() if digests else ""
    return {"names": names, "locks": [str(path) for path in paths], "digest": digest}


def _needed(settings: Mapping[str, Sequence[str] | str | bool | None]) -> Iterator[str]:
    for setting, value in settings.items():
        if value and setting in EXTRAS:
            yield setting
        for location in [value] if isinstance(value, (str, bool)) else value or ():
            scheme, _, rest = str(location).partition(":")
            # Nothing follows in `aws:`, the seeds of a machine's own metadata, which need no package.
            yield from [_BY_SCHEME[scheme.lower()]] if scheme.lower() in _BY_SCHEME and rest else []


def _check_wheels(names: Iterable[str]) -> None:
    for name in names:
        if name in SOURCE_ALONE:
            mend = "set blixard_requirements to a lock file with a wheel of your own, see docs/raft.md"
            raise InputError(SOURCE_ALONE[name], file=f"extra {name}", mend=mend)


def _lock_of(name: str, lock: Path) -> Path:
    if name not in EXTRAS:
        mend = f"known: {', '.join(EXTRAS)}"
        raise InputError(f"{quoted(str(name))} is not an extra", file="blixard_extras", mend=mend)
    return lock.with_name(f"{lock.stem}-{name}{lock.suffix}")


def pip_runs(
    wanted: Mapping[str, Any],
    folder: str,
    *,
    wheel: str = "",
    offline: bool = False,
    args: Sequence[str] | str = (),
    locks: Sequence[str] = (),
) -> list[list[str]]:
    """Return the arguments of each run of pip that installs a package on a host.

    First all that it depends on, each file by its digest and built nowhere; then the package alone, over another build
    of the same version too; in the end, whether the one has what it asks for in the others.

    Args:
        wanted: what `package` returned.
        folder: the folder on the host that has the lock file and the wheels.
        wheel: the wheel of the package, by its path on the controller; for a requirement pip finds one itself.
        offline: pip takes packages from `folder` alone.
        args: further options for pip; a text is read as a shell would read it.
        locks: paths on the controller of the extras' lock files; `folder` has them too.
    """
    options = [*(["--no-index", "--find-links", folder] if offline else [])]
    options += shlex.split(args) if isinstance(args, str) else args
    required = [f"{folder}/{Path(lock).name}" for lock in (wanted["lock"], *locks)]
    requirements = [word for lock in required for word in ("--requirement", lock)]
    if wanted["kind"] == "requirement":
        target = ["--upgrade", wanted["place"]]
    else:
        target = ["--force-reinstall", f"{folder}/{Path(wheel).name}"]
    return [
        ["install", "--require-hashes", "--no-deps", "--only-binary=:all:", *options, *requirements],
        ["install", "--no-deps", *options, *target],
        ["check"],
    ]


def _digest_lock(path: Path) -> str:
    """Digest a lock file in which every requirement has a version and a digest."""
    try:
        data = read_limited(path, MAX_LOCK_BYTES)
        text = data.decode()
    except UnicodeDecodeError:
        raise InputError("is not UTF-8", file=str(path), mend=LOCK_MEND) from None
    except InputError as error:
        raise InputError(error.reason, file=str(path), mend=LOCK_MEND) from None
    for line in text.replace("\\\n", " ").splitlines():
        requirement = line.partition(" #")[0].strip()
        if not requirement or requirement.startswith(("#", "--")):
            continue
        if "==" not in requirement or "--hash=sha256:" not in requirement:
            raise InputError(
                f"{quoted(requirement[:60])} has no exact version with digest", file=str(path), mend=LOCK_MEND
            )
    return hashlib.sha256(data).hexdigest()


def _package(spec: str, project: str) -> dict[str, Any]:
    if not spec and not (Path(project) / "pyproject.toml").is_file():
        spec = f"blixard=={__version__}"
    place = Path(spec or project)
    if place.suffix == ".whl":
        return {"kind": "wheel", "place": str(place), "digest": _digest_file(place)}
    if not spec or place.is_dir():
        return {"kind": "source", "place": str(place.resolve()), "digest": _digest_tree(place)}
    if "/" in spec:
        raise InputError("no wheel and no source tree", file=spec, mend=MEND)
    return {"kind": "requirement", "place": spec, "digest": hashlib.sha256(spec.encode()).hexdigest()}


def _digest_file(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=str(path), mend=MEND) from None


def _digest_tree(root: Path) -> str:
    """Digest what the wheel is built from: names and contents, not times."""
    if not (root / "pyproject.toml").is_file():
        raise InputError("holds no pyproject.toml", file=str(root), mend=MEND)
    digest = hashlib.sha256()
    for path in sorted(_sources(root)):
        digest.update(f"{path.relative_to(root).as_posix()}\0{_digest_file(path)}\n".encode())
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    yield root / "pyproject.toml"
    for path in (root / "src").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield path
