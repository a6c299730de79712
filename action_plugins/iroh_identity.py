# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a node's secret key on its host; the documentation is in library/iroh_identity.py."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import HostOperation, Options, Result

from blixard.fleet.identity import Kept


class ActionModule(HostOperation):
    """The `iroh_identity` action: with `python` it has the package on the host do what else the module does there."""

    OPERATION = "identity"
    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "python": {"type": "str"},
        "path": {"type": "path", "required": True},
        "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        "regenerate": {"type": "str", "default": "never", "choices": ["never", "fail", "always"], "no_log": False},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "data_dir": {"type": "bool", "default": False},
    }

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Have it done by the package, or else by the module."""
        if options["python"] is None:
            given = {name: value for name, value in options.items() if value is not None}
            return t.cast("Result", self._execute_module("blixard.fleet.iroh_identity", given, task_vars=variables))
        path = options["path"]
        said = super().act({**options, "check": self._task.check_mode}, variables)
        if "exists" not in said:
            return said
        kept = Kept(**{each.name: said[each.name] for each in dataclasses.fields(Kept)})
        warnings = {"warnings": said["warnings"]} if "warnings" in said else {}
        return {**kept.result(path), **warnings}
