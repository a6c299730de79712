# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a file into a node's data directory; its documentation is in library/blixard_put.py."""

from __future__ import annotations

import hashlib
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible_collections.blixard.fleet.plugins.plugin_utils.actions import HostOperation, Options, Result, difference

from blixard.documents.data_dir_files import PEERS_FILE_NAME
from blixard.fleet.peers_shown import peers_shown
from blixard.fleet.put import MAX_SHOWN, packed


class ActionModule(HostOperation):
    """The `blixard_put` action; its documentation is in library/blixard_put.py."""

    OPERATION = "put"
    SPEC: t.ClassVar[dict[str, t.Any]] = {
        "python": {"type": "str", "required": True},
        "data_dir": {"type": "str", "required": True},
        "src": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "mode": {"type": "str", "required": True},
        "unwritten": {"type": "bool", "default": False},
        "record": {"type": "str"},
    }

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Have the host put the file where it belongs; small content goes along, other is sent before."""
        dest = f"{options['data_dir']}/{options['name']}"
        if options.pop("unwritten"):
            return {"changed": True, "dest": dest}
        source, record = self._find(options.pop("src")), options.pop("record")
        data = source.read_bytes()
        options |= {"sha256": hashlib.sha256(data).hexdigest(), "diff": bool(self._task.diff)}
        options |= {"source": None, "content": None if self._task.check_mode else packed(data)}
        try:
            if options["content"] is not None:
                self.OPERATION = "put_packed"
            elif not self._task.check_mode:
                options["source"] = self._send(source)
            said = super().act(options, variables)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return {"dest": dest, "sha256": options["sha256"], **self._outcome(said, dest, data, record)}

    def _find(self, source: str) -> Path:
        try:
            return Path(self._loader.get_real_file(self._find_needle("files", source)))
        except AnsibleError as error:
            raise AnsibleActionFail(str(error)) from None

    def _send(self, source: Path) -> str:
        """Send the content to Ansible's own folder on the host; the host's end takes it from there."""
        folder = self._make_tmp_path()
        place: str = self._connection._shell.join_path(folder, "source")
        self._transfer_file(str(source), place)
        self._fixup_perms2((folder, place))
        return place

    def _outcome(self, said: Result, dest: str, data: bytes, record: str | None) -> Result:
        """Return the result; the host said what stood there, and what stands there now the controller knows itself."""
        if "before" not in said:
            return said
        before = said.pop("before")
        if not said["changed"]:
            return said
        peers = None
        if Path(dest).name == PEERS_FILE_NAME and len(data) <= MAX_SHOWN:
            peers = peers_shown(before, data, Path(record) if record else None)
        return {**said, "diff": {"prepared": f"{dest}: {peers}"} if peers else difference(dest, before, data)}
