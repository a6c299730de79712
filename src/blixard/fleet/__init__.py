# SPDX-License-Identifier: MIT
"""What the Ansible content decides and computes, typed and tested apart from Ansible.

On a host, as `python -m blixard.fleet.host OPERATION`:

- `host`: the operations; `preloaded_modules`: what they import before root becomes a node's account.
- `look`, `observe`: what is there; `identity`, `rotation`: the present key and the next one; `put`, `ownership`: files
  into a data directory, and to its account; `check`: one host's part of the check.

On the controller:

- `remote`, `answers`: ask a host, and parse what it answered; `host_view`: what this run knows of a host by now.
- `places`, `wanted_package`, `membership`, `steps`: where the fleet's files are, which package, which hosts and steps.
- `observe`: what has to be done on a host; `quorum`, `voters`, `batches`: what may restart at once,
  and in which order.
- `inventory_check`, `run_lock`: what no run can do with, and no other run at the same time.
- `role_words`: what a node says, with the role's variables for its options.
- `staying`: whether who leaves is somebody who stays.
- `registry`: the record, changes of key; `signature`: signatures and their numbers;
  `report`: the connectivity report, and `report`: the same for people.
"""
