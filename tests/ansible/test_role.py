# SPDX-License-Identifier: MIT
"""The role says the same in its defaults, its argument specifications and its tasks."""

from __future__ import annotations

import re
from typing import Any

from tests.ansible.rendering import PROJECT, ROLE, load_yaml

DEFAULTS: dict[str, Any] = load_yaml(ROLE / "defaults" / "main.yml")
SPECS: dict[str, Any] = load_yaml(ROLE / "meta" / "argument_specs.yml")["argument_specs"]
OPTIONS: dict[str, Any] = SPECS["main"]["options"]
VARIABLE = re.compile(r"(?<![\w.])_{0,2}blixard_[a-z_]+")


def test_every_default_is_described_with_the_same_value_and_nothing_else_is() -> None:
    described = {name: option["default"] for name, option in OPTIONS.items() if not option.get("required")}

    assert described == DEFAULTS


def test_every_default_is_of_the_type_that_is_described() -> None:
    types: dict[str, type | tuple[type, ...]] = {
        "str": str,
        "path": str,
        "bool": bool,
        "int": int,
        "float": (int, float),
        "list": list,
        "dict": dict,
    }

    wrong = [name for name, value in DEFAULTS.items() if not isinstance(value, types[OPTIONS[name]["type"]])]
    assert wrong == []


def test_every_default_among_choices_is_one_of_them() -> None:
    assert [n for n, o in OPTIONS.items() if "choices" in o and o["default"] not in o["choices"]] == []


def test_only_the_node_id_is_required() -> None:
    assert [name for name, option in OPTIONS.items() if option.get("required")] == ["blixard_node_id"]


def test_every_default_is_explained_where_it_stands() -> None:
    lines = (ROLE / "defaults" / "main.yml").read_text().splitlines()
    above = {}
    for number, line in enumerate(lines):
        if match := re.match(r"(blixard_\w+):", line):
            above[match[1]] = lines[number - 1]

    # A variable without a comment of its own stands directly below the one that it shares it with.
    assert set(above) == set(DEFAULTS)
    assert [name for name, line in above.items() if not line.startswith(("#", "blixard_"))] == []


def test_every_entry_point_has_a_task_file_and_describes_only_known_options() -> None:
    for name, spec in SPECS.items():
        assert (ROLE / "tasks" / f"{name}.yml").is_file()
        for option, body in spec["options"].items():
            assert body == OPTIONS[option]


def test_every_variable_that_the_role_uses_is_one_that_it_has() -> None:
    own: dict[str, Any] = load_yaml(ROLE / "vars" / "main.yml")
    text = "\n".join(path.read_text() for path in ROLE.rglob("*.*") if path.suffix in {".yml", ".j2"})
    code = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    registered = set(re.findall(r"(?:register|loop_var|index_var): (\w+)", code))
    set_for_a_task = set(re.findall(r"^\s+(__blixard_\w+):", code, re.MULTILINE))
    code = re.sub(r"\bblixard\.fleet\.\w+", "", code)
    used = set(VARIABLE.findall(code))

    assert used - set(OPTIONS) - set(own) - registered - set_for_a_task == {"blixard_registry_dir"}, "an old name"
    assert set(own) - used == set()


def test_every_variable_that_a_playbook_reads_is_one_that_the_role_documents() -> None:
    own: dict[str, Any] = load_yaml(ROLE / "vars" / "main.yml")
    texts = [path.read_text() for path in (PROJECT / "playbooks").glob("*.yml")]
    used = set(VARIABLE.findall(re.sub(r"\bblixard\.fleet\.\w+", "", "\n".join(texts))))

    assert {"blixard_hosts", "blixard_max_fail_percentage", "blixard_serial"} <= used
    assert used - set(OPTIONS) - set(own) == set()


def test_what_is_included_in_a_run_runs_whole_whatever_tag_selected_it() -> None:
    tasks = [task for path in (ROLE / "tasks").rglob("*.yml") for task in load_yaml(path)]
    included = [task for task in tasks if "ansible.builtin.include_tasks" in task]

    assert included
    assert [
        task["name"]
        for task in included
        if task["ansible.builtin.include_tasks"].get("apply", {}).get("tags") != "always"
    ] == []


def test_every_default_is_used() -> None:
    folders = ("defaults", "tasks", "templates", "vars")
    files = [path for folder in folders for path in (ROLE / folder).rglob("*.*")]
    files += (PROJECT / "playbooks").glob("*.yml")
    text = "\n".join(path.read_text() for path in [*files, PROJECT / "filter_plugins" / "blixard.py"])
    values = re.sub(r"^\w+:", "", text, flags=re.MULTILINE)

    assert [name for name in DEFAULTS if name not in values] == []
