# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the blixard_put action; the work is done by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: blixard_put
short_description: Put a file into a node's data directory
version_added: "0.1.0"
description:
  - Puts a file of the controller's into the data directory of a node, in one step, whole or not at all.
  - The directory belongs to the account that the node runs as. Where Ansible is root, the file is written by that
    account and becomes its own, so that no link or name that is planted there leads root to another file.
    M(ansible.builtin.copy) gives owner and mode by path, and would follow it.
  - Whatever has the name is replaced; a link there is replaced too, and not followed.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.node
  - blixard.fleet.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    description: Of a peers file it shows a line for each peer that comes, goes or changes, of any other file its lines.
    support: full
  idempotent:
    support: full
options:
  data_dir:
    description: The node's data directory. It must be there.
    type: str
    required: true
  src:
    description: File on the controller, searched for as M(ansible.builtin.copy) does; at most 16 MiB.
    type: str
    required: true
  name:
    description: Name of the file in O(data_dir). Folders in it are made with mode C(0755).
    type: str
    required: true
  mode:
    description: Mode of the file, in octal digits.
    type: str
    required: true
  unwritten:
    description:
      - The run would write O(src) anew and has not, as in check mode. Then nothing is compared, and the result says
        that the file would change.
    type: bool
    default: false
  record:
    description: Folder of the fleet's record on the controller, for the names of peers in a diff.
    type: str
seealso:
  - module: blixard.fleet.schema_template
  - module: blixard.fleet.iroh_identity
"""

EXAMPLES = r"""
- name: Give the node its peers
  blixard_put:
    python: /opt/blixard/venv/bin/python
    data_dir: /var/lib/blixard
    src: discovery-peers.json
    name: discovery-peers.json
    mode: "0644"
"""

RETURN = r"""
dest:
  description: The file on the host.
  returned: success
  type: str
  sample: /var/lib/blixard/discovery-peers.json
sha256:
  description: Digest of its content.
  returned: success
  type: str
  sample: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
"""
