# SPDX-License-Identifier: MIT
"""Values: ids, addresses, tickets, entries, and their parsing."""
