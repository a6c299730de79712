# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a record to this run alone; its documentation is in library/blixard_lock.py."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from ansible.utils.display import Display
from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import CheckedAction, Options, Result

from blixard.fleet.run_lock import take


class ActionModule(CheckedAction):
    """The `blixard_lock` action; its documentation is in library/blixard_lock.py."""

    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "path": {"type": "path", "required": True},
        "place": {"type": "str", "default": ""},
        "wait": {"type": "int", "default": 0},
    }

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Take the lock for the process of `ansible-playbook`, of which the one of this task is a child."""
        if self._task.check_mode:
            return {"path": options["path"], "held": ""}
        held = take(
            Path(options["path"]).absolute(),
            os.getppid(),
            place=options["place"],
            wait=options["wait"],
            say=Display().display,
        )
        return {"path": options["path"], "held": held}
