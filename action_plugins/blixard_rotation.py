# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a node a new key, step by step; its documentation is in library/blixard_rotation.py."""

from __future__ import annotations

import typing as t

from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import HostOperation, Options, Result


class ActionModule(HostOperation):
    """The `blixard_rotation` action; its documentation is in library/blixard_rotation.py."""

    OPERATION = "rotation"
    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "python": {"type": "str", "required": True},
        "data_dir": {"type": "str", "required": True},
        "config": {"type": "str"},
        "min_age": {"type": "float", "default": 86400},
        "new": {"type": "str"},
        "node_id": {"type": "int"},
        "cluster": {"type": "str"},
    }
    RULES: t.ClassVar[dict[str, t.Any]] = {
        "required_one_of": [["config", "new"]],
        "mutually_exclusive": [["config", "new"]],
    }

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Ask the host, which only says what it would do in check mode."""
        return super().act({**options, "check": self._task.check_mode}, variables)
