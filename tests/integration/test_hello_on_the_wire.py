# SPDX-License-Identifier: MIT
"""Two real endpoints: dialling, the hello, pings, and all the ways in which it fails."""

from __future__ import annotations

import asyncio

import iroh
import pytest
from tests.integration.party import Party, StartParty

from blixard.dialling.protocols import DialError
from blixard.errors import InputError
from blixard.model.addresses import SocketAddress
from blixard.transport.connector import ScratchProber, bind_endpoint
from blixard.transport.hello import DISCOVERY_ALPN, MAX_HELLO_BYTES, Welcome
from blixard.trust.keys import SecretKey

TIMEOUT = 10.0


async def test_a_dialled_peer_is_admitted_and_answers_pings_from_both_ends(start_party: StartParty) -> None:
    a, b = await start_party(), await start_party()
    outgoing = await a.connector.dial(b.as_peer(), timeout=TIMEOUT)
    incoming = await b.arrived.get()
    assert outgoing.endpoint_id == b.key.public()
    assert incoming.endpoint_id == a.key.public()
    assert outgoing.admitted
    assert (outgoing.outgoing, incoming.outgoing) == (True, False)
    assert await outgoing.ping(TIMEOUT) > 0
    assert await incoming.ping(TIMEOUT) > 0
    assert outgoing.path == "direct"


async def test_the_reason_of_a_close_reaches_both_ends(start_party: StartParty) -> None:
    a, b = await start_party(), await start_party()
    outgoing = await a.connector.dial(b.as_peer(), timeout=TIMEOUT)
    incoming = await b.arrived.get()
    outgoing.close("stopped")
    assert await outgoing.closed() == "stopped"
    assert "stopped" in await incoming.closed()


async def test_a_refused_caller_is_told_the_kind_and_the_reason(start_party: StartParty) -> None:
    a = await start_party()
    b = await start_party(lambda *_: Welcome(admitted=False, reason="wrong_cluster: this is cluster x"))
    with pytest.raises(DialError) as refused:
        await a.connector.dial(b.as_peer(), timeout=TIMEOUT)
    assert (refused.value.kind, refused.value.message) == ("wrong_cluster", "this is cluster x")


async def test_a_check_that_is_turned_away_is_an_answer_and_not_an_error(start_party: StartParty) -> None:
    a = await start_party()
    b = await start_party(lambda *_: Welcome(admitted=False, reason="unknown: no such peer"))
    met = await a.connector.probe(b.as_peer(), timeout=TIMEOUT)
    assert (met.admitted, met.refusal) == (False, "unknown: no such peer")


async def test_a_check_never_becomes_a_connection_of_the_mesh(start_party: StartParty) -> None:
    a, b = await start_party(), await start_party()
    met = await a.connector.probe(b.as_peer(), timeout=TIMEOUT)
    assert (met.admitted, met.path) == (True, "direct")
    assert met.rtt_ms > 0
    assert b.arrived.empty()


async def test_connections_that_have_ended_leave_no_task_at_either_end(start_party: StartParty) -> None:
    a, b = await start_party(), await start_party()
    closed = await start_party(lambda *_: Welcome(admitted=False, reason="unknown: no such peer"))
    before = asyncio.all_tasks()
    for number in range(4):
        ends = [await a.connector.dial(b.as_peer(), timeout=TIMEOUT), await b.arrived.get()]
        ends[number % 2].close("done")
        await a.connector.probe(b.as_peer(), timeout=TIMEOUT)
        with pytest.raises(DialError):
            await a.connector.dial(closed.as_peer(), timeout=TIMEOUT)
    while ending := asyncio.all_tasks() - before:
        _, left = await asyncio.wait(ending, timeout=TIMEOUT)
        assert left == set()


async def test_another_node_at_the_address_is_reported_as_the_wrong_id(start_party: StartParty) -> None:
    a, impostor, wanted = await start_party(), await start_party(), await start_party()
    with pytest.raises(DialError) as wrong:
        await a.connector.dial(wanted.as_peer(impostor.address), timeout=TIMEOUT)
    assert wrong.value.kind == "wrong_id"


async def test_a_probe_tells_the_right_node_from_an_impostor_address_by_address(start_party: StartParty) -> None:
    wanted, impostor = await start_party(), await start_party()
    prober = ScratchProber()
    at = SocketAddress.parse
    assert await prober.probe(at(wanted.address), wanted.key.public(), timeout=TIMEOUT)
    assert not await prober.probe(at(impostor.address), wanted.key.public(), timeout=TIMEOUT)


async def test_a_peer_that_says_another_node_id_than_its_entry_is_named_so(start_party: StartParty) -> None:
    a = await start_party()
    b = await start_party(lambda *_: Welcome(admitted=True, cluster="test", node_id=7))
    with pytest.raises(DialError) as wrong:
        await a.connector.dial(b.as_peer(node_id=2), timeout=TIMEOUT)
    assert wrong.value.kind == "wrong_node_id"
    assert "node 7" in wrong.value.message
    assert "node 2" in wrong.value.message


async def test_nobody_at_the_address_is_a_timeout(start_party: StartParty) -> None:
    a, gone = await start_party(), await start_party()
    peer = gone.as_peer()
    await gone.endpoint.close()
    with pytest.raises(DialError) as silent:
        await a.connector.dial(peer, timeout=0.5)
    assert silent.value.kind == "timeout"


async def test_a_peer_with_another_protocol_is_named_so(start_party: StartParty) -> None:
    a = await start_party()
    key = SecretKey.generate()
    options = iroh.EndpointOptions(
        preset=iroh.preset_minimal(),
        relay_mode=iroh.RelayMode.disabled(),
        bind_addr="127.0.0.1:0",
        secret_key=key.to_bytes(),
        alpns=[b"something/else"],
    )
    other = await iroh.Endpoint.bind(options)
    try:
        stranger = Party(key, other, a.connector)
        dial = a.connector.dial(stranger.as_peer(), timeout=TIMEOUT)
        await _accept_and_expect(other, dial, "wrong_alpn")
    finally:
        await other.close()


async def _accept_and_expect(endpoint: iroh.Endpoint, dial: object, kind: str) -> None:
    import asyncio

    async def accept() -> None:
        incoming = await endpoint.accept_next()
        assert incoming is not None
        with pytest.raises(iroh.IrohError):
            await (await incoming.accept()).connect()

    accepting = asyncio.create_task(accept())
    with pytest.raises(DialError) as wrong:
        await dial  # type: ignore[misc]
    assert wrong.value.kind == kind
    await accepting


@pytest.mark.parametrize(
    "noise",
    [b"", b"\xff\xfe", b"[]", b"{", b'{"v":1,"node_id":true}', b'{"v":2}', b"[" * 9000, b"x" * (MAX_HELLO_BYTES + 1)],
    ids=["empty", "not UTF-8", "a list", "truncated", "wrong type", "version 2", "deeply nested", "too long"],
)
async def test_a_caller_that_talks_nonsense_is_closed_and_the_next_one_is_served(
    start_party: StartParty, noise: bytes
) -> None:
    a, b = await start_party(), await start_party()
    remote = iroh.EndpointAddr(iroh.EndpointId.from_bytes(b.key.public().raw), None, [b.address])
    connection = await a.endpoint.connect(remote, DISCOVERY_ALPN)
    stream = await connection.open_bi()
    await stream.send().write_all(noise)
    await stream.send().finish()
    assert "hello" in await connection.closed()
    link = await a.connector.dial(b.as_peer(), timeout=TIMEOUT)
    assert link.admitted


async def test_a_taken_port_is_named_with_what_to_do(start_party: StartParty) -> None:
    a = await start_party()
    with pytest.raises(InputError, match=r"cannot bind .*in use.*ss -lunp"):
        await bind_endpoint(SecretKey.generate(), a.address)


async def test_an_address_that_this_host_does_not_have_is_not_called_a_taken_port() -> None:
    with pytest.raises(
        InputError, match=r"cannot bind 203\.0\.113\.7:7001: .*this host has no such address"
    ) as refused:
        await bind_endpoint(SecretKey.generate(), "203.0.113.7:7001")
    assert "free the port" not in str(refused.value)
