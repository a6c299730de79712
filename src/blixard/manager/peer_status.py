# SPDX-License-Identifier: MIT
"""One peer's status, put together from the table, the vetting, its dialling and its connection."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from blixard.dialling.address_vetting import Verdict
from blixard.peers.status import AddressStatus, ErrorStatus, PeerStatus

if TYPE_CHECKING:
    from datetime import datetime

    from blixard.dialling.address_proofs import Proofs
    from blixard.dialling.address_vetting import Vetting
    from blixard.dialling.dial_state import DialState
    from blixard.dialling.protocols import Connection
    from blixard.peers.claims import Known


def peer_status(
    known: Known,
    *,
    vetting: Vetting,
    proofs: Proofs,
    relay_url: str | None,
    dial_state: DialState | None,
    connection: Connection | None,
    wanted: bool,
    now: float,
    wall: datetime,
) -> PeerStatus:
    """Return the status at `now` (monotonic seconds), which is `wall`; without a dialler there is no dial state.

    `relay_url` is the relay over which the peer is dialled.
    """

    def moment(at: float) -> datetime:
        # From the age, not remembered as a date: the wall clock may have been set since. Rounded, since the two clocks
        # are not read at the very same moment, and what has not changed shall look the same.
        return (wall - timedelta(seconds=max(0.0, now - at))).replace(microsecond=0)

    error = dial_state.error if dial_state is not None else None
    alone_since = dial_state.alone_since if dial_state is not None else None
    next_at = dial_state.next_at if dial_state is not None else None
    return PeerStatus(
        node_id=known.peer.node_id,
        endpoint_id=known.endpoint_id,
        state=dial_state.state if dial_state is not None else "discovered",
        since=moment(dial_state.since) if dial_state is not None else known.peer.discovered_at,
        wanted=wanted,
        sources=known.sources,
        addresses=_addresses(known, vetting, proofs, now),
        relay_url=relay_url,
        attested=known.seq is not None,
        seq=known.seq,
        failures=dial_state.failures if dial_state is not None else 0,
        attempts=dial_state.attempts if dial_state is not None else 0,
        waited_s=now - alone_since if alone_since is not None else 0.0,
        next_attempt_s=max(0.0, next_at - now) if next_at is not None else None,
        circuit=dial_state.breaker.circuit if dial_state is not None else "closed",
        trips=dial_state.breaker.trips if dial_state is not None else 0,
        last_error=ErrorStatus(kind=error[0].kind, message=error[0].message, at=moment(error[1])) if error else None,
        admitted=connection.admitted if connection is not None else None,
        path=connection.path if connection is not None else None,
        rtt_ms=connection.rtt_ms if connection is not None else None,
        claimed_node_id=connection.node_id if connection is not None else None,
    )


def _addresses(known: Known, vetting: Vetting, proofs: Proofs, now: float) -> tuple[AddressStatus, ...]:
    held_back = proofs.held_back(known.endpoint_id)

    def verdict_on(address: str) -> Verdict:
        reason = held_back.get(address)
        return vetting.verdict(known.endpoint_id, address) if reason is None else Verdict("held_back", reason)

    verdicts = ((address, verdict_on(address)) for address in known.peer.direct_addresses)
    return tuple(
        AddressStatus(
            address=address,
            sources=known.provenance[address],
            state=verdict.state,
            reason=verdict.reason,
            until_s=max(0.0, verdict.until - now) if verdict.until is not None else None,
        )
        for address, verdict in verdicts
    )
