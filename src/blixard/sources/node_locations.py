# SPDX-License-Identifier: MIT
"""A ticket: an endpoint that is asked who it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from blixard.errors import BlixardError
from blixard.model.entry import DiscoveredPeer
from blixard.sources.base import Answer, Failed, Found, Nothing, Sighting

if TYPE_CHECKING:
    from blixard.model.addresses import HostPort
    from blixard.model.ids import EndpointId
    from blixard.model.tickets import Ticket
    from blixard.sources.base import SourceKind
    from blixard.trust.attestation import AttestationCheck

Introduce = Callable[["Ticket"], Awaitable[DiscoveredPeer]]
"""Dials a ticket's endpoint and returns it as a peer; raises BlixardError when that fails."""

IsKnown = Callable[["HostPort"], bool]


class TicketLocation:
    """Asks the ticket's endpoint once who it is; a ticket has no node id. What it says changes by other ways."""

    kind: SourceKind = "registry"

    def __init__(
        self, ticket: Ticket, *, introduce: Introduce | None, check: AttestationCheck, own: EndpointId | None
    ) -> None:
        """Without `introduce`, as in a command that runs no node, the ticket cannot be used."""
        self.name = f"registry:ticket of {ticket.endpoint_id.short}"
        self._ticket = ticket
        self._introduce = introduce
        self._check = check
        self._own = own
        self._found: Found | None = None

    async def fetch(self) -> Answer:
        """Ask, as `Source.fetch`."""
        if self._ticket.endpoint_id == self._own:
            return Nothing()
        if self._found is None:
            try:
                self._found = await self._ask()
            except BlixardError as error:
                return Failed(f"{self.name}: {error}")
        return self._found

    async def _ask(self) -> Found:
        if self._introduce is None:
            raise BlixardError("a ticket has no node id, only a running node can ask for it")
        peer = await self._introduce(self._ticket)
        problem = self._check.problem(peer)
        if problem is not None:
            raise BlixardError(problem)
        ticket = self._ticket
        given = (*map(str, ticket.direct_addresses), *([ticket.relay_url] if ticket.relay_url else []))
        return Found((Sighting(peer, self.name, given=given),))


class HostPortLocation:
    """Says whether some registry or peers file knows the node at an address.

    An address alone has no key to dial. So it adds no peer of its own: the registry that has the address does.
    """

    kind: SourceKind = "registry"

    def __init__(self, where: HostPort, is_known: IsKnown) -> None:
        self.name = f"registry:{where}"
        self._where = where
        self._is_known = is_known
        self._found = Found(())

    async def fetch(self) -> Answer:
        """Look in the table, as `Source.fetch`."""
        if self._is_known(self._where):
            return self._found
        return Failed(
            f"{self._where}: no registry that is known here has this address, and an address alone names no key; "
            "give the node's registry file or ticket"
        )
