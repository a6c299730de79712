# SPDX-License-Identifier: MIT
"""One document at a URL: a registry when it is an object, a peers file when it is a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from blixard.sources.base import Found
from blixard.sources.peers_reader import PeersReader
from blixard.sources.registry_reader import RegistryReader

if TYPE_CHECKING:
    from blixard.sources.base import Answer, Sighting, SourceContext
    from blixard.trust.attestation import AttestationCheck

_UNSIGNED = (
    "and where signers are trusted, an unsigned entry counts only from this host's own files; have its node sign it"
)
_PLAIN = "and anyone on the way can change what is not signed; use https or sftp, or have its node sign it"

_JSON_SPACE = b" \t\r\n"


def check_from_afar(context: SourceContext, *, is_plain: bool) -> AttestationCheck:
    """Return the check of registry entries that come over a network.

    An entry that nobody signed is the word of whoever delivers it: enough where no signers are trusted and the server
    has proved who it is, since an operator named that server.

    Args:
        context: that of the source.
        is_plain: the server does not prove who it is, beyond this host.
    """
    if context.signers:
        return context.check.demanding(_UNSIGNED)
    return context.check.demanding(_PLAIN) if is_plain else context.check


def registries_from_afar(context: SourceContext, *, is_plain: bool) -> RegistryReader:
    """Return the reader of registry entries that come over a network, with the check of `check_from_afar`.

    Where signers are trusted, they say who is a member. An entry proves that it is its node's own word, and whoever
    delivers it could deliver more of them, each signed by a node of his own: so it is a hint.
    """
    check = check_from_afar(context, is_plain=is_plain)
    return RegistryReader(check, context.wall, is_hint=bool(context.signers))


class DocumentReader:
    """Reads what is at one place, again and again; the same content gives the very same answer."""

    def __init__(self, place: str, context: SourceContext, *, name: str, is_plain: bool = False) -> None:
        """`name` is that of the source; `is_plain` as in `check_from_afar`."""
        self._place = place
        self._registry = registries_from_afar(context, is_plain=is_plain)
        self._peers = PeersReader(
            place,
            name=name,
            # The fleet's signature covers all of its entries.
            check=context.check if context.signers else check_from_afar(context, is_plain=is_plain),
            wall=context.wall,
            signers=context.signers,
            cluster=context.cluster,
            seen=context.seen,
            memory=context.memory,
        )
        self._sighting: Sighting | None = None
        self._found: Found | None = None

    @property
    def is_superseded(self) -> bool:
        """Whether to read again although nothing has changed: a newer peers file was taken from elsewhere."""
        return self._peers.is_superseded

    async def backed(self, answer: Answer) -> Answer:
        """Return `answer`; a failure with what is remembered of a peers file."""
        return answer if self._found is not None else await self._peers.backed(answer)

    def read(self, data: bytes, get_signature: Callable[[], bytes]) -> Found:
        """Return what the document says.

        Args:
            data: its bytes.
            get_signature: returns the bytes of its `.sig`; called for a peers file where signers are trusted.

        Raises:
            InputError: it is neither, or `get_signature` could not get it.
            TrustError: a signature does not hold.
        """
        if data.lstrip(_JSON_SPACE).startswith(b"["):
            return self._peers.read(data, get_signature() if self._peers.wants_signature else b"")
        sighting = self._registry.read(data, self._place, self._sighting)
        if self._found is None or sighting is not self._sighting:
            self._peers.forget()
            self._found = Found(() if sighting is None else (sighting,))
            self._sighting = sighting
        return self._found
