# SPDX-License-Identifier: MIT
"""The bounds of single values, each with its reason."""

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
