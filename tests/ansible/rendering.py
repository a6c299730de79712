# SPDX-License-Identifier: MIT
"""Renders the role's templates in this process, as schema_template does."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from tests.plugins import find_collection

PROJECT = Path(__file__).resolve().parents[2]
ROLE = PROJECT / "roles" / "blixard"


@cache
def role_variables() -> dict[str, Any]:
    """The role's own variables, templates and all."""
    from ansible.parsing.dataloader import DataLoader

    loader = DataLoader()
    defaults = loader.load_from_file(str(ROLE / "defaults" / "main.yml"), trusted_as_template=True)
    own = loader.load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True)
    return {**defaults, **own}


def render(template: str, **variables: Any) -> bytes:
    """Render one of the role's templates with its defaults and `variables`."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar, trust_as_template

    find_collection()
    loader = DataLoader()
    loader.set_basedir(str(ROLE))
    text = (ROLE / "templates" / template).read_text()
    templar = Templar(loader=loader, variables={**role_variables(), **variables})
    rendered = templar.template(trust_as_template(text), escape_backslashes=False, overrides={"trim_blocks": True})
    return str(rendered).encode()


def load_yaml(path: Path) -> Any:
    """Read a YAML file of the project."""
    return yaml.safe_load(path.read_text())
