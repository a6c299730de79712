# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins have in common: options are checked, errors of the package become the task's result."""

from __future__ import annotations

import typing as t
from abc import abstractmethod

# In the controller's main process, once; else every task's own process imports it anew, for a third of its time.
import iroh as _iroh  # noqa: F401
from ansible.plugins.action import ActionBase
from ansible_collections.blixard.fleet.plugins.plugin_utils import package as _package  # noqa: F401

from blixard.errors import BlixardError, trouble_with_files
from blixard.fleet.answers import printable
from blixard.fleet.host import too_old
from blixard.fleet.put import MAX_SHOWN
from blixard.fleet.remote import ask
from blixard.fleet.role_words import in_role_words

Options = dict[str, t.Any]
Result = dict[str, t.Any]


class CheckedAction(ActionBase):
    """An action whose options are checked before `act` gets them.

    A subclass gives SPEC, the options as in a module's argument_spec, and RULES, what else is checked about them.
    """

    SPEC: t.ClassVar[t.Mapping[str, t.Mapping[str, t.Any]]]
    RULES: t.ClassVar[t.Mapping[str, t.Any]] = {}

    def __init_subclass__(cls, **kwargs: t.Any) -> None:
        """Have Ansible refuse options that SPEC does not name."""
        super().__init_subclass__(**kwargs)
        cls._VALID_ARGS = frozenset(getattr(cls, "SPEC", ()))

    def run(self, tmp: None = None, task_vars: t.Mapping[str, t.Any] | None = None) -> Result:
        """Run the action on one host and return its result."""
        own: Result = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(argument_spec=self.SPEC, **self.RULES)
        try:
            return {**own, "changed": False, **self.act(options, task_vars or {})}
        except BlixardError as error:
            return {**own, "changed": False, "failed": True, "msg": str(error)}
        except OSError as error:
            return {**own, "changed": False, "failed": True, "msg": str(trouble_with_files(error, "the controller"))}

    @abstractmethod
    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Return the result for these options; `variables` are those of the host."""


def difference(dest: str, before: str | None, after: bytes) -> Result:
    """Return what differs in a file, in Ansible's form; of one that is too large to be shown, that alone."""
    if len(after) > MAX_SHOWN:
        return {"prepared": f"{dest} differs, and is too large to be shown\n"}
    texts = {"before": before or "", "after": printable(after.decode(errors="replace"))}
    return {**texts, "before_header": dest, "after_header": dest}


class HostOperation(CheckedAction):
    """An action that has the package on the host carry out one OPERATION of `blixard.fleet.host`."""

    OPERATION: str

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Ask the host. Of one whose package is still to be installed, check mode foresees that something changes."""
        answer = ask(self, variables["inventory_hostname"], self.OPERATION, options)
        if "msg" not in answer:
            return answer
        said = too_old(self.OPERATION)
        if answer["msg"] == said or f"KeyError: '{self.OPERATION}'" in answer["msg"]:
            return {"changed": True} if self._task.check_mode else {"failed": True, "msg": said}
        return {**answer, "msg": in_role_words(answer["msg"], variables)}
