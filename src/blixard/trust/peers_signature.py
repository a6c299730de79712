# SPDX-License-Identifier: MIT
"""The fleet key: it signs the peers file, and so says who is a member."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blixard.documents.data_dir_files import SIGNATURE_SUFFIX as SIGNATURE_SUFFIX
from blixard.documents.json_bytes import canonical_bytes, loads, pretty_bytes, sha256_hex
from blixard.errors import InputError, TrustError
from blixard.model import fields
from blixard.model.encodings import encode_base64
from blixard.model.entry import parse_signature
from blixard.model.fields import members
from blixard.model.limits import MAX_SAFE_INTEGER, MAX_SIGNATURE_BYTES
from blixard.model.numbers import check_number, is_ahead
from blixard.model.words import quoted
from blixard.trust.keys import verify

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from blixard.model.ids import EndpointId
    from blixard.trust.keys import SecretKey

DOMAIN = "blixard/peers/v1"

_FIELDS = ("domain", "cluster", "seq", "signer", "signature")


def sign_peers(
    data: bytes, key: SecretKey, *, cluster: str, previous_seq: int | None, now: datetime, at_least: int = 1
) -> bytes:
    """Return the text of the `.sig` file for the bytes of a peers file.

    Args:
        data: the peers file as it stands on disk.
        key: the fleet key.
        cluster: the cluster it is for.
        previous_seq: the highest sequence number signed so far, None if there was none. One far ahead of now, which
            no node takes, counts for nothing.
        now: the present, with a time zone; the new number is max(previous + 1, now in Unix seconds, `at_least`).
        at_least: the lowest number to sign with, where nodes have seen one that is not `previous_seq`.

    Raises:
        InputError: the cluster's name or the number cannot be used.
        TrustError: `at_least` is far ahead of now, so that no node takes it.
    """
    check_number(at_least, now, "no node takes it; set the clock, or sign with a lower number")
    fields.cluster(cluster)
    last = previous_seq or 0
    if is_ahead(last, now) or last >= MAX_SAFE_INTEGER:
        last = 0
    seq = max(last + 1, int(now.timestamp()), at_least)
    fields.integer(seq, "/seq", least=1, most=MAX_SAFE_INTEGER)
    signature = key.sign(_message(data, cluster, seq))
    values = (DOMAIN, cluster, seq, key.public().base64, encode_base64(signature))
    return pretty_bytes(dict(zip(_FIELDS, values, strict=True)))


def renew_signature(
    data: bytes,
    present: bytes | None,
    key: SecretKey,
    *,
    cluster: str,
    now: datetime,
    previous_seq: int = 0,
    at_least: int = 1,
) -> bytes:
    """Return the text of the `.sig` file: the present one while it is this key's and holds, else a new one.

    Args:
        data: the peers file as it stands on disk.
        present: the `.sig` file as it stands there, None if there is none; its number counts even if it is another
            key's, or of an earlier peers file.
        key: the fleet key.
        cluster: the cluster it is for.
        now: the present, with a time zone.
        previous_seq: the highest number that the key signed elsewhere, see `sign_peers`.
        at_least: the lowest number that will do.

    Raises:
        InputError: as sign_peers, or `present` is no signature file.
        TrustError: as sign_peers.
    """
    last = 0 if present is None else parse_sig(present)[1]
    if present is not None:
        try:
            verify_peers(data, present, signers=[key.public()], cluster=cluster, min_seq=at_least, now=now)
        except TrustError:
            pass
        else:
            return present
    before = max((each for each in (last, previous_seq) if not is_ahead(each, now)), default=0)
    return sign_peers(data, key, cluster=cluster, previous_seq=before, now=now, at_least=at_least)


def verify_peers(
    data: bytes,
    sig: bytes,
    *,
    signers: Collection[EndpointId],
    cluster: str | None,
    min_seq: int,
    now: datetime | None = None,
) -> int:
    """Return the sequence number of a peers file's signature when it holds.

    Args:
        data: the peers file as it stands on disk.
        sig: the bytes of its `.sig` file.
        signers: the fleet keys that are trusted; several during a change of key.
        cluster: the cluster it must be for; None for any.
        min_seq: the lowest number that is taken: the highest one seen before.
        now: the present, to refuse a number far ahead of it; None not to look.

    Raises:
        InputError: `sig` is no signature file.
        TrustError: the signer is not trusted, the signature does not fit the file, it is for another cluster,
            or its number is lower than `min_seq`, or far ahead of now.
    """
    named, seq, signer, signature = parse_sig(sig)
    if signer not in signers:
        raise TrustError(f"signed by {signer.short}, which is not one of the trusted signers")
    if not verify(signer, _message(data, named, seq), signature):
        raise TrustError(f"the signature by {signer.short} does not fit the file")
    if cluster is not None and named != cluster:
        raise TrustError(f"signed for cluster {quoted(named)}, not {quoted(cluster)}")
    if now is not None:
        check_number(seq, now)
    if seq < min_seq:
        raise TrustError(f"is older than what was seen before: sequence number {seq}, seen {min_seq}")
    return seq


def parse_sig(sig: bytes, *, file: str | None = None) -> tuple[str, int, EndpointId, bytes]:
    """Return cluster, sequence number, signer and signature (64 bytes) of a `.sig` file, not yet verified.

    Raises:
        InputError: it is no such file.
    """
    try:
        return _parse_sig(sig)
    except InputError as error:
        raise error.located(file=file) from None


def _parse_sig(sig: bytes) -> tuple[str, int, EndpointId, bytes]:
    if len(sig) > MAX_SIGNATURE_BYTES:
        raise InputError(f"is too large: more than {MAX_SIGNATURE_BYTES} bytes")
    obj = members(loads(sig), domain=DOMAIN, names=_FIELDS)
    return (
        fields.cluster(obj["cluster"]),
        fields.integer(obj["seq"], "/seq", least=1, most=MAX_SAFE_INTEGER),
        fields.iroh_node_id(obj["signer"], "/signer"),
        parse_signature(obj["signature"], "/signature"),
    )


def _message(data: bytes, cluster: str, seq: int) -> bytes:
    return canonical_bytes({"domain": DOMAIN, "cluster": cluster, "seq": seq, "sha256": sha256_hex(data)})
