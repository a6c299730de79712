# SPDX-License-Identifier: MIT
"""When to dial whom, at which addresses: pure policy. Clock, random numbers and dialler are passed in.

- `scheduler`: `DialScheduler`, which starts dials; `agenda`: what is due when; `pace`: how many at once.
- `dial_state`: one peer's dialling, with its `backoff` and its circuit `breaker`.
- `search`: which lost peers are probed before their breaker's time is over.
- `connection_pool`: one live connection for each peer.
- `address_vetting`: addresses at which another node answers; `address_proofs`: those that only the peer itself names;
  `host_lookup`: host names.
- `overlay`: whom to dial in a large mesh.
- `protocols`: `Dialler`, `Connection`, `DialError`: what the transport provides.
"""
