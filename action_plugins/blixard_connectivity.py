# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that a node reaches its peers; its documentation is in library/blixard_connectivity.py."""

from __future__ import annotations

import typing as t

from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import HostOperation


class ActionModule(HostOperation):
    """The `blixard_connectivity` action; its documentation is in library/blixard_connectivity.py."""

    OPERATION = "check"
    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "python": {"type": "str", "required": True},
        "data_dir": {"type": "str", "required": True},
        "config": {"type": "str"},
        "timeout": {"type": "float", "default": 10},
        "sample": {"type": "str", "default": "auto"},
        "settle": {"type": "bool", "default": False},
        "config_sha256": {"type": "str"},
        "node_id": {"type": "int"},
    }
