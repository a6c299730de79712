# SPDX-License-Identifier: MIT
"""What a node's program says to whoever runs it, in the words of the role: variables in the place of options."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blixard.agent.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

_OTHER_NAMES = {"refresh_interval_s": "refresh_interval", "raft_voters": "voters"}
_NO_VARIABLE = "peers_file"
"""The role puts it into the data directory."""

VARIABLES = {
    option.flag_name: "blixard_" + _OTHER_NAMES.get(option.key, option.key.replace(".", "_"))
    for option in OPTIONS
    if option.key != _NO_VARIABLE
}
"""The role's variable for each option of `blixard node`."""

# What to do is told as `with --option`; a command that is told as a whole keeps its options.
_WITH = re.compile(r"(?<=\bwith )--[a-z][a-z-]*")
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(r"(?<![\w.'\"])[A-Za-z_]\w*")
_NOT_MEANT = ("ansible_", "blixard_", "inventory_", "group")


def in_role_words(text: str, variables: Mapping[str, object]) -> str:
    """Return `text` with the role's variables for the options that it says to use.

    Args:
        text: for people, from a host.
        variables: the host's variables by name, not templated: where one is made of others, those are what to set.
    """
    return _WITH.sub(lambda found: _variable(found[0], variables), text)


def _variable(flag: str, variables: Mapping[str, object]) -> str:
    name = VARIABLES.get(flag, flag)
    value = variables.get(name)
    expressions = _EXPRESSION.findall(value) if isinstance(value, str) else []
    used = [each for each in _NAME.findall(" ".join(expressions)) if each in variables]
    made_of = [each for each in dict.fromkeys(used) if not each.startswith(_NOT_MEANT)]
    return f"{name} (here made of {', '.join(made_of)})" if made_of else name
