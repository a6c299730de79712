# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the blixard_refresh action; the work is done by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: blixard_refresh
short_description: Have a Blixard node look at its files now
version_added: "0.1.0"
description:
  - Has the running node ask all its sources, and drop at once, connections included, who is no longer in its peers
    file. By itself a node waits a few minutes before it takes an absence from an unsigned file for good.
  - Says whether the node takes its peers file.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.node
  - blixard.fleet.attributes
attributes:
  check_mode:
    description: Can run in check mode, and does nothing there.
    support: full
  diff_mode:
    description: Changes no file, so there is nothing to compare.
    support: none
  idempotent:
    support: full
seealso:
  - module: blixard.fleet.blixard_connectivity
"""

EXAMPLES = r"""
- name: Take in the new peers file
  blixard_refresh:
    python: /opt/blixard/venv/bin/python
    data_dir: /var/lib/blixard
"""

RETURN = r"""
running:
  description: Whether a node runs; where none does there is nothing to refresh.
  returned: success
  type: bool
  sample: true
peers:
  description: Node ids of the peers that the node knows now.
  returned: success
  type: list
  elements: int
  sample: [2, 3]
problems:
  description: A line for each peers file that the node does not take, and why.
  returned: success
  type: list
  elements: str
  sample: []
"""
