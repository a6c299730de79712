# SPDX-License-Identifier: MIT
"""What is replicated: the fleet's registry, and which voters are admitted.

Each voter applies the same commands in the same order and comes to the same state: nothing here reads a clock, a file
or a random number. What is wrong with a command is its result, never an exception.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from blixard.documents.record import check_name, only_known
from blixard.errors import BlixardError, InputError
from blixard.model import fields
from blixard.model.entry import NodeRegistryEntry
from blixard.model.limits import MAX_PEERS, MAX_PEERS_BYTES, MAX_SAFE_INTEGER
from blixard.model.words import wrong_kind
from blixard.raft.voters import MAX_VOTERS, majority
from blixard.trust.attestation import verify_attestation

MAX_CLIENTS = 1024
"""Clients whose last command is remembered, so that a repeated one is done once; the oldest is forgotten first."""

MAX_TOMBSTONES = MAX_PEERS
_MAX_WORD = 64

Result = dict[str, Any]
"""`{"done": bool}` of a command that was taken, or `{"refused": line}`."""


class RegistryMachine:
    """The state. `apply` is the only way to change it.

    Attributes:
        genesis: the id of the cluster, from its first command.
        voters: the incarnation of each voter; None of one that is not admitted yet.
    """

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self.genesis: str | None = None
        self.voters: dict[int, str | None] = {}
        self._entries: dict[int, dict[str, Any]] = {}  # name and entry, by node id
        self._tombstones: dict[int, list[Any]] = {}  # endpoint id and number of what was removed
        self._clients: dict[str, list[Any]] = {}  # number and result of the last command
        self._owners: dict[str, int] = {}  # node id by endpoint id
        self._names: dict[str, int] = {}  # node id by name
        self._bytes = 0

    @property
    def admitted(self) -> dict[int, str]:
        """The incarnations of the admitted voters."""
        return {node: word for node, word in self.voters.items() if word is not None}

    @property
    def is_open(self) -> bool:
        """Whether a majority of the voters is admitted: before that nothing is taken but what admits them."""
        return self.genesis is not None and len(self.admitted) >= majority(len(self.voters))

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self._entries)

    def get(self, node_id: int) -> dict[str, Any] | None:
        """Return `{"name", "entry"}` of one node."""
        return self._entries.get(node_id)

    def entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield node id and `{"name", "entry"}` of all, by node id."""
        yield from sorted(self._entries.items())

    def apply(self, body: object) -> Result:
        """Do a command, as `operations` makes them."""
        try:
            return self._apply(body)
        except BlixardError as error:
            return {"refused": str(error)}

    def change_members(self, action: str, node: int) -> None:
        """Take over a committed change of the voters."""
        if action == "add":
            self.voters.setdefault(node, None)
        else:
            self.voters.pop(node, None)

    def _apply(self, body: object) -> Result:
        if not isinstance(body, Mapping):
            raise InputError(wrong_kind("a command", body))
        match body.get("op"):
            case "barrier":
                return {"done": True}
            case "genesis":
                return self._begin(body)
            case "admit":
                return self._admit(body)
            case "put" | "remove":
                return self._numbered(body)
        raise InputError("is no command of this registry", place="/op")

    def _begin(self, body: Mapping[str, Any]) -> Result:
        if self.genesis is None:
            voters, word = body.get("voters"), fields.text(body.get("id"), "/id", most=_MAX_WORD)
            if not isinstance(voters, list) or len(voters) > MAX_VOTERS:
                raise InputError(wrong_kind("a list of voters", voters), place="/voters")
            self.voters = {fields.node_id(each, "/voters"): None for each in voters}
            self.genesis = word
        return {"done": self.genesis == body.get("id")}

    def _admit(self, body: Mapping[str, Any]) -> Result:
        node = fields.node_id(body.get("voter"), "/voter")
        word = fields.text(body.get("incarnation"), "/incarnation", most=_MAX_WORD)
        if node not in self.voters:
            raise InputError(f"node {node} is no voter")
        if self.voters[node] is None:
            self.voters[node] = word
        return {"done": self.voters[node] == word}

    def _numbered(self, body: Mapping[str, Any]) -> Result:
        if not self.is_open:
            raise InputError("the cluster has not admitted a majority of its voters yet", mend="try again in a moment")
        client = fields.text(body.get("client"), "/client", most=_MAX_WORD)
        number = fields.integer(body.get("number"), "/number", least=1, most=MAX_SAFE_INTEGER)
        last, result = self._clients.pop(client, (0, None))
        if number < last:
            self._clients[client] = [last, result]
            raise InputError(f"command {number} is older than the last of this client, {last}")
        if number > last:
            result = self._change(body)
        self._clients[client] = [number, result]
        if len(self._clients) > MAX_CLIENTS:
            del self._clients[next(iter(self._clients))]
        return dict(result or {})

    def _change(self, body: Mapping[str, Any]) -> Result:
        try:
            return self._put(body) if body["op"] == "put" else self._remove(body)
        except BlixardError as error:  # the result is remembered: a repetition comes to the same
            return {"refused": str(error)}

    def _put(self, body: Mapping[str, Any]) -> Result:
        name, entry = parse_put(body, self._cluster)
        node, iroh_id = entry.node_id, entry.iroh_node_id
        old = self._entries.get(node)
        self._check_owner(node, iroh_id, old)
        before = None if old is None else NodeRegistryEntry.from_json(old["entry"])
        gone_id, gone = self._tombstones.get(node, ("", 0))
        if gone_id == iroh_id and entry.seq <= gone:
            raise InputError(f"node {node} was removed at number {gone}, and this entry's is {entry.seq}")
        if before is not None and entry.seq < before.seq:
            raise InputError(f"the number of node {node} is {before.seq}, and this entry's is {entry.seq}")
        if before is not None and entry.seq == before.seq and entry.content() != before.content():
            raise InputError(f"another entry of node {node} has the same number, {entry.seq}")
        new = {"name": name, "entry": entry.to_json()}
        if new == old:
            return {"done": True}
        size = self._bytes + _size(new) - (0 if old is None else _size(old))
        if size > MAX_PEERS_BYTES or (old is None and len(self._entries) >= MAX_PEERS):
            raise InputError("the registry is full")
        if self._names.get(name) not in (None, node):
            raise InputError(f"another node has the name {name}")
        if old is not None:
            del self._names[old["name"]]
        self._entries[node], self._names[name], self._bytes = new, node, size
        self._owners[iroh_id] = node
        self._tombstones.pop(node, None)
        return {"done": True}

    def _check_owner(self, node: int, iroh_id: str, old: Mapping[str, Any] | None) -> None:
        owner = self._owners.get(iroh_id)
        if owner not in (None, node):
            raise InputError(f"this Iroh id is node {owner}'s", place="/iroh_node_id")
        if old is not None and old["entry"]["iroh_node_id"] != iroh_id:
            raise InputError(f"node {node} has another Iroh id", mend=f"remove it first: blixard raft remove {node}")

    def _remove(self, body: Mapping[str, Any]) -> Result:
        node = fields.node_id(body.get("node_id"), "/node_id")
        old = self._entries.pop(node, None)
        if old is None:
            return {"done": False}
        entry = NodeRegistryEntry.from_json(old["entry"])
        self._bytes -= _size(old)
        del self._owners[entry.iroh_node_id], self._names[old["name"]]
        self._tombstones.pop(node, None)
        self._tombstones[node] = [entry.iroh_node_id, entry.seq]
        if len(self._tombstones) > MAX_TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]
        return {"done": True}

    def to_json(self) -> dict[str, Any]:
        """Return the whole state. What is remembered in an order is a list."""
        return {
            "cluster": self._cluster,
            "genesis": self.genesis,
            "voters": [[node, word] for node, word in sorted(self.voters.items())],
            "entries": [[node, each["name"], each["entry"]] for node, each in self.entries()],
            "tombstones": [[node, *each] for node, each in self._tombstones.items()],
            "clients": [[client, *each] for client, each in self._clients.items()],
        }

    @staticmethod
    def check(state: Mapping[str, Any]) -> None:
        """Refuse a state that `restore` could not take.

        Raises:
            InputError: with the place of the first thing that is wrong.
        """
        RegistryMachine(fields.cluster(state.get("cluster"), "/state/cluster")).restore(state)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state that another voter, or this one before its restart, wrote.

        Raises:
            InputError: it is none, or another cluster's. All stays as it was.
        """
        try:
            new = self._restored(state)
        except (TypeError, ValueError, KeyError, AttributeError):
            raise InputError("is no state of a registry", place="/state") from None
        self.__dict__.update(new.__dict__)

    def _restored(self, state: Mapping[str, Any]) -> RegistryMachine:
        new = RegistryMachine(self._cluster)
        if state["cluster"] != self._cluster:
            raise InputError(f'is of cluster "{state["cluster"]}", not "{self._cluster}"', place="/state/cluster")
        new.genesis = None if state["genesis"] is None else fields.text(state["genesis"], "/state/genesis", most=64)
        for node, word in state["voters"]:
            new.voters[fields.node_id(node, "/state/voters")] = (
                None if word is None else fields.text(word, "/state/voters", most=_MAX_WORD)
            )
        for node, name, obj in state["entries"]:
            entry = NodeRegistryEntry.from_json(obj)
            if entry.node_id != node:
                raise InputError("has an entry of another node", place="/state/entries")
            new._entries[node] = {"name": check_name(name), "entry": entry.to_json()}
            new._owners[entry.iroh_node_id] = new._names[name] = node
            new._bytes += _size(new._entries[node])
        if not len(new._entries) == len(new._owners) == len(new._names) == len(state["entries"]):
            raise InputError("has a node, a key or a name twice", place="/state/entries")
        for node, iroh_id, number in state["tombstones"]:
            new._tombstones[fields.node_id(node, "/state/tombstones")] = [
                fields.iroh_node_id(iroh_id).base64,
                fields.integer(number, "/state/tombstones", least=0, most=MAX_SAFE_INTEGER),
            ]
        for client, number, result in state["clients"]:
            word = fields.text(client, "/state/clients", most=_MAX_WORD)
            count = fields.integer(number, "/state/clients", least=1, most=MAX_SAFE_INTEGER)
            new._clients[word] = [count, dict(result)]
        return new


def parse_put(body: Mapping[str, Any], cluster: str) -> tuple[str, NodeRegistryEntry]:
    """Return name and entry of a command `put`; the entry's signature is verified, at any time alike.

    Raises:
        BlixardError: the entry cannot be used, is not attested, or not for this cluster.
    """
    name = check_name(fields.text(body.get("name"), "/name", most=200))
    entry = fields.at("/entry", NodeRegistryEntry.from_json, body.get("entry"))
    entry, _ = only_known(entry)
    verify_attestation(entry, cluster=cluster)
    return name, entry


def _size(item: Mapping[str, Any]) -> int:
    return len(json.dumps(item))
