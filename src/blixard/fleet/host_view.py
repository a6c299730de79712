# SPDX-License-Identifier: MIT
"""What the controller knows of a host in this run: the inventory's word, and the host's answers so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from blixard.documents.connectivity_report import is_untold
from blixard.documents.entry_states import ABSENT
from blixard.errors import InputError

Answer = Mapping[str, Any]

RUNNING = "running"


@dataclass(frozen=True)
class HostView:
    """One host.

    Attributes:
        name: its name in the inventory.
        number: `blixard_node_id`; None where the inventory gives none.
        state: `blixard_state`; None where the inventory gives none.
        managed: `blixard_node_manage`: the node is ours, and not one of another implementation.
        variables: its variables by name. Those that begin with `__blixard_` are results of this run's own tasks.
    """

    name: str
    number: int | None = None
    state: str | None = None
    managed: bool = True
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def node_id(self) -> int:
        """The node's number.

        Raises:
            InputError: the inventory gives none.
        """
        if self.number is None:
            raise InputError("is not set", file=f"blixard_node_id of {self.name}", mend="give each host its own number")
        return self.number

    @property
    def has_our_node(self) -> bool:
        """Whether a node of ours is to run there."""
        return self.managed and self.state != ABSENT

    @property
    def groups(self) -> Sequence[str]:
        """The groups of the inventory that it is in, without those that say nothing."""
        return [str(name) for name in self.variables.get("group_names", ()) if name not in ("all", "ungrouped")]

    @property
    def place(self) -> Answer:
        """How it is connected to, and where its node's data are, empty where this run has not said so."""
        return self._answer("__blixard_place")

    @property
    def look(self) -> Answer:
        """What iroh_node_info saw there, empty before it looked."""
        return self._answer("__blixard_look")

    @property
    def agent(self) -> Answer:
        """What that look saw of the node, empty before it looked."""
        return self.look.get("agent") or {}

    @property
    def pending(self) -> Sequence[str]:
        """The reasons to work on its node, none where that runs as wanted or is not ours."""
        reasons: Sequence[str] = self.look.get("service", {}).get("pending", ()) if self.has_our_node else ()
        return reasons

    @property
    def was_looked_at(self) -> bool:
        """Whether this run knows from the host itself whether a node of ours runs there."""
        return self.has_our_node and bool(self.agent)

    @property
    def was_checked(self) -> bool:
        """Whether the host's part of the check was asked for."""
        return "__blixard_connectivity" in self.variables

    @property
    def was_left_out(self) -> bool:
        """Whether the playbook left the host out of the check, with `when:` on the role."""
        return bool(self.connectivity.get("skipped"))

    @property
    def connectivity(self) -> Answer:
        """The answer to that, empty before it."""
        return self._answer("__blixard_connectivity")

    @property
    def report(self) -> Answer:
        """The host's part of the connectivity report, empty before the check."""
        return self.connectivity.get("report") or {}

    @property
    def refresh(self) -> Answer:
        """What its node answered when it was told who has left, empty before that."""
        return self._answer("__blixard_told")

    @property
    def key_state(self) -> Answer:
        """How far a change of its key has come, empty where nobody asked."""
        return self._answer("__blixard_key_state")

    @property
    def next_key(self) -> Answer:
        """Entry and announcement of its next key, empty where none was made."""
        return self._answer("__blixard_next_key")

    @property
    def restarts(self) -> bool:
        """Whether its running node goes down in this run."""
        return self.agent.get("state") == RUNNING and bool(self.pending)

    @property
    def is_up(self) -> bool:
        """Whether its node ran when this run looked at it, or was started in this run."""
        came_up = any(node["agent"] == RUNNING for node in self.report.get("nodes", ()))
        return came_up or self.agent.get("state") == RUNNING

    @property
    def waits(self) -> bool:
        """Whether its turn is still to come, in a later batch, and no node runs there until then."""
        return not self.was_checked and self.agent.get("state", RUNNING) != RUNNING

    @property
    def edges(self) -> Collection[Answer]:
        """The edges that it checked, without those of which it could not tell anything."""
        return [edge for edge in self.report.get("edges", ()) if not is_untold(edge)]

    def sees(self, lost: Collection[int]) -> set[int]:
        """Return the node ids that its node reached, and those that it is connected to and did not check.

        `lost` are those that hosts checked and none reached: a connection that was seen before says nothing then.
        """
        reached = {edge["to"] for edge in self.edges if edge["reached"]}
        checked = {edge["to"] for edge in self.edges}
        return reached | (set(self.agent.get("connected", ())) - checked - set(lost))

    def _answer(self, name: str) -> Answer:
        return self.variables.get(name) or {}
