#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Build the documentation as a site in build/site, and fail at the first warning.

The pages are the repository's own, laid out in build/docs at their places, so that their links hold. Reference pages
are made beside them: of the collection by antsibull-docs, of the command line from its parsers, of the Python API from
its docstrings, and here of the playbooks and the JSON schemas. Nothing is fetched.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from blixard import __version__
from blixard.documents.schemas import NAMES, SUFFIX

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "build" / "docs"
SITE = ROOT / "build" / "site"
SCHEMAS = ROOT / "src" / "blixard" / "schemas"
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md")
# Where the collection's pages refer to that is not a module: the label, and its page in Ansible's documentation.
ANSIBLE = {
    "action_plugins": "plugins/action.html#action-plugins",
    "ansible_configuration_settings": "reference_appendices/config.html#ansible-configuration-settings",
    "common_return_values": "reference_appendices/common_return_values.html#common-return-values",
}
API = ("discovery_manager", "node_discovery", "errors")

# What stands at the side, below the README, which is the first page.
CONTENTS = """
```{toctree}
:hidden:
:caption: Use
The life of a fleet <docs/life>
The peers file in CI <docs/ci>
Publishing <docs/publishing>
Running a node <docs/node>
Monitoring <docs/monitoring>
The mesh page <docs/mesh-page>
Peers from DNS <docs/dns>
Peers from etcd <docs/etcd>
Peers from a cloud <docs/cloud>
Peers on the same links <docs/mdns>
Gossip <docs/gossip>
Raft <docs/raft>
Scale <docs/scale>
```
```{toctree}
:hidden:
:caption: Reference
Playbooks <reference/playbooks>
Role, modules and filters <reference/collection/index>
Command line <reference/command-line>
JSON schemas <reference/schemas>
Python API <reference/python>
```
```{toctree}
:hidden:
:caption: Background
The protocol <docs/protocol>
Performance <docs/performance>
Security <docs/security>
Faults <docs/faults>
Testing <docs/testing>
Tried <docs/tried>
```
```{toctree}
:hidden:
:caption: Project
Working on it <CONTRIBUTING>
Reporting a fault <SECURITY>
Changelog <CHANGELOG>
```
"""
COMMAND_LINE = """\
# Command line

```{argparse}
:module: blixard.cli.main
:func: _build_parser
:prog: blixard
```
"""
SETTINGS: dict[str, Any] = {
    "project": "Blixard Fleet",
    "author": "Blixard Fleet contributors",
    "version": __version__,
    "root_doc": "index",
    "extensions": [
        *("myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.intersphinx"),
        *("sphinxarg.ext", "sphinx_antsibull_ext"),
    ],
    "myst_heading_anchors": 3,
    "autodoc_member_order": "bysource",
    "python_maximum_signature_line_length": 88,
    # Docstrings set code in single backticks.
    "default_role": "code",
    "intersphinx_mapping": {"ansible": ("https://docs.ansible.com/ansible/latest/", str(SOURCE / "ansible.inv"))},
    "html_theme": "furo",
    "html_title": f"Blixard Fleet {__version__}",
    "html_show_sphinx": False,
    "html_copy_source": False,
}


def playbooks() -> str:
    """Return a page with what each playbook says of itself in its first lines."""
    text = "# Playbooks\n\nEach is in the collection, under its full name.\n"
    for path in sorted((ROOT / "playbooks").glob("*.yml")):
        head = path.read_text(encoding="utf-8").partition("---\n")[0].splitlines()[1:]
        said = [line[2:] for line in head]
        commands = [line.strip() for line in said if line.startswith("  ")]
        words = " ".join(line for line in said if not line.startswith("  "))
        shown = "\n".join(["```console", *commands, "```"])
        text += f"\n## blixard.fleet.{path.stem}\n\n{words}\n\n{shown}\n"
    return text


def schemas() -> str:
    """Return a page with the fields of every document, and its schema."""
    text = "# JSON schemas\n\nThey are part of the package: `blixard.documents.schemas`.\n"
    for name in NAMES:
        schema = json.loads((SCHEMAS / f"{name}{SUFFIX}").read_text(encoding="utf-8"))
        text += f"\n## {schema['title']}\n\n{schema['description']}\n\n"
        text += "| field | type | |\n|---|---|---|\n" + "\n".join(_fields(schema)) + "\n"
        text += f"\nThe whole schema: {{download}}`{name}{SUFFIX} </../../schemas/{name}{SUFFIX}>`, `{schema['$id']}`\n"
    return text


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    """Yield a row for each field of the document, or of an item where it is a list."""
    of = schema.get("items", schema)
    for name, stated in of["properties"].items():
        field = _resolved(schema, stated)
        needed = ", required" if name in of.get("required", ()) else ""
        words = field.get("description", field.get("title", "")).replace("|", "\\|")
        yield f"| `{name}` | {_kind(field)}{needed} | {words} |"


def _kind(field: dict[str, Any]) -> str:
    """Return the type of a field in words, or the values that it may have."""
    if "type" in field:
        return field["type"] if isinstance(field["type"], str) else " or ".join(field["type"])
    values = field["enum"] if "enum" in field else [field["const"]]
    return " or ".join(f"`{json.dumps(value)}`" for value in values)


def _resolved(schema: dict[str, Any], stated: dict[str, Any]) -> dict[str, Any]:
    """Return what a field refers to, in its own schema or in another one, under what it says itself."""
    if "$ref" not in stated:
        return stated
    document, _, pointer = stated["$ref"].partition("#")
    if document:
        (schema,) = (it for it in _all() if it["$id"] == document)
    there: Any = schema
    for key in pointer.strip("/").split("/"):
        there = there[key]
    return {**_resolved(schema, there), **stated}


def _all() -> Iterator[dict[str, Any]]:
    for name in NAMES:
        yield json.loads((SCHEMAS / f"{name}{SUFFIX}").read_text(encoding="utf-8"))


def python() -> str:
    """Return a page for the Python API: what its modules say they offer."""
    text = "Python API\n==========\n"
    for name in API:
        module = f"blixard.{name}"
        text += f"\n{module}\n{'-' * len(module)}\n\n.. automodule:: {module}\n   :members:\n   :imported-members:\n"
    return text


def _collection(target: Path) -> None:
    """Have antsibull-docs write the pages of the collection, and state where Ansible's own pages are that they name."""
    target.mkdir()
    tool = Path(sys.executable).with_name("antsibull-docs")
    options: list[str | Path] = ["--use-current", "--squash-hierarchy", "--fail-on-error", "--dest-dir", target]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")}
    subprocess.run([tool, "collection", *options, "blixard.fleet"], check=True, env=env)
    pages = ""
    for page in target.glob("*.rst"):
        # The theme shows the contents of a page at its side.
        text = re.sub(r"^\.\. contents::\n(?: +:.*\n)+", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        page.write_text(text, encoding="utf-8")
        pages += text
    modules = sorted(set(re.findall(r"<ansible_collections\.ansible\.builtin\.(\w+_module)>", pages)))
    places = {f"ansible_collections.ansible.builtin.{it}": f"collections/ansible/builtin/{it}.html" for it in modules}
    lines = "".join(f"{label} std:label -1 {place} -\n" for label, place in (ANSIBLE | places).items())
    head = b"# Sphinx inventory version 2\n# Project: Ansible\n# Version:\n# zlib\n"
    (SOURCE / "ansible.inv").write_bytes(head + zlib.compress(lines.encode()))


def lay_out() -> None:
    """Make the source of the site anew."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    reference = SOURCE / "reference"
    reference.mkdir(parents=True)
    for page in (page for pattern in PAGES for page in ROOT.glob(pattern)):
        target = SOURCE / page.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(page, target)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (SOURCE / "index.md").write_text(readme + CONTENTS, encoding="utf-8")
    (reference / "command-line.md").write_text(COMMAND_LINE, encoding="utf-8")
    (reference / "playbooks.md").write_text(playbooks(), encoding="utf-8")
    (reference / "schemas.md").write_text(schemas(), encoding="utf-8")
    (reference / "python.rst").write_text(python(), encoding="utf-8")
    _collection(reference / "collection")


def main() -> int:
    lay_out()
    shutil.rmtree(SITE, ignore_errors=True)
    site = Sphinx(
        SOURCE, None, SITE, SOURCE / ".doctrees", "html", SETTINGS, status=None, warningiserror=True, keep_going=True
    )
    site.build()
    print(SITE.relative_to(ROOT) / "index.html")
    return site.statuscode


if __name__ == "__main__":
    sys.exit(main())
