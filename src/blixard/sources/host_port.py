# SPDX-License-Identifier: MIT
"""`host:port`: names the known node that listens there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from blixard.sources.base import Answer, Failed, Found

if TYPE_CHECKING:
    from blixard.model.addresses import HostPort
    from blixard.sources.base import SourceKind

IsKnown = Callable[["HostPort"], bool]


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
