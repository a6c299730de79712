# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign the fleet's peers file on the controller; the documentation is in library/blixard_signature.py."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.blixard.fleet.plugins.plugin_utils import package as _package  # noqa: F401

from blixard.errors import BlixardError
from blixard.fleet.signature import fleet_key, keep_signature

SPEC: dict[str, t.Any] = {
    "path": {"type": "path", "required": True},
    "cluster": {"type": "str", "required": True},
    "key": {"type": "str", "default": "", "no_log": True},
    "key_file": {"type": "str", "default": "", "no_log": False},
    "signers": {"type": "list", "elements": "str", "default": []},
    "sha256": {"type": "str"},
    "record": {"type": "path"},
}


class ActionModule(ActionBase):
    """The `blixard_signature` action; in the controller's own process, so the key is in no file and no argument."""

    _VALID_ARGS = frozenset(SPEC)

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the action on one host and return its result."""
        own: dict[str, t.Any] = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(argument_spec=SPEC)
        try:
            signature = keep_signature(
                pathlib.Path(options["path"]),
                key=fleet_key(options["key"], options["key_file"]),
                cluster=options["cluster"],
                signers=options["signers"],
                now=datetime.datetime.now(datetime.timezone.utc),
                sha256=options["sha256"],
                check=self._task.check_mode,
                record=pathlib.Path(options["record"]) if options["record"] else None,
            )
        except BlixardError as error:
            return {**own, "changed": False, "failed": True, "msg": str(error)}
        return {**own, **dataclasses.asdict(signature)}
