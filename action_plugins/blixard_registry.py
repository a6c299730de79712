# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merge what a run gathered into the fleet's record; the documentation is in library/blixard_registry.py."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import CheckedAction, Options, Result

from blixard.fleet.registry import keep_record


class ActionModule(CheckedAction):
    """The `blixard_registry` action; in the controller's own process, where a module takes half a second more."""

    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "path": {"type": "path", "required": True},
        "cluster": {"type": "str", "required": True},
        "entries": {"type": "dict", "default": {}},
        "states": {"type": "dict"},
        "announced": {"type": "dict", "default": {}},
        "announcements": {"type": "dict", "default": {}},
        "hosts": {"type": "list", "elements": "str"},
        "prune": {"type": "bool", "default": False},
        "max_removals": {"type": "int", "default": 0},
        "guard_inventory": {"type": "bool", "default": True},
        "signers": {"type": "list", "elements": "str", "default": []},
        "nodes": {"type": "dict"},
        "peers_file": {"type": "path"},
        "brief": {"type": "bool", "default": False},
        "upstream_compat": {"type": "bool", "default": False},
    }

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Merge; Ansible's values become Python's own first, since Ansible's look for templates at each access."""
        return keep_record(json.loads(json.dumps(options)), check=self._task.check_mode)
