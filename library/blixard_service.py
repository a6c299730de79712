# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the blixard_service action; the work is done by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: blixard_service
short_description: Have a Blixard node run with its settings
version_added: "0.1.0"
description:
  - Renders the node's settings on the controller and holds them against their schema. Then one short program on the
    host writes them, and the systemd unit where there is one, and starts the node anew. Nothing is sent to the host.
  - Without O(unit_src) the node is a process in the background, and one that runs there is stopped first.
  - Always starts the node anew. RV(blixard.fleet.iroh_node_info#module:service) says whether there is a reason to.
  - Where the node does not start, the error has what it said last.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.node
  - blixard.fleet.attributes
attributes:
  check_mode:
    description: Writes nothing and starts nothing.
    support: full
  diff_mode:
    description: Shows what differs in settings, unit and facts.
    support: full
  idempotent:
    description: Starts the node anew each time.
    support: none
options:
  config_file:
    description: The settings on the host. A missing directory for them is made.
    type: str
    required: true
  config_src:
    description: Their template on the controller, searched for as M(ansible.builtin.template) does.
    type: str
    required: true
  group:
    description: Group that may read the settings.
    type: str
  unit_src:
    description: Template of the systemd unit.
    type: str
  facts_src:
    description:
      - Template of the facts of the node, in JSON. They become C(ansible_local.NAME) by a file in
        C(/etc/ansible/facts.d) that is root's and is not executable.
    type: str
  name:
    description: Name of the service, without the suffix.
    type: str
seealso:
  - module: blixard.fleet.iroh_node_info
"""

EXAMPLES = r"""
- name: Have the node run
  blixard_service:
    python: /opt/blixard/venv/bin/python
    data_dir: /var/lib/blixard
    config_file: /etc/blixard/node-config.json
    config_src: node-config.json.j2
    group: blixard
    unit_src: blixard.service.j2
    facts_src: blixard.fact.j2
    name: blixard
"""

RETURN = r"""
config_sha256:
  description: Digest of the settings, with which the node runs now; in check mode, of those that it would run with.
  returned: success
  type: str
  sample: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
"""
