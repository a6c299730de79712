# SPDX-License-Identifier: MIT
"""The limits, times and names that users and other nodes rely on, written down a second time.

Other tests may compute with the constants: that the constants are right is held here.
"""

from __future__ import annotations

from importlib import import_module

import pytest

FIGURES = [
    ("agent.admission", "LOG_AGAIN", 60.0),
    ("agent.admission", "CALLERS_REMEMBERED", 256),
    ("agent.admission", "LINES_A_MINUTE", 30),
    ("agent.connectivity", "ATTEMPT_TIMEOUT", 3.0),
    ("agent.connectivity", "SHORTEST_ATTEMPT", 0.25),
    ("agent.connectivity", "DEFAULT_TIMEOUT", 10.0),
    ("agent.control_server", "MAX_REQUEST_BYTES", 65_536),
    ("agent.control_server", "MAX_TALKS", 32),
    ("agent.control_server", "REQUEST_TIMEOUT", 10.0),
    ("agent.control_server", "ANSWER_TIMEOUT", 30.0),
    ("agent.metrics_server", "MAX_REQUEST_BYTES", 8_192),
    ("agent.metrics_server", "REQUEST_TIMEOUT", 5.0),
    ("agent.metrics_server", "KEPT", 1.0),
    ("agent.process", "READY_TIMEOUT", 30.0),
    ("agent.process", "STOP_TIMEOUT", 20.0),
    ("agent.source_report", "PATIENCE", 3.0),
    ("dialling.address_proofs", "TRY_TIMEOUT", 0.9),
    ("dialling.address_proofs", "MEMBER_TRIES", 8),
    ("dialling.address_proofs", "GUEST_TRIES", 2),
    ("dialling.address_proofs", "HOST_TRIES", 4),
    ("dialling.address_proofs", "MAX_HOSTS", 4096),
    ("dialling.address_proofs", "GUEST_ADDRESSES", 4),
    ("dialling.address_vetting", "QUARANTINE", 300.0),
    ("dialling.address_vetting", "PROBES_AT_ONCE", 8),
    ("dialling.backoff", "LONGEST", 60.0),
    ("dialling.backoff", "SHORTEST", 0.25),
    ("dialling.backoff", "PROVEN_AFTER", 30.0),
    ("dialling.backoff", "LOSS_LONGEST", 5.0),
    ("dialling.backoff", "GRACE", 0.25),
    ("dialling.breaker", "THRESHOLD", 5),
    ("dialling.breaker", "FIRST_OPEN", 30.0),
    ("dialling.breaker", "LONGEST_OPEN", 300.0),
    ("dialling.breaker", "JITTER", 0.2),
    ("dialling.breaker", "DIAL_TIMEOUT", 10.0),
    ("dialling.breaker", "LEASE", 15.0),
    ("dialling.breaker", "LONGEST_REFUSAL", 375.0),
    ("dialling.connection_pool", "SIMULTANEOUS", 15.0),
    ("dialling.connection_pool", "CLOSE_WAIT", 5.0),
    ("dialling.dial_state", "MAX_REMEMBERED", 256),
    ("dialling.host_lookup", "LOOKUP_TIMEOUT", 2.0),
    ("dialling.pace", "MAX_DIALS", 16),
    ("dialling.pace", "LATE", 0.25),
    ("documents.entry_states", "MAX_ANNOUNCEMENTS", 16),
    ("documents.record", "FILE_MODE", 0o644),
    ("model.limits", "MAX_PEERS", 50_000),
    ("model.limits", "MAX_RECORD_ENTRIES", 50_000),
    ("model.limits", "MAX_PEERS_BYTES", 16_777_216),
    ("model.limits", "MAX_REGISTRY_BYTES", 65_536),
    ("model.limits", "MAX_DEPTH", 16),
    ("model.limits", "MAX_CONFIG_BYTES", 262_144),
    ("model.limits", "MAX_SIGNATURE_BYTES", 4_096),
    ("model.limits", "MAX_MANIFEST_BYTES", 25_165_824),
    ("model.limits", "MAX_KEY_BYTES", 1_024),
    ("model.limits", "MAX_INTEGER_DIGITS", 20),
    ("fleet.host", "REFRESH_TIMEOUT", 30.0),
    ("fleet.look", "INFO_TIMEOUT", 5.0),
    ("fleet.observe", "MAX_DIGEST_BYTES", 67_108_864),
    ("fleet.signature", "FILE_MODE", 0o644),
    ("fleet.report", "MAX_EDGE_LINES", 50),
    ("fleet.report", "MAX_NODE_LINES", 40),
    ("fleet.report", "MAX_BAD_EDGES", 20),
    ("manager.additions", "GUEST_KEPT", 86_400.0),
    ("manager.additions", "PASSER_BY_KEPT", 300.0),
    ("manager.additions", "MAX_GUESTS", 1024),
    ("manager.polling", "SOURCE_TIMEOUT", 10.0),
    ("manager.polling", "WATCH_INTERVAL", 1.0),
    ("manager.polling", "REFRESH_JITTER", 0.1),
    ("model.limits", "MAX_ADDRESSES", 64),
    ("model.limits", "MAX_SAFE_INTEGER", 9_007_199_254_740_991),
    ("model.limits", "MAX_NODE_ID", 18_446_744_073_709_551_615),
    ("model.limits", "MAX_URL", 2_048),
    ("model.limits", "MAX_HOST", 253),
    ("model.limits", "MAX_CLUSTER", 64),
    ("model.limits", "MAX_SOURCE", 256),
    ("model.limits", "MAX_TICKET", 16_384),
    ("peers.events", "QUEUE_LENGTH", 1_024),
    ("peers.table", "ABSENT_INTERVALS", 3),
    ("sources.file_stamps", "RACY", 2.0),
    ("sources.http_client", "MAX_REDIRECTS", 5),
    ("sources.remote_files", "TIMEOUT", 9.0),
    ("sources.snapshots", "_NAME_LENGTH", 32),
    ("transport.acceptor", "MAX_CALLERS", 256),
    ("transport.acceptor", "CALLER_TIMEOUT", 10.0),
    ("transport.connection", "SILENCE", 13.0),
    ("transport.connection", "MAX_DATAGRAMS", 100),
    ("transport.connection", "MAX_UNANSWERED", 32_768),
    ("transport.connection", "_BEAT_INTERVAL", 5.0),
    ("transport.connection", "_MISSED", 6.0),
    ("transport.connection", "_ROUND_TRIP_INTERVAL", 60.0),
    ("transport.connection", "_PING_AGAIN", 0.25),
    ("transport.connection", "_NONCE", 8),
    ("transport.hello", "MAX_HELLO_BYTES", 16_384),
    ("transport.hello", "MAX_REASON", 200),
    ("transport.hello", "VERSION", 1),
    ("trust.attestation", "MAX_REMEMBERED", 100_000),
    ("trust.highest_seq", "MOST", 1024),
    ("trust.manifest", "FILE_MODE", 0o644),
    ("trust.highest_seq", "MOST_TOLD", 16),
    ("trust.highest_seq", "VERSION", 2),
    ("trust.highest_seq", "_LIMIT", 2_097_152),
    ("trust.highest_seq", "_LONGEST_PLACE", 256),
]


@pytest.mark.parametrize(("module", "name", "value"), FIGURES)
def test_a_limit_is_what_it_is_said_to_be(module: str, name: str, value: float) -> None:
    assert getattr(import_module(f"blixard.{module}"), name) == value


NAMES = [
    ("documents.data_dir_files", "KEY_FILE_NAME", "iroh-secret-key"),
    ("documents.data_dir_files", "NEXT_KEY_FILE_NAME", "iroh-secret-key.next"),
    ("documents.data_dir_files", "REGISTRY_FILE_NAME", "node-registry.json"),
    ("documents.data_dir_files", "PEERS_FILE_NAME", "discovery-peers.json"),
    ("documents.data_dir_files", "SIGNATURE_SUFFIX", ".sig"),
    ("documents.data_dir_files", "SEEN_FILE_NAME", "seen-signatures.json"),
    ("documents.data_dir_files", "SNAPSHOTS_FOLDER_NAME", "remembered-peers"),
    ("documents.data_dir_files", "JOIN_FOLDER_NAME", "registry.d"),
    ("documents.data_dir_files", "PID_FILE_NAME", "agent.pid"),
    ("documents.data_dir_files", "LOG_FILE_NAME", "agent.log"),
    ("documents.data_dir_files", "SOCKET_NAME", "agent.sock"),
    ("documents.entry_states", "PRESENT", "present"),
    ("documents.entry_states", "ABSENT", "absent"),
    ("documents.entry_states", "STATE", "state"),
    ("documents.entry_states", "RETIRED_IDS", "retired_ids"),
    ("documents.entry_states", "ANNOUNCEMENTS", "announcements"),
    ("model.fields", "DEFAULT_CLUSTER", "blixard"),
    ("transport.hello", "DISCOVERY_ALPN", b"blixard/discovery/1"),
    ("trust.attestation", "DOMAIN", "blixard/registry/v1"),
    ("trust.key_announcement", "DOMAIN", "blixard/rotation/v1"),
    ("trust.manifest", "DOMAIN", "blixard/record/v1"),
    ("trust.manifest", "FILE_NAME", "MANIFEST"),
    ("trust.peers_signature", "DOMAIN", "blixard/peers/v1"),
]


@pytest.mark.parametrize(("module", "name", "value"), NAMES)
def test_a_name_by_which_hosts_and_other_nodes_know_something_stays_what_it_is(
    module: str, name: str, value: str | bytes
) -> None:
    assert getattr(import_module(f"blixard.{module}"), name) == value
