# SPDX-License-Identifier: MIT
"""What is known about peers: the table, its events, a peer's status."""
