# SPDX-License-Identifier: MIT
"""A running node: one process, one endpoint, one data directory.

- `node`: `Node`, its whole life; `node` and `process`: as a process in front and behind; `process`, `logs`.
- `node_config`, `options`: its settings; `data_dir`: its directory.
- `own_entry`: what it says of itself; `advertise`: at which addresses; `interfaces`, `netlink`: what this host has.
- `unwritten`: what it could not write yet.
- `admission`: who may speak to it.
- `control_server`, `control_client`, `operations`: what can be asked of it.
- `connectivity`: the check of its edges; `source_report`: what its sources found.
- `metrics`, `metrics_server`: what Prometheus reads.
"""
