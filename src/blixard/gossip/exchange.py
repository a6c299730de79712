# SPDX-License-Identifier: MIT
"""One exchange over one stream, from either end: digests, then what differs, then what the other lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from blixard.dialling.protocols import DialError
from blixard.errors import InputError
from blixard.gossip import messages
from blixard.gossip.book import name_of
from blixard.gossip.messages import Digest, Entries, FileMark, Offer, Reply, Request, encode

if TYPE_CHECKING:
    from random import Random

    from blixard.dialling.protocols import Stream
    from blixard.gossip.book import Book
    from blixard.gossip.digest import Pair
    from blixard.gossip.intake import Intake
    from blixard.gossip.shared_file import SharedFile
    from blixard.model.ids import EndpointId

_Message = TypeVar("_Message")
_AT_A_TIME = 16


class Forged(InputError):
    """An entry that its node did not sign."""


@dataclass
class Holdings:
    """What a node exchanges.

    Args:
        own: its name.
        book, intake: its entries, and what judges those of others.
        file: the signed peers file; None where none travels.
        connected: gives with whom it is connected.
        alive: is told with whom a peer says that it is connected.
        pause: lets others work in between.
        rng: draws what comes first where not all fits.
        frames: counts what was sent: `frames` (parts of the peers file apart) and their `bytes`.
    """

    own: bytes
    book: Book
    intake: Intake
    file: SharedFile | None
    connected: Callable[[], Collection[EndpointId]]
    alive: Callable[[Collection[EndpointId], EndpointId], None]
    pause: Callable[[], Awaitable[None]]
    rng: Random
    frames: Counter[str] = field(default_factory=Counter)


class Exchange:
    """One exchange with one peer."""

    def __init__(self, holdings: Holdings, stream: Stream, peer: EndpointId) -> None:
        self._holdings = holdings
        self._stream = stream
        self._peer = peer

    async def begin(self) -> None:
        """Exchange as the end that has opened the stream.

        Raises:
            InputError: the peer breaks the protocol.
            TrustError: the signature of its peers file does not hold.
            DialError: the stream has ended before the exchange has.
        """
        mine = self._digest()
        await self._send(mine)
        theirs = await self._receive(messages.decode_digest, messages.MAX_DIGEST_FRAME)
        self._heard(theirs)
        if not mine.is_like(theirs):
            with _Wish(self._holdings.file, theirs.file) as wish:
                await self._differ(mine, theirs, wish)
        await self._stream.finish()

    async def answer(self) -> None:
        """Exchange as the end that the stream was opened to; raises as `begin`."""
        theirs = await self._receive(messages.decode_digest, messages.MAX_DIGEST_FRAME)
        mine = self._digest()
        await self._send(mine)
        self._heard(theirs)
        if not mine.is_like(theirs):
            with _Wish(self._holdings.file, theirs.file) as wish:
                await self._differ_too(wish)
        await self._stream.finish()

    async def _differ(self, mine: Digest, theirs: Digest, wish: _Wish) -> None:
        book = self._holdings.book
        buckets = b"" if mine.entries == theirs.entries else book.index.buckets()
        await self._send(Request(wish.is_granted, buckets))
        reply = await self._receive(messages.decode_reply, messages.MAX_REPLY_FRAME)
        if buckets:
            give, want = book.index.compare(reply.covered, dict(reply.pairs))
            await self._send(Entries(book.entries(self._some(give)), self._wanted(want)))
            await self._take(await self._receive(messages.decode_entries, messages.MAX_ENTRIES_FRAME))
        if reply.wants_file:
            await self._send_file()
        if wish.is_granted:
            await self._receive_file()

    async def _differ_too(self, wish: _Wish) -> None:
        index = self._holdings.book.index
        request = await self._receive(messages.decode_request, messages.MAX_REQUEST_FRAME)
        covered: list[int] = []
        pairs: list[Pair] = []
        if request.buckets:
            start = self._holdings.rng.randrange(256)
            covered, pairs = index.pairs(index.differing(request.buckets), most=messages.MAX_PAIRS, start=start)
        await self._send(Reply(wish.is_granted, covered, pairs))
        if request.buckets:
            theirs = await self._receive(messages.decode_entries, messages.MAX_ENTRIES_FRAME)
            await self._send(Entries(self._holdings.book.entries(theirs.wanted)))
            await self._take(theirs)
        if wish.is_granted:
            await self._receive_file()
        if request.wants_file:
            await self._send_file()

    def _digest(self) -> Digest:
        holdings = self._holdings
        holdings.book.refresh()
        names = [name_of(each) for each in holdings.connected()]
        if len(names) > messages.MAX_CONNECTED:
            names = holdings.rng.sample(names, messages.MAX_CONNECTED)
        mark = holdings.file.mark if holdings.file is not None else None
        return Digest(mark, holdings.book.index.digest(), names)

    def _heard(self, theirs: Digest) -> None:
        known = [self._holdings.book.find(name) for name in theirs.connected]
        self._holdings.alive([each for each in known if each is not None], self._peer)

    def _wanted(self, names: Collection[bytes]) -> list[bytes]:
        holdings = self._holdings
        useful = [each for each in names if each != holdings.own and holdings.intake.wants(holdings.book.find(each))]
        return self._some(useful)[: messages.MAX_ENTRIES]

    def _some(self, names: list[bytes]) -> list[bytes]:
        """Return them from a random one on: where not all fit, another time others come first."""
        start = self._holdings.rng.randrange(len(names)) if len(names) > messages.MAX_ENTRIES else 0
        return [*names[start:], *names[:start]]

    async def _take(self, entries: Entries) -> None:
        for number, entry in enumerate(entries.entries, start=1):
            if self._holdings.intake.take(entry) == "forged":
                raise Forged("an entry that its node did not sign")
            if number % _AT_A_TIME == 0:
                await self._holdings.pause()

    async def _send_file(self) -> None:
        if self._holdings.file is None:
            await self._send(Offer(0, b""))
            return
        async with self._holdings.file.sending(self._peer) as found:
            data, signature = found or (b"", b"")
            await self._send(Offer(len(data), signature))
            for at in range(0, len(data), messages.FILE_PART):
                await self._stream.send(data[at : at + messages.FILE_PART])

    async def _receive_file(self) -> None:
        offer = await self._receive(messages.decode_offer, messages.MAX_OFFER_FRAME)
        data = bytearray()
        while len(data) < offer.size:
            part = await self._frame(min(messages.FILE_PART, offer.size - len(data)))
            if not part:
                raise InputError("an empty part of a peers file")
            data += part
        if offer.size and self._holdings.file is not None:
            await self._holdings.file.take(bytes(data), offer.signature)

    async def _send(self, message: Digest | Request | Reply | Entries | Offer) -> None:
        frame = encode(message)
        self._holdings.frames["frames"] += 1
        self._holdings.frames["bytes"] += len(frame)
        await self._stream.send(frame)

    async def _receive(self, decode: Callable[[bytes], _Message], most: int) -> _Message:
        return decode(await self._frame(most))

    async def _frame(self, most: int) -> bytes:
        frame = await self._stream.receive(most=most)
        if frame is None:
            raise DialError("closed", "the peer has ended the exchange")
        return frame


class _Wish:
    """The peers file of this peer is wanted, if it is newer and none is being received from another."""

    def __init__(self, file: SharedFile | None, theirs: FileMark | None) -> None:
        self._file = file
        self.is_granted = file is not None and file.reserve(theirs)

    def __enter__(self) -> _Wish:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_granted and self._file is not None:
            self._file.release()
