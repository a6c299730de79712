# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the blixard_lock action; the work is done by the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: blixard_lock
short_description: Have a fleet's record to this run alone
version_added: "0.1.0"
description:
  - Locks a file on the controller until C(ansible-playbook) ends, however it ends.
  - Fails at once when another run has locked it, and says whose run that is, where, and since when.
  - The lock is flock(2), which the kernel gives back. What a lost controller left behind locks nobody out. Controllers
    that share the folder by a network share see each other's locks, where that share knows flock(2).
  - With O(place), also holds a lock in etcd, for controllers that share the record there. The lock has a lease, so it
    goes within half a minute when the controller is lost or cannot reach etcd any more. Once more in the same run, the
    task makes sure that the lock was not lost.
  - In check mode nothing is locked.
author:
  - Blixard Fleet contributors (!UNKNOWN)
extends_documentation_fragment:
  - blixard.fleet.attributes.read_only
options:
  path:
    description: The file to lock. It is made where it is missing, and removed at the end of the run.
    type: path
    required: true
  place:
    description: C(etcd://HOST:PORT/PREFIX) or C(etcds://), to be locked besides.
    type: str
    default: ""
  wait:
    description: Seconds to wait for another run that has locked O(place).
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: This run has the record to itself
  blixard_lock:
    path: /srv/fleet/registry.lock
  run_once: true

- name: No other controller rolls out at the same time
  blixard_lock:
    path: /srv/fleet/registry.lock
    place: etcds://e1,e2,e3/fleet
    wait: 600
  run_once: true
"""

RETURN = r"""
held:
  description: What a publication of the run is told of the lock at O(place); empty without one, and in check mode.
  returned: success
  type: str
  sample: etcds://e1:2379,e2:2379,e3:2379/fleet 7587848943239472601
path:
  description: The file that is locked.
  returned: success
  type: str
  sample: /srv/fleet/registry.lock
"""
