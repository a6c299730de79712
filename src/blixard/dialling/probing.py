# SPDX-License-Identifier: MIT
"""Asking each of several addresses who answers there."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from blixard.dialling.breaker import DIAL_TIMEOUT
from blixard.dialling.protocols import DialError
from blixard.model.addresses import SocketAddress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blixard.dialling.protocols import AddressProber
    from blixard.model.ids import EndpointId

PROBES_AT_ONCE = 8
"""Addresses of one peer probed at the same time; each costs an endpoint of 4 descriptors and 0.5 MB."""

_log = logging.getLogger("blixard.dialling")


def longest(addresses: Sequence[str]) -> float:
    """Return the seconds that probing these addresses may take."""
    return DIAL_TIMEOUT * -(-len(addresses) // PROBES_AT_ONCE)


async def probe_all(
    prober: AddressProber, endpoint_id: EndpointId, addresses: Sequence[str], *, timeout: float = DIAL_TIMEOUT
) -> dict[str, bool | None]:
    """Probe each address alone: True the peer answers there, False another iroh node does, None nobody did."""
    slots = asyncio.Semaphore(PROBES_AT_ONCE)

    async def probe(address: str) -> bool | None:
        async with slots:
            try:
                return await prober.probe(SocketAddress.parse(address), endpoint_id, timeout=timeout)
            except DialError:
                return None
            except Exception:
                # One broken probe must not take the answers of the others with it.
                _log.exception("probing an address broke", extra={"address": address})
                return None

    answers = await asyncio.gather(*(probe(address) for address in addresses))
    return dict(zip(addresses, answers, strict=True))
