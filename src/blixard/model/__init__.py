# SPDX-License-Identifier: MIT
"""Values and their parsing, nothing else.

- `ids`: `EndpointId`, a node's public key in every form that people write.
- `addresses`: `SocketAddress` (`ip:port`), `HostPort` (`host:port`), `parse_relay_url`; `Network`: how far
  an IP address reaches.
- `tickets`: `Ticket`, `parse_ticket`, `format_ticket`.
- `entry`: `NodeRegistryEntry`, `DiscoveredPeer`, `Attestation`.
- `times`: moments as RFC 3339 text; `numbers`: sequence numbers that follow the clock.
- `bindings`: iroh, taking bytes at once.
- `fields`, `words`, `limits`, `encodings`: the rules, words, bounds and text forms that parsers share.
"""
