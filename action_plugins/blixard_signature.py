# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign the fleet's peers file on the controller; the documentation is in library/blixard_signature.py."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import typing as t

from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import CheckedAction, Options, Result

from blixard.fleet.signature import fleet_key, keep_signature


class ActionModule(CheckedAction):
    """The `blixard_signature` action; in the controller's own process, so the key is in no file and no argument."""

    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "path": {"type": "path", "required": True},
        "cluster": {"type": "str", "required": True},
        "key": {"type": "str", "default": "", "no_log": True},
        "key_file": {"type": "str", "default": "", "no_log": False},
        "signers": {"type": "list", "elements": "str", "default": []},
        "sha256": {"type": "str"},
        "record": {"type": "path"},
        "seen": {"type": "dict", "default": {}},
        "seq": {"type": "int", "default": 1},
    }

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Sign, or hold what is there against who is trusted."""
        signature = keep_signature(
            pathlib.Path(options["path"]),
            key=fleet_key(options["key"], options["key_file"]),
            cluster=options["cluster"],
            signers=options["signers"],
            now=datetime.datetime.now(datetime.timezone.utc),
            sha256=options["sha256"],
            check=self._task.check_mode,
            record=pathlib.Path(options["record"]) if options["record"] else None,
            seen=options["seen"],
            at_least=options["seq"],
        )
        return dataclasses.asdict(signature)
