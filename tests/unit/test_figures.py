# SPDX-License-Identifier: MIT
"""The limits and times that users and other nodes rely on, written down a second time: no test computes with them."""

from __future__ import annotations

from importlib import import_module

import pytest

FIGURES = [
    ("agent.admission", "LOG_AGAIN", 60.0),
    ("agent.admission", "CALLERS_REMEMBERED", 256),
    ("agent.admission", "LINES_A_MINUTE", 30),
    ("agent.connectivity", "ATTEMPT_TIMEOUT", 3.0),
    ("agent.connectivity", "SHORTEST_ATTEMPT", 0.25),
    ("agent.control_server", "MAX_REQUEST_BYTES", 65_536),
    ("agent.control_server", "MAX_TALKS", 32),
    ("agent.metrics_server", "MAX_REQUEST_BYTES", 8_192),
    ("dialling.address_proofs", "TRY_TIMEOUT", 0.9),
    ("dialling.address_proofs", "MEMBER_TRIES", 8),
    ("dialling.address_proofs", "GUEST_TRIES", 2),
    ("dialling.address_proofs", "HOST_TRIES", 4),
    ("dialling.address_proofs", "MAX_HOSTS", 4096),
    ("dialling.address_proofs", "GUEST_ADDRESSES", 4),
    ("dialling.address_vetting", "QUARANTINE", 300.0),
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
    ("documents.size_limits", "MAX_PEERS", 50_000),
    ("documents.size_limits", "MAX_PEERS_BYTES", 16_777_216),
    ("documents.size_limits", "MAX_REGISTRY_BYTES", 65_536),
    ("documents.size_limits", "MAX_DEPTH", 16),
    ("fleet.report", "MAX_EDGE_LINES", 60),
    ("manager.additions", "GUEST_KEPT", 86_400.0),
    ("manager.additions", "PASSER_BY_KEPT", 300.0),
    ("manager.additions", "MAX_GUESTS", 1024),
    ("manager.polling", "SOURCE_TIMEOUT", 10.0),
    ("manager.polling", "WATCH_INTERVAL", 1.0),
    ("manager.polling", "REFRESH_JITTER", 0.1),
    ("model.value_limits", "MAX_ADDRESSES", 64),
    ("model.value_limits", "MAX_SAFE_INTEGER", 9_007_199_254_740_991),
    ("peers.table", "ABSENT_INTERVALS", 3),
    ("sources.http_client", "MAX_REDIRECTS", 5),
    ("transport.acceptor", "MAX_CALLERS", 256),
    ("transport.acceptor", "CALLER_TIMEOUT", 10.0),
    ("transport.connection", "SILENCE", 13.0),
    ("transport.connection", "MAX_DATAGRAMS", 100),
    ("transport.connection", "MAX_UNANSWERED", 32_768),
    ("transport.hello", "MAX_HELLO_BYTES", 16_384),
    ("transport.hello", "MAX_REASON", 200),
    ("trust.highest_seq", "MOST", 1024),
]


@pytest.mark.parametrize(("module", "name", "value"), FIGURES)
def test_a_limit_is_what_it_is_said_to_be(module: str, name: str, value: float) -> None:
    assert getattr(import_module(f"blixard.{module}"), name) == value
