# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the blixard_signature action; the work is done by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: blixard_signature
short_description: Sign the fleet's peers file and record
version_added: "0.1.0"
description:
  - Keeps C(discovery-peers.json.sig) beside the peers file on the controller, signed with the fleet key.
  - Keeps C(MANIFEST) in the folder of the record, signed with the same key. It says who the members are, so that
    nobody else edits the record into another membership; see M(blixard.fleet.blixard_registry).
  - A signature that holds is kept, so an unchanged peers file keeps the same two files to the byte.
  - Without a key, what is there is held against O(signers), so that hosts are never given a file that they refuse.
  - Runs in the controller's own process. The key is in no temporary file, no command line and no result.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    description: Shows no difference; a signature means nothing to people.
    support: none
  idempotent:
    support: full
options:
  path:
    description: The peers file on the controller.
    type: path
    required: true
  cluster:
    description: The cluster that it is for.
    type: str
    required: true
  key:
    description: The fleet key as 64 hex digits, such as Ansible Vault keeps it. Set C(no_log) on the task.
    type: str
    default: ""
  key_file:
    description: File on the controller that holds the fleet key, for its owner alone (C(0600)). Not a relative path.
    type: str
    default: ""
  signers:
    description:
      - Ids that the nodes trust, in any form. The key must be one of them.
      - Without any, the nodes take unsigned files, and a key may sign already.
    type: list
    elements: str
    default: []
  sha256:
    description: Digest that the peers file is to have, for check mode, where it may not have it yet.
    type: str
  record:
    description: Folder of the record that the peers file was made of. Without it no manifest is kept.
    type: path
  seen:
    description:
      - By host, the numbers that its node has seen, as RV(blixard.fleet.iroh_node_info#module:seen) has them.
      - Above a number of the future that more than half of these hosts have seen, and at least two of them, the peers
        file is signed anew. A clock was wrong when that number was signed, and the signature is lost.
      - Otherwise nothing is signed that one of these hosts would refuse.
      - A number more than a day ahead of the clock never counts.
    type: dict
    default: {}
  seq:
    description: The lowest number that will do, where the operator knows it better.
    type: int
    default: 1
requirements:
  - blixard (on the controller)
seealso:
  - module: blixard.fleet.blixard_registry
"""

EXAMPLES = r"""
- name: Sign the peers file
  blixard_signature:
    path: "{{ inventory_dir }}/.blixard/discovery-peers.json"
    cluster: blixard
    key: "{{ vault_fleet_key }}"
    signers: "{{ blixard_trusted_signers }}"
    record: "{{ blixard_record_dir }}"
  no_log: true
  run_once: true
"""

RETURN = r"""
signer:
  description: Id of the key that signed, base64; null in a fleet that does not sign.
  returned: success
  type: str
  sample: gvNYQ8gF7XPqGJDu0yBtVd2gCvOhbWj9u2RzMwbrBZE=
seq:
  description: Number of the signature, which only grows; null in check mode for one that would be made.
  returned: success
  type: int
  sample: 1767225600
sha256:
  description: Digest of the signature file; null where there is none.
  returned: success
  type: str
  sample: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
"""
