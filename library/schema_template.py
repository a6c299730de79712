# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the schema_template action; the work is done by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: schema_template
short_description: Render a JSON document that must fit its schema
version_added: "0.1.0"
description:
  - Renders a template on the controller as M(ansible.builtin.template) does and holds the result against a
    JSON Schema (2020-12) before any host is touched.
  - A document that breaks its schema is refused with the JSON pointer of the place.
  - What fits is handed over to M(ansible.builtin.copy), so that check mode, diff, backup, owner, mode and
    validate work as people know them.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    description: Shows what differs, as M(ansible.builtin.copy) does.
    support: full
  idempotent:
    support: full
options:
  src:
    description: Template on the controller, searched for as M(ansible.builtin.template) does.
    type: str
    required: true
  dest:
    description: File on the host.
    type: path
    required: true
  schema:
    description:
      - Schema that the document must fit.
      - Either the name of one that comes with Blixard (V(node-registry), V(discovery-peers), V(node-config) or
        V(connectivity-report)), or the path of a schema file on the controller.
    type: str
    required: true
  observed:
    description:
      - What is known of O(dest) already, one item of RV(blixard.fleet.iroh_node_info#module:files).
      - When content, O(mode), O(owner) and O(group) are there already, nothing is sent to the host.
    type: dict
  sha256:
    description:
      - SHA-256 (hex) of the document, where whoever made its content knows it beforehand and has held it against the
        schema. Where O(observed) has it, nothing is rendered. A rendered text that has it is not validated again.
    type: str
  parents:
    description:
      - O(dest) is on the controller (connection C(local)). The document is written there without a module, in one step
        and with the folders that are missing, by whoever runs the playbook. A link is replaced and not followed.
      - Then O(mode) is needed as octal digits, and what only M(ansible.builtin.copy) knows is not done.
    type: bool
    default: false
  data_dir:
    description:
      - Data directory of the node. When O(dest) lies in it, the document goes to M(blixard.fleet.blixard_put) instead
        of M(ansible.builtin.copy), and so becomes the account's that owns the directory.
      - Then O(owner) and O(group) are only compared with what was O(observed), O(mode) is needed as octal digits, and
        what only M(ansible.builtin.copy) knows is not done.
    type: str
  python:
    description: Python on the host whose environment has the package C(blixard), for O(data_dir).
    type: str
  trim_blocks:
    description: Remove the first newline after a block.
    type: bool
    default: true
  lstrip_blocks:
    description: Remove spaces and tabs in front of a block.
    type: bool
    default: false
  attributes:
    description: See M(ansible.builtin.copy).
    type: str
  backup:
    description: See M(ansible.builtin.copy).
    type: bool
    default: false
  follow:
    description: See M(ansible.builtin.copy).
    type: bool
    default: false
  force:
    description: See M(ansible.builtin.copy).
    type: bool
    default: true
  group:
    description: See M(ansible.builtin.copy).
    type: str
  mode:
    description: See M(ansible.builtin.copy). Write it as four octal digits to make use of O(observed).
    type: raw
  owner:
    description: See M(ansible.builtin.copy).
    type: str
  unsafe_writes:
    description: See M(ansible.builtin.copy).
    type: bool
    default: false
  validate:
    description: See M(ansible.builtin.copy).
    type: str
requirements:
  - blixard[controller] (on the controller)
seealso:
  - module: ansible.builtin.template
  - module: ansible.builtin.copy
  - module: blixard.fleet.iroh_node_info
"""

EXAMPLES = r"""
- name: Settings of the node
  schema_template:
    src: node-config.json.j2
    dest: /etc/blixard/node-config.json
    schema: node-config
    observed: "{{ node.files.config }}"
    mode: "0640"

- name: A document of one's own
  schema_template:
    src: site.json.j2
    dest: /etc/site.json
    schema: "{{ playbook_dir }}/schemas/site.schema.json"
    mode: "0644"
"""

RETURN = r"""
schema:
  description: Schema that the document fits.
  returned: success
  type: str
  sample: node-config
sha256:
  description: Digest of the rendered document.
  returned: success
  type: str
  sample: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
dest:
  description: File on the host. All else that M(ansible.builtin.copy) returns is returned too.
  returned: success
  type: str
  sample: /etc/blixard/node-config.json
"""
