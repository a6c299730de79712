# SPDX-License-Identifier: MIT
"""Gossip: connected members tell each other what they know, so that news reach all without a rollout.

Pure parts: `digest` compares what two nodes hold, `messages` are the frames of the protocol, `allowance` bounds rates,
`schedule` says when to talk with whom. What a node holds: `book` are the entries, `signed_file` is the peers
file, which exchanges have through `shared_file`. What it takes: `intake`. The edge: `exchange` is one talk over a
stream, `gossip` ties all together.
"""
