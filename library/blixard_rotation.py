# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the blixard_rotation action; the work is done by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: blixard_rotation
short_description: Give a Blixard node a new key
version_added: "0.1.0"
description:
  - Works in two steps, with the record in between. The first makes the next key beside the present one, and returns
    the announcement that both keys sign, and the entry under the new key. The second puts the next key in the place of
    the present one, as soon as the record has it.
  - Where a rotation stands is read from the host, so that a run which broke off is taken up where it stopped.
  - The keys are made and used on the host, and never returned.

author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.node
  - blixard.fleet.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    description: The files that differ are secret.
    support: none
  idempotent:
    support: full
options:
  config:
    description: For the first step, the node's settings as the JSON text of its C(node-config.json).
    type: str
  min_age:
    description: For the first step. A key that is younger than so many seconds is left alone, V(0) leaves none alone.
    type: float
    default: 86400
  new:
    description: For the second step, the id that the record has for the node now.
    type: str
  node_id:
    description: The node's number as the inventory has it. An answer that speaks for another node is refused.
    type: int
  cluster:
    description: The cluster that the entry must be signed for.
    type: str
seealso:
  - module: blixard.fleet.iroh_identity
  - module: blixard.fleet.blixard_registry
"""

EXAMPLES = r"""
- name: Make the next key
  blixard_rotation:
    python: /opt/blixard/venv/bin/python
    data_dir: /var/lib/blixard
    config: "{{ lookup('ansible.builtin.template', 'node-config.json.j2') }}"
  register: rotation

- name: Put it in place
  blixard_rotation:
    python: /opt/blixard/venv/bin/python
    data_dir: /var/lib/blixard
    new: "{{ rotation.new }}"
"""

RETURN = r"""
due:
  description: Whether a rotation is under way, or begins now.
  returned: in the first step
  type: bool
  sample: true
old:
  description: The node's id, base64.
  returned: in the first step
  type: str
  sample: gvNYQ8gF7XPqGJDu0yBtVd2gCvOhbWj9u2RzMwbrBZE=
new:
  description: Its next id; null where none is due, and in check mode before there is a next key.
  returned: in the first step
  type: str
  sample: GKRe2meJmhTGsuT9FCWmGuXYOA4pDlbOX7+GoL0HQBg=
announcement:
  description: That the new id follows the old one, signed by both keys.
  returned: in the first step
  type: dict
  sample: {"domain": "blixard/rotation/v1", "cluster": "blixard", "node_id": 1}
entry:
  description: The node's registry entry under the new key, signed with it.
  returned: in the first step
  type: dict
  sample: {"cluster_node_id": 1}
restart:
  description: Whether the node does not run, or runs with another key than the one on disk.
  returned: in the first step
  type: bool
  sample: false
"""
