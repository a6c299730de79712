# SPDX-License-Identifier: MIT
"""Where peers come from, one file a source."""
