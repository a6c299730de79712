# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a node look at its files now; its documentation is in library/blixard_refresh.py."""

from __future__ import annotations

import typing as t

from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import HostOperation, Options, Result


class ActionModule(HostOperation):
    """The `blixard_refresh` action; its documentation is in library/blixard_refresh.py."""

    OPERATION = "refresh"
    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "python": {"type": "str", "required": True},
        "data_dir": {"type": "str", "required": True},
    }

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Ask the host, except in check mode: the node would drop who is no longer in its peers file."""
        if self._task.check_mode:
            return {"skipped": True, "msg": "the node keeps what it has in check mode"}
        return super().act(options, variables)
