# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a node look at its files now; its documentation is in library/blixard_refresh.py."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.blixard.fleet.plugins.plugin_utils import package as _package  # noqa: F401

from blixard.fleet.remote import ask

SPEC: dict[str, t.Any] = {
    "python": {"type": "str", "required": True},
    "data_dir": {"type": "str", "required": True},
}


class ActionModule(ActionBase):
    """The `blixard_refresh` action."""

    _VALID_ARGS = frozenset(SPEC)

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the action on one host and return its result."""
        own: dict[str, t.Any] = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(argument_spec=SPEC)
        if self._task.check_mode:
            return {**own, "changed": False, "skipped": True, "msg": "the node keeps what it has in check mode"}
        host = (task_vars or {})["inventory_hostname"]
        return {**own, "changed": False, **ask(self, host, "refresh", options)}
