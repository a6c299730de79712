# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See a host's node; its documentation is in library/iroh_node_info.py."""

from __future__ import annotations

import typing as t

from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import HostOperation


class ActionModule(HostOperation):
    """The `iroh_node_info` action; its documentation is in library/iroh_node_info.py."""

    OPERATION = "look"
    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "python": {"type": "str", "required": True},
        "data_dir": {"type": "str", "required": True},
        "config": {"type": "str"},
        "paths": {"type": "dict", "default": {}},
        "expected": {"type": "dict", "default": {}},
        "min_seq": {"type": "int", "default": 0},
        "node_id": {"type": "int"},
        "cluster": {"type": "str"},
    }
