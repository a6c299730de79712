# SPDX-License-Identifier: MIT
"""Asking who answers at each of several addresses."""

from __future__ import annotations

import asyncio

import pytest
from tests.simulation.virtual_time import run
from tests.unit.peers.people import endpoint_id

from blixard.dialling.address_vetting import PROBES_AT_ONCE, longest, probe_all
from blixard.dialling.breaker import DIAL_TIMEOUT
from blixard.dialling.protocols import DialError
from blixard.model.addresses import SocketAddress
from blixard.model.ids import EndpointId

ADDRESSES = [f"10.0.0.{number}:7001" for number in range(1, 21)]


class Prober:
    """Answers by the last number of the address; takes as long as it may."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    async def probe(self, address: SocketAddress, endpoint_id: EndpointId, *, timeout: float) -> bool:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(timeout)
        self.inside -= 1
        number = int(str(address.ip).rpartition(".")[2])
        if number == 3:
            raise DialError("timeout", "no answer")
        if number == 4:
            raise RuntimeError("oops")
        return number == 1


def test_each_address_has_its_own_answer_and_a_broken_probe_spoils_no_other(caplog: pytest.LogCaptureFixture) -> None:
    answers = run(probe_all(Prober(), endpoint_id(1), ADDRESSES[:4]))
    assert list(answers.values()) == [True, False, None, None]
    assert "probing an address broke" in caplog.messages


def test_no_more_than_a_few_are_probed_at_once_and_the_time_for_all_is_known() -> None:
    async def main() -> tuple[int, float]:
        prober, loop = Prober(), asyncio.get_running_loop()
        started = loop.time()
        await probe_all(prober, endpoint_id(1), ADDRESSES)
        return prober.most, loop.time() - started

    assert run(main()) == (PROBES_AT_ONCE, longest(ADDRESSES))
    assert longest(ADDRESSES) == 3 * DIAL_TIMEOUT
