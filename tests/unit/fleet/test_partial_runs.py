# SPDX-License-Identifier: MIT
"""Ten nodes through a hundred random partial runs: record and peers file are always what a plain model says."""

from __future__ import annotations

import json
import random
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.documents.samples import CLUSTER, NOW, entry, key

from blixard.documents.peers_file import format_peers, parse_peers, read_peers
from blixard.fleet.registry import Update, update_record
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.attestation import attest
from blixard.trust.key_announcement import announce

RUNS = 100
MAX_REMOVALS = 1


@dataclass(frozen=True)
class Host:
    """What a machine is at this moment, whether a run has seen it or not."""

    node_id: int
    key: int
    address: str

    def peer(self) -> tuple[int, str, tuple[str, ...]]:
        return self.node_id, key(self.key).public().base64, (self.address,)


@dataclass
class World:
    """The machines as they are (`hosts`), and the fleet as the runs so far make it (`members`): the model."""

    folder: Path
    rng: random.Random
    now: datetime = NOW
    hosts: dict[str, Host] = field(default_factory=dict)
    members: dict[str, Host] = field(default_factory=dict)
    signed: dict[int, NodeRegistryEntry] = field(default_factory=dict)
    keys: int = 0
    names: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def add_host(self, node_id: int) -> str:
        self.keys, self.names = self.keys + 1, self.names + 1
        name = f"host{self.names}"
        self.hosts[name] = Host(node_id, self.keys, self.new_address())
        return name

    def new_address(self) -> str:
        return f"10.{self.rng.randrange(256)}.{self.rng.randrange(256)}.{self.rng.randrange(1, 255)}:7001"

    def entry(self, host: Host) -> NodeRegistryEntry:
        """What the host signs about itself: the same as before while nothing about it has changed."""
        says = entry(
            host.node_id,
            iroh_node_id=key(host.key).public().base64,
            direct_addresses=(host.address,),
            address=host.address,
        )
        previous = self.signed.get(host.key)
        self.signed[host.key] = attest(says, key(host.key), cluster=CLUSTER, now=self.now, previous=previous)
        return self.signed[host.key]

    def run(self, reached: Collection[str], **options: Any) -> Update:
        """A run that reaches those hosts, and writes the peers file as the role does."""
        peers_file = self.folder / "discovery-peers.json"
        arguments: dict[str, Any] = {
            "cluster": CLUSTER,
            "now": self.now,
            "max_removals": MAX_REMOVALS,
            "states": {},
            "announced": {},
            "peers_file": peers_file,
            "upstream_compat": False,
            "check": False,
        }
        gathered = {name: self.entry(self.hosts[name]).to_json() for name in reached}
        update = update_record(self.folder / "registry", gathered, **{**arguments, **options})
        if not update.refused:
            peers = parse_peers(json.dumps(update.peers).encode())
            peers_file.write_bytes(format_peers(peers))
        return update

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "registry").glob("*.json")}

    def some(self, names: Collection[str]) -> set[str]:
        """A random limit: any number of the names, all of them included."""
        return set(self.rng.sample(sorted(names), self.rng.randint(0, len(names))))

    def taken(self, reached: Collection[str]) -> None:
        """Tell the model that a run has reached these hosts and was not refused."""
        self.members |= {name: self.hosts[name] for name in reached}


def _move(world: World) -> None:
    """Some hosts get new addresses, and a run reaches some hosts, not necessarily those."""
    for name in world.some(world.hosts):
        world.hosts[name] = replace(world.hosts[name], address=world.new_address())
    reached = world.some(world.hosts)
    assert not world.run(reached).refused
    world.taken(reached)


def _add(world: World) -> None:
    """A new host with a number that nobody has."""
    used = {host.node_id for host in [*world.hosts.values(), *world.members.values()]}
    name = world.add_host(next(number for number in range(1, 99) if number not in used))
    assert not world.run({name}).refused
    world.taken({name})


def _remove(world: World) -> None:
    """One host goes for good; a later run that still has it in its inventory does not bring it back."""
    name = world.rng.choice(sorted(world.members))
    reached = world.some(set(world.hosts) - {name})
    assert not world.run(reached, states={name: "absent"}).refused
    world.taken(reached)
    del world.members[name]
    assert world.run({name}).refused
    del world.hosts[name]


def _prune(world: World) -> None:
    """One host is taken out of the inventory: it stays a member, until a run is asked to prune."""
    name = world.rng.choice(sorted(world.members))
    inventory = sorted(set(world.hosts) - {name})
    assert world.run(set(), hosts=inventory).without_host == (name,)
    reached = world.some(inventory)
    assert not world.run(reached, hosts=inventory, prune=True).refused
    world.taken(reached)
    del world.members[name], world.hosts[name]


def _prune_too_many(world: World) -> None:
    """Two are more than the guard allows when pruning, too: nothing happens."""
    gone = world.rng.sample(sorted(world.members), 2)
    inventory = sorted(set(world.hosts) - set(gone))
    assert world.run(world.some(inventory), hosts=inventory, prune=True).refused


def _remove_too_many(world: World) -> None:
    """Two at once are more than the guard allows: nothing happens."""
    gone = world.rng.sample(sorted(world.members), 2)
    assert world.run(world.some(world.hosts), states=dict.fromkeys(gone, "absent")).refused


def _rename(world: World) -> None:
    """A host gets another name in the inventory, the old one being set absent."""
    old = world.rng.choice(sorted(world.members))
    world.names += 1
    new = f"host{world.names}"
    world.hosts[new] = world.hosts.pop(old)
    reached = world.some(world.hosts) | {new}
    assert not world.run(reached, states={old: "absent"}, max_removals=0).refused
    del world.members[old]
    world.taken(reached)


def _rotate(world: World) -> None:
    """A host has a new key: refused while nobody announced it, taken with the words of both keys."""
    name = world.rng.choice(sorted(world.members))
    before = world.hosts[name]
    world.keys += 1
    world.hosts[name] = after = replace(before, key=world.keys)
    assert world.run({name}).refused
    said = announce(key(before.key), key(after.key), cluster=CLUSTER, node_id=after.node_id, now=world.now)
    assert not world.run({name}, announcements={name: said}).refused
    world.taken({name})
    world.hosts[name] = before
    assert world.run({name}, announcements={name: said}).refused
    world.hosts[name] = after


def _clone(world: World) -> None:
    """A machine was copied, key and all, under another name: refused with everything else of that run."""
    one = world.rng.choice(sorted(world.members))
    world.hosts["clone"] = world.hosts[one]
    assert world.run({"clone", *world.some(world.hosts)}).refused
    del world.hosts["clone"]


def _swap_node_ids(world: World) -> None:
    """Two hosts have each other's number in the inventory: refused."""
    one, two = world.rng.sample(sorted(world.members), 2)
    before, signed = dict(world.hosts), dict(world.signed)
    world.hosts[one] = replace(before[one], node_id=before[two].node_id)
    world.hosts[two] = replace(before[two], node_id=before[one].node_id)
    assert world.run({one, two}).refused
    world.hosts, world.signed = before, signed


ALWAYS = (_move, _add)
WITH_FOUR = (
    *(_remove, _remove_too_many, _prune, _prune_too_many),
    *(_rename, _rotate, _clone, _swap_node_ids, _move, _move),
)


@pytest.mark.parametrize("seed", range(3))
def test_record_and_peers_file_follow_the_model_through_a_hundred_partial_runs(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, random.Random(seed))
    first = {world.add_host(number) for number in range(1, 11)}
    assert not world.run(first).refused
    world.taken(first)

    for _ in range(RUNS):
        world.now += timedelta(minutes=world.rng.randint(1, 600))
        step = world.rng.choice(ALWAYS + WITH_FOUR if len(world.members) > 4 else ALWAYS)
        before, members = world.files(), dict(world.members)
        step(world)
        world.counts[step.__name__] = world.counts.get(step.__name__, 0) + 1

        peers = read_peers(tmp_path / "discovery-peers.json")
        said = [(peer.node_id, peer.iroh_node_id, tuple(peer.direct_addresses)) for peer in peers]
        assert said == sorted(host.peer() for host in world.members.values())
        after = world.files()
        kept = {name for name, host in members.items() if world.members.get(name) == host}
        assert {name for name in kept if before[f"{name}.json"] != after[f"{name}.json"]} == set()

    assert set(world.counts) == {step.__name__ for step in ALWAYS + WITH_FOUR}
