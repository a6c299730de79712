# SPDX-License-Identifier: MIT
"""`blixard raft`: the voters of the fleet's registry, and the registry that they keep."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.agent.control_client import ask
from blixard.cli.output import print_json, print_line, print_table, seconds
from blixard.cli.status_command import raft_summary
from blixard.cli.which_node import add_node_flag, which_node
from blixard.documents.data_dir_files import REGISTRY_FILE_NAME
from blixard.documents.entry_states import ABSENT, state_of
from blixard.documents.files import write_atomic
from blixard.documents.peers_file import build_peers, format_peers, read_peers
from blixard.documents.record import read_record, write_record
from blixard.documents.registry_file import read_registry
from blixard.errors import InputError, TrustError
from blixard.model import fields
from blixard.model.entry import NodeRegistryEntry
from blixard.model.limits import MAX_RAFT_TIMEOUT, RAFT_TIMEOUT
from blixard.trust.signed_off import too_many_removed

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

FILE_MODE = 0o644
_GRACE = 5.0
"""Seconds more than the voter has, so that its own answer comes first."""


def register(commands: Commands) -> None:
    """Add the command group."""
    group = commands.add_parser("raft", help="the voters of the fleet's registry, and the registry that they keep")
    actions = group.add_subparsers(dest="action", required=True, metavar="ACTION")

    status = _action(actions, "status", "where this voter stands, and who leads", run_status)
    status.set_defaults(timeout=RAFT_TIMEOUT)

    members = _action(actions, "members", "list the voters; on the leader, add or remove one", run_members)
    members.add_argument("change", nargs="?", choices=("add", "remove"), help="what to do; without, list them")
    members.add_argument("node_id", nargs="?", type=_node_id, metavar="N", help="node id of the voter")

    transfer = _action(actions, "transfer", "on the leader: let another voter lead", run_transfer)
    transfer.add_argument("node_id", nargs="?", type=_node_id, metavar="N", help="node id (default: the best one)")

    put = _action(actions, "put", "store a node's attested entry in the registry", run_put)
    put.add_argument("file", type=Path, metavar="FILE", help="a registry file")
    put.add_argument("--name", metavar="NAME", help="the host's name in the record (default: FILE without .json)")

    remove = _action(actions, "remove", "remove a node's entry from the registry", run_remove)
    remove.add_argument("node_id", type=_node_id, metavar="N", help="node id")

    get = _action(actions, "get", "print a node's entry, as all voters have it", run_get)
    get.add_argument("node_id", type=_node_id, metavar="N", help="node id")

    export = _action(actions, "export", "write the registry as a record or as a peers file", run_export)
    export.add_argument(
        "--registry-dir", type=Path, metavar="DIR", help="write the record here; entries that are gone are removed"
    )
    export.add_argument("--peers", type=Path, metavar="FILE", help="write the peers file here")
    export.add_argument(
        "--max-removals",
        type=int,
        default=0,
        metavar="N",
        help="members there that may be gone (default: none)",
    )


def _action(actions: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
    add_node_flag(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    if name != "status":
        parser.add_argument(
            "--timeout", type=_timeout, default=RAFT_TIMEOUT, metavar="S", help="seconds (default: %(default)g)"
        )
    parser.set_defaults(run=run)
    return parser


def _node_id(text: str) -> int:
    if not text.isdecimal() or len(text) > 20:
        raise argparse.ArgumentTypeError(f"{text!r} is no node id")
    try:
        return fields.node_id(int(text), "")
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _timeout(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_RAFT_TIMEOUT:
        raise argparse.ArgumentTypeError(f"must be a number of seconds up to {MAX_RAFT_TIMEOUT:g}")
    return value


def run_status(args: argparse.Namespace) -> int:
    """Print the status; 1 when this voter does not run or knows of no leader."""
    status = ask(which_node(args.data_dir), "raft-status")
    if args.json:
        print_json(status)
    else:
        print_line(raft_summary(status))
        _print_members(status)
        for line in status["problems"]:
            print_line(line)
        refused = ", ".join(f"{count} {kind}" for kind, count in status["refused"].items())
        if refused:
            print_line(f"frames refused: {refused}")
    return 0 if status["state"] == "running" and status["leader"] is not None else 1


def _print_members(status: Mapping[str, Any]) -> None:
    print_table(
        ("VOTER", "ALIVE", "HEARD", "ADMITTED", "HAS"),
        [
            (
                f"{member['node_id']}{' (this node)' if member['is_self'] else ''}",
                "yes" if member["is_alive"] else "no",
                seconds(member["heard_s"]),
                "yes" if member["is_admitted"] else "no",
                member["matched_index"],
            )
            for member in status["members"]
        ],
    )


def run_members(args: argparse.Namespace) -> int:
    """List the voters, or change them."""
    if (args.change is None) != (args.node_id is None):
        raise InputError("the node id is missing", file="command line", mend="members add N, or members remove N")
    if args.change is None:
        status = ask(args.data_dir, "raft-status")
        if args.json:
            print_json(status)
        else:
            _print_members(status)
        return 0
    return _say(args, _ask(args, "raft-members", {"action": args.change, "node_id": args.node_id}))


def run_transfer(args: argparse.Namespace) -> int:
    """Let another voter lead."""
    return _say(args, _ask(args, "raft-transfer", {"node_id": args.node_id}))


def run_put(args: argparse.Namespace) -> int:
    """Store an entry; 0 only when it is committed."""
    entry = read_registry(args.file)
    name = args.name or _name(args.file, entry)
    return _say(args, _ask(args, "raft-put", {"name": name, "entry": entry.to_json()}))


def _name(file: Path, entry: NodeRegistryEntry) -> str:
    return f"node{entry.node_id}" if file.name == REGISTRY_FILE_NAME else file.name.removesuffix(".json")


def run_remove(args: argparse.Namespace) -> int:
    """Remove an entry; 0 also when there was none."""
    return _say(args, _ask(args, "raft-remove", {"node_id": args.node_id}))


def run_get(args: argparse.Namespace) -> int:
    """Print an entry; 1 when there is none, or it cannot be read now."""
    answer = _ask(args, "raft-get", {"node_id": args.node_id})
    if args.json or answer["outcome"] != "done":
        return _say(args, answer)
    print_json(answer["entry"])
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write the record and the peers file."""
    if args.registry_dir is None and args.peers is None:
        raise InputError("says not what to write", file="command line", mend="give --registry-dir DIR or --peers FILE")
    answer = _ask(args, "raft-export", {})
    found = answer.pop("entries", None)
    if found is not None:
        record = {each["name"]: NodeRegistryEntry.from_json(each["entry"]) for each in found}
        before = read_record(args.registry_dir) if args.registry_dir is not None and args.registry_dir.exists() else {}
        _check_removals(args, before, record)
        if args.registry_dir is not None:
            args.registry_dir.mkdir(parents=True, exist_ok=True)
            write_record(args.registry_dir, before, record)
        if args.peers is not None:
            write_atomic(args.peers, format_peers(build_peers(record.values())), FILE_MODE)
        answer["entries"] = len(record)
    return _say(args, answer)


def _check_removals(
    args: argparse.Namespace, before: Mapping[str, NodeRegistryEntry], after: Mapping[str, NodeRegistryEntry]
) -> None:
    """Refuse to take more members away than may be: the registry of a new cluster is empty.

    Raises:
        TrustError: it would.
    """
    staying = {entry.node_id for entry in after.values()}
    names = {entry.node_id: name for name, entry in before.items() if state_of(entry) != ABSENT}
    there = {str(args.registry_dir): names}
    if args.peers is not None and args.peers.exists():
        there[str(args.peers)] = {peer.node_id: f"node {peer.node_id}" for peer in read_peers(args.peers)}
    for where, members in there.items():
        gone = [name for node, name in members.items() if node not in staying]
        for line in too_many_removed(gone, args.max_removals, where):
            raise TrustError(line)


def _ask(args: argparse.Namespace, op: str, params: dict[str, Any]) -> dict[str, Any]:
    request = {**params, "timeout_s": args.timeout}
    answer: dict[str, Any] = ask(which_node(args.data_dir), op, request, timeout=args.timeout + _GRACE)
    return answer


def _say(args: argparse.Namespace, answer: Mapping[str, Any]) -> int:
    is_good = answer["outcome"] in ("done", "unchanged")
    if args.json:
        print_json(answer)
    elif is_good:
        print_line(answer["line"] or answer["outcome"])
    else:
        print(f"blixard: {answer['line']}", file=sys.stderr)
    return 0 if is_good else 1
