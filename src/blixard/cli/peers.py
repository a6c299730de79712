# SPDX-License-Identifier: MIT
"""`blixard peers`: build the fleet's peers file from its record, validate, sign, verify and compare it."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from blixard.documents.files import read_limited, write_atomic
from blixard.documents.limits import MAX_PEERS_BYTES, MAX_SIGNATURE_BYTES
from blixard.documents.peers import (
    PeersDiff,
    build_peers,
    diff_peers,
    format_peers,
    parse_peers,
    read_peers,
)
from blixard.documents.record import read_record
from blixard.errors import InputError, TrustError, one_line
from blixard.model.fields import DEFAULT_CLUSTER
from blixard.model.ids import EndpointId
from blixard.model.numbers import check_number
from blixard.trust.attestation import verify_attestation
from blixard.trust.fleet import SIGNATURE_SUFFIX, parse_sig, sign_peers, verify_peers
from blixard.trust.keys import read_secret_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry
    from blixard.trust.keys import SecretKey

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

FILE_MODE = 0o644


def register(commands: Commands) -> None:
    """Add the command group."""
    group = commands.add_parser("peers", help="the fleet's peers file: build, validate, sign, verify, diff")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    _register_build(actions)

    validate = actions.add_parser("validate", help="check the form of a peers file")
    validate.add_argument("file", type=Path, metavar="FILE", help="a peers file")
    validate.set_defaults(run=run_validate)

    sign = actions.add_parser("sign", help="sign a peers file with the fleet key, in FILE.sig")
    sign.add_argument("file", type=Path, metavar="FILE", help="a peers file")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE", help="the fleet's secret key")
    sign.add_argument("--cluster", default=DEFAULT_CLUSTER, metavar="NAME", help="cluster (default: %(default)s)")
    sign.set_defaults(run=run_sign)

    verify = actions.add_parser("verify", help="check the signature of a peers file")
    verify.add_argument("file", type=Path, metavar="FILE", help="a peers file, its signature in FILE.sig")
    verify.add_argument(
        "--signer", action="append", required=True, metavar="ID", help="id of a trusted fleet key; repeatable"
    )
    verify.add_argument("--cluster", metavar="NAME", help="cluster that it must be for (default: any)")
    verify.add_argument("--min-seq", type=int, default=1, metavar="N", help="refuse a lower sequence number")
    verify.set_defaults(run=run_verify)

    diff = actions.add_parser("diff", help="say what changed between two peers files; exit code 1 if anything did")
    diff.add_argument("old", type=Path, metavar="A", help="a peers file")
    diff.add_argument("new", type=Path, metavar="B", help="another one")
    diff.add_argument("--registry-dir", type=Path, metavar="DIR", help="the record, to call peers by name")
    diff.set_defaults(run=run_diff)


def _register_build(actions: Commands) -> None:
    build = actions.add_parser("build", help="make the peers file of the record's registry files")
    build.add_argument("--registry-dir", type=Path, required=True, metavar="DIR", help="the record")
    build.add_argument("--out", type=Path, required=True, metavar="FILE", help="the peers file")
    build.add_argument("--cluster", metavar="NAME", help="cluster that attestations must be for (default: any)")
    build.add_argument(
        "--upstream-compat", action="store_true", help="write times in the form that upstream's reader takes"
    )
    build.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 if FILE is not what it would be"
    )
    build.set_defaults(run=run_build)


def run_build(args: argparse.Namespace) -> int:
    """Bring the peers file up to date, or tell whether it is."""
    record = read_record(args.registry_dir)
    if not record:
        raise InputError("has no registry files", file=str(args.registry_dir), mend="name the record's folder")
    _verify_entries(args.registry_dir, record, args.cluster, datetime.now(timezone.utc))
    try:
        peers = build_peers(record.values())
        wanted = format_peers(peers, upstream_compat=args.upstream_compat)
    except InputError as error:
        raise error.located(file=str(args.registry_dir)) from None
    present = read_limited(args.out, MAX_PEERS_BYTES) if args.out.exists() else None
    if present == wanted:
        print(f"{args.out}: up to date, {len(peers)} peers")
        return 0
    _print_lines(_drift(args.out, present, peers, _names(record)))
    if args.check:
        print(f"{args.out}: is not what the record gives; run `blixard peers build` without --check")
        return 1
    write_atomic(args.out, wanted, FILE_MODE)
    print(f"{args.out}: written, {len(peers)} peers")
    return 0


def run_validate(args: argparse.Namespace) -> int:
    """Say that the file is good, or end with the error that says why not."""
    peers = read_peers(args.file)
    attested = sum(peer.attestation is not None for peer in peers)
    print(f"{args.file}: good, {len(peers)} peers, {attested} attested")
    return 0


def run_sign(args: argparse.Namespace) -> int:
    """Sign the file, unless its signature by this key holds already."""
    data = read_limited(args.file, MAX_PEERS_BYTES)
    parse_peers(data, file=str(args.file))
    key = read_secret_key(args.key)
    sig_path = _sig_path(args.file)
    present = read_limited(sig_path, MAX_SIGNATURE_BYTES) if sig_path.exists() else None
    now = datetime.now(timezone.utc)
    if present is not None and _holds(data, present, key, args.cluster, now):
        print(f"{sig_path}: holds already, nothing to do")
        return 0
    last = parse_sig(present, file=str(sig_path))[1] if present is not None else None
    write_atomic(sig_path, sign_peers(data, key, cluster=args.cluster, previous_seq=last, now=now), FILE_MODE)
    print(f"{sig_path}: signed by {key.public().short} for cluster {args.cluster}")
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Say that the signature holds, or end with the error that says why not."""
    signers = {_signer(text) for text in args.signer}
    data = read_limited(args.file, MAX_PEERS_BYTES)
    sig_path = _sig_path(args.file)
    if not sig_path.exists():
        raise TrustError(f"{args.file}: is not signed, there is no {sig_path.name} beside it")
    sig = read_limited(sig_path, MAX_SIGNATURE_BYTES)
    try:
        now = datetime.now(timezone.utc)
        seq = verify_peers(data, sig, signers=signers, cluster=args.cluster, min_seq=args.min_seq, now=now)
    except InputError as error:
        raise error.located(file=str(sig_path)) from None
    except TrustError as error:
        raise TrustError(f"{args.file}: {error}") from None
    cluster, _, signer, _ = parse_sig(sig)
    print(f"{args.file}: good, signed by {signer.short} for cluster {cluster}, sequence number {seq}")
    return 0


def run_diff(args: argparse.Namespace) -> int:
    """Print what changed; like `diff`, 1 is the answer that something did."""
    names = _names(read_record(args.registry_dir)) if args.registry_dir else {}
    difference = diff_peers(read_peers(args.old), read_peers(args.new), names)
    _print_lines(_lines(difference))
    return 1 if difference else 0


def _verify_entries(folder: Path, record: Mapping[str, NodeRegistryEntry], cluster: str | None, now: datetime) -> None:
    """Verify every attestation there is; when it ends is left to the nodes, so that no date makes CI fail."""
    for name, entry in record.items():
        if entry.attestation is not None:
            try:
                check_number(verify_attestation(entry, cluster=cluster).seq, now)
            except TrustError as error:
                raise TrustError(f"{folder / name}.json: {error}") from None


def _drift(path: Path, present: bytes | None, peers: list[DiscoveredPeer], names: Mapping[int, str]) -> list[str]:
    try:
        old = [] if present is None else parse_peers(present, file=str(path))
    except InputError as error:
        return [f"what is there cannot be read: {error}"]
    difference = diff_peers(old, peers, names)
    return _lines(difference) if difference else ["the same peers in another form"]


def _lines(difference: PeersDiff) -> list[str]:
    return [*difference.lines(), str(difference)]


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(one_line(line))


def _names(record: Mapping[str, NodeRegistryEntry]) -> dict[int, str]:
    return {entry.node_id: name for name, entry in record.items()}


def _sig_path(path: Path) -> Path:
    return path.with_name(path.name + SIGNATURE_SUFFIX)


def _signer(text: str) -> EndpointId:
    try:
        return EndpointId.parse(text)
    except InputError as error:
        raise error.located(file="--signer") from None


def _holds(data: bytes, sig: bytes, key: SecretKey, cluster: str, now: datetime) -> bool:
    try:
        verify_peers(data, sig, signers=[key.public()], cluster=cluster, min_seq=1, now=now)
    except (InputError, TrustError):
        return False
    return True
