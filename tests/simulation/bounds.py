# SPDX-License-Identifier: MIT
"""What must hold in every simulation, derived from the numbers of backoff, breaker and scheduler.

How long a healthy peer may be without a connection (seconds):

    15    until the beats that are missed end a connection that looks alive
    360   the longest open time with its jitter, 300·1.2 (the longest backoff, 60, is less)
    10    until one of the 16 slots is free, when all are busy with dead peers: those found or lost just now and
          those whose time has come are served in turn, and each dial ends after 10
    10    the dial itself

The longest wait assumes that no more than 576 peers are dead at once. With more, dead ones come round every
10·N/16 seconds instead of every 360, and that takes the place of the 360.

How many dials a second follow when N connections are lost at once: the first dials are spread evenly over
W = min(5, 0.05·N) seconds, so N/W a second are expected while all are answered. When none is answered, up to five
dials of each peer follow before its circuit opens. Each of the five, being an even spread over W plus something
independent of it, has nowhere a density above 1/W: at most 5·N/W a second are expected. Chance adds to that; six
standard deviations (of a sum of independent events: at most the root of its mean) are never seen in practice. For up
to 100 peers N/W is 20 a second.
"""

from __future__ import annotations

import math

from tests.simulation.network import BEATS_GIVE_UP

from blixard.dialling.backoff import LONGEST, loss_window
from blixard.dialling.breaker import DIAL_TIMEOUT, JITTER, LONGEST_OPEN, THRESHOLD
from blixard.dialling.scheduler import MOST_DIALS


def longest_wait(dead: int = 0) -> float:
    """Return the seconds within which a healthy peer is connected, while `dead` others are not."""
    round_of_the_dead = DIAL_TIMEOUT * dead / MOST_DIALS
    return BEATS_GIVE_UP + max(LONGEST_OPEN * (1 + JITTER), LONGEST, round_of_the_dead) + 2 * DIAL_TIMEOUT


def most_dials_a_second(peers: int, *, answered: bool) -> float:
    """Return how many dials may fall into one second after `peers` connections were lost at once."""
    expected = peers / loss_window(peers) * (1 if answered else THRESHOLD)
    return expected + 6 * math.sqrt(expected)


def peak(times: list[float]) -> int:
    """Return the most of these moments that fall into any one second."""
    most, first = 0, 0
    for last, time in enumerate(times):
        while time - times[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
