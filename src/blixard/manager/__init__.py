# SPDX-License-Identifier: MIT
"""The parts of the discovery manager: asking the sources, peers that are added, status, log lines."""
