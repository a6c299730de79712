# SPDX-License-Identifier: MIT
"""The running node: endpoint, control socket, configuration."""
