# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See a host's node; its documentation is in library/iroh_node_info.py."""

from __future__ import annotations

import hashlib
import typing as t

from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import HostOperation, Options, Result
from ansible_collections.blixard.fleet.plugins.plugin_utils.rendering import render

from blixard.fleet.wanted_service import NOTHING_TO_DO, service


class ActionModule(HostOperation):
    """The `iroh_node_info` action; its documentation is in library/iroh_node_info.py."""

    OPERATION = "look"
    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "python": {"type": "str", "required": True},
        "data_dir": {"type": "str", "required": True},
        "config": {"type": "str"},
        "config_src": {"type": "str"},
        "paths": {"type": "dict", "default": {}},
        "expected": {"type": "dict", "default": {}},
        "expected_src": {"type": "dict", "default": {}},
        "service": {
            "type": "dict",
            "options": {
                "manager": {"type": "str", "required": True, "choices": ["auto", "systemd", "process"]},
                "user": {"type": "str", "required": True},
                "group": {"type": "str", "required": True},
            },
        },
        "min_seq": {"type": "int", "default": 0},
        "node_id": {"type": "int"},
        "cluster": {"type": "str"},
    }
    RULES: t.ClassVar[dict[str, t.Any]] = {"mutually_exclusive": [["config", "config_src"]]}

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Look, and say what follows for the service."""
        config, asked = options.pop("config_src"), options.pop("service")
        if config:
            options["config"] = render(self, config, variables).decode()
        for name, source in options.pop("expected_src").items():
            options["expected"][name] = hashlib.sha256(render(self, source, variables)).hexdigest()
        look = super().act(options, variables)
        if look.get("failed"):
            return look
        return {**look, "service": NOTHING_TO_DO if asked is None else service(look, **asked)}
