# SPDX-License-Identifier: MIT
"""`blixard peers`: build the fleet's peers file from its record, validate, sign, verify and compare it."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.agent.options import from_words
from blixard.documents.files import read_limited, write_atomic
from blixard.documents.peers_file import (
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
from blixard.model.limits import MAX_PEERS_BYTES, MAX_SIGNATURE_BYTES
from blixard.trust.keys import read_secret_key
from blixard.trust.manifest import FILE_NAME, keep_manifest, signed_number
from blixard.trust.peers_signature import SIGNATURE_SUFFIX, parse_sig, renew_signature, verify_peers
from blixard.trust.signed_off import Expected, altered, hold, read_signed_off, too_many_removed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blixard.model.entry import DiscoveredPeer, NodeRegistryEntry

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

FILE_MODE = 0o644

_OLD_RECORD_FLAG = "--registry-dir"

_MORE = "several with commas, or given again"


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
    sign.add_argument(
        "--seq",
        type=int,
        default=1,
        metavar="N",
        help="sign with no lower sequence number: one more than the highest that nodes have seen of a lost FILE.sig",
    )
    _add_record_flag(sign, help="the record that FILE was built of, signed too in DIR/MANIFEST")
    sign.set_defaults(run=run_sign)

    verify = actions.add_parser("verify", help="check the signature of a peers file")
    verify.add_argument("file", type=Path, metavar="FILE", help="a peers file, its signature in FILE.sig")
    verify.add_argument(
        "--signer",
        action="extend",
        type=from_words,
        required=True,
        metavar="ID",
        help=f"id of a trusted fleet key; {_MORE}",
    )
    verify.add_argument("--cluster", metavar="NAME", help="cluster that it must be for (default: any)")
    verify.add_argument("--min-seq", type=int, default=1, metavar="N", help="refuse a lower sequence number")
    verify.set_defaults(run=run_verify)

    diff = actions.add_parser("diff", help="say what changed between two peers files; exit code 1 if anything did")
    diff.add_argument("old", type=Path, metavar="A", help="a peers file")
    diff.add_argument("new", type=Path, metavar="B", help="another one")
    _add_record_flag(diff, help="the record, to call peers by name")
    diff.set_defaults(run=_run_diff)


class _RecordFolder(argparse.Action):
    """Takes the folder, and says so where it was given by the option's old name."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        if option == _OLD_RECORD_FLAG:
            print(f"blixard: {_OLD_RECORD_FLAG} is called --record now", file=sys.stderr)
        setattr(namespace, self.dest, values)


def _add_record_flag(parser: argparse.ArgumentParser, *, help: str, required: bool = False) -> None:
    parser.add_argument(
        "--record",
        _OLD_RECORD_FLAG,
        action=_RecordFolder,
        type=Path,
        required=required,
        metavar="DIR",
        help=help,
    )


def _register_build(actions: Commands) -> None:
    build = actions.add_parser("build", help="make the peers file of the record's registry files")
    _add_record_flag(build, required=True, help="the record")
    build.add_argument("--out", type=Path, required=True, metavar="FILE", help="the peers file")
    build.add_argument("--cluster", metavar="NAME", help="cluster that attestations must be for (default: any)")
    build.add_argument(
        "--signer",
        action="extend",
        type=from_words,
        default=[],
        metavar="ID",
        help=f"id of a fleet key that signs off the record; {_MORE}",
    )
    build.add_argument(
        "--max-removals", type=int, default=0, metavar="N", help="members of FILE that may be gone (default: none)"
    )
    build.add_argument(
        "--unattested",
        action="extend",
        type=from_words,
        metavar="NAME",
        help=f"host whose node signs nothing; {_MORE} (default: allowed where no entry is attested)",
    )
    build.add_argument(
        "--upstream-compat", action="store_true", help="write times in the form that upstream's reader takes"
    )
    build.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 if FILE is not what it would be"
    )
    build.set_defaults(run=_run_build)


def _run_build(args: argparse.Namespace) -> int:
    """Bring the peers file up to date, or tell whether it is."""
    record = read_record(args.record)
    if not record:
        raise InputError("has no registry files", file=str(args.record), mend="name the record's folder")
    try:
        peers = build_peers(record.values())
        wanted = format_peers(peers, upstream_compat=args.upstream_compat)
    except InputError as error:
        raise error.located(file=str(args.record)) from None
    present = read_limited(args.out, MAX_PEERS_BYTES) if args.out.exists() else None
    edits = _edits(args, record)
    if present == wanted and not edits:
        print(f"{args.out}: up to date, {len(peers)} peers")
        return 0
    if present != wanted:
        _print_lines(_drift(args.out, present, peers, _names(record)))
    if edits:
        _print_lines(edits[1:])
        raise TrustError(edits[0] + (f"; and {len(edits) - 1} more, see above" if len(edits) > 1 else ""))
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
    peers = parse_peers(data, file=str(args.file))
    if args.record is not None and peers != build_peers(read_record(args.record).values()):
        raise TrustError(f"{args.file}: is not what {args.record} gives; run `blixard peers build` first")
    key = read_secret_key(args.key)
    sig_path = _sig_path(args.file)
    present = read_limited(sig_path, MAX_SIGNATURE_BYTES) if sig_path.exists() else None
    now = datetime.now(timezone.utc)
    try:
        signature = renew_signature(
            data,
            present,
            key,
            cluster=args.cluster,
            now=now,
            previous_seq=signed_number(args.record, key, cluster=args.cluster),
            at_least=args.seq,
        )
    except InputError as error:
        raise error.located(file=str(sig_path)) from None
    if signature == present:
        print(f"{sig_path}: holds already, nothing to do")
    else:
        write_atomic(sig_path, signature, FILE_MODE)
        print(
            f"{sig_path}: signed by {key.public().short} for cluster {args.cluster}, number {parse_sig(signature)[1]}"
        )
    if args.record is not None:
        seq = parse_sig(signature)[1]
        kept = keep_manifest(args.record, key=key, cluster=args.cluster, now=now, at_least=seq)
        print(f"{args.record / FILE_NAME}: {'signed off' if kept else 'holds already, nothing to do'}")
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


def _run_diff(args: argparse.Namespace) -> int:
    """Print what changed; like `diff`, 1 is the answer that something did."""
    names = _names(read_record(args.record)) if args.record else {}
    difference = diff_peers(read_peers(args.old), read_peers(args.new), names)
    _print_lines(_lines(difference))
    return 1 if difference else 0


def _edits(args: argparse.Namespace, record: Mapping[str, NodeRegistryEntry]) -> list[str]:
    """Return a line for everything in the record that nobody signed off, by the rule that playbooks have too."""
    signers = [_signer(text) for text in args.signer]
    now = datetime.now(timezone.utc)
    lines = altered(record, cluster=args.cluster, now=now)
    signed_off = read_signed_off(args.record, args.out, _at_hand(args.out), signers=signers, cluster=args.cluster)
    held = hold(record, signed_off, Expected(unattested=args.unattested), cluster=args.cluster, now=now)
    lines += held.refused
    if signed_off is not None:
        lines += too_many_removed(held.removed, args.max_removals, signed_off.where)
    return [_located(args.record, line) for line in dict.fromkeys(lines)]


def _at_hand(path: Path) -> list[DiscoveredPeer] | None:
    """Return the peers in the file that is there; None where it cannot be read, and is about to be replaced."""
    try:
        return read_peers(path)
    except InputError:
        return None


def _located(folder: Path, line: str) -> str:
    """Return a line about an entry with the path of its file, and one about the whole record with its folder."""
    name, in_record, reason = line.partition(" in the record: ")
    return f"{folder / name}: {reason}" if in_record else f"{folder}: {line}"


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
