# SPDX-License-Identifier: MIT
"""Who keeps its place when too many call: pure bookkeeping of callers, the host each comes from, and its endpoint id.

Nobody is kept out because those who came before have every slot. Whoever comes is let in, and another one goes:
of those whom no source of the operator names, the oldest of the host that has the most. So one host with any number of
keys displaces its own, and a caller that does what it came for at once is gone before its turn comes, wherever it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId

Caller = TypeVar("Caller", bound=Hashable)


@dataclass
class _Place:
    host: str
    endpoint_id: EndpointId | None = None
    is_known: bool = False


class CallerSlots(Generic[Caller]):
    """At most `most` callers at once, and `per_id` of one endpoint id."""

    def __init__(self, *, most: int, per_id: int) -> None:
        self._most = most
        self._per_id = per_id
        self._places: dict[Caller, _Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, caller: object) -> bool:
        return caller in self._places

    @property
    def is_crowded(self) -> bool:
        """Whether more than half of the places are taken."""
        return 2 * len(self._places) > self._most

    def enter(
        self, caller: Caller, host: str, *, endpoint_id: EndpointId | None = None, is_known: bool = False
    ) -> Caller | None:
        """Give a caller from `host` a place; return who has lost its own by that, which may be the caller itself."""
        self._places[caller] = _Place(host)
        too_many = None
        if endpoint_id is not None:
            too_many = self.identify(caller, endpoint_id, is_known=is_known)
        return self._surplus() if len(self._places) > self._most else too_many

    def identify(self, caller: Caller, endpoint_id: EndpointId, *, is_known: bool) -> Caller | None:
        """Enter what the handshake proved; return who has lost its place by that: the oldest of too many of one id."""
        place = self._places.get(caller)
        if place is None:
            return None
        place.endpoint_id, place.is_known = endpoint_id, is_known
        same = [each for each, other in self._places.items() if other.endpoint_id == endpoint_id]
        return self._dismissed(same[0]) if len(same) > self._per_id else None

    def leave(self, caller: Caller) -> None:
        """Take a caller's place back, if it still has one."""
        self._places.pop(caller, None)

    def _surplus(self) -> Caller:
        strangers = [each for each, place in self._places.items() if not place.is_known]
        callers = strangers or list(self._places)
        crowds = Counter(self._places[each].host for each in callers)
        # Callers stand in the order in which they came, and of equals max takes the first.
        return self._dismissed(max(callers, key=lambda each: crowds[self._places[each].host]))

    def _dismissed(self, caller: Caller) -> Caller:
        del self._places[caller]
        return caller
