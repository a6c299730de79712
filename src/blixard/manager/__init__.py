# SPDX-License-Identifier: MIT
"""The parts of `blixard.discovery_manager.DiscoveryManager`.

- `polling`: asks the sources; `source_reconciler`: what becomes of their answers when other sources are configured.
- `additions`: peers that no source names.
- `peer_status`: one peer's status, put together; `event_log`: events as log lines, and a bound on their number.
"""
