# SPDX-License-Identifier: MIT
"""Reaching peers: backoff, breaker, vetting, scheduling, the connector."""
