# SPDX-License-Identifier: MIT
"""Where a fleet's record and peers file are put for nodes and other controllers to read: one file a kind of place.

- `base`: `Destination`, a `Publication`, its `Outcome`, and the rules that hold at every place: what is newer, and what
  differs.
- `factory`: from a location to its destination, and one publication to several of them.
"""
