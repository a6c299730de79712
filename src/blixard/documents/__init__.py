# SPDX-License-Identifier: MIT
"""Reading and writing files, and the form of each document.

- `registry_file`, `peers_file`, `record`: one node's entry, all peers of a cluster, the folder of all entries.
- `entry_states`: what the record keeps beside an entry; `json_times`: the three forms of a moment in documents.
- `json_bytes`: parse JSON, write and digest it; `schemas`: hold it against a schema.
- `files`: read within a limit, write in one step, refuse those that are not this user's own; `account`: work as the
  account that owns a directory.
- `parts`: a large document as several small ones; `lock_holder`: who holds a lock.
- `connectivity_report`: a check's report, read and counted; `data_dir_files`: the names of a node's files.
"""
