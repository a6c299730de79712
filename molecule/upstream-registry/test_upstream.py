# SPDX-License-Identifier: MIT
"""A node of another implementation is a member, and is given what its reader takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet

DATA_DIR = "/var/lib/blixard"


def test_its_entry_is_recorded_as_it_wrote_it(fleet: Fleet) -> None:
    upstream = fleet.nodes["upstream"]
    wrote = json.loads(upstream.run(f"cat {DATA_DIR}/node-3-registry.json"))
    recorded = fleet.record()["upstream"]
    assert {key: recorded[key] for key in wrote} == wrote
    assert recorded.get("attestation") is None


def test_its_peers_file_has_times_in_the_form_that_it_reads(fleet: Fleet) -> None:
    peers = fleet.nodes["upstream"].document("discovery-peers.json")
    assert [peer["node_id"] for peer in peers] == [1, 2, 3]
    for peer in peers:
        assert set(peer["discovered_at"]) == {"secs_since_epoch", "nanos_since_epoch"}


def test_nothing_was_installed_or_started_for_it(fleet: Fleet) -> None:
    assert not fleet.nodes["upstream"].host.file("/etc/systemd/system/blixard.service").exists
