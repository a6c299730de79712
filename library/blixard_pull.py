# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the blixard_pull action; the work is done by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: blixard_pull
short_description: Bring the record that several controllers share
version_added: "0.1.0"
description:
  - Replaces record, manifest, peers file and signature on the controller by what is published in etcd, if that fits
    together, is signed by a trusted key, and is not older.
  - Where nothing was published since record and place were the same, changes of the record are kept. They go with the
    next publication.
  - Runs in the controller's own process. User and files for etcd come from the variables C(BLIXARD_ETCD_…) of whoever
    runs the playbook; C(environment) of the task does not count.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.attributes
attributes:
  check_mode:
    description: Writes nothing, and warns where the record is not what is published.
    support: full
  diff_mode:
    description: Shows which peers come, go and change, by name.
    support: full
  idempotent:
    support: full
options:
  place:
    description: C(etcd://HOST:PORT/PREFIX) or C(etcds://).
    type: str
    required: true
  record:
    description: Folder of the record.
    type: path
    required: true
  peers_file:
    description: The peers file that follows from it.
    type: path
    required: true
  signers:
    description: Ids of the fleet keys that are trusted, beside the one that signed what is here.
    type: list
    elements: str
    default: []
  discard:
    description: Give up changes of the record that were not published.
    type: bool
    default: false
requirements:
  - blixard (on the controller)
seealso:
  - module: blixard.fleet.blixard_lock
  - module: blixard.fleet.blixard_publish
"""

EXAMPLES = r"""
- name: Begin with the record as it was published last
  blixard_pull:
    place: etcds://e1,e2,e3/fleet
    record: "{{ blixard_record_dir }}"
    peers_file: "{{ blixard_peers_file }}"
    signers: "{{ blixard_trusted_signers }}"
  run_once: true
"""

RETURN = r"""
changes:
  description: A line for each peer that differs from what was here.
  returned: success
  type: list
  elements: str
  sample: ["+ web3 (node 3) 8b0cf2a1d4", "+1 −0 ~0 peers"]
"""
