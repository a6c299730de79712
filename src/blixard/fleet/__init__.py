# SPDX-License-Identifier: MIT
"""What the Ansible content decides and computes, typed and tested apart from Ansible.

On a host, as `python -m blixard.fleet.host OPERATION`:

- `host`: the operations; `packages`: what they import before root becomes a node's account.
- `look`, `observe`, `pending`: what is there, and what has to be done; `identity`, `rotation`: the present key and the
  next one; `put`, `ownership`: files into a data directory, and to its account; `check`: one host's part of the check.

On the controller:

- `remote`, `answers`: ask a host, and parse what it answered.
- `places`, `source`, `membership`, `steps`: where the fleet's files are, which package, which hosts, which steps.
- `registry`, `announcements`, `signature`: the record, changes of key, signatures.
- `quorum`, `report`: what may restart at once, and the connectivity report.
"""
