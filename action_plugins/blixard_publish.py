# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish record and peers file from the controller; the documentation is in library/blixard_publish.py."""

from __future__ import annotations

import datetime
import pathlib
import typing as t

from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import CheckedAction, Options, Result

from blixard.fleet.publish import publish


class ActionModule(CheckedAction):
    """The `blixard_publish` action; in the controller's own process, with its environment and its user's files."""

    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "places": {"type": "list", "elements": "str", "required": True},
        "record": {"type": "path", "required": True},
        "peers_file": {"type": "path", "required": True},
        "pending": {"type": "bool", "default": False},
        "tsig_key_file": {"type": "path"},
        "needed": {"type": "str", "default": ""},
        "lock": {"type": "str", "default": ""},
    }

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Publish; what a place has to complain of is a warning here, since the others have got it."""
        result = publish(
            pathlib.Path(options["record"]),
            pathlib.Path(options["peers_file"]),
            options["places"],
            wall=lambda: datetime.datetime.now(datetime.timezone.utc),
            check=self._task.check_mode,
            pending=options["pending"],
            tsig_key_file=pathlib.Path(options["tsig_key_file"]) if options["tsig_key_file"] else None,
            needed=options["needed"],
            lock=options["lock"],
        )
        if result["lost"] is not None:
            return {**result, "failed": True, "msg": result["lost"]}
        return {**result, "warnings": result["troubles"]}
