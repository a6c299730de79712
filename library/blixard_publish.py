# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the blixard_publish action; the work is done by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: blixard_publish
short_description: Put record and peers file where nodes read them
version_added: "0.1.0"
description:
  - Publishes the record and the peers file, with its signature, to folders and stores. Writes what differs, and never
    over a publication that is newer.
  - A place that cannot be used, or has something newer, keeps no other place from getting it. It is a warning, and
    named in RV(troubles); whoever runs this decides when that is an error.
  - Runs in the controller's own process. The drivers find their credentials in the environment and the files of
    whoever runs the playbook; C(environment) of the task does not count. A URL with a password in it is refused.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    description: Shows for each place which peers come, go and change, by name.
    support: full
  idempotent:
    support: full
options:
  places:
    description:
      - Folders that are there, and URLs; see docs/publishing.md and docs/dns.md.
    type: list
    elements: str
    required: true
  record:
    description: Folder of the record.
    type: path
    required: true
  peers_file:
    description: The peers file that follows from it; a signature beside it is published too.
    type: path
    required: true
  pending:
    description: In check mode, whether record or peers file would change. Then every place would change, too.
    type: bool
    default: false
  tsig_key_file:
    description: File (0600) with the key that DNS updates are signed with, as C(tsig-keygen) writes it.
    type: path
  needed:
    description:
      - One more place, before all others, that several controllers share. Where it does not get the publication, no
        other place does, and the task fails.
    type: str
    default: ""
  lock:
    description: RV(blixard.fleet.blixard_lock#module:held), for a place that this run has locked.
    type: str
    default: ""
requirements:
  - blixard (on the controller), with the extra of each kind of store
seealso:
  - module: blixard.fleet.blixard_signature
"""

EXAMPLES = r"""
- name: Publish to a bucket and to a web server's folder
  blixard_publish:
    places:
      - s3://fleet/prod
      - sftp://deploy@www1/srv/www/fleet
    record: "{{ blixard_record_dir }}"
    peers_file: "{{ blixard_peers_file }}"
  run_once: true
"""

RETURN = r"""
places:
  description: For each place what became of it, as C(blixard publish --json) has it; none where O(pending).
  returned: success
  type: list
  elements: dict
  sample:
    - {place: "s3://fleet/prod", status: changed, changes: ["+ web3 (node 3) 8b0cf2a1d4"], reason: null}
lost:
  description: Why O(needed) did not get it; null where it did.
  returned: always
  type: str
  sample: null
troubles:
  description: A line for each place that did not get it, with the mend.
  returned: success
  type: list
  elements: str
  sample: ["sftp://…@www1/srv/www/fleet: cannot be written: timed out"]
"""
