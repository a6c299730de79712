# SPDX-License-Identifier: MIT
"""What can be asked of a voter: its state, the registry, the voters, and another leader.

`done` is said only of what is committed and applied. Where that is not known the outcome is `unknown`, with a line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from blixard.clock import TimeLimit
from blixard.errors import BlixardError, InputError
from blixard.model import fields
from blixard.model.limits import MAX_RAFT_TIMEOUT, RAFT_TIMEOUT
from blixard.raft.codec import REGULAR, command, membership
from blixard.raft.engine import NOBODY
from blixard.raft.registry_machine import parse_put
from blixard.raft.service import Unknown
from blixard.raft.voters import MAX_VOTERS, listed, without_majority

if TYPE_CHECKING:
    from blixard.raft.engine import View
    from blixard.raft.service import RaftService

Answer = dict[str, Any]
Operation = Callable[[Mapping[str, Any], Any], Awaitable[Any]]


class RaftOperations:
    """The operations of one voter."""

    def __init__(self, service: RaftService) -> None:
        self._service = service

    def table(self) -> dict[str, Operation]:
        """Return the operations by name. Each takes the request, and a way to tell progress that none uses."""
        return {
            "raft-status": self._status,
            "raft-put": self._put,
            "raft-remove": self._remove,
            "raft-get": self._get,
            "raft-export": self._export,
            "raft-members": self._members,
            "raft-transfer": self._transfer,
        }

    def status(self) -> dict[str, Any]:
        """Say where this voter stands, in the form of the schema raft-status."""
        service = self._service
        view, standing = service.view, service.standing()
        members = service.members()
        return {
            "state": service.state,
            "reason": service.reason,
            "node_id": service.settings.node_id,
            "genesis": standing.genesis,
            "role": None if view is None else view.role,
            "leader": None if view is None else view.leader,
            "term": 0 if view is None else view.term,
            "last_index": 0 if view is None else view.last_index,
            "commit_index": 0 if view is None else view.commit_index,
            "applied_index": 0 if view is None else view.applied_index,
            "journal_entries": 0 if view is None else view.journal_entries,
            "entries": 0 if view is None else view.entries,
            "is_open": view is not None and view.is_open,
            "expected": sorted(service.settings.expected),
            "members": [self._member(node, view) for node in sorted(members)],
            "problems": self._problems(members),
            "refused": dict(sorted((service.refused + service.links.refused).items())),
        }

    def _member(self, node: int, view: View | None) -> dict[str, Any]:
        service = self._service
        is_self = node == service.settings.node_id
        age = None if is_self else service.links.age(node)
        return {
            "node_id": node,
            "is_self": is_self,
            "is_alive": is_self or node in service.links.alive(),
            "heard_s": None if age is None else round(age, 3),
            "is_admitted": view is not None and node in view.admitted,
            "matched_index": None if view is None else view.matched.get(node),
        }

    def _problems(self, members: frozenset[int]) -> list[str]:
        service = self._service
        lines = list(service.links.last_refused.values())
        if service.view is not None and members != service.settings.expected:
            lines.append(f"the voters are {listed(members)}, and the settings name {listed(service.settings.expected)}")
        return lines

    async def _status(self, _: Mapping[str, Any], __: Any) -> dict[str, Any]:
        return self.status()

    async def _put(self, request: Mapping[str, Any], _: Any) -> Answer:
        body = {"name": request.get("name"), "entry": request.get("entry")}
        parse_put(body, self._service.settings.cluster)
        return await self._numbered({"op": "put", **body}, request)

    async def _remove(self, request: Mapping[str, Any], _: Any) -> Answer:
        node = fields.node_id(request.get("node_id"), "/node_id")
        return await self._numbered({"op": "remove", "node_id": node}, request)

    async def _numbered(self, body: dict[str, Any], request: Mapping[str, Any]) -> Answer:
        """Do a command once, however often it has to be proposed."""
        client = request.get("client", self._service.word())
        number = request.get("number", 1)
        data = command(REGULAR, {**body, "client": client, "number": number})
        try:
            result = await self._service.propose(data, timeout=_timeout(request))
        except Unknown as error:
            return self._answer("unknown", f"it may or may not be committed: {error}")
        if "refused" in result:
            return self._answer("refused", result["refused"])
        return self._answer("done" if result["done"] else "unchanged")

    async def _get(self, request: Mapping[str, Any], _: Any) -> Answer:
        node = fields.node_id(request.get("node_id"), "/node_id")
        found = await self._read(lambda machine: (machine.get(node),), request)
        if isinstance(found, str):
            return self._answer("unknown", found)
        (item,) = found
        if item is None:
            return self._answer("missing", f"the registry has no node {node}")
        return {**self._answer("done"), **item}

    async def _export(self, request: Mapping[str, Any], _: Any) -> Answer:
        """Return all entries, as they are at one place in the log."""
        found = await self._read(lambda machine: [item for _, item in machine.entries()], request)
        if isinstance(found, str):
            return self._answer("unknown", found)
        return {**self._answer("done"), "entries": found}

    async def _read(self, read: Callable[[Any], Any], request: Mapping[str, Any]) -> Any:
        """Return what `read` makes of the registry, after all that was acknowledged before; a line where it cannot."""
        data = command(REGULAR, {"op": "barrier"})
        try:
            return await self._service.propose(data, timeout=_timeout(request), read=read)
        except Unknown as error:
            return f"it cannot be read now: {error}"

    async def _members(self, request: Mapping[str, Any], _: Any) -> Answer:
        node = fields.node_id(request.get("node_id"), "/node_id")
        action = request.get("action")
        if action not in ("add", "remove"):
            raise InputError("must be add or remove", place="/action")
        view = self._leading()
        self._check_change(action, node, view)
        data = membership("add" if action == "add" else "rem", node)
        try:
            await self._service.once(data, timeout=_timeout(request))
        except (Unknown, TimeLimit) as error:
            return self._answer("unknown", f"it may or may not be committed: {error or 'no answer came'}")
        return self._answer("done")

    def _check_change(self, action: str, node: int, view: View) -> None:
        service = self._service
        alive = service.links.alive() | {service.settings.node_id}
        if (action == "add") == (node in view.members):
            raise BlixardError(f"node {node} is {'a' if action == 'add' else 'no'} voter already")
        if view.applied_index < view.commit_index or not view.is_open:
            raise BlixardError("another change is under way; try again in a moment")
        if action == "remove" and node == service.settings.node_id:
            raise BlixardError("this node leads: first blixard raft transfer, then ask the new leader")
        if action == "add" and node not in alive:
            raise BlixardError(f"node {node} is not there, or does not run with raft: true")
        if action == "add" and len(view.members) >= MAX_VOTERS:
            raise BlixardError(f"there are {MAX_VOTERS} voters already")
        after = view.members | {node} if action == "add" else view.members - {node}
        why = without_majority(after, alive)
        if why is not None:
            raise BlixardError(f"the majority would be lost: {why}")

    async def _transfer(self, request: Mapping[str, Any], _: Any) -> Answer:
        to = NOBODY if request.get("node_id") is None else fields.node_id(request["node_id"], "/node_id")
        view = self._leading()
        if to == self._service.settings.node_id:
            return self._answer("unchanged", "it leads already")
        if to != NOBODY and to not in view.members:
            raise BlixardError(f"node {to} is no voter")
        try:
            leader = await self._service.transfer(to, timeout=_timeout(request))
        except TimeLimit:
            leader = None
        if leader == to or (to == NOBODY and leader not in (None, self._service.settings.node_id)):
            return self._answer("done")
        return self._answer("unknown", f"node {leader} leads" if leader else "nobody leads yet")

    def _leading(self) -> View:
        """Return the leader's view.

        Raises:
            BlixardError: this node does not lead; with who does.
        """
        self._service.check_running()
        view = self._service.view
        if view is None or view.role != "leader":
            leader = None if view is None else view.leader
            raise BlixardError("nobody leads now" if leader is None else f"node {leader} leads: ask it there")
        return view

    def _answer(self, outcome: str, line: str | None = None) -> Answer:
        view = self._service.view
        return {
            "outcome": outcome,
            "line": line,
            "leader": None if view is None else view.leader,
            "term": 0 if view is None else view.term,
        }


def _timeout(request: Mapping[str, Any]) -> float:
    value = request.get("timeout_s", RAFT_TIMEOUT)
    if type(value) not in (int, float) or not 0 < value <= MAX_RAFT_TIMEOUT:
        raise InputError(f"must be a number of seconds up to {MAX_RAFT_TIMEOUT:g}", place="/timeout_s")
    return float(value)
