# SPDX-License-Identifier: MIT
"""Who is known, by whose word, since when.

- `table`: `PeerTable`, which takes in answers and says what changed.
- `claims`: what one source says of one peer, ranked and merged; `claims`: who has a node id that several claim.
- `status`: `PeerStatus` and `SourceStatus`, as operators read them; `events`: `Event` and its subscribers.
"""
