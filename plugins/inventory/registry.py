# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet's record as an inventory, with the view of a running node."""

from __future__ import annotations

DOCUMENTATION = r"""
name: registry
short_description: The members of a Blixard fleet as hosts
version_added: "0.1.0"
description:
  - Reads the record of a fleet, the folder of registry files that the role keeps, and gives a host for each member. A
    member that has left is none.
  - With O(data_dir) it also asks the node that runs there on the controller, and says which members that node is
    connected to and which it has lost. What a node says makes nobody a host, since strangers may have told it.
  - The configuration is a file whose name ends in C(blixard.yml) or C(blixard.yaml).
  - Each host is in the group C(blixard). Its variables are C(blixard_node_id), C(blixard_state) (C(present) or
    C(draining)), C(blixard_iroh_node_id), C(blixard_direct_addresses), and C(ansible_host), which is the first of these
    addresses without its port. A node behind a relay alone has no C(ansible_host).
  - With O(data_dir) there is C(blixard_peer_state) besides, a state as C(blixard status) has it, C(self) for the node
    itself, or C(unknown). Connected members and the node itself are in C(blixard_connected). Members that the node
    tries to reach are in C(blixard_lost).
  - All of it is taken as data, never as a template.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: Says that the file is for this plugin.
    type: str
    required: true
    choices: [blixard.fleet.registry]
  record:
    description:
      - Folder of the record. A relative path starts at the folder of the configuration.
      - The default is where the role keeps it for an inventory in the same folder.
    type: str
    default: .blixard/registry
    env:
      - name: BLIXARD_RECORD_DIR
  data_dir:
    description:
      - Data directory of a node of this fleet that runs on the controller. A relative path starts at the folder of the
        configuration. Only its own account and root may ask it.
    type: str
notes:
  - Whoever can write the record decides where Ansible connects. Keep C(host_key_checking) on, and set C(ansible_host)
    by O(compose) where nodes advertise other addresses than those for administration.
requirements:
  - blixard[controller] (on the controller)
seealso:
  - module: blixard.fleet.blixard_registry
"""

EXAMPLES = r"""
# inventories/prod/blixard.yml: the record in inventories/prod/.blixard/registry
---
plugin: blixard.fleet.registry

---
# Which members has the node on this machine lost? ansible-inventory -i blixard.yml --graph blixard_lost
plugin: blixard.fleet.registry
record: /srv/fleet/registry
data_dir: /var/lib/blixard
keyed_groups:
  # peer_connected, peer_backing_off, peer_open, …
  - prefix: peer
    key: blixard_peer_state
compose:
  # SSH goes over names, not over the addresses of the nodes.
  ansible_host: inventory_hostname ~ '.example.org'
groups:
  ipv6_only: blixard_direct_addresses | select('match', '[^\[]') | length == 0
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/blixard/inventory
"""

import typing as t
from pathlib import Path

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.blixard.fleet.plugins.plugin_utils import package as _package  # noqa: F401

from blixard.errors import BlixardError, trouble_with_files
from blixard.fleet.inventory import read_hosts


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """The `registry` inventory; what is in it is decided by `blixard.fleet.inventory`."""

    NAME = "blixard.fleet.registry"

    def verify_file(self, path: str) -> bool:
        """Tell whether a file may be a configuration of this plugin, by its name."""
        return bool(super().verify_file(path)) and path.endswith(("blixard.yml", "blixard.yaml"))

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        """Put the hosts into the inventory."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        for name, host in self._hosts(path, cache).items():
            inventory.add_host(name)
            for group in host["groups"]:
                inventory.add_child(inventory.add_group(group), name)
            for variable, value in host["variables"].items():
                inventory.set_variable(name, variable, value)
            self._construct(name, inventory.get_host(name).get_vars())

    def _hosts(self, path: str, cache: bool) -> dict[str, t.Any]:
        """Return the hosts, from the cache where there are some and this run may take them."""
        key, is_cached = self.get_cache_key(path), self.get_option("cache")
        if is_cached and cache and key in self._cache:
            kept: dict[str, t.Any] = self._cache[key]
            return kept
        found = self._read(Path(path).parent)
        if is_cached:
            self._cache[key] = found
        return found

    def _read(self, folder: Path) -> dict[str, t.Any]:
        record, data_dir = self.get_option("record"), self.get_option("data_dir")
        try:
            return read_hosts(
                folder / Path(record).expanduser(), folder / Path(data_dir).expanduser() if data_dir else None
            )
        except BlixardError as error:
            raise AnsibleParserError(str(error)) from None
        except OSError as error:
            raise AnsibleParserError(str(trouble_with_files(error, "the controller"))) from None

    def _construct(self, name: str, variables: dict[str, t.Any]) -> None:
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)
