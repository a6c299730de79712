# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the blixard_registry action; the work is done by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: blixard_registry
short_description: Merge registry entries into the fleet's record
version_added: "0.1.0"
description:
  - The record is a folder on the controller with one registry file for each host, C(NAME.json). It is merged and
    never rebuilt. A host that this run did not reach keeps its entry to the byte.
  - Every gathered entry is parsed strictly, and its signature is verified. The record has the fields of its schema
    (C(record-entry)); others are dropped, and named.
  - Refuses one Iroh id under two hosts, one node id under two hosts, a changed id that nobody announced, an
    entry older than the recorded one, a retired id that comes back, and more removals than O(max_removals).
    All refusals come in one message, and then nothing is written.
  - The record is also compared with what was last signed off. That is the manifest in its folder where a fleet key
    signs one (see M(blixard.fleet.blixard_signature)), and the peers file at hand. Whoever edits the record cannot take
    an attestation away, put another node in a member's place, bring back who has left, or remove a member unseen.
  - Returns the peers that follow from the record, for the peers file.
  - Runs in the controller's own process, as whoever runs the playbook, wherever the task is delegated to.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    description: Shows how many peers come, go and change, and a line for each of them by name.
    support: full
  idempotent:
    support: full
options:
  path:
    description: Folder of the record. It is made when it is missing.
    type: path
    required: true
  cluster:
    description: Cluster that the entries must be signed for.
    type: str
    required: true
  entries:
    description: Registry entries by host name, as RV(blixard.fleet.iroh_node_info#module:entry) has them.
    type: dict
    default: {}
  states:
    description:
      - V(present), V(draining) or V(absent) by host name. A host that is not named keeps its state.
      - A host that becomes absent leaves a tombstone, so that its id does not come back.
      - When this option is not given, the states that O(nodes) has count.
    type: dict
  announced:
    description:
      - New Iroh ids by host name, for hosts whose id is to change in this run on your word alone, such as those
        that lost their key.
    type: dict
    default: {}
  announcements:
    description:
      - Announced changes of key by host name, as M(blixard.fleet.blixard_rotation) returns them.
      - Each must be signed by the key that the record has for the host and by the new one.
    type: dict
    default: {}
  hosts:
    description:
      - Every name in the inventory, to tell which members of the record have no host there.
      - A host that this run is not about belongs to them too.
    type: list
    elements: str
  prune:
    description:
      - Take members that are not among O(hosts) for absent. Pruning is asked for, never implied.
      - They count as removals.
    type: bool
    default: false
  max_removals:
    description:
      - How many members may leave at once. Members that somebody took out of the record by hand count too.
      - More than V(0) says that some are to leave. Then an inventory (O(hosts)) that lost more members than that is
        refused, whether they would be removed now or not, unless O(guard_inventory) is V(false).
    type: int
    default: 0
  guard_inventory:
    description: Refuse an inventory that lost more members than O(max_removals), where that is more than V(0).
    type: bool
    default: true
  signers:
    description:
      - Ids of the fleet keys that sign off the record and the peers file, in any form.
      - Without any, a manifest counts that is whole, whoever signed it.
    type: list
    elements: str
    default: []
  nodes:
    description:
      - What the inventory says of each host's node, by host name. An object with C(node_id), with C(state) where the
        inventory gives one, and with C(managed), which is V(false) for a node of another implementation.
      - A host that comes as another node is refused. Only entries of nodes that are not managed may be without an
        attestation. When this option is not given, either all entries are attested or none is.
    type: dict
  peers_file:
    description: The fleet's peers file as it is now, to compare with.
    type: path
  brief:
    description:
      - Return no RV(record), and RV(peers) only where O(peers_file) does not hold them to the byte.
      - A record that this machine accepted before, with the same options and to the byte, is not checked again. The
        digest of what was accepted is in C(~/.cache/blixard/accepted-records).
    type: bool
    default: false
  upstream_compat:
    description: Return times in the form that the reader of upstream's node takes.
    type: bool
    default: false
requirements:
  - blixard[controller] (on the controller)
seealso:
  - module: blixard.fleet.iroh_node_info
"""

EXAMPLES = r"""
- name: Record where the nodes are
  blixard_registry:
    path: "{{ inventory_dir }}/.blixard/registry"
    cluster: blixard
    entries: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, ['node', 'entry']))) }}"
    peers_file: "{{ inventory_dir }}/.blixard/discovery-peers.json"
  run_once: true
  delegate_to: localhost

- name: Take a host out
  blixard_registry:
    path: "{{ inventory_dir }}/.blixard/registry"
    cluster: blixard
    states:
      node3: absent
    max_removals: 1
  delegate_to: localhost

- name: Take out who is no longer in the inventory, two hosts at most
  blixard_registry:
    path: "{{ inventory_dir }}/.blixard/registry"
    cluster: blixard
    hosts: "{{ groups['all'] }}"
    prune: true
    max_removals: 2
  delegate_to: localhost
"""

RETURN = r"""
without_host:
  description: Names of members that are not among O(hosts), and stay members.
  returned: success
  type: list
  elements: str
  sample: []
record:
  description: The record as it is now, registry entries by host name.
  returned: success, without O(brief)
  type: dict
  sample: {"node1": {"cluster_node_id": 1, "iroh_node_id": "…"}}
peers:
  description: The peers that follow from the record, as the peers file lists them.
  returned: success, with O(brief) only where the peers file has others
  type: list
  elements: dict
  sample: [{"node_id": 1, "iroh_node_id": "…", "source": "static"}]
sha256:
  description: SHA-256 of the peers file that follows from the record, in hex digits.
  returned: success
  type: str
  sample: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
added:
  description: Names of hosts that are new in the record.
  returned: success
  type: list
  elements: str
  sample: [node3]
updated:
  description: Names of hosts whose entry or state differs.
  returned: success
  type: list
  elements: str
  sample: [node1]
removed:
  description: Names of hosts that have left.
  returned: success
  type: list
  elements: str
  sample: []
peers_changed:
  description: What the record means for O(peers_file), in short.
  returned: success
  type: str
  sample: "+2 −1 ~1 peers"
peers_changes:
  description: What the record means for O(peers_file), a line for each peer.
  returned: success
  type: list
  elements: str
  sample: ["+ node3 (node 3) 82f35843c8"]
dropped:
  description:
    - A line for each entry that had fields which the record does not keep, whether a host brought them or they stood in
      the record. They are not in RV(record), and are warnings too.
  returned: success
  type: list
  elements: str
  sample: ["node3: dropped what the record does not keep: zone"]
refused:
  description: A line for everything that was refused.
  returned: when something was refused
  type: list
  elements: str
  sample: ["node1 and node2 have the same Iroh id 82f35843c8: a cloned machine needs a new key"]
"""
