# SPDX-License-Identifier: MIT
"""The command line: one file a command group.

- `main`: the groups, and errors for people; `output`: tables, JSON, progress.
- `locations`: flags that several share; `which_node`: the node that is meant when none is named.
- `node_command`, `status_command`, `discover_command`, `check_command`, `report_command`, `key_command`,
  `registry_command`, `peers_command`, `publish_command`, `record_command`, `raft_command`.
"""
