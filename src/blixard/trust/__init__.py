# SPDX-License-Identifier: MIT
"""Who may say what: secret keys, attestations, the fleet key."""
