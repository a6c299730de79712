# SPDX-License-Identifier: MIT
"""Which package the hosts are to have, and whether they have it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from blixard.errors import InputError
from blixard.fleet import wanted_package

LOCK = Path(__file__).parents[3] / "roles/blixard/files/requirements.lock"


def package(spec: str, project: str) -> dict[str, Any]:
    return wanted_package.package(spec, project, str(LOCK))


def _tree(root: Path) -> Path:
    (root / "src" / "blixard").mkdir(parents=True)
    (root / "pyproject.toml").write_text("[project]\n")
    (root / "src" / "blixard" / "__init__.py").write_text("__version__ = '1'\n")
    return root


def test_the_same_sources_have_the_same_digest_wherever_they_lie_and_however_old_they_are(tmp_path: Path) -> None:
    first = _tree(tmp_path / "first")
    second = tmp_path / "second"
    shutil.copytree(first, second)
    os.utime(second / "pyproject.toml", (1, 1))

    assert package("", str(first))["digest"] == package(str(second), "")["digest"]
    assert package("", str(first))["kind"] == "source"


@pytest.mark.parametrize("path", ["pyproject.toml", "src/blixard/__init__.py", "src/blixard/new.py"])
def test_any_change_of_the_sources_changes_the_digest(tmp_path: Path, path: str) -> None:
    tree = _tree(tmp_path)
    before = package("", str(tree))["digest"]

    with (tree / path).open("a") as stream:
        stream.write("# changed\n")

    assert package("", str(tree))["digest"] != before


def test_compiled_files_do_not_change_the_digest(tmp_path: Path) -> None:
    tree = _tree(tmp_path)
    before = package("", str(tree))["digest"]

    (tree / "src" / "blixard" / "__pycache__").mkdir()
    (tree / "src" / "blixard" / "__pycache__" / "x.cpython-311.pyc").touch()

    assert package("", str(tree))["digest"] == before


def test_a_wheel_is_known_by_its_content(tmp_path: Path) -> None:
    wheel = tmp_path / "blixard-1-py3-none-any.whl"
    wheel.write_bytes(b"one")
    first = package(str(wheel), "")
    wheel.write_bytes(b"two")

    assert first["kind"] == "wheel"
    assert first["place"] == str(wheel)
    assert package(str(wheel), "")["digest"] != first["digest"]


def test_anything_without_a_slash_is_a_requirement_for_pip() -> None:
    found = package("blixard==0.1.0", "")

    assert (found["kind"], found["place"]) == ("requirement", "blixard==0.1.0")


@pytest.mark.parametrize("spec", ["/missing/blixard.whl", "/missing/tree"])
def test_a_wheel_or_tree_that_is_not_there_is_refused_by_name(spec: str) -> None:
    with pytest.raises(InputError) as refused:
        package(spec, "")

    assert str(refused.value).startswith(spec)
    assert "set blixard_package" in str(refused.value)


def test_a_folder_that_is_no_python_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no pyproject\.toml"):
        package(str(tmp_path), "")


def runs(kind: str, **more: Any) -> list[list[str]]:
    wanted = {"kind": kind, "place": "blixard==1.0", "lock": "/project/requirements.lock"}
    return wanted_package.pip_runs(wanted, "/venv/wheels", **more)


def test_dependencies_are_installed_by_their_digests_and_the_package_alone_after_them() -> None:
    dependencies, package, check = runs("source", wheel="/build/blixard-1.0.whl")

    assert dependencies[-2:] == ["--requirement", "/venv/wheels/requirements.lock"]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(dependencies)
    assert package == ["install", "--no-deps", "--force-reinstall", "/venv/wheels/blixard-1.0.whl"]
    assert check == ["check"]
    assert runs("requirement")[1] == ["install", "--no-deps", "--upgrade", "blixard==1.0"]


def test_a_folder_of_wheels_is_all_that_pip_takes_packages_from_and_further_options_come_after_it() -> None:
    offline = runs("wheel", wheel="w.whl", offline=True, args=["--timeout", "5"])

    for run in offline[:2]:
        assert "--no-index --find-links /venv/wheels --timeout 5" in " ".join(run)
    assert offline[2] == ["check"]


EXTRA_LOCK = LOCK.with_name("requirements-dns.lock")


def extras(*asked: str, own: bool = False, **settings: Any) -> dict[str, Any]:
    return wanted_package.extras(asked, str(LOCK), settings, own=own)


def test_a_host_without_extras_has_none_to_install() -> None:
    assert extras(
        dns=[], registries=["/srv/registries", "https://x/y.json"], cloud=["aws:", "azure:tag=a=b", "gcp:tag=a=b"]
    ) == {
        "names": [],
        "locks": [],
        "digest": "",
    }


@pytest.mark.parametrize(
    "wanted",
    [
        lambda: extras("dns"),
        lambda: extras(dns=["fleet.example.org"]),
        lambda: extras(registries=["/srv/registries", "dns://192.0.2.53/fleet.example.org"]),
        lambda: extras("dns", registries=["DNS:fleet.example.org"], dns=["x"]),
    ],
    ids=["asked for", "by setting", "by location", "all at once"],
)
def test_an_extra_is_installed_by_its_own_lock_file_whether_asked_for_or_needed(wanted: Any) -> None:
    found = wanted()
    assert (found["names"], found["locks"]) == (["dns"], [str(EXTRA_LOCK)])
    assert len(found["digest"]) == 64


def test_a_setting_that_is_on_or_off_needs_its_extra_where_it_is_on() -> None:
    assert extras(mdns=True, registries=[])["names"] == ["mdns"]
    assert extras(mdns=False)["names"] == []


def test_voters_in_raft_need_a_lock_file_of_ones_own_since_the_engine_has_no_wheels() -> None:
    for found in (extras(raft=True), extras("raft")):
        assert found["refused"].startswith("extra raft: PySyncObj has no wheels, and hosts build nothing")
    assert "refused" not in extras(raft=False)
    assert "refused" not in extras(raft=True, own=True)


def test_instances_of_aws_need_its_extra_and_the_seeds_in_its_metadata_do_not() -> None:
    assert extras(cloud=["aws:", "aws:tag=a=b"])["names"] == ["aws"]


@pytest.mark.parametrize(
    ("location", "extra"),
    [
        ("s3://bucket/n", "s3"),
        ("ssh://host/n", "sftp"),
        ("gs://bucket/n", "gcs"),
        ("abfs://container/n", "azure"),
        ("az://container/n", "azure"),
    ],
)
def test_a_registry_in_a_store_needs_the_extra_of_its_scheme(location: str, extra: str) -> None:
    assert extras(registries=[location])["names"] == [extra]


def test_a_lock_file_of_ones_own_has_the_extras_in_it() -> None:
    assert extras("dns", own=True) == {"names": ["dns"], "locks": [], "digest": ""}


def test_an_extra_that_is_not_there_is_refused_with_those_that_are() -> None:
    assert (
        extras("dsn")["refused"] == 'blixard_extras: "dsn" is not an extra; known: aws, azure, dns, gcs, mdns, s3, sftp'
    )


def test_each_extra_has_a_lock_file() -> None:
    assert {path.stem.partition("-")[2] for path in LOCK.parent.glob("requirements-*.lock")} == {*wanted_package.EXTRAS}


def test_extras_are_installed_in_the_same_run_as_all_else_that_is_held_by_digest() -> None:
    dependencies, *_ = runs("source", wheel="w.whl", locks=["/project/requirements-dns.lock"])
    assert dependencies[-4:] == [
        *("--requirement", "/venv/wheels/requirements.lock"),
        *("--requirement", "/venv/wheels/requirements-dns.lock"),
    ]
