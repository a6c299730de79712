# SPDX-License-Identifier: MIT
"""Where the controller keeps a fleet's files: apart from the inventory, the same for all; nothing is left behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from blixard.errors import InputError
from blixard.fleet.places import fleet_dir, fleet_dir_or_nowhere, made_of_none, misplaced


def _inventory(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "hosts.yml").write_text("all:\n")
    return folder


def _record(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "node1.json").write_text('{"cluster_node_id": 1}\n')
    return folder


def _defaults(sources: list[str]) -> dict[str, str]:
    base = fleet_dir(sources)
    return {
        "blixard_record_dir": f"{base}/registry",
        "blixard_peers_file": f"{base}/discovery-peers.json",
        "blixard_report_file": f"{base}/connectivity-report.json",
    }


def test_a_folder_and_a_file_in_it_have_the_same_hidden_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prod = _inventory(tmp_path / "prod")
    monkeypatch.chdir(tmp_path)

    for sources in ([str(prod)], [f"{prod}/hosts.yml"], ["prod"], ["./prod/../prod/hosts.yml"], ["n1,", str(prod)]):
        assert fleet_dir(sources) == f"{prod}/.blixard"
    assert fleet_dir([f"{prod}/hosts.yml", str(prod), f"{prod}/"]) == f"{prod}/.blixard"


def test_of_several_folders_the_one_with_a_record_counts_and_before_there_is_one_the_first(tmp_path: Path) -> None:
    one, two = _inventory(tmp_path / "one"), _inventory(tmp_path / "two")
    sources = ["n1,n2", str(one), f"{two}/hosts.yml"]

    assert fleet_dir(sources) == f"{one}/.blixard"
    (one / ".blixard" / "registry").mkdir(parents=True)
    _record(two / ".blixard" / "registry")
    assert fleet_dir(sources) == f"{two}/.blixard"
    _record(one / ".blixard" / "registry")
    with pytest.raises(InputError) as refused:
        fleet_dir(sources)

    line = str(refused.value)
    assert f"{one}/.blixard" in line
    assert f"{two}/.blixard" in line
    assert "blixard_fleet_dir" in line
    assert "\n" not in line


@pytest.mark.parametrize("path", ["None/node1", "None", "None/../.demo"])
def test_a_path_made_of_a_folder_that_there_is_not_is_refused_with_its_variable(path: str) -> None:
    line = made_of_none({"blixard_venv": "/opt/None", "blixard_fleet_key_file": "", "blixard_data_dir": path})

    assert line == (
        f"blixard_data_dir: {path} is made of inventory_dir, which hosts of an inventory that is no file and no folder"
        " do not have; set blixard_data_dir to a path, as in -e blixard_data_dir=PATH"
    )
    assert made_of_none({"blixard_data_dir": "/srv/None", "blixard_venv": "Nonesuch/x"}) is None


@pytest.mark.parametrize("sources", [["n1,"], ["n1,n2", "/nowhere/hosts.yml"], ["/dev/null"], []])
def test_without_a_file_or_folder_one_line_says_which_variable_to_set(sources: list[str]) -> None:
    with pytest.raises(InputError, match=r"set blixard_fleet_dir, as in -e blixard_fleet_dir=PATH") as refused:
        fleet_dir(sources)

    # As a default it is a place where nothing can be, and the check before the run says why.
    nowhere = Path(fleet_dir_or_nowhere(sources)) / "registry"
    with pytest.raises(NotADirectoryError):
        nowhere.mkdir(parents=True)
    places = {
        **dict.fromkeys(("blixard_peers_file", "blixard_report_file"), "/tmp/x"),
        "blixard_record_dir": str(nowhere),
    }
    assert misplaced(places, sources) == str(refused.value)


@pytest.mark.parametrize("given", ["fleet", "./fleet", "~/fleet", ""])
def test_a_path_that_leads_elsewhere_from_each_folder_is_refused(tmp_path: Path, given: str) -> None:
    sources = [str(_inventory(tmp_path / "prod"))]

    line = misplaced({**_defaults(sources), "blixard_report_file": given}, sources)

    assert (
        line
        == f'blixard_report_file: "{given}" is not a whole path; set blixard_fleet_dir, or the variable itself, to one'
    )


def test_the_defaults_are_never_where_ansible_parses(tmp_path: Path) -> None:
    prod = _inventory(tmp_path / ".config" / "prod")

    for sources in ([str(prod)], [f"{prod}/hosts.yml"], [str(prod), "n1,"]):
        assert misplaced(_defaults(sources), sources, str(tmp_path)) is None


@pytest.mark.parametrize(
    "place",
    [
        "prod/registry",
        "prod/sub/registry",
        "prod",
        "prod/group_vars/all",
        "prod/sub/../registry",
        "link/registry",
        "prod/.blixard/../registry",
        "prod/hidden/registry",
        "playbooks/group_vars/all",
        "playbooks/host_vars/node1",
    ],
)
def test_a_place_that_ansible_parses_is_refused_with_the_variable_and_another_place(tmp_path: Path, place: str) -> None:
    prod = _inventory(tmp_path / "prod")
    (prod / "hidden").mkdir()
    (tmp_path / "link").symlink_to("prod")
    (tmp_path / "playbooks").mkdir()

    for name, also in (
        ("blixard_record_dir", ""),
        ("blixard_peers_file", "/peers.json"),
        ("blixard_report_file", "/r"),
    ):
        places = {**_defaults([str(prod)]), name: f"{tmp_path}/{place}{also}"}
        line = misplaced(places, [str(prod)], f"{tmp_path}/playbooks")
        assert line is not None
        assert line.startswith(f"{name}: ")
        assert "/.blixard/" in line
        assert "\n" not in line


@pytest.mark.parametrize("place", ["prod/hosts.yml", "prod/group_vars/all/x.json", "alias.yml"])
def test_beside_an_inventory_file_only_the_file_and_its_variables_are_refused(tmp_path: Path, place: str) -> None:
    prod = _inventory(tmp_path / "prod")
    (tmp_path / "alias.yml").symlink_to(prod / "hosts.yml")
    sources = [f"{prod}/hosts.yml"]

    assert misplaced({**_defaults(sources), "blixard_peers_file": f"{tmp_path}/{place}"}, sources) is not None
    for good in ("prod/peers.json", "prod/group_vars/.hidden/x.json", "elsewhere/x.json"):
        assert misplaced({**_defaults(sources), "blixard_peers_file": f"{tmp_path}/{good}"}, sources) is None


def test_a_hidden_place_that_leads_into_the_inventory_is_refused(tmp_path: Path) -> None:
    prod = _inventory(tmp_path / "prod")
    (prod / "data").mkdir()
    (prod / ".blixard").symlink_to("data")

    line = misplaced(_defaults([str(prod)]), [str(prod)])

    assert line is not None
    assert "blixard_record_dir" in line


def _run(line: str) -> None:
    """Run the commands that a line gives in its last parentheses."""
    subprocess.run(["sh", "-euc", line[line.index("(cd ") :]], check=True)


@pytest.mark.parametrize("name", ["prod", "with 'odd' $names"])
@pytest.mark.parametrize("source", ["", "/hosts.yml"])
@pytest.mark.parametrize("begun", [False, True])
def test_what_an_older_release_left_is_refused_with_the_commands_that_move_all_of_it(
    tmp_path: Path, name: str, source: str, begun: bool
) -> None:
    prod = _inventory(tmp_path / name)
    _record(prod / "registry")
    left = ("discovery-peers.json", "discovery-peers.json.sig", "connectivity-report.json")
    for file in left:
        (prod / file).write_text(file)
    if begun:
        (prod / ".blixard" / "registry").mkdir(parents=True)
    sources = [f"{prod}{source}"]

    line = misplaced(_defaults(sources), sources)

    assert line is not None
    assert line.startswith(f"{prod} holds the fleet's registry and discovery-peers.json of an older release")
    assert "\n" not in line
    _run(line)
    assert (prod / ".blixard" / "registry" / "node1.json").is_file()
    assert {file: (prod / ".blixard" / file).read_text() for file in left} == {file: file for file in left}
    assert not (prod / "registry" / "node1.json").exists()
    assert misplaced(_defaults(sources), sources) is None


def test_it_is_found_in_any_folder_of_the_inventory_and_for_any_of_its_sources(tmp_path: Path) -> None:
    one, two = _inventory(tmp_path / "one"), _inventory(tmp_path / "two")
    deep = _inventory(two / "sub" / "deeper")
    _record(deep / "registry")
    sources = [str(one), str(two)]

    line = misplaced(_defaults(sources), sources)

    assert line is not None
    _run(line)
    assert (one / ".blixard" / "registry" / "node1.json").is_file()


def test_an_old_record_is_noticed_also_where_another_place_was_set_that_is_still_empty(tmp_path: Path) -> None:
    prod = _inventory(tmp_path / "prod")
    _record(prod / "registry")
    (prod / "discovery-peers.json").write_text("[]")
    away = {
        "blixard_record_dir": f"{tmp_path}/away/record",
        "blixard_peers_file": f"{tmp_path}/other/peers.json",
        "blixard_report_file": f"{tmp_path}/away/report.json",
    }

    line = misplaced(away, [str(prod)])

    assert line is not None
    _run(line)
    assert (tmp_path / "away" / "record" / "node1.json").is_file()
    assert (tmp_path / "other" / "peers.json").read_text() == "[]"
    assert misplaced(away, [str(prod)]) is None


def test_what_is_kept_beside_an_inventory_file_on_purpose_stays_there(tmp_path: Path) -> None:
    prod = _inventory(tmp_path / "prod")
    _record(prod / "registry")
    sources = [f"{prod}/hosts.yml"]
    kept = {**_defaults(sources), "blixard_record_dir": f"{prod}/registry"}

    assert misplaced(kept, sources) is None


def test_two_records_are_refused_and_the_line_says_how_to_remove_the_one_at_the_former_place(tmp_path: Path) -> None:
    one, two = _inventory(tmp_path / "one"), _inventory(tmp_path / "two")
    _record(one / "registry")
    _record(two / ".blixard" / "registry")
    sources = [str(one), str(two)]

    line = misplaced(_defaults(sources), sources)

    assert line == (
        f"{one}/registry and {two}/.blixard/registry both hold a record; remove the one that counts no more:"
        f" rm -r {one}/registry"
    )


def test_a_folder_of_that_name_with_other_files_in_it_is_nobodys_record(tmp_path: Path) -> None:
    prod = _inventory(tmp_path / "prod")
    (prod / "registry").mkdir()
    (prod / "registry" / "package.json").write_text('{"name": "registry"}')

    assert misplaced(_defaults([f"{prod}/hosts.yml"]), [f"{prod}/hosts.yml"]) is None


def test_the_data_directory_of_a_node_is_no_former_place(tmp_path: Path) -> None:
    prod = _inventory(tmp_path / "prod")
    (prod / "node1").mkdir()
    (prod / "node1" / "discovery-peers.json").write_text("[]")

    assert misplaced(_defaults([str(prod)]), [str(prod)]) is None
