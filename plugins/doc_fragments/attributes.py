# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules behave in check mode, with --diff, and when they are run again; each module adds whether it does."""

from __future__ import annotations


class ModuleDocFragment:
    """The attributes of a module that changes something, and those of one that does not."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and return changed status prediction without modifying anything.
  diff_mode:
    description: Shows what differs.
  idempotent:
    description: When run twice in a row outside check mode, the second run changes nothing.
"""

    READ_ONLY = r"""
attributes:
  check_mode:
    description: Can run in check mode and return the same.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to compare.
    support: none
  idempotent:
    description: Changes nothing.
    support: full
"""
