# SPDX-License-Identifier: MIT
"""Reading and writing: limits, canonical form, atomic files, schemas, registry and peers files."""
