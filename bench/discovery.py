# SPDX-License-Identifier: MIT
"""What the discovery system costs: table, refresh, idle connections, checks of live and of dead peers.

    .venv/bin/python bench/discovery.py [table] [refresh] [http] [s3] [dns] [etcd] [large] [idle] [check] [dead]

Without a name all are measured. Live peers are endpoints in a process of their own, on loopback. Where there is
something to compare with, it is measured in the same run, by turns, and the ratio is what counts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import resource
import socket
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import iroh

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the DNS server of the tests
from tests.integration.knot import running_knot

from blixard.agent.connectivity import DEFAULT_TIMEOUT, Checker
from blixard.agent.control_client import ask
from blixard.agent.own_entry import key_path
from blixard.agent.process import start_detached, stop
from blixard.clock import SystemClock
from blixard.discovery_manager import DiscoveryConfig, DiscoveryManager, DiscoverySource
from blixard.documents import peers_file
from blixard.documents.parts import split, write_index
from blixard.documents.peers_file import format_peers, parse_peers
from blixard.documents.registry_file import format_registry
from blixard.errors import BlixardError
from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
from blixard.peers.claims import Origin
from blixard.peers.table import PeerTable
from blixard.publishing.dns_zone import zone_of
from blixard.publishing.etcd_locks import put
from blixard.sources.base import EtcdAccess, Source, SourceContext
from blixard.sources.etcd import EtcdSource
from blixard.sources.etcd_client import Etcd, EtcdPlace
from blixard.sources.file_stamps import RACY
from blixard.sources.http_client import Deadline, Limits
from blixard.sources.peers_reader import PeersReader
from blixard.transport.acceptor import Acceptor
from blixard.transport.connector import Connector, bind_endpoint, bound_port
from blixard.transport.hello import DISCOVERY_ALPN, Hello, Purpose, Welcome
from blixard.trust import attestation
from blixard.trust.attestation import AttestationCheck, attest
from blixard.trust.keys import SecretKey, create_secret_key
from blixard.trust.peers_signature import SIGNATURE_SUFFIX, sign_peers

if TYPE_CHECKING:
    from blixard.sources.factory import Named
    from blixard.transport.connection import IrohConnection

CLUSTER = "bench"
WHEN = datetime(2026, 1, 1, tzinfo=timezone.utc)
KNOWN = 10_000
LARGE = (30_000, 100_000)
LARGE_ENDS = 300.0
BARE = str(Path(__file__).with_name("bare_endpoint.py"))
LIVE = 200
MESH = 39
DEAD = 1_000
ROUNDS = 7
CHECK_GOAL = 1.15


def entry_of(
    key: SecretKey, node_id: int, address: str, previous: NodeRegistryEntry | None = None
) -> NodeRegistryEntry:
    """Return an attested entry."""
    entry = NodeRegistryEntry(node_id, key.public().base64, [address], None, address)
    return attest(entry, key, cluster=CLUSTER, now=WHEN, previous=previous)


def peer_of(key: SecretKey, node_id: int, address: str) -> DiscoveredPeer:
    """Return an attested peer."""
    return DiscoveredPeer.from_entry(entry_of(key, node_id, address), "static", WHEN)


def resident_mib(process: int) -> float:
    """Return the resident memory of a process. Source: proc(5)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def cpu_seconds(process: int) -> float:
    """Return the CPU time that a process has used. Source: proc(5)."""
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a UDP port that nobody has at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return wall and CPU seconds of `work`."""
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    return time.perf_counter() - wall, time.process_time() - cpu


def many_peers(count: int) -> list[DiscoveredPeer]:
    """Return `count` attested peers at addresses of TEST-NET-1 where nobody is."""
    return [peer_of(SecretKey.generate(), n, f"192.0.2.{n % 250 + 1}:{n % 60000 + 1}") for n in range(1, count + 1)]


async def table(room: Path) -> None:
    """Memory and time of a table of 10,000 attested peers, from nothing to complete."""
    path = room / "peers.json"
    path.write_bytes(format_peers(many_peers(KNOWN)))
    before = resident_mib(os.getpid())
    manager = DiscoveryManager(DiscoveryConfig([DiscoverySource.StaticFile(path)], auto_connect=False))
    wall, _ = await timed(manager.refresh_peers)
    after = resident_mib(os.getpid())
    known = len(manager.get_peers())
    await manager.stop()
    used = after - before
    print(f"table    {known} peers: {used:.0f} MiB, {used * 1024 / known:.1f} KiB a peer, {wall:.2f} s")


async def refresh(room: Path) -> None:
    """A refresh in which one of 10,000 peers changed, and one in which nothing did, against the first load.

    Once from a signed peers file, which the node remembers in its state directory, and once from a folder of
    registries.
    """
    keys = [SecretKey.generate() for _ in range(KNOWN)]
    fleet_key = SecretKey.generate()
    entries = [entry_of(key, n, f"192.0.2.{n % 250 + 1}:{n % 60000 + 1}") for n, key in enumerate(keys, 1)]
    path, folder, state = room / "peers.json", room / "registries", room / "state"
    folder.mkdir()
    state.mkdir()

    def write_file() -> None:
        data = format_peers(DiscoveredPeer.from_entry(entry, "static", WHEN) for entry in entries)
        path.write_bytes(data)
        signature = sign_peers(data, fleet_key, cluster=CLUSTER, previous_seq=None, now=datetime.now(timezone.utc))
        path.with_name(path.name + SIGNATURE_SUFFIX).write_bytes(signature)

    def write_folder(count: int) -> None:
        for entry in entries[:count]:
            (folder / f"{entry.node_id}.json").write_bytes(format_registry(entry))

    write_folder(KNOWN)
    signed = DiscoveryConfig(
        [DiscoverySource.StaticFile(path)],
        auto_connect=False,
        trusted_signers=[fleet_key.public()],
        state_dir=state,
    )
    registries = DiscoveryConfig([DiscoverySource.NodeRegistry([str(folder)])], auto_connect=False)
    ways: list[tuple[str, DiscoveryConfig, Callable[[], None]]] = [
        ("file", signed, write_file),
        ("folder", registries, lambda: write_folder(1)),
    ]
    for name, config, write in ways:
        write()
        await asyncio.sleep(RACY)  # until then a file counts as changed
        manager = DiscoveryManager(config)
        first = 0.0
        while len(manager.get_peers()) < KNOWN:  # on a busy machine the first look runs into its time limit
            first += (await timed(manager.refresh_peers))[1]
            await asyncio.sleep(1)
        _, same = await timed(manager.refresh_peers)
        events = manager.subscribe()
        changed = []
        for turn in range(ROUNDS):
            entries[0] = entry_of(keys[0], 1, f"192.0.2.1:{turn + 1}", previous=entries[0])
            write()
            changed.append((await timed(manager.refresh_peers))[1])
            assert (await asyncio.wait_for(anext(events), 1)).kind == "updated"
        events.close()
        others = [event async for event in events]
        await manager.stop()
        one = statistics.median(changed)
        print(
            f"refresh  {name}, CPU: first load {first:.2f} s; one of {KNOWN} changed {one * 1000:.0f} ms "
            f"({one / first:.3f} of it), {1 + len(others) // ROUNDS} event; nothing changed {same * 1000:.1f} ms"
        )


class SignedFleet:
    """A signed peers file of 10,000 peers, of which the first one moves whenever it is asked for again."""

    def __init__(self) -> None:
        self._keys = [SecretKey.generate() for _ in range(KNOWN)]
        self._fleet_key = SecretKey.generate()
        self._entries = [
            entry_of(key, n, f"192.0.2.{n % 250 + 1}:{n % 60000 + 1}") for n, key in enumerate(self._keys, 1)
        ]
        self._turn = 0
        self.signers = [self._fleet_key.public()]

    def next(self) -> dict[str, bytes]:
        """Return the peers file and its signature by their names, after one peer has moved."""
        self._turn += 1
        self._entries[0] = entry_of(self._keys[0], 1, f"192.0.2.1:{self._turn}", previous=self._entries[0])
        data = format_peers(DiscoveredPeer.from_entry(entry, "static", WHEN) for entry in self._entries)
        now = datetime.now(timezone.utc)
        signature = sign_peers(
            data, self._fleet_key, cluster=CLUSTER, previous_seq=int(now.timestamp()) + self._turn, now=now
        )
        return {"peers.json.sig": signature, "peers.json": data}


async def _against_file(
    name: str, room: Path, location: str, put: Callable[[dict[str, bytes]], None], *, signed: bool = True
) -> None:
    """Measure the peers at `location` beside the same ones in a local file, signed or not: by turns, as ratios."""
    fleet, local = SignedFleet(), room / "local"
    local.mkdir()

    def write(turn: int) -> None:
        files = fleet.next()
        for file, data in files.items():
            (local / file).write_bytes(data)
            os.utime(local / file, (WHEN.timestamp() + turn,) * 2)
        put(files)

    write(0)
    await asyncio.sleep(RACY)  # until then a file counts as changed
    places: dict[str, Named] = {
        "file": DiscoverySource.StaticFile(local / "peers.json"),
        name: DiscoverySource.NodeRegistry([location]),
    }
    took: dict[str, dict[str, list[tuple[float, float]]]] = {}
    managers = {}
    for which, place in places.items():
        managers[which] = DiscoveryManager(
            DiscoveryConfig(
                [place],
                auto_connect=False,
                trusted_signers=fleet.signers if signed else (),
                state_dir=_made(room / which),
            )
        )
        wall = cpu = 0.0
        while len(managers[which].get_peers()) < KNOWN:  # on a busy machine the first look runs into its time limit
            more = await timed(managers[which].refresh_peers)
            wall, cpu = wall + more[0], cpu + more[1]
        took[which] = {"first": [(wall, cpu)], "changed": [], "same": []}
    for turn in range(1, ROUNDS + 1):
        write(turn)
        await asyncio.sleep(RACY)
        for what in ("changed", "same"):
            for which, manager in managers.items():
                took[which][what].append(await timed(manager.refresh_peers))
    for manager in managers.values():
        assert manager.get_peers()[0].direct_addresses[0] == f"192.0.2.1:{ROUNDS + 1}"
        await manager.stop()
    print(f"{name:<8} {KNOWN} peers", end="")
    for what, words in (("first", "first load"), ("changed", "one changed"), ("same", "nothing changed")):
        wall, cpu, file_wall, file_cpu = (
            statistics.median(each[kind] for each in took[which][what]) for which in (name, "file") for kind in (0, 1)
        )
        print(
            f"; {words} {wall * 1000:.1f} ms, {wall / file_wall:.2f} of a file's (CPU {cpu * 1000:.1f} ms,"
            f" {cpu / file_cpu:.2f})",
            end="",
        )
    print()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@contextlib.asynccontextmanager
async def _server(*command: str) -> AsyncIterator[str]:
    """Run a program of Python's that serves http at the port that is its last word; gives its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    null = asyncio.subprocess.DEVNULL
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", *command, str(port), stdout=null, stderr=null)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        await server.wait()


async def http(room: Path) -> None:
    """A signed peers file of 10,000 peers on a web server, against the same in a local file."""
    served, turns = _made(room / "served"), itertools.count()

    def put(files: dict[str, bytes]) -> None:
        then = WHEN.timestamp() + next(turns)  # a web server tells whole seconds
        for name, data in files.items():
            (served / name).write_bytes(data)
            os.utime(served / name, (then, then))

    async with _server("http.server", "--bind", "127.0.0.1", "--directory", str(served)) as url:
        await _against_file("http", room, f"{url}/peers.json", put)


async def s3(room: Path) -> None:
    """The same in a bucket: moto's server, in a process of its own."""
    import boto3

    async with _server("moto.server", "-H", "127.0.0.1", "-p") as url:
        os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
        bucket = boto3.resource("s3").Bucket("fleet")
        bucket.create()

        def put(files: dict[str, bytes]) -> None:
            for name, data in files.items():
                bucket.Object(name).put(Body=data)

        await _against_file("s3", room, "s3://fleet/peers.json", put)


@contextlib.asynccontextmanager
async def _etcd(folder: Path) -> AsyncIterator[str]:
    """Run an etcd; gives `host:port`."""
    with socket.socket() as probe, socket.socket() as other:
        ports = []
        for each in (probe, other):
            each.bind(("127.0.0.1", 0))
            ports.append(each.getsockname()[1])
    client, peer = (f"http://127.0.0.1:{port}" for port in ports)
    options = ["--data-dir", str(folder), "--listen-client-urls", client, "--advertise-client-urls", client]
    options += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    options += ["--initial-cluster", f"default={peer}", "--logger", "zap"]
    null = asyncio.subprocess.DEVNULL
    server = await asyncio.create_subprocess_exec("etcd", *options, stdout=null, stderr=null)
    try:
        while True:
            with contextlib.suppress(BlixardError):
                _EtcdWriter(f"127.0.0.1:{ports[0]}").put({})
                break
            await asyncio.sleep(0.1)
        yield f"127.0.0.1:{ports[0]}"
    finally:
        server.terminate()
        await server.wait()


class _EtcdWriter:
    """Puts values under the prefix `fleet`."""

    def __init__(self, where: str) -> None:
        self._client = Etcd(EtcdPlace.parse(f"etcd://{where}/fleet"), EtcdAccess())

    def put(self, values: dict[str, bytes]) -> None:
        """Put these values, in transactions of 100."""
        operations = [put(self._client.place.key(name), value).request for name, value in values.items()]
        for start in range(0, max(len(operations), 1), 100):
            self._client.call("kv/txn", {"success": operations[start : start + 100]}, Deadline(Limits()))

    def put_signed(self, files: dict[str, bytes]) -> None:
        """Put a peers file in parts, and its signature."""
        digests, parts = split(files["peers.json"])
        for digest, part in parts.items():
            self.put({f"parts/{digest}": part})
        self.put({"peers": write_index(digests), "peers.sig": files["peers.json.sig"]})


async def etcd(room: Path) -> None:
    """A signed peers file of 10,000 peers in etcd against the same in a local file, and entries against a folder.

    Changes of entries come by a watch, as in a running node; the peers file is looked at, like the others.
    """
    async with _etcd(room / "etcd") as where:
        writer = _EtcdWriter(where)
        await _against_file("etcd", _made(room / "signed"), f"etcd://{where}/fleet", writer.put_signed)
    async with _etcd(room / "etcd2") as where:
        await _entries_against_folder(room, where)


async def _entries_against_folder(room: Path, where: str) -> None:
    keys = [SecretKey.generate() for _ in range(KNOWN)]
    entries = [entry_of(key, n, f"192.0.2.{n % 250 + 1}:{n % 60000 + 1}") for n, key in enumerate(keys, 1)]
    folder, writer = _made(room / "registries"), _EtcdWriter(where)

    def write(count: int) -> None:
        values = {str(entry.node_id): format_registry(entry) for entry in entries[:count]}
        for name, data in values.items():
            (folder / f"{name}.json").write_bytes(data)
        writer.put({f"registry/{name}": data for name, data in values.items()})

    write(KNOWN)
    await asyncio.sleep(RACY)
    context = SourceContext(
        check=AttestationCheck(cluster=CLUSTER, wall=SystemClock().wall), wall=SystemClock().wall, is_known=bool
    )
    watched = EtcdSource(EtcdPlace.parse(f"etcd://{where}/fleet"), context)
    ways: dict[str, Source | DiscoverySource.NodeRegistry] = {
        "folder": DiscoverySource.NodeRegistry([folder]),
        "etcd": watched,
    }
    managers = {name: DiscoveryManager(DiscoveryConfig([way], auto_connect=False)) for name, way in ways.items()}
    took: dict[str, dict[str, list[float]]] = {name: {"first": [], "changed": [], "same": []} for name in ways}
    for name, manager in managers.items():
        first = 0.0
        while len(manager.get_peers()) < KNOWN:
            first += (await timed(manager.refresh_peers))[1]
        took[name]["first"].append(first)
    await watched.changed()  # begins to watch
    for turn in range(ROUNDS):
        entries[0] = entry_of(keys[0], 1, f"192.0.2.1:{turn + 1}", previous=entries[0])
        write(1)
        await asyncio.sleep(RACY)
        assert await watched.changed()
        for what in ("changed", "same"):
            for name, manager in managers.items():
                took[name][what].append((await timed(manager.refresh_peers))[1])
    for manager in managers.values():
        assert manager.get_peers()[0].direct_addresses[0] == f"192.0.2.1:{ROUNDS}"
        await manager.stop()
    print(f"etcd     {KNOWN} entries, CPU", end="")
    for what, words in (("first", "first load"), ("changed", "one changed"), ("same", "nothing changed")):
        ours, theirs = (statistics.median(took[name][what]) for name in ("etcd", "folder"))
        print(f"; {words} {ours * 1000:.1f} ms, {ours / theirs:.2f} of a folder's", end="")
    print()


async def dns(room: Path) -> None:
    """The same peers in a zone of Knot, where nobody signs for the fleet: each record has its node's attestation."""
    with running_knot(_made(room / "knot")) as knot:
        knot.start()

        def put(files: dict[str, bytes]) -> None:
            knot.set(zone_of(parse_peers(files["peers.json"])).file(None).splitlines())

        await _against_file("dns", room, knot.location, put, signed=False)


async def large(_: Path) -> None:
    """Peers files of as many peers as one may have, and of more than that, each in a process of its own."""
    for count in LARGE:
        measuring = await _this_program("--large", str(count))
        try:
            said, _stderr = await asyncio.wait_for(measuring.communicate(), LARGE_ENDS)
            print(said.decode(), end="", flush=True)
        except asyncio.TimeoutError:
            measuring.kill()
            await measuring.wait()
            print(
                f"large    {count} peers: did not end within {LARGE_ENDS:.0f} s, this machine has too much else to do"
            )


def large_file(count: int) -> None:
    """Print what a peers file costs, its limits lifted: the first reading, one entry changed, and the changed bytes."""
    vars(peers_file).update(MAX_PEERS=2**30, MAX_PEERS_BYTES=2**30)
    vars(attestation).update(MAX_REMEMBERED=2**30)
    peers = many_peers(count)
    key, clock = SecretKey.generate(), SystemClock()
    peers[0] = peer_of(key, 1, "192.0.2.1:1")
    data = format_peers(peers)
    peers[0] = peer_of(key, 1, "192.0.2.1:2")
    changed_data = format_peers(peers)
    peers.clear()
    check = AttestationCheck(cluster=None, wall=clock.wall)
    reader = PeersReader("peers", name="peers", check=check, wall=clock.wall)
    table, origin = PeerTable(hold=60), Origin("peers", "static", 0)
    costs = []
    before = resident_mib(os.getpid())
    for text in (data, changed_data):
        began = time.process_time()
        table.apply(origin, reader.read(text), clock.now())
        costs.append((time.process_time() - began, resident_mib(os.getpid()) - before))
    (first, used), (changed, most) = costs
    packed = zlib.compress(data)
    print(
        f"large    {len(table)} peers: {len(data) / 2**20:.1f} MiB ({len(packed) / 2**20:.1f} packed); read"
        f" {first:.1f} s CPU, {used:.0f} MiB of memory; one changed {changed * 1000:.0f} ms CPU, then {most:.0f} MiB"
    )


class LivePeers:
    """Endpoints that answer hellos, in another process."""

    def __init__(self, process: asyncio.subprocess.Process, peers: list[DiscoveredPeer]) -> None:
        self.peers = peers
        self._process = process

    async def dial(self, peer: DiscoveredPeer) -> None:
        """Have each of them connect to `peer` and stay; returns when all are connected."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(json.loads(format_peers([peer]))).encode() + b"\n")
        assert await self._process.stdout.readline()


@contextlib.asynccontextmanager
async def live_peers(count: int) -> AsyncIterator[LivePeers]:
    """Run `count` of them."""
    server = await _this_program("--serve", str(count))
    assert server.stdout is not None
    assert server.stdin is not None
    try:
        yield LivePeers(server, parse_peers(json.dumps(json.loads(await server.stdout.readline())).encode()))
    finally:
        server.stdin.close()
        await server.wait()


async def serve(count: int) -> None:
    """Run the endpoints until standard input ends; they dial the peers that come in there."""
    keys = [SecretKey.generate() for _ in range(count)]
    endpoints = [await bind_endpoint(key, "127.0.0.1:0") for key in keys]
    links: list[IrohConnection] = []

    def welcome(_: Hello, __: object) -> Welcome:
        return Welcome(admitted=True, cluster=CLUSTER)

    acceptors = [
        Acceptor(endpoint, welcome, lambda link, _: links.append(link), clock=SystemClock()) for endpoint in endpoints
    ]
    serving = [asyncio.create_task(acceptor.serve()) for acceptor in acceptors]
    peers = [
        peer_of(key, number, f"127.0.0.1:{bound_port(endpoint, ipv6=False)}")
        for number, (key, endpoint) in enumerate(zip(keys, endpoints, strict=True), 1)
    ]
    print(json.dumps(json.loads(format_peers(peers))), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        (peer,) = parse_peers(line.encode())
        for number, endpoint in enumerate(endpoints, 1):
            caller = Connector(endpoint, lambda purpose, number=number: member(purpose, number), clock=SystemClock())  # type: ignore[misc]
            links.append(await caller.dial(peer, timeout=DEFAULT_TIMEOUT))
        print("connected", flush=True)
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)
    await asyncio.gather(*(endpoint.close() for endpoint in endpoints))


def member(purpose: Purpose, number: int) -> Hello:
    """Introduce one of the live peers."""
    return Hello(cluster=CLUSTER, node_id=number, entry=None, purpose=purpose)


def hello(purpose: Purpose) -> Hello:
    """Introduce this process as a stranger."""
    return Hello(cluster=None, node_id=None, entry=None, purpose=purpose)


@contextlib.asynccontextmanager
async def endpoint_here() -> AsyncIterator[iroh.Endpoint]:
    """Bind an endpoint in this process."""
    endpoint = await bind_endpoint(SecretKey.generate(), "127.0.0.1:0")
    try:
        yield endpoint
    finally:
        await endpoint.close()


async def idle(room: Path) -> None:
    """CPU and memory of a real node that holds connections with beats and has nothing else to do.

    It dialled as many of them as there are in a full mesh, or all dialled it: the end that dials sends the beats.
    Beside it, in the same seconds, a bare endpoint with as many connections, which are kept alive by iroh alone.
    """
    for count, dials in ((MESH, True), (MESH, False), (LIVE, False)):
        with tempfile.TemporaryDirectory(dir=room) as data_dir:
            await _idle(Path(data_dir), count, dials=dials)


async def _idle(room: Path, count: int, *, dials: bool) -> None:
    key, port = create_secret_key(key_path(room)), free_port()
    async with live_peers(count) as live, bare_hub(count) as bare:
        (room / "discovery-peers.json").write_bytes(format_peers(live.peers))
        about = f"--id {count + 1} --bind 127.0.0.1:{port} --cluster {CLUSTER} --auto-connect {str(dials).lower()}"
        node = start_detached(["node", *about.split(), "--data-dir", str(room)], room)
        try:
            alone = resident_mib(node)
            if not dials:
                await live.dial(peer_of(key, count + 1, f"127.0.0.1:{port}"))
            for _ in range(60):
                if len(ask(room, "info")["connected"]) == count:
                    break
                await asyncio.sleep(1)
            span, before = 30.0, [cpu_seconds(each) for each in (node, bare)]
            await asyncio.sleep(span)
            ours, floor = ((cpu_seconds(each) - was) / span for each, was in zip((node, bare), before, strict=True))
            assert len(ask(room, "info")["connected"]) == count
            print(
                f"idle     {count} connections, {'dialled' if dials else 'taken'}: {ours:.2%} of a core, "
                f"{resident_mib(node):.0f} MiB (alone {alone:.0f}); bare endpoint {floor:.2%}, "
                f"{resident_mib(bare):.0f} MiB; ratio {ours / max(floor, 1e-4):.1f}"
            )
        finally:
            stop(room)


@contextlib.asynccontextmanager
async def bare_hub(count: int) -> AsyncIterator[int]:
    """Run an endpoint with `count` connections in a process of its own; the process's id."""
    hub = await _program(BARE)
    assert hub.stdout is not None
    address = (await hub.stdout.readline()).decode().strip()
    spokes = await _program(BARE, str(count), address)
    assert spokes.stdout is not None
    assert await spokes.stdout.readline()
    try:
        yield hub.pid
    finally:
        for process in (spokes, hub):
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()


async def _this_program(*options: str) -> asyncio.subprocess.Process:
    return await _program(__file__, *options)


async def _program(file: str, *options: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, file, *options, stdin=pipe, stdout=pipe, limit=2**24)


async def check(_: Path) -> None:
    """A check of 200 live peers against bare Endpoint.connect calls: in a loop, and as many at once as the check has.

    The loop is what one would write without this project, and the goal is about it. Beyond the calls at once a check
    pays, on both sides, for the hello: it proves that the peer's program answers, and lets this node in.
    """
    at_once = 128

    async def bare(endpoint: iroh.Endpoint, peers: Sequence[DiscoveredPeer], at_once: int) -> None:
        slots = asyncio.Semaphore(at_once)

        async def connect(peer: DiscoveredPeer) -> None:
            async with slots:
                remote = iroh.EndpointAddr(
                    iroh.EndpointId.from_bytes(peer.endpoint_id.raw), None, list(peer.direct_addresses)
                )
                (await endpoint.connect(remote, DISCOVERY_ALPN)).close(0, b"")

        await asyncio.gather(*(connect(peer) for peer in peers))

    async def checked(endpoint: iroh.Endpoint, peers: Sequence[DiscoveredPeer]) -> None:
        checker = Checker(
            Connector(endpoint, hello, clock=SystemClock()), clock=SystemClock(), rng=Random(1), at_once=at_once
        )
        edges = await checker.check(peers, timeout=DEFAULT_TIMEOUT)
        assert all(edge.outcome.reached for edge in edges)

    walls: dict[str, list[float]] = {"loop": [], "at once": [], "check": []}
    async with live_peers(LIVE) as live:
        peers = live.peers
        for turn in range(ROUNDS + 1):
            ways: dict[str, Callable[[iroh.Endpoint], Awaitable[object]]] = {
                "loop": lambda endpoint: bare(endpoint, peers, 1),
                "at once": lambda endpoint: bare(endpoint, peers, at_once),
                "check": lambda endpoint: checked(endpoint, peers),
            }
            for name, way in ways.items():
                async with endpoint_here() as endpoint:
                    wall, _cpu = await timed(lambda way=way, endpoint=endpoint: way(endpoint))  # type: ignore[misc]
                if turn:  # the first warms up
                    walls[name].append(wall)
    print(f"check    {LIVE} live peers: {statistics.median(walls['check']):.2f} s", end="")
    for name in ("loop", "at once"):
        ratios = [ours / bare for ours, bare in zip(walls["check"], walls[name], strict=True)]
        print(f"; {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of bare, {name}", end="")
    print(f"; goal {CHECK_GOAL} of the loop")


async def dead(_: Path) -> None:
    """A check of 1,000 peers of which none answers: bounded by its time limit, nearly without work."""
    timeout = 5.0
    async with endpoint_here() as endpoint:
        peers = [peer_of(SecretKey.generate(), n, f"127.0.0.1:{n + 1024}") for n in range(1, DEAD + 1)]
        checker = Checker(Connector(endpoint, hello, clock=SystemClock()), clock=SystemClock(), rng=Random(1))
        edges: list[object] = []

        async def run() -> None:
            edges.extend(await checker.check(peers, timeout=timeout))

        wall, cpu = await timed(run)
        print(f"dead     {len(edges)} dead peers, {timeout:g} s for one: {wall:.1f} s, {cpu / wall:.1%} of a core")


MEASURES = {
    "table": table,
    "refresh": refresh,
    "http": http,
    "s3": s3,
    "etcd": etcd,
    "dns": dns,
    "large": large,
    "idle": idle,
    "check": check,
    "dead": dead,
}


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", nargs="*", help=", ".join(MEASURES))
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--large", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.large:
        large_file(args.large)
        return
    if args.serve:
        asyncio.run(serve(args.serve))
        return
    for name in args.measure or MEASURES:
        with tempfile.TemporaryDirectory() as room:
            asyncio.run(MEASURES[name](Path(room)))


if __name__ == "__main__":
    main()
