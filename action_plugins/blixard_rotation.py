# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a node a new key, step by step; its documentation is in library/blixard_rotation.py."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.blixard.fleet.plugins.plugin_utils import package as _package  # noqa: F401

from blixard.fleet.remote import ask

SPEC: dict[str, t.Any] = {
    "python": {"type": "str", "required": True},
    "data_dir": {"type": "str", "required": True},
    "config": {"type": "str"},
    "min_age": {"type": "float", "default": 86400},
    "new": {"type": "str"},
    "node_id": {"type": "int"},
    "cluster": {"type": "str"},
}


class ActionModule(ActionBase):
    """The `blixard_rotation` action."""

    _VALID_ARGS = frozenset(SPEC)

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the action on one host and return its result."""
        own: dict[str, t.Any] = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(
            argument_spec=SPEC, required_one_of=[["config", "new"]], mutually_exclusive=[["config", "new"]]
        )
        options["check"] = self._task.check_mode
        host = (task_vars or {})["inventory_hostname"]
        return {**own, "changed": False, **ask(self, host, "rotation", options)}
