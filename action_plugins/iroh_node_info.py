# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See a host's node; its documentation is in library/iroh_node_info.py."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from blixard.fleet.remote import command, result

SPEC: dict[str, t.Any] = {
    "python": {"type": "str", "required": True},
    "data_dir": {"type": "str", "required": True},
    "config": {"type": "str"},
    "paths": {"type": "dict", "default": {}},
    "expected": {"type": "dict", "default": {}},
    "min_seq": {"type": "int", "default": 0},
}


class ActionModule(ActionBase):
    """The `iroh_node_info` action."""

    _VALID_ARGS = frozenset(SPEC)

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        own: dict[str, t.Any] = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(argument_spec=SPEC)
        python = options.pop("python")
        line = self._compute_environment_string() + command(python, "look", options)
        return {**own, "changed": False, **result(python, self._low_level_execute_command(line))}
