# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the iroh_node_info action; the work is done by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: iroh_node_info
short_description: See a host's Blixard node, its entry and its files
version_added: "0.1.0"
description:
  - Returns the host's registry entry (Iroh id, addresses, relay), signed on the host by the node's own key.
  - The entry comes from the running node. Where none runs, or where it runs with other settings than wanted,
    it is worked out from the secret key and the settings, and its address is bound for a moment to prove
    that it can be had. Where there is no key, it is read from a registry file that another implementation
    of the node wrote.
  - The secret key is read on the host at most, and never returned.
  - Returns what is known of any other files as well, so that a role needs one look to know the host.
  - Runs one short program on the host and sends nothing there, which costs about a fifth of an ordinary module.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.node
  - blixard.fleet.attributes.read_only
attributes:
  idempotent:
    description: Returns the same as long as the host stays the same.
options:
  config:
    description:
      - The node's settings as they are to be, as the JSON text of its C(node-config.json).
      - Without it, an entry is returned only from a running node or from a registry file.
    type: str
  config_src:
    description: Template of these settings on the controller, searched for as M(ansible.builtin.template) does.
    type: str
  paths:
    description: Files and directories to describe, by names that RV(files) has them under.
    type: dict
    default: {}
  expected:
    description: Digests (SHA-256, hex) that files are to have, by the names of O(paths).
    type: dict
    default: {}
  expected_src:
    description: Templates of what such files are to hold, likewise.
    type: dict
    default: {}
  service:
    description:
      - How the node is to run. With it, RV(service) says what follows for it, for which O(paths) must have
        C(config), C(unit), C(enabled), C(facts), C(runtime) and C(data_dir).
    type: dict
    suboptions:
      manager:
        description: Who runs the node. V(auto) is systemd where it runs and Ansible is root there.
        type: str
        choices: [auto, systemd, process]
        required: true
      user:
        description: Account of the service under systemd.
        type: str
        required: true
      group:
        description: Its group.
        type: str
        required: true
  min_seq:
    description:
      - Sequence number of the entry that is recorded. Where the running node's own is lower, since a run that broke off
        had recorded another one, its key signs anew what is so now.
    type: int
    default: 0
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
- name: See the node
  iroh_node_info:
    python: /opt/blixard/venv/bin/python
    data_dir: /var/lib/blixard
    config: "{{ lookup('ansible.builtin.template', 'node-config.json.j2') }}"
    paths:
      config: /etc/blixard/node-config.json
  register: node

- name: Show its id
  ansible.builtin.debug:
    msg: "{{ node.entry.iroh_node_id }}"
"""

RETURN = r"""
service:
  description:
    - What follows for the node's service, see O(service); without that option nothing is to be done.
    - C(service.manager) is V(systemd) or V(process), C(service.owner) and C(service.group) the account that it is to
      run as (null for a process), C(service.kept) whether key and directory are there and the account's alone, and
      C(service.pending) has a line for each reason to start the node anew, none where it runs as wanted. All is read
      from the host, so that a restart which an interrupted run left undone is found again.
  returned: success
  type: dict
  sample: {"manager": "systemd", "owner": "blixard", "group": "blixard", "kept": true, "pending": []}
entry:
  description: The node's registry entry, or null where it cannot be known yet.
  returned: success
  type: dict
  sample:
    cluster_node_id: 1
    iroh_node_id: gvNYQ8gF7XPqGJDu0yBtVd2gCvOhbWj9u2RzMwbrBZE=
    direct_addresses: ["192.0.2.10:7001"]
    relay_url: null
    address: "192.0.2.10:7001"
    attestation:
      cluster: blixard
      seq: 1767225600
      issued_at: "2026-01-01T00:00:00Z"
      expires_at: null
      signature: "…"
entry_source:
  description:
    - V(agent) for the running node, V(key) for the secret key and the settings, V(registry) for a registry
      file that is already there, null where there is no entry.
  returned: success
  type: str
  sample: agent
not_reachable:
  description:
    - Why no peer on another host can reach the node by its entry, for instance because this host has no address but
      loopback; null where one may. The module warns of it.
  returned: success
  type: str
  sample: null
config_sha256:
  description: Digest of O(config), to compare with that of the file on the host; null without it.
  returned: success
  type: str
  sample: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
key:
  description: Where the secret key is, whether it is there (V(present) or V(absent)), and whose it is.
  returned: success
  type: dict
  sample: {"path": "/var/lib/blixard/iroh-secret-key", "state": "present", "owner": "blixard", "group": "blixard"}
agent:
  description:
    - C(agent.state) is V(running), V(not running) or V(not answering).
    - When it runs, also what it says of itself, and since when it runs (Unix seconds). C(agent.not_written) has a line
      for each thing that the node could not write, of which the module warns.
  returned: success
  type: dict
  sample:
    state: running
    node_id: 1
    iroh_node_id: gvNYQ8gF7XPqGJDu0yBtVd2gCvOhbWj9u2RzMwbrBZE=
    cluster: blixard
    version: 0.1.0
    pid: 4711
    config_sha256: "…"
    admission: known
    started: 1767225600.25
files:
  description:
    - For each of O(paths) its C(path) and C(kind) (V(absent), V(file), V(directory), V(link) or V(other)) and,
      where there is something, C(mode), C(owner), C(group), C(mtime) and C(sha256).
    - One that O(expected) names also has C(expected), which is true when it has that digest.
  returned: success
  type: dict
  sample:
    config:
      path: /etc/blixard/node-config.json
      kind: file
      mode: "0640"
      owner: root
      group: blixard
      mtime: 1767225600.0
      sha256: "…"
host:
  description: Whether systemd runs the host, and as which user the module ran.
  returned: success
  type: dict
  sample: {"systemd": true, "uid": 0}
version:
  description: Version of the installed package.
  returned: success
  type: str
  sample: 0.1.0
seen:
  description:
    - The numbers that the node holds its peers file against, by the fleet key that signed them; a null C(signer) stands
      for every key. Empty where O(config) names no trusted signers.
  returned: success
  type: list
  elements: dict
  sample: [{"signer": "GKRe2meJmhTGsuT9FCWmGuXYOA4pDlbOX7+GoL0HQBg=", "seq": 1767225600}]
"""
