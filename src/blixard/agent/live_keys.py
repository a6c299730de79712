# SPDX-License-Identifier: MIT
"""That this node runs, said in etcd where `etcd_live` asks for it: a key with a lease in each cluster that it reads.

It is for people and programs that look there. No node makes a peer or drops one by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from blixard.agent.node_config import etcd_access
from blixard.errors import BlixardError, InputError
from blixard.sources.base import EtcdAccess
from blixard.sources.factory import etcd_clusters
from blixard.sources.worker import StillBusy, Worker

if TYPE_CHECKING:
    from blixard.agent.node_config import NodeConfig
    from blixard.clock import Clock
    from blixard.model.ids import EndpointId
    from blixard.publishing.etcd_leases import LiveKey
    from blixard.sources.etcd_client import EtcdPlace

_log = logging.getLogger("blixard.node")

INTERVAL = 20.0
"""Seconds between two renewals: three of them in the time of a lease."""

_PATIENCE = 10.0
"""Seconds for one renewal."""

_FAREWELL = 2.0
"""Seconds that the end of a node waits for its keys to be gone; what is not by then goes with its lease."""


class _Kept:
    """The key in one cluster, and what was wrong with it the last time."""

    def __init__(self, key: LiveKey) -> None:
        self.key = key
        self.worker: Worker[None] = Worker()
        self.problem: str | None = "was not there yet"

    async def do(self, work: Callable[[], None], seconds: float) -> str | None:
        """Return why it could not be done."""
        try:
            await asyncio.wait_for(self.worker.run(work), seconds)
        except (asyncio.TimeoutError, StillBusy):
            return "etcd did not answer in time"
        except BlixardError as error:
            return str(error)
        return None


_Where = tuple["EtcdPlace", EtcdAccess]


class LiveKeys:
    """Keeps the keys for as long as the node runs."""

    def __init__(self, config: Callable[[], NodeConfig], endpoint_id: EndpointId, clock: Clock) -> None:
        """`config` returns the settings that hold now."""
        self._config = config
        self._endpoint_id = endpoint_id
        self._clock = clock
        self._since = clock.wall()
        self._kept: dict[_Where, _Kept] = {}

    def told(self) -> Mapping[str, bool]:
        """Return for each cluster whether the key was renewed the last time."""
        return {str(place): kept.problem is None for (place, _), kept in self._kept.items()}

    async def keep(self) -> None:
        """Renew the keys again and again."""
        while True:
            await self.renew()
            await self._clock.sleep(INTERVAL)

    async def renew(self) -> None:
        """Renew the keys once, in the clusters that the settings name by now."""
        wanted = self._wanted()
        gone = [self._kept.pop(where) for where in self._kept.keys() - wanted]
        self._kept |= {where: self._make(*where) for where in wanted - self._kept.keys()}
        await _remove(gone)
        await asyncio.gather(*(_renew(place, kept) for (place, _), kept in tuple(self._kept.items())))

    async def stop(self) -> None:
        """Take the keys away."""
        kept, self._kept = self._kept, {}
        await _remove(kept.values())

    def _make(self, place: EtcdPlace, access: EtcdAccess) -> _Kept:
        from blixard.publishing.etcd_leases import LiveKey
        from blixard.sources.etcd_client import Etcd

        return _Kept(LiveKey(Etcd(place, access), self._config().node_id, self._endpoint_id, self._since))

    def _wanted(self) -> set[_Where]:
        config = self._config()
        if not config.etcd_live:
            return set()
        # Imported here: a node that does not ask for it needs none of it.
        from blixard.sources.etcd_client import EtcdPlace

        access, places = etcd_access(vars(config)), []
        for url in etcd_clusters(config.etcd):
            with contextlib.suppress(InputError):  # the source of this place says what is wrong with it
                places.append(EtcdPlace.parse(url))
        return {(place, access) for place in places}


async def _remove(gone: Iterable[_Kept]) -> None:
    await asyncio.gather(*(each.do(each.key.remove, _FAREWELL) for each in gone))


async def _renew(place: EtcdPlace, kept: _Kept) -> None:
    before, kept.problem = kept.problem, await kept.do(kept.key.renew, _PATIENCE)
    if kept.problem is not None and kept.problem != before:
        _log.warning("etcd does not know that this node runs", extra={"place": place, "reason": kept.problem})
