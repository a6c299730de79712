# SPDX-License-Identifier: MIT
"""The fleet key: a peers file is taken only as it was signed, by whom is trusted, and never an older one."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime, timezone
from typing import Any

import iroh
import pytest
from tests.unit.documents.samples import CLUSTER, NOW, attested, key

from blixard.documents.peers_file import build_peers, format_peers
from blixard.errors import BlixardError, InputError, TrustError
from blixard.trust.peers_signature import parse_sig, renew_signature, sign_peers, verify_peers

FLEET, NEXT, STRANGER = key(100), key(101), key(102)
DATA = format_peers(build_peers([attested(1), attested(2)]))
SEQ = int(NOW.timestamp())


def sign(data: bytes = DATA, previous: int | None = None, **options: Any) -> bytes:
    return sign_peers(data, **{"key": FLEET, "cluster": CLUSTER, "previous_seq": previous, "now": NOW, **options})


def check(data: bytes, sig: bytes, **options: Any) -> int:
    wanted: dict[str, Any] = {"signers": {FLEET.public()}, "cluster": CLUSTER, "min_seq": 0, **options}
    return verify_peers(data, sig, **wanted)


def test_what_is_signed_holds() -> None:
    assert check(DATA, sign()) == SEQ
    assert check(DATA, sign(), cluster=None) == SEQ
    assert parse_sig(sign())[:3] == (CLUSTER, SEQ, FLEET.public())


def test_the_signature_is_over_the_documented_bytes() -> None:
    obj = json.loads(sign())
    assert list(obj) == ["domain", "cluster", "seq", "signer", "signature"]
    digest = hashlib.sha256(DATA).hexdigest()
    message = {"domain": "blixard/peers/v1", "cluster": "blixard", "seq": SEQ, "sha256": digest}
    data = json.dumps(message, sort_keys=True, separators=(",", ":")).encode()
    signature = iroh.Signature.from_bytes(base64.b64decode(obj["signature"]))
    iroh.EndpointId.from_bytes(base64.b64decode(obj["signer"])).verify(data, signature)


def test_the_sequence_number_only_grows() -> None:
    assert check(DATA, sign(previous=SEQ + 10)) == SEQ + 11
    assert check(DATA, sign(previous=5)) == SEQ


def test_an_older_file_is_refused_and_the_same_one_is_taken_again() -> None:
    assert check(DATA, sign(), min_seq=SEQ) == SEQ
    with pytest.raises(TrustError, match=f"older than what was seen before: sequence number {SEQ}, seen {SEQ + 1}"):
        check(DATA, sign(), min_seq=SEQ + 1)


def test_a_signer_that_is_not_trusted_is_refused_by_its_id() -> None:
    with pytest.raises(TrustError, match=rf"signed by {STRANGER.public().short}, which is not one of the trusted"):
        check(DATA, sign(key=STRANGER))
    with pytest.raises(TrustError, match="not one of the trusted"):
        check(DATA, sign(), signers=())


def test_during_a_change_of_key_both_signers_are_taken() -> None:
    signers = [FLEET.public(), NEXT.public()]
    assert check(DATA, sign(), signers=signers) == SEQ
    assert check(DATA, sign(key=NEXT), signers=signers) == SEQ


def test_a_signature_for_another_cluster_or_file_is_refused() -> None:
    with pytest.raises(TrustError, match='signed for cluster "other", not "blixard"'):
        check(DATA, sign(cluster="other"))
    with pytest.raises(TrustError, match="does not fit the file"):
        check(DATA + b"\n", sign())


def test_a_signature_of_one_kind_is_no_signature_of_another() -> None:
    one = attested(1)
    assert one.attestation is not None
    obj = {**json.loads(sign()), "signer": one.iroh_node_id, "signature": one.attestation.signature}
    with pytest.raises(TrustError, match="does not fit the file"):
        check(DATA, json.dumps(obj).encode(), signers=[one.endpoint_id])


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"domain": "blixard/registry/v1"}, "/domain"),
        ({"cluster": ""}, "/cluster"),
        ({"seq": 0}, "/seq"),
        ({"seq": 1.0}, "/seq"),
        ({"signer": "x"}, "/signer"),
        ({"signature": "x"}, "/signature"),
        ({"more": 1}, "/more"),
    ],
)
def test_a_signature_file_of_another_form_is_refused_with_its_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_sig(json.dumps({**json.loads(sign()), **change}).encode(), file="x.sig")
    assert (caught.value.place, caught.value.file) == (place, "x.sig")


@pytest.mark.parametrize("name", ["domain", "cluster", "seq", "signer", "signature"])
def test_a_signature_file_without_one_of_its_fields_is_refused(name: str) -> None:
    obj = {field: value for field, value in json.loads(sign()).items() if field != name}
    with pytest.raises(InputError, match=f"/{name}: is missing"):
        parse_sig(json.dumps(obj).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{" * 5000, b'{"a":' * 500])
def test_what_is_no_signature_file_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_sig(data)


def test_a_signature_file_has_4096_bytes_at_most_and_a_number_from_1_on() -> None:
    first = sign(now=datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc))
    assert parse_sig(first.ljust(4096))[1] == 1
    with pytest.raises(InputError, match="more than 4096 bytes"):
        parse_sig(first.ljust(4097))


@pytest.mark.parametrize(
    ("elsewhere", "number"), [(0, SEQ + 11), (SEQ + 20, SEQ + 21), (2**53 - 1, SEQ + 11), (SEQ + 10, SEQ + 11)]
)
def test_another_file_is_signed_above_the_present_number_and_the_one_signed_elsewhere(
    elsewhere: int, number: int
) -> None:
    present = sign(previous=SEQ + 9)
    renewed = renew_signature(DATA + b" ", present, FLEET, cluster=CLUSTER, now=NOW, previous_seq=elsewhere)
    assert check(DATA + b" ", renewed) == number
    assert renew_signature(DATA, present, FLEET, cluster=CLUSTER, now=NOW, previous_seq=elsewhere) == present


def test_the_highest_number_that_can_be_written_is_no_end_where_the_clock_is_not_set() -> None:
    power_cut = datetime(1970, 1, 1, 0, 5, tzinfo=timezone.utc)
    assert parse_sig(sign(previous=2**53 - 1, now=power_cut))[1] == 300


def test_a_cluster_name_that_cannot_be_used_is_not_signed() -> None:
    with pytest.raises(InputError, match="not a cluster name"):
        sign(cluster="a b")


def test_every_byte_of_a_signed_peers_file_and_of_its_signature_flipped_in_turn_is_refused() -> None:
    sig = sign()
    for at in range(len(DATA)):
        with pytest.raises(TrustError):
            check(DATA[:at] + bytes([DATA[at] ^ 0x01]) + DATA[at + 1 :], sig)
    for at in range(len(sig)):
        for mask in (0x01, 0x10, 0x20, 0x80, 0xFF):
            with pytest.raises(BlixardError):
                check(DATA, sig[:at] + bytes([sig[at] ^ mask]) + sig[at + 1 :])
