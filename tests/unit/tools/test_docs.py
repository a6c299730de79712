# SPDX-License-Identifier: MIT
"""The reference pages that no other tool makes leave nothing out."""

from __future__ import annotations

import re
from pathlib import Path

from tools import docs

ROOT = Path(__file__).parents[3]


def rows(page: str) -> list[list[str]]:
    """Return the cells of every field on the page of the schemas."""
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_playbook_is_there_with_its_words_and_its_command() -> None:
    sections = docs.playbooks().split("\n## ")[1:]
    names = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
    assert [section.splitlines()[0] for section in sections] == [f"blixard.fleet.{name}" for name in names]
    for name, section in zip(names, sections, strict=True):
        assert f"\nansible-playbook playbooks/{name}.yml" in section
        assert re.search(r"^[A-Z].*\.$", section, re.MULTILINE)


def test_every_schema_is_there_and_every_field_has_a_type_and_words() -> None:
    page = docs.schemas()
    files = sorted(path.name for path in (ROOT / "schemas").glob("*.schema.json"))
    assert sorted(re.findall(r"`([\w-]+\.schema\.json) <", page)) == files
    assert [row for row in rows(page) if len(row) != 3 or not all(row) or row[1].startswith(",")] == []


def test_a_field_that_refers_to_another_schema_has_what_stands_there() -> None:
    entries = [row for row in rows(docs.schemas()) if row[0] == "`cluster_node_id`"]
    assert len(entries) == 2
    assert entries[0] == entries[1]
    assert entries[0][1] == "integer, required"


def test_a_field_with_few_values_lists_them() -> None:
    assert ["`log_format`", '`"logfmt"` or `"json"`', "How it is written."] in rows(docs.schemas())


def test_the_python_api_is_that_of_the_readme() -> None:
    named = re.findall(r"^from blixard\.(\w+) import", (ROOT / "README.md").read_text(), re.MULTILINE)
    page = docs.python()
    assert named
    assert [name for name in named if f".. automodule:: blixard.{name}\n" not in page] == []
