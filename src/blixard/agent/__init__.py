# SPDX-License-Identifier: MIT
"""A running node: one process, one endpoint, one data directory.

- `node`: `Node`, its whole life, and how it runs until a signal; `process`: its lock and pid file, what a service
  manager is told, start and stop in the background; `logs`.
- `node_config`, `options`: its settings; `data_dir`: its directory.
- `own_entry`: what it says of itself; `advertise`: at which addresses; `interfaces`, `netlink`: what this host has.
- `unwritten`: what it could not write yet; `live_keys`: that it runs, said in etcd.
- `admission`: who may speak to it.
- `control_server`, `control_client`, `operations`: what can be asked of it.
- `connectivity`: the check of its edges; `check_sample`: whom it checks; `source_report`: what its sources found.
- `raft_node`: the node as a Raft voter.
- `metrics`, `metrics_server`: what Prometheus reads, and the page of the node.
"""
