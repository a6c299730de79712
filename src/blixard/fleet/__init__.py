# SPDX-License-Identifier: MIT
"""What the Ansible content decides and computes, typed and tested apart from Ansible.

On a host, as `python -m blixard.fleet.host OPERATION`:

- `host`: the operations; `preloaded_modules`: what they import before root becomes a node's account.
- `look`, `observe`: what is there; `identity`, `rotation`: the present key and the next one; `put`, `ownership`: files
  into a data directory, and to its account; `service`: the node's settings, and the node with them; `check`: one host's
  part of the check.

On the controller:

- `remote`, `answers`: ask a host, and parse what it answered; `host_view`: what this run knows of a host by now.
- `places`, `wanted_package`, `membership`, `steps`: where the fleet's files are, which package, which hosts and steps.
- `wanted_service`, `observe`: how a node is to run on a host, and what has to be done for it.
- `quorum`, `voters`, `batches`: what may restart at once, and in which order; `raft_turn`: who leads meanwhile.
- `inventory_check`, `run_lock`: what no run can do with, and no other run at the same time.
- `role_words`: what a node says, with the role's variables for its options.
- `staying`: whether who leaves is somebody who stays.
- `registry`: the record, and changes of key; `accepted`: the record that was accepted last; `signature`: signatures and
  their numbers.
- `publish`: record and peers file to the places that nodes read them from; `pull`: the record from where several
  controllers share it.
- `peers_shown`: what differs between peers files, by name.
- `inventory`: the record as hosts for Ansible, and how a running node sees them.
- `report`: the connectivity report, as a document and for people; `waves`: how many hosts check at once.
"""
