# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render a JSON document, hold it against its schema, and only then let it go to the host."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import typing as t
from pathlib import Path

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import CheckedAction, Options, Result, difference
from ansible_collections.blixard.fleet.plugins.plugin_utils.rendering import render

# Here, once in the controller's main process, and not anew in the process of every task.
from jsonschema import validate as _validate  # noqa: F401

from blixard.documents.schemas import validate_text
from blixard.errors import BlixardError
from blixard.fleet.observe import differs
from blixard.fleet.put import have_file, name_in

OWN_OPTIONS: dict[str, t.Any] = {
    "src": {"type": "str", "required": True},
    "schema": {"type": "str", "required": True},
    "observed": {"type": "dict"},
    "sha256": {"type": "str"},
    "parents": {"type": "bool", "default": False},
    "data_dir": {"type": "str"},
    "python": {"type": "str"},
    "trim_blocks": {"type": "bool", "default": True},
    "lstrip_blocks": {"type": "bool", "default": False},
}
COPY_OPTIONS: dict[str, t.Any] = {
    "dest": {"type": "path", "required": True},
    "attributes": {"type": "str"},
    "backup": {"type": "bool", "default": False},
    "follow": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": True},
    "group": {"type": "str"},
    "mode": {"type": "raw"},
    "owner": {"type": "str"},
    "unsafe_writes": {"type": "bool", "default": False},
    "validate": {"type": "str"},
}


class ActionModule(CheckedAction):
    """The `schema_template` action; its documentation is in library/schema_template.py."""

    SPEC: t.ClassVar[dict[str, t.Any]] = {**OWN_OPTIONS, **COPY_OPTIONS}
    RULES: t.ClassVar[dict[str, t.Any]] = {
        "required_together": [["data_dir", "python"]],
        "required_by": {"data_dir": ["mode"]},
    }

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Render, hold the text against the schema, and hand it over where it is not there yet."""
        foretold = options["sha256"]
        if foretold and self._is_there(options, foretold):
            return {"schema": options["schema"], "sha256": foretold, "dest": options["dest"]}
        blocks = {name: options[name] for name in ("trim_blocks", "lstrip_blocks")}
        text = render(self, options["src"], variables, **blocks)
        known = {"schema": options["schema"], "sha256": hashlib.sha256(text).hexdigest()}
        if known["sha256"] != foretold:
            _validate_text(options, text)
        if self._is_there(options, known["sha256"]):
            return {**known, "dest": options["dest"]}
        if options["parents"]:
            return {**self._keep_here(Path(options["dest"]), options["mode"], text, known["sha256"]), **known}
        name = options["data_dir"] and name_in(options["data_dir"], options["dest"])
        if not name:
            given = {each: value for each, value in self._task.args.items() if each in COPY_OPTIONS}
            return {**self._hand_over("ansible.legacy.copy", given, text, variables), **known}
        given = {"python": options["python"], "data_dir": options["data_dir"], "name": name, "mode": options["mode"]}
        return {**self._hand_over("blixard.fleet.blixard_put", given, text, variables), **known}

    @staticmethod
    def _is_there(options: Options, digest: str) -> bool:
        seen = options["observed"]
        mode = options["mode"]
        if not seen or not (mode is None or isinstance(mode, str)):
            return False
        wanted_mode = mode and mode.zfill(4)
        return not differs(seen, sha256=digest, mode=wanted_mode, owner=options["owner"], group=options["group"])

    def _keep_here(self, dest: Path, mode: t.Any, text: bytes, digest: str) -> Result:
        """Write on the controller, in this process: a module takes a second, and what it is to do is known here."""
        if self._connection.transport != "local":
            raise AnsibleActionFail("parents: files are kept so on the controller only, with the connection local")
        if not isinstance(mode, str) or not re.fullmatch("[0-7]{3,4}", mode):
            raise AnsibleActionFail("parents: mode is needed, as octal digits in quotes")
        said = have_file(dest, None if self._task.check_mode else text, sha256=digest, mode=int(mode, 8), diff=True)
        before = said.pop("before")
        shown = {"diff": difference(str(dest), before, text)} if said["changed"] and self._task.diff else {}
        return {"dest": str(dest), **said, **shown}

    def _hand_over(self, action: str, given: dict[str, t.Any], text: bytes, variables: t.Mapping[str, t.Any]) -> Result:
        """Hand over to copy, so that check mode, diff, backup and the rest are as people know them, or to put."""
        folder = Path(tempfile.mkdtemp(dir=C.DEFAULT_LOCAL_TMP))
        rendered = folder / Path(self._task.args["src"]).name
        task = self._task.copy()
        task.args = {**given, "src": str(rendered)}
        try:
            rendered.write_bytes(text)
            plugin = self._shared_loader_obj.action_loader.get(
                action,
                task=task,
                connection=self._connection,
                play_context=self._play_context,
                loader=self._loader,
                templar=self._templar,
                shared_loader_obj=self._shared_loader_obj,
            )
            return t.cast("Result", plugin.run(task_vars=variables))
        finally:
            shutil.rmtree(folder)
            self._remove_tmp_path(self._connection._shell.tmpdir)


def _validate_text(options: Options, text: bytes) -> None:
    try:
        validate_text(options["schema"], text, file=options["dest"])
    except BlixardError as error:
        raise AnsibleActionFail(f"{options['src']} gives no good {options['schema']}: {error}") from None
