# SPDX-License-Identifier: MIT
"""Reaching peers over Iroh, and being reached."""
