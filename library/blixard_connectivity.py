# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the blixard_connectivity action; the work is done by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: blixard_connectivity
short_description: Check that a node reaches its peers
version_added: "0.1.0"
description:
  - Has the running node reach every peer that it knows, over Iroh, and dial anew those that it is not
    connected to.
  - Where no node runs, the host's own discovery sources are run and their peers dialled with the host's key.
  - Fails when a peer was not reached or does not let the node in, and when no node runs. The message names each
    of these edges, what went wrong there, how often it was tried and for how long.
  - Fails, in other words, when the host was too busy to tell whether a peer can be reached (error kind C(too_slow)).
  - Runs one short program on the host and sends nothing there, which costs about a fifth of an ordinary module.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.node
  - blixard.fleet.attributes.read_only
options:
  config:
    description: The node's settings file, to check from when no node runs.
    type: str
  timeout:
    description: Seconds to spend on a peer, all attempts and the waits between them together.
    type: float
    default: 10
  sample:
    description:
      - How many peers to check, spread over the ring of all node ids. When every node checks the same number, every
        node is checked by that many others.
      - V(all) or V(0) checks all. So does V(auto) up to 64 nodes; above, it checks twice the base-2 logarithm of the
        number of nodes, rounded up.
    type: str
    default: auto
  settle:
    description:
      - Also wait until the running node has a connection of its own to each peer that was reached, O(timeout) seconds
        at most, and fail when it has not. What comes next may then take another node down.
    type: bool
    default: false
  config_sha256:
    description: SHA-256 of the settings that the running node is to have, in hex digits. Fails when it has others.
    type: str
  node_id:
    description: The node's number as the inventory has it. An answer that speaks for another node is refused.
    type: int
"""

EXAMPLES = r"""
- name: Reach every peer
  blixard_connectivity:
    python: /opt/blixard/venv/bin/python
    data_dir: /var/lib/blixard
    config: /etc/blixard/node-config.json
"""

RETURN = r"""
report:
  description: This host's part of the connectivity report.
  returned: when the check could be made, also when a peer was not reached
  type: dict
  sample:
    cluster: blixard
    nodes:
      - node_id: 1
        iroh_node_id: gvNYQ8gF7XPqGJDu0yBtVd2gCvOhbWj9u2RzMwbrBZE=
        agent: running
        version: 0.1.0
        sample: null
    edges:
      - from: 1
        to: 2
        reached: true
        id_matched: true
        admitted: true
        path: direct
        rtt_ms: 0.713
        attempts: 1
        waited_s: 0.002
        error: null
    summary: {"nodes": 1, "edges": 1, "reached": 1, "failed": 0, "untold": 0, "not_admitted": 0}
"""
