# SPDX-License-Identifier: MIT
"""The wire: Iroh endpoints, connections and the hello. Nothing here decides whom to dial.

- `connector`: bind an endpoint and dial; `acceptor`: answer callers; `caller_slots`: who keeps its place in a flood.
- `hello`: the first message of both sides, and who is let in.
- `connection`: `IrohConnection`, its pings and its end; `streams`: how many streams it may have, and who serves them.
"""
