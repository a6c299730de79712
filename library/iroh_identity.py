# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a node's Iroh secret key on its host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: iroh_identity
short_description: Keep an Iroh secret key on a host
version_added: "0.1.0"
description:
  - Makes the secret key that a node's Iroh id comes from, keeps it, replaces it or removes it.
  - The key is made on the host and never leaves it. Neither the result nor the diff holds it; both name
    the id that belongs to it.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    description: Shows the id before and after, never the key.
    support: full
  idempotent:
    support: partial
    details:
      - O(regenerate=always) makes a new key each time.
options:
  path:
    description:
      - File of the secret key. It is kept with mode C(0600).
      - A missing parent directory is made with mode C(0700).
    type: path
    required: true
  python:
    description:
      - Python on the host whose environment has the package C(blixard).
      - With it the work is done by that package in one short program, and nothing is sent to the host, which costs half
        of what a module costs that is packed up, sent and unpacked there by C(ansible_python_interpreter).
    type: str
  state:
    description: Whether the key is to be there.
    type: str
    choices: [present, absent]
    default: present
  regenerate:
    description:
      - What to do with a key that is there already. The words are those of C(community.crypto).
      - V(never) keeps it. A mode that let others read it is corrected.
      - V(fail) keeps it too, but fails if others could read it, since it may be known to them.
      - V(always) replaces it by a new one, which makes the node a stranger to its peers.
      - A file that holds no key is an error, except with V(always).
    type: str
    choices: [never, fail, always]
    default: never
  owner:
    description: User who is to own the file, by name or number.
    type: str
  group:
    description: Group that is to own the file, by name or number.
    type: str
  data_dir:
    description:
      - The directory of the key is the data directory of a node. It is made when it is missing, gets mode C(0700), and
        is given to O(owner) and O(group) with all that a node keeps there, such as after a restore from a backup.
      - Only what is known by name is given. A link, a file that has another name besides, and anything else that is not
        what a node keeps under such a name is refused. Other files are left alone.
    type: bool
    default: false
requirements:
  - blixard (in the environment of O(python), or else of the Python that runs the module)
seealso:
  - module: blixard.fleet.iroh_node_info
"""

EXAMPLES = r"""
- name: Give the node its identity
  iroh_identity:
    path: /var/lib/blixard/iroh-secret-key
    owner: blixard
    group: blixard
    data_dir: true
    python: /opt/blixard/venv/bin/python

- name: Take the identity away
  iroh_identity:
    path: /var/lib/blixard/iroh-secret-key
    state: absent
  vars:
    ansible_python_interpreter: /opt/blixard/venv/bin/python
"""

RETURN = r"""
iroh_node_id:
  description:
    - The id that belongs to the key, in the base64 form of registry files.
    - Null without a key, and in check mode for a key that would be made.
  returned: success
  type: str
  sample: gvNYQ8gF7XPqGJDu0yBtVd2gCvOhbWj9u2RzMwbrBZE=
path:
  description: File of the secret key.
  returned: success
  type: str
  sample: /var/lib/blixard/iroh-secret-key
given:
  description:
    - Names of the files in the data directory that were given to O(owner) and O(group).
    - C(.) is the directory itself, when it was made, given, or its mode changed.
  returned: success
  type: list
  elements: str
  sample: [discovery-peers.json, .]
"""

import pathlib

from ansible.module_utils.basic import AnsibleModule

try:
    from blixard.errors import BlixardError
    from blixard.fleet.identity import Wanted, keep_for
except ImportError:
    # Only here, so that the module runs as a plain file, too.
    from ansible_collections.blixard.fleet.plugins.module_utils.package import to_install

    TROUBLE: str | None = to_install("in the environment of the Python that runs the module")
else:
    TROUBLE = None


def main() -> None:
    """Take the options, do it, and exit with the result."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "python": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "regenerate": {
                "type": "str",
                "choices": ["never", "fail", "always"],
                "default": "never",
                "no_log": False,
            },
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "data_dir": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if TROUBLE:
        module.fail_json(msg=TROUBLE)
    path = module.params.pop("path")
    module.params.pop("python")  # the action plugin takes care of it
    try:
        result = keep_for(pathlib.Path(path), Wanted(**module.params), check=module.check_mode)
    except BlixardError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result.result(path))


if __name__ == "__main__":
    main()
