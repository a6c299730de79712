# SPDX-License-Identifier: MIT
"""The bounds of documents, each with its reason; those of single values are in `blixard.model.value_limits`."""

from __future__ import annotations

from blixard.model.value_limits import MAX_ADDRESSES as MAX_ADDRESSES

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
