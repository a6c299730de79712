# SPDX-License-Identifier: MIT
"""`blixard registry`: look at, sign, verify and share one node's registry file."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.cli.output import print_json
from blixard.documents.files import read_limited
from blixard.documents.registry_file import format_registry, parse_registry, read_registry, write_registry
from blixard.errors import InputError, TrustError, one_line
from blixard.model.fields import DEFAULT_CLUSTER
from blixard.model.limits import MAX_REGISTRY_BYTES
from blixard.model.tickets import Ticket, format_ticket
from blixard.model.times import parse_rfc3339
from blixard.trust.attestation import attest, verify_attestation
from blixard.trust.keys import KEY_FILE_NAME, read_secret_key

if TYPE_CHECKING:
    from blixard.model.entry import NodeRegistryEntry

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def register(commands: Commands) -> None:
    """Add the command group."""
    group = commands.add_parser("registry", help="a node's registry file: validate, show, sign, verify, ticket")
    actions = group.add_subparsers(metavar="ACTION", required=True)

    validate = actions.add_parser("validate", help="check the form of a registry file")
    validate.set_defaults(run=run_validate)

    show = actions.add_parser("show", help="print what a registry file says")
    show.add_argument("--json", action="store_true", help="print one JSON document")
    show.set_defaults(run=run_show)

    sign = actions.add_parser("sign", help="attest a registry file with its node's secret key")
    sign.add_argument(
        "--key", type=Path, metavar="FILE", help=f"the node's secret key (default: {KEY_FILE_NAME} beside FILE)"
    )
    sign.add_argument("--cluster", default=DEFAULT_CLUSTER, metavar="NAME", help="cluster (default: %(default)s)")
    sign.add_argument("--expires-at", metavar="TIME", help="when it ends, RFC 3339 (default: never)")
    sign.set_defaults(run=run_sign)

    verify = actions.add_parser("verify", help="check the attestation of a registry file")
    verify.add_argument("--cluster", metavar="NAME", help="cluster that it must be for (default: any)")
    verify.set_defaults(run=run_verify)

    ticket = actions.add_parser("ticket", help="print the node's ticket")
    ticket.set_defaults(run=_run_ticket)

    for parser in (validate, show, sign, verify, ticket):
        parser.add_argument("file", type=Path, metavar="FILE", help="a registry file")


def run_validate(args: argparse.Namespace) -> int:
    """Say that the file is good, or end with the error that says why not."""
    entry = read_registry(args.file)
    print(f"{args.file}: good, node {entry.node_id} {entry.endpoint_id.short}")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print the entry."""
    entry = read_registry(args.file)
    if args.json:
        print_json(entry.to_json())
        return 0
    for heading, value in _facts(entry):
        print(f"{heading:<12}{one_line(value)}")
    return 0


def run_sign(args: argparse.Namespace) -> int:
    """Attest the entry and write it back; nothing is written when its attestation still holds."""
    data = read_limited(args.file, MAX_REGISTRY_BYTES)
    entry = parse_registry(data, file=str(args.file))
    key = read_secret_key(args.key or args.file.parent / KEY_FILE_NAME)
    try:
        expires_at = None if args.expires_at is None else parse_rfc3339(args.expires_at)
        signed = attest(
            entry,
            key,
            cluster=args.cluster,
            now=datetime.now(timezone.utc),
            previous=entry,
            expires_at=expires_at,
        )
    except InputError as error:
        raise error.located(file=str(args.file)) from None
    if format_registry(signed) == data:
        print(f"{args.file}: its attestation still holds, nothing to do")
        return 0
    write_registry(args.file, signed, mode=args.file.stat().st_mode & 0o777)
    print(f"{args.file}: attested, {_attested(signed)}")
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Say that the attestation holds, or end with the error that says why not."""
    entry = read_registry(args.file)
    try:
        verify_attestation(entry, cluster=args.cluster, now=datetime.now(timezone.utc))
    except TrustError as error:
        raise TrustError(f"{args.file}: {error}") from None
    print(f"{args.file}: good, {_attested(entry)}")
    return 0


def _run_ticket(args: argparse.Namespace) -> int:
    """Print the ticket."""
    entry = read_registry(args.file)
    print(format_ticket(Ticket(entry.endpoint_id, entry.relay_url, entry.socket_addresses)))
    return 0


def _facts(entry: NodeRegistryEntry) -> list[tuple[str, str]]:
    return [
        ("node", str(entry.node_id)),
        ("iroh id", entry.endpoint_id.hex),
        ("listens on", entry.address),
        ("addresses", " ".join(entry.direct_addresses) or "none"),
        ("relay", entry.relay_url or "none"),
        ("attested", _attested(entry)),
        *((name, str(entry.extra[name])) for name in sorted(entry.extra)),
    ]


def _attested(entry: NodeRegistryEntry) -> str:
    attestation = entry.attestation
    if attestation is None:
        return "no"
    end = f", until {attestation.expires_at}" if attestation.expires_at else ""
    return f"for cluster {attestation.cluster}, sequence number {attestation.seq}, {attestation.issued_at}{end}"
