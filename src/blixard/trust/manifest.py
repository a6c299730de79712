# SPDX-License-Identifier: MIT
"""The manifest: what the fleet key signs about the record, so that nobody else edits it into another membership.

It stands in the record's folder and pins who each member is. Where a member is stays that member's own word: an
attested entry may change its addresses without a new manifest, and its number may only grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blixard.documents.entry_states import parse_state, retired_ids, state_of
from blixard.documents.files import read_limited, write_atomic
from blixard.documents.json_bytes import canonical_bytes, loads, pretty_bytes, sha256_hex
from blixard.documents.record import check_name, read_record
from blixard.errors import BlixardError, InputError, TrustError
from blixard.model import fields
from blixard.model.encodings import encode_base64
from blixard.model.entry import parse_signature
from blixard.model.fields import members as members_of_statement
from blixard.model.limits import MAX_MANIFEST_BYTES, MAX_RECORD_ENTRIES, MAX_SAFE_INTEGER
from blixard.model.numbers import is_ahead
from blixard.model.words import quoted, too_many, wrong_kind
from blixard.trust.keys import verify

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from blixard.model.entry import Content, NodeRegistryEntry
    from blixard.model.ids import EndpointId
    from blixard.trust.keys import SecretKey

DOMAIN = "blixard/record/v1"
FILE_NAME = "MANIFEST"
"""In the record's folder. Without `.json`, so that nobody who reads the folder takes it for an entry."""

FILE_MODE = 0o644

_FIELDS = ("domain", "cluster", "seq", "members", "signer", "signature")
_MEMBER_FIELDS = ("name", "node_id", "iroh_node_id", "state", "seq", "content", "retired_ids")


@dataclass(frozen=True)
class Member:
    """One entry of the record as it was signed off.

    Attributes:
        name: the host's name.
        node_id: its number in the cluster.
        endpoint_id: its Iroh id.
        state: `present`, `draining` or `absent`.
        seq: number of its attestation; None for an entry without one.
        content: SHA-256 (hex) of what an entry without attestation says; None for an attested one.
        retired: the ids that it had before.
    """

    name: str
    node_id: int
    endpoint_id: EndpointId
    state: str
    seq: int | None
    content: str | None
    retired: tuple[EndpointId, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the JSON object, in the documented order."""
        values = (
            self.name,
            self.node_id,
            self.endpoint_id.base64,
            self.state,
            self.seq,
            self.content,
            [each.base64 for each in self.retired],
        )
        return dict(zip(_MEMBER_FIELDS, values, strict=True))


@dataclass(frozen=True)
class Manifest:
    """A manifest whose signature holds."""

    cluster: str
    seq: int
    signer: EndpointId
    members: tuple[Member, ...]


def content_digest(content: Content) -> str:
    """Return the SHA-256 (hex) of what an entry says of its node, to tell whether that has changed."""
    node_id, iroh_node_id, direct_addresses, relay_url = content
    # As text: a node id may be larger than the integers that have a canonical form.
    return sha256_hex(canonical_bytes([str(node_id), iroh_node_id, list(direct_addresses), relay_url]))


def members_of(record: Mapping[str, NodeRegistryEntry]) -> tuple[Member, ...]:
    """Return the record as a manifest has it, sorted by name.

    Raises:
        InputError: a node id is beyond 2^53 - 1 and cannot be signed.
    """
    return tuple(_member(name, record[name]) for name in sorted(record))


def _member(name: str, entry: NodeRegistryEntry) -> Member:
    fields.integer(entry.node_id, f"/{name}/cluster_node_id", least=1, most=MAX_SAFE_INTEGER)
    attested = entry.attestation
    return Member(
        name,
        entry.node_id,
        entry.endpoint_id,
        state_of(entry),
        attested.seq if attested else None,
        None if attested else content_digest(entry.content()),
        retired_ids(entry),
    )


def renew_manifest(
    members: Sequence[Member], present: bytes | None, key: SecretKey, *, cluster: str, now: datetime, at_least: int = 1
) -> bytes:
    """Return the text of the manifest: the present one while it is this key's and says the same, else a new one.

    Args:
        members: the record, as `members_of` gives it.
        present: the manifest as it stands on disk; None if there is none.
        key: the fleet key.
        cluster: the cluster it is for.
        now: the present, with a time zone; a new number is max(present + 1, now in Unix seconds).
        at_least: the number of the peers file's signature, which a manifest is never behind.

    Raises:
        InputError: the cluster's name or a number cannot be used, or `present` is no manifest.
    """
    last = 0
    if present is not None:
        parsed, _ = _parse(present)
        # One that a wrong clock wrote would never let the fleet sign again.
        last = 0 if is_ahead(parsed.seq, now) else parsed.seq
        if last >= at_least and _says(present, members, key, cluster):
            return present
    return _sign(members, key, cluster=cluster, seq=max(last + 1, int(now.timestamp()), at_least))


def _says(present: bytes, members: Sequence[Member], key: SecretKey, cluster: str) -> bool:
    try:
        return verify_manifest(present, signers=[key.public()], cluster=cluster).members == tuple(members)
    except TrustError:
        return False


def _sign(members: Sequence[Member], key: SecretKey, *, cluster: str, seq: int) -> bytes:
    fields.cluster(cluster)
    fields.integer(seq, "/seq", least=1, most=MAX_SAFE_INTEGER)
    listed = [member.to_json() for member in members]
    signature = encode_base64(key.sign(_message(listed, cluster, seq)))
    return pretty_bytes(dict(zip(_FIELDS, (DOMAIN, cluster, seq, listed, key.public().base64, signature), strict=True)))


def keep_manifest(
    record: Path, *, key: SecretKey, cluster: str, now: datetime, at_least: int = 1, check: bool = False
) -> bool:
    """Have in the folder `record` a manifest of what stands there now; tell whether it differs, or would.

    Args:
        record: the folder of the record.
        key: the fleet key.
        cluster: the cluster it is for.
        now: the present, with a time zone.
        at_least: the number of the peers file's signature.
        check: write nothing.

    Raises:
        InputError: the record or the manifest cannot be used.
    """
    path = record / FILE_NAME
    present = read_limited(path, MAX_MANIFEST_BYTES) if path.exists() else None
    members = members_of(read_record(record, missing_ok=True))
    try:
        wanted = renew_manifest(members, present, key, cluster=cluster, now=now, at_least=at_least)
    except InputError as error:
        raise error.located(file=str(path)) from None
    if wanted != present and not check and record.is_dir():
        write_atomic(path, wanted, FILE_MODE)
    return wanted != present


def signed_number(record: Path | None, key: SecretKey, *, cluster: str) -> int:
    """Return the number of the manifest in the folder `record`; 0 where there is none that this key signed.

    It is never behind that of the peers file, so it stands in where that one's signature was lost.
    """
    try:
        data = b"" if record is None else read_limited(record / FILE_NAME, MAX_MANIFEST_BYTES)
        return verify_manifest(data, signers=[key.public()], cluster=cluster).seq
    except BlixardError:
        return 0


def verify_manifest(data: bytes, *, signers: Collection[EndpointId], cluster: str | None) -> Manifest:
    """Return what a manifest says when its signature holds.

    Args:
        data: the bytes of the file.
        signers: the fleet keys that are trusted; none where the caller has nobody to name, and then it must only be
            whole: signed by the key that it names.
        cluster: the cluster it must be for; None for any.

    Raises:
        InputError: it is no manifest; with the place of the first thing that is wrong.
        TrustError: the signer is not trusted, the signature does not fit, or it is for another cluster.
    """
    manifest, signature = _parse(data)
    if signers and manifest.signer not in signers:
        raise TrustError(f"signed by {manifest.signer.short}, which is not one of the trusted signers")
    listed = [member.to_json() for member in manifest.members]
    if not verify(manifest.signer, _message(listed, manifest.cluster, manifest.seq), signature):
        raise TrustError(f"the signature by {manifest.signer.short} does not fit the manifest")
    if cluster is not None and manifest.cluster != cluster:
        raise TrustError(f"signed for cluster {quoted(manifest.cluster)}, not {quoted(cluster)}")
    return manifest


def _message(listed: list[dict[str, object]], cluster: str, seq: int) -> bytes:
    digest = sha256_hex(canonical_bytes(listed))
    return canonical_bytes({"domain": DOMAIN, "cluster": cluster, "seq": seq, "members_sha256": digest})


def _parse(data: bytes) -> tuple[Manifest, bytes]:
    if len(data) > MAX_MANIFEST_BYTES:
        raise InputError(f"is too large: more than {MAX_MANIFEST_BYTES} bytes")
    obj = members_of_statement(loads(data), domain=DOMAIN, names=_FIELDS)
    listed = obj["members"]
    if not isinstance(listed, list):
        raise InputError(wrong_kind("a list", listed), place="/members")
    if len(listed) > MAX_RECORD_ENTRIES:
        raise InputError(too_many(MAX_RECORD_ENTRIES, len(listed)), place="/members")
    manifest = Manifest(
        fields.cluster(obj["cluster"]),
        fields.integer(obj["seq"], "/seq", least=1, most=MAX_SAFE_INTEGER),
        fields.iroh_node_id(obj["signer"], "/signer"),
        tuple(fields.at(f"/members/{index}", _parse_member, item) for index, item in enumerate(listed)),
    )
    return manifest, parse_signature(obj["signature"], "/signature")


def _parse_member(item: object) -> Member:
    obj: Mapping[str, Any] = members_of_statement(item, names=_MEMBER_FIELDS)
    retired = obj["retired_ids"]
    if not isinstance(retired, list):
        raise InputError(wrong_kind("a list", retired), place="/retired_ids")
    return Member(
        fields.at("/name", _name, obj["name"]),
        fields.integer(obj["node_id"], "/node_id", least=1, most=MAX_SAFE_INTEGER),
        fields.iroh_node_id(obj["iroh_node_id"], "/iroh_node_id"),
        fields.at("/state", parse_state, obj["state"]),
        None if obj["seq"] is None else fields.integer(obj["seq"], "/seq", least=1, most=MAX_SAFE_INTEGER),
        None if obj["content"] is None else fields.text(obj["content"], "/content", most=64),
        tuple(fields.iroh_node_id(each, f"/retired_ids/{index}") for index, each in enumerate(retired)),
    )


def _name(value: object) -> str:
    return check_name(fields.text(value, "", most=200))
