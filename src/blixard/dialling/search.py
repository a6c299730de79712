# SPDX-License-Identifier: MIT
"""Early probes: which of the peers that are lost is dialled before its breaker's time is over, and when.

A breaker alone may keep two healthy nodes apart for minutes after a cut has healed. Two queues shorten that:

- The *round*: the peer that was dialled longest ago is next, 10 to 15 s after its last dial ended, and never more than
  one every 2 s. However many are lost, one of them is tried soon after a heal.
- The *urged*: there is a reason to try a peer now. Another one that was lost in the same outage is back, a connected
  peer says that it is alive, or this host's network has changed. Each is tried at most every 15 s, and all of
  them together at most 10 a second, whoever urges and how often.

The breaker stays what it is: one probe at a time, and a probe that fails opens it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blixard.dialling.agenda import Agenda

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from blixard.model.ids import EndpointId

ROUND_WAIT = (10.0, 15.0)
"""Seconds, drawn at random, from the end of a peer's last dial to its turn in the round."""

ROUND_GAP = 2.0
"""Seconds between two probes of the round: 30 dials a minute, however many peers are dead."""

URGED_GAP = 0.1
"""Seconds between two probes that are urged."""

URGED_AGAIN = 15.0
"""Seconds between two probes of one peer that are urged."""

TOGETHER = 60.0
"""Seconds within which peers were lost in the same outage: their silence is noticed within 15 s."""


@dataclass
class _Lost:
    """A peer that is searched for: since when it is alone, when it was last tried as urged, whether it is urged now."""

    since: float
    tried_at: float = float("-inf")
    is_urged: bool = False


class Search:
    """The lost peers of one node. Times are monotonic seconds."""

    def __init__(self, rng: Random) -> None:
        """`rng` spreads the probes of many nodes, and draws the order of those that are urged."""
        self._rng = rng
        self._lost: dict[EndpointId, _Lost] = {}
        self._round: Agenda[EndpointId] = Agenda()
        self._urged: Agenda[EndpointId] = Agenda()
        self._round_free_at = self._urged_free_at = float("-inf")

    def __len__(self) -> int:
        return len(self._lost)

    def failed(self, endpoint_id: EndpointId, now: float, since: float) -> None:
        """A peer that is without a connection since `since` was not reached: it is given its next turn."""
        lost = self._lost.setdefault(endpoint_id, _Lost(since))
        lost.since = since
        self._round.plan(endpoint_id, now + self._rng.uniform(*ROUND_WAIT))
        if lost.is_urged:
            self._plan_urged(endpoint_id, lost, now)

    def began(self, endpoint_id: EndpointId) -> None:
        """A dial of the peer has begun, for whatever reason: until it ends there is nothing to plan."""
        if endpoint_id in self._lost:
            self._lost[endpoint_id].is_urged = False
            self._take_off(endpoint_id)

    def returned(self, endpoint_id: EndpointId, now: float) -> None:
        """The peer is connected: reason to try those that were lost with it."""
        lost = self._lost.get(endpoint_id)
        if lost is None:
            return
        self.forget(endpoint_id)
        self.urge((each for each, other in self._lost.items() if abs(other.since - lost.since) <= TOGETHER), now)

    def forget(self, endpoint_id: EndpointId) -> None:
        """Search for the peer no longer."""
        self._lost.pop(endpoint_id, None)
        self._take_off(endpoint_id)

    def urge(self, endpoint_ids: Iterable[EndpointId], now: float) -> None:
        """There is a reason to try these; those that are not lost are passed over."""
        news = [each for each in endpoint_ids if each in self._lost and not self._lost[each].is_urged]
        self._rng.shuffle(news)
        for endpoint_id in news:
            lost = self._lost[endpoint_id]
            lost.is_urged = True
            # One whose dial is under way stands in no queue: it is planned when that has failed.
            if endpoint_id in self._round:
                self._plan_urged(endpoint_id, lost, now)

    def urge_all(self, now: float) -> None:
        """There is a reason to try everyone who is lost."""
        self.urge(tuple(self._lost), now)

    def next_at(self) -> float | None:
        """Return when `pop` has somebody next."""
        times = (_not_before(self._urged, self._urged_free_at), _not_before(self._round, self._round_free_at))
        return min((at for at in times if at is not None), default=None)

    def pop(self, now: float) -> EndpointId | None:
        """Return who is to be dialled at `now`; None when it is nobody's turn."""
        if now >= self._urged_free_at and (endpoint_id := self._urged.pop(now)) is not None:
            self._urged_free_at = now + URGED_GAP
            self._lost[endpoint_id].tried_at = now
        elif now >= self._round_free_at and (endpoint_id := self._round.pop(now)) is not None:
            self._round_free_at = now + ROUND_GAP
        else:
            return None
        self._take_off(endpoint_id)
        return endpoint_id

    def _plan_urged(self, endpoint_id: EndpointId, lost: _Lost, now: float) -> None:
        self._urged.plan(endpoint_id, max(now, lost.tried_at + URGED_AGAIN))

    def _take_off(self, endpoint_id: EndpointId) -> None:
        self._round.cancel(endpoint_id)
        self._urged.cancel(endpoint_id)


def _not_before(agenda: Agenda[EndpointId], free_at: float) -> float | None:
    at = agenda.next_at()
    return None if at is None else max(at, free_at)
