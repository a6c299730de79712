# SPDX-License-Identifier: MIT
"""Which sockets an endpoint really has. iroh alone takes a random port in the family that it was not given."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from blixard.errors import InputError
from blixard.transport.connector import bind_endpoint, bound_ports
from blixard.trust.keys import SecretKey


@contextlib.asynccontextmanager
async def bound(bind: str) -> AsyncIterator[dict[int, int]]:
    """Bind an endpoint and give the ports that a node at `bind` would tell."""
    endpoint = await bind_endpoint(SecretKey.generate(), bind)
    try:
        yield bound_ports(endpoint, bind)
    finally:
        await endpoint.close()


@contextlib.contextmanager
def taken(family: socket.AddressFamily, where: str) -> Iterator[int]:
    """Have a port of one family, and give its number."""
    with socket.socket(family, socket.SOCK_DGRAM) as other:
        if family == socket.AF_INET6:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind((where, 0))
        yield other.getsockname()[1]


@pytest.fixture
def port() -> int:
    """A port that nobody has in either family at this moment."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        probe.bind(("::", 0))
        free: int = probe.getsockname()[1]
    return free


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "[::]"])
async def test_an_unspecified_address_of_either_family_is_bound_in_both_on_the_same_port(
    everywhere: str, port: int
) -> None:
    async with bound(f"{everywhere}:{port}") as ports:
        assert ports == {4: port, 6: port}


async def test_any_free_port_may_be_another_one_in_each_family() -> None:
    async with bound("0.0.0.0:0") as ports:
        assert set(ports) == {4, 6}
        assert all(ports.values())


async def test_one_address_is_one_address(port: int) -> None:
    async with bound(f"127.0.0.1:{port}") as ports:
        assert ports == {4: port}
    async with bound(f"[::1]:{port}") as ports:
        assert ports == {6: port}


async def test_where_the_other_family_cannot_be_had_the_one_that_was_asked_for_is_enough() -> None:
    with taken(socket.AF_INET6, "::") as port:
        async with bound(f"0.0.0.0:{port}") as ports:
            assert ports == {4: port}
    with taken(socket.AF_INET, "0.0.0.0") as port:
        async with bound(f"[::]:{port}") as ports:
            assert ports == {6: port}


async def test_where_the_family_that_was_asked_for_cannot_be_had_the_other_one_is_not_enough() -> None:
    with taken(socket.AF_INET, "0.0.0.0") as port:
        reason = f"cannot bind 0.0.0.0:{port}: Address already in use"
        with pytest.raises(InputError, match=reason):
            await bind_endpoint(SecretKey.generate(), f"0.0.0.0:{port}")
