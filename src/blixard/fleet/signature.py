# SPDX-License-Identifier: MIT
"""The fleet's signatures on the controller, of peers file and record: made, kept, or held against who is trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.documents.files import read_limited, write_atomic
from blixard.documents.json_bytes import sha256_hex
from blixard.errors import BlixardError, InputError, TrustError
from blixard.model.ids import EndpointId
from blixard.model.limits import MAX_PEERS_BYTES, MAX_SIGNATURE_BYTES
from blixard.model.numbers import date_of, is_ahead
from blixard.trust.keys import SecretKey, read_secret_key
from blixard.trust.manifest import keep_manifest, signed_number
from blixard.trust.peers_signature import SIGNATURE_SUFFIX, parse_sig, renew_signature, verify_peers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

FILE_MODE = 0o644
SIGN = "set blixard_fleet_key or blixard_fleet_key_file, or sign it with `blixard peers sign`"

_HEX = re.compile(r"[0-9a-fA-F]{64}")

OPTION = "blixard_signature_seq"
_SHOWN = 5

FEWEST = 2
"""Hosts whose word moves the number, and more than half of those that say anything."""


@dataclass(frozen=True)
class Signature:
    """What became of a signature.

    Attributes:
        changed: whether the file differs, or would.
        signer: id of the key that signed, base64; None for a fleet that does not sign.
        seq: its number; None where check mode cannot know it.
        sha256: digest of the `.sig` file, hex; None where there is none to send.
    """

    changed: bool = False
    signer: str | None = None
    seq: int | None = None
    sha256: str | None = None


def fleet_key(text: str, file: str) -> SecretKey | None:
    """Return the fleet key that is given as 64 hex digits or as a key file; None where neither is.

    Raises:
        InputError: it cannot be used; its content is never shown.
    """
    if text and file:
        raise InputError("the fleet key is given twice", mend="set blixard_fleet_key or blixard_fleet_key_file")
    if file:
        return read_secret_key(_absolute(file))
    digits = text.strip()
    if not digits:
        return None
    if not _HEX.fullmatch(digits):
        mend = "make it the content of a file that `blixard key generate` wrote"
        raise InputError(
            f"is not a secret key: 64 hex digits, not {len(digits)} characters of something else",
            file="blixard_fleet_key",
            mend=mend,
        )
    return SecretKey(bytes.fromhex(digits))


def _absolute(file: str) -> Path:
    """Return the path of a key file; a relative one would be another file in each folder that a run is started in."""
    path = Path(file).expanduser()
    if not path.is_absolute():
        # Not shown: it may be the key itself, in the wrong variable.
        mend = "give the whole path; in an inventory it may begin with inventory_dir"
        raise InputError("is a relative path", file="blixard_fleet_key_file", mend=mend)
    return path


def refused_key(signers: Sequence[str], text: str, file: str) -> str | None:
    """Return why the fleet key cannot sign what the nodes take, None where it can or where there is none."""
    try:
        _check_trusted(fleet_key(text, file), parse_signers(signers))
    except BlixardError as error:
        return str(error)
    return None


def _check_trusted(key: SecretKey | None, trusted: Sequence[EndpointId]) -> None:
    if key is not None and trusted and key.public() not in trusted:
        raise InputError(
            f"the fleet key's id {key.public().base64} is not one of blixard_trusted_signers",
            mend="add it there and roll that out before you sign with it",
        )


def keep_signature(
    path: Path,
    *,
    key: SecretKey | None,
    cluster: str,
    signers: Sequence[str],
    now: datetime,
    sha256: str | None,
    check: bool,
    record: Path | None = None,
    seen: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    at_least: int = 1,
) -> Signature:
    """Have beside the peers file at `path` a signature that the nodes take, and in the record a manifest of it.

    Args:
        path: the peers file.
        record: the folder of the record that it was made of; None where that is not to be signed off.
        key: the fleet key; without it, what is there must be good.
        cluster: the cluster it is for.
        signers: ids that the nodes trust, in any form; none where the nodes take unsigned files.
        now: the present, with a time zone.
        sha256: digest that the peers file is to have; in check mode it may not have it yet.
        check: write nothing.
        seen: the numbers that nodes have seen, by host, see `blixard.fleet.signature`. A signature is made anew
            above a number of the future on which enough hosts agree: a wrong clock made it, and it was lost.
        at_least: the lowest number that will do, by the operator's word.

    Raises:
        InputError: the key is not trusted, or a file cannot be used.
        TrustError: there is no key, and the nodes would refuse what is there; or a host has seen a higher number.
    """
    trusted = parse_signers(signers)
    if key is None and not trusted:
        return Signature()
    _check_trusted(key, trusted)
    sig_path = path.with_name(path.name + SIGNATURE_SUFFIX)
    present = read_limited(sig_path, MAX_SIGNATURE_BYTES) if sig_path.exists() else None
    data = read_limited(path, MAX_PEERS_BYTES) if path.exists() or not check else b""
    stale = check and sha256 is not None and sha256_hex(data) != sha256
    held = held_against(seen or {}, trusted or ([key.public()] if key else []))
    try:
        if key is None:
            return _hold(path, data, present, trusted, cluster, now, held, stale=stale)
        signed = (signed_number(record, key, cluster=cluster), 0 if present is None else parse_sig(present)[1])
        last = max(each for each in (0, *signed) if not is_ahead(each, now))
        future = agreed(held, now)
        if future > max(last, now.timestamp()):
            at_least = max(at_least, future + 1)
        # What is not written yet would be signed anew.
        before = None if stale else present
        wanted = renew_signature(data, before, key, cluster=cluster, now=now, previous_seq=last, at_least=at_least)
    except InputError as error:
        raise error.located(file=str(sig_path)) from None
    if refused := refuse_lower(held, parse_sig(wanted)[1], now, kept=wanted == present):
        raise TrustError(f"{path}: {refused}")
    if stale:
        return Signature(changed=True, signer=key.public().base64)
    if wanted != present and not check:
        write_atomic(sig_path, wanted, FILE_MODE)
    signature = _described(wanted, changed=wanted != present)
    if record is None:
        return signature
    signed_off = keep_manifest(record, key=key, cluster=cluster, now=now, at_least=signature.seq or 1, check=check)
    return replace(signature, changed=signature.changed or signed_off)


def _hold(
    path: Path,
    data: bytes,
    present: bytes | None,
    trusted: Sequence[EndpointId],
    cluster: str,
    now: datetime,
    held: Mapping[str, int],
    *,
    stale: bool,
) -> Signature:
    """Return what is there when the nodes would take it."""
    if present is None:
        raise TrustError(f"{path}: is not signed, and the nodes trust only signed files; {SIGN}")
    if stale:
        raise TrustError(f"{path}: is to change, and the run that writes it must sign it; {SIGN}")
    try:
        seq = verify_peers(data, present, signers=trusted, cluster=cluster, min_seq=1, now=now)
    except TrustError as error:
        raise TrustError(f"{path}: {error}; {SIGN}") from None
    if refused := refuse_lower(held, seq, now, kept=True):
        raise TrustError(f"{path}: {refused}")
    return _described(present, changed=False)


def _described(sig: bytes, *, changed: bool) -> Signature:
    _, seq, signer, _ = parse_sig(sig)
    return Signature(changed, signer.base64, seq, sha256_hex(sig))


def parse_signers(texts: Sequence[str]) -> list[EndpointId]:
    """Return the ids that `blixard_trusted_signers` lists, in any form.

    Raises:
        InputError: one is no id.
    """
    try:
        return [EndpointId.parse(text) for text in texts]
    except InputError as error:
        raise error.located(file="blixard_trusted_signers") from None


def held_against(seen: Mapping[str, Sequence[Mapping[str, Any]]], signers: Collection[EndpointId]) -> dict[str, int]:
    """Return the number below which each host takes no peers file that one of `signers` signs.

    Args:
        seen: for each host what iroh_node_info returned as `seen`.
        signers: ids of the fleet keys that the nodes trust.
    """
    ids = {None, *(each.base64 for each in signers)}
    numbers = {host: [each["seq"] for each in told if each["signer"] in ids] for host, told in seen.items()}
    return {host: max(each) for host, each in numbers.items() if each}


def agreed(held: Mapping[str, int], now: datetime) -> int:
    """Return the highest number that enough hosts hold a peers file against; 0 where too few say so.

    Args:
        held: number by host.
        now: the present, with a time zone: what is far ahead of it counts for nothing.
    """
    numbers = sorted((number for number in held.values() if not is_ahead(number, now)), reverse=True)
    needed = max(FEWEST, len(held) // 2 + 1)
    return numbers[needed - 1] if len(numbers) >= needed else 0


def refuse_lower(held: Mapping[str, int], seq: int, now: datetime, *, kept: bool) -> str | None:
    """Return why hosts would take no peers file under the number `seq`, and what to do; None when all of them do.

    Args:
        held: number by host.
        seq: the number of the signature.
        now: the present, with a time zone.
        kept: the signature is there already, and holds: who has seen a higher number has seen a newer file.
    """
    higher = {host: number for host, number in held.items() if number > seq}
    if not higher:
        return None
    top, names = max(higher.values()), sorted(higher)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    what = (
        f"the number is {seq}, and {', '.join(names[:_SHOWN])}{more} saw {top} of the fleet key, so no lower one counts"
    )
    if is_ahead(top, now):
        mend = f"that is {date_of(top)}: set the clocks of this machine and of those, and run this again"
    elif kept and top <= now.timestamp():
        mend = (
            "what is here is older: fetch record, peers file and signature from where they changed last, or sign what"
            f" is here with -e {OPTION}={top + 1}"
        )
    else:
        mend = (
            f"too few hosts say so to go by it: if it is true, run this with -e {OPTION}={top + 1}, or leave those out"
        )
    return f"{what}; {mend}"
