# SPDX-License-Identifier: MIT
"""The bounds of single values and of whole documents, each with its reason."""

from __future__ import annotations

MAX_NODE_ID = 2**64 - 1
"""Upstream's node id is a Rust u64."""

MAX_SAFE_INTEGER = 2**53 - 1
"""RFC 8785 refuses integers that a double cannot hold; nothing larger can be signed."""

MAX_ADDRESSES = 64
"""A host with 64 usable addresses is a misconfigured one, and every listed address costs a dial."""

MAX_URL = 2048
"""The length that servers and proxies commonly take."""

MAX_HOST = 253
"""A DNS name without its final dot (RFC 1035)."""

MAX_CLUSTER = 64
"""It travels in every hello, metric label and log line."""

MAX_SOURCE = 256
"""`source` is a word, or a word and a location; it is printed on one line."""

MAX_TICKET = 16 * 1024
"""Far above 64 addresses and the longest URL (5 KB in base32)."""

KIB = 1024
MIB = 1024 * KIB

MAX_REGISTRY_BYTES = 64 * KIB
"""One entry with 64 addresses, the longest URL and an attestation is under 8 KiB."""

MAX_PEERS_BYTES = 16 * MIB
"""About 30,000 attested peers of 540 bytes; read and parsed whole, so it also bounds memory and time."""

MAX_CONFIG_BYTES = 256 * KIB
"""A configuration with thousands of join locations and signers."""

MAX_SIGNATURE_BYTES = 4 * KIB
"""A `.sig` file is about 300 bytes."""

MAX_MANIFEST_BYTES = 24 * MIB
"""About 50,000 members of 400 bytes."""

MAX_REPORT_BYTES = 64 * MIB
"""About 150,000 edges of 430 bytes: a thousand nodes, each checked by 150 others."""

RAFT_TIMEOUT = 10.0
MAX_RAFT_TIMEOUT = 300.0
"""Seconds that an operation of a voter may take: where nobody says otherwise, and at most."""

MAX_KEY_BYTES = 1 * KIB
"""A key file is 65 bytes."""

MAX_DEPTH = 16
"""The documents here are 4 deep; unknown fields may bring some structure of their own."""

MAX_INTEGER_DIGITS = 20
"""A u64 has 20 digits; turning longer ones into integers costs time that grows with their square."""

MAX_PEERS = 50_000
"""More than a file of the largest size can hold of attested peers; bounds what the schema and the table take."""

MAX_RECORD_ENTRIES = MAX_PEERS
"""The record makes one peer of each of its entries."""
