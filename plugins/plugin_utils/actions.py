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


class HostOperation(CheckedAction):
    """An action that has the package on the host carry out one OPERATION of `blixard.fleet.host`."""

    OPERATION: t.ClassVar[str]

    def act(self, options: Options, variables: t.Mapping[str, t.Any]) -> Result:
        """Ask the host."""
        answer = ask(self, variables["inventory_hostname"], self.OPERATION, options)
        return {**answer, "msg": in_role_words(answer["msg"], variables)} if "msg" in answer else answer
