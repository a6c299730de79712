# SPDX-License-Identifier: MIT
"""Who may speak to this node, and who was turned away."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from blixard.manager.event_log import LineLimit
from blixard.transport.hello import Admission, AdmissionContext, Hello, Welcome, refusal

if TYPE_CHECKING:
    from blixard.clock import Clock
    from blixard.discovery_manager import DiscoveryManager
    from blixard.model.entry import NodeRegistryEntry
    from blixard.model.ids import EndpointId

log = logging.getLogger("blixard.admission")

# The same caller is logged once in so many seconds; every one is counted.
LOG_AGAIN = 60.0
CALLERS_REMEMBERED = 256
# All callers together.
LINES_A_MINUTE = 30


class AdmissionControl:
    """Answers hellos by what the manager knows at that moment."""

    def __init__(
        self,
        manager: DiscoveryManager,
        entry: Callable[[], NodeRegistryEntry],
        *,
        cluster: str,
        admission: Admission,
        clock: Clock,
    ) -> None:
        """`entry` gives this node's own entry as it is now."""
        self._manager = manager
        self._entry = entry
        self._cluster = cluster
        self.admission: Admission = admission
        self._clock = clock
        self._limit = LineLimit(
            clock, most=LINES_A_MINUTE, log=log, notice="more callers are refused, `blixard status` counts them"
        )
        self._logged: OrderedDict[tuple[str, str], float] = OrderedDict()
        self.refused: Counter[str] = Counter()

    def welcome(self, hello: Hello, caller: EndpointId) -> Welcome:
        """Return the answer to `hello`, which came from the endpoint `caller`."""
        entry = self._entry()
        known = self._manager.find(caller)
        holder = self._manager.get_peer(hello.node_id) if hello.node_id is not None else None
        context = AdmissionContext(
            cluster=self._cluster,
            admission=self.admission,
            node_id=entry.cluster_node_id,
            known_as=known.node_id if known else None,
            holder=holder.endpoint_id if holder else None,
        )
        no = refusal(hello, caller, context, self._clock.wall())
        if no is None:
            return Welcome(admitted=True, cluster=self._cluster, node_id=entry.cluster_node_id, entry=entry)
        self.turned_away(no.kind, caller.short, no.message)
        return Welcome(admitted=False, reason=str(no))

    def turned_away(self, kind: str, who: str, reason: str) -> None:
        """Count a caller that had to go, and log it unless it or too many others were logged a moment ago.

        Args:
            kind: a stable word to count by.
            who: the start of its endpoint id, or its host where no handshake has proved one.
            reason: a sentence.
        """
        self.refused[kind] += 1
        if self._is_news(who, kind) and self._limit.has_room():
            log.warning("caller refused", extra={"endpoint": who, "kind": kind, "reason": reason})

    def _is_news(self, caller: str, kind: str) -> bool:
        now = self._clock.now()
        last = self._logged.pop((caller, kind), None)
        self._logged[caller, kind] = now if last is None or now - last >= LOG_AGAIN else last
        if len(self._logged) > CALLERS_REMEMBERED:
            self._logged.popitem(last=False)
        return last is None or now - last >= LOG_AGAIN
