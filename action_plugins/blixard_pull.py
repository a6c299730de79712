# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the record that several controllers share; the documentation is in library/blixard_pull.py."""

from __future__ import annotations

import datetime
import pathlib
import typing as t

from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import CheckedAction, Options, Result

from blixard.fleet.pull import pull_record


class ActionModule(CheckedAction):
    """The `blixard_pull` action; in the controller's own process, with its environment and its user's files."""

    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "place": {"type": "str", "required": True},
        "record": {"type": "path", "required": True},
        "peers_file": {"type": "path", "required": True},
        "signers": {"type": "list", "elements": "str", "default": []},
        "discard": {"type": "bool", "default": False},
    }

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Pull; in check mode what follows sees the record as it is here, which is said."""
        check = self._task.check_mode
        result = pull_record(
            options["place"],
            pathlib.Path(options["record"]),
            pathlib.Path(options["peers_file"]),
            signers=options["signers"],
            wall=lambda: datetime.datetime.now(datetime.timezone.utc),
            check=check,
            discard=options["discard"],
        )
        is_stale = check and result["changed"]
        said = "is not what is published; check mode does not bring it, and goes on with what is here"
        return {**result, "warnings": [f"{options['record']}: {said}"] if is_stale else []}
