# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each module takes that has the package on the host do its work."""

from __future__ import annotations


class ModuleDocFragment:
    """Where the package and the node are on the host."""

    DOCUMENTATION = r"""
options:
  python:
    description: Python on the host whose environment has the package C(blixard).
    type: str
    required: true
  data_dir:
    description: The node's data directory.
    type: str
    required: true
requirements:
  - blixard (on the host in the environment of O(python), and on the controller)
"""
