# SPDX-License-Identifier: MIT
"""What must hold in every simulation, derived from the numbers of backoff, breaker and scheduler.

How long a healthy peer may be without a connection (seconds), while D others are dead:

    15               until the beats that are missed end a connection that looks alive
    360              the longest open time with its jitter, 300·1.2, which is longer than any backoff
    10·(D/16 + 1)    until its turn comes, when all 16 slots are busy with dead peers: each of them may stand before it
                     once, and holds a slot for 10
    10               the dial itself
    60 + 60          where another node's address is listed as one of its own: after that one answered, iroh fails at
                     the good address too for a minute, and the longest backoff may follow

A node dials at most 64 peers by default, so that the third line is at most 50. Peers that were found or lost just now
do not stand in that line.

How many dials a second follow when N connections are lost at once: the first dials are spread evenly over
W = min(5, 0.05·N) seconds, so N/W a second are expected while all are answered. When none is answered, up to five
dials of each peer follow before its circuit opens. Each of the five, being an even spread over W plus something
independent of it, has nowhere a density above 1/W: at most 5·N/W a second are expected. Chance adds to that; six
standard deviations (of a sum of independent events: at most the root of its mean) are never seen in practice. For up
to 100 peers N/W is 20 a second.

A heal is noticed sooner. A node dials a lost peer at most 15 s after its last dial has ended, and that one may have
begun just before the heal: 10 + 15 s, where few are lost. Of many, one is dialled every 2 s. Its return is reason to
dial those that were lost with it, at most 10 a second. 30 s is what the simulations hold with that, as long as a node
dials no more than 64 peers and all of them answer; each 16 that do not may hold the others up for 10 s.

In any second a node makes at most 11 dials for a reason and one of the round (both ends of the second count), beside
those of the formula above, which are over once the circuits are open.
"""

from __future__ import annotations

import math

from tests.simulation.network import BEATS_GIVE_UP, POISONED

from blixard.dialling.backoff import LONGEST, loss_window
from blixard.dialling.breaker import DIAL_TIMEOUT, JITTER, LONGEST_OPEN, THRESHOLD
from blixard.dialling.pace import MAX_DIALS
from blixard.dialling.search import ROUND_GAP, URGED_GAP

HEALED_WITHIN = 30.0
"""Seconds from the end of a cut until all edges are back."""


def longest_wait(dead: int = 0, *, impostor: bool = False) -> float:
    """Return the seconds within which a healthy peer is connected, while `dead` others are not.

    With `impostor`, another node's address is listed as one of its own.
    """
    turn = DIAL_TIMEOUT * (dead / MAX_DIALS + 1)
    poisoned = POISONED + LONGEST if impostor else 0.0
    return BEATS_GIVE_UP + max(LONGEST_OPEN * (1 + JITTER), LONGEST) + turn + DIAL_TIMEOUT + poisoned


def most_dials_a_second(peers: int, *, answered: bool) -> float:
    """Return how many dials may fall into one second after `peers` connections were lost at once."""
    expected = peers / loss_window(peers) * (1 if answered else THRESHOLD)
    return expected + 6 * math.sqrt(expected) + (0 if answered else most_probes_a_second())


def most_probes_a_second() -> int:
    """Return how many early probes one node makes within any second."""
    return math.floor(1.0 / URGED_GAP + 1) + math.ceil(1.0 / ROUND_GAP)


def peak(times: list[float]) -> int:
    """Return the most of these moments that fall into any one second."""
    most, first = 0, 0
    for last, time in enumerate(times):
        while time - times[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
