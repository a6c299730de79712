# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a node run with its settings; the documentation is in library/blixard_service.py."""

from __future__ import annotations

import hashlib
import typing as t

from ansible.errors import AnsibleActionFail
from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import HostOperation, Options, Result, difference
from ansible_collections.blixard.fleet.plugins.plugin_utils.rendering import render

from blixard.documents.schemas import validate_text
from blixard.errors import BlixardError


class ActionModule(HostOperation):
    """The `blixard_service` action; its documentation is in library/blixard_service.py."""

    OPERATION = "service"
    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "python": {"type": "str", "required": True},
        "data_dir": {"type": "str", "required": True},
        "config_file": {"type": "str", "required": True},
        "config_src": {"type": "str", "required": True},
        "group": {"type": "str"},
        "unit_src": {"type": "str"},
        "facts_src": {"type": "str"},
        "name": {"type": "str"},
    }
    RULES: t.ClassVar[dict[str, t.Any]] = {
        "required_together": [["unit_src", "name"]],
        "required_by": {"facts_src": ["unit_src"]},
    }

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Render settings and unit, hold the settings against their schema, and have the host do the rest."""
        config, unit, facts = options.pop("config_src"), options.pop("unit_src"), options.pop("facts_src")
        name, path = options.pop("name"), options["config_file"]
        texts = {"config": render(self, config, variables)}
        try:
            validate_text("node-config", texts["config"], file=path)
        except BlixardError as error:
            raise AnsibleActionFail(f"{config} gives no good node-config: {error}") from None
        if unit:
            texts["unit"] = render(self, unit, variables)
        if facts:
            texts["facts"] = render(self, facts, variables)
        sent = {each: text.decode() for each, text in texts.items()}
        asked = {"check": self._task.check_mode, "diff": bool(self._task.diff)}
        said = super().act({"unit": None, "service": name, **options, **sent, **asked}, variables)
        if said.get("failed"):
            return said
        there = {each: said.pop(each) for each in texts if each in said}
        names = {"config": path, "unit": f"{name}.service", "facts": f"{name}.fact"}
        return {
            **said,
            "config_sha256": hashlib.sha256(texts["config"]).hexdigest(),
            "diff": [
                difference(names[each], seen["before"], texts[each]) for each, seen in there.items() if seen["changed"]
            ],
        }
