# SPDX-License-Identifier: MIT
"""The manifest of the record: kept while it says the same, signed anew when it does not, and nothing in it altered."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.unit.documents.samples import CLUSTER, NOW, attested, entry, key

from blixard.documents.json_bytes import canonical_bytes, sha256_hex
from blixard.documents.record import write_record
from blixard.documents.schemas import validate
from blixard.errors import BlixardError, InputError, TrustError
from blixard.model.encodings import decode_base64
from blixard.trust.keys import verify
from blixard.trust.manifest import keep_manifest, members_of, renew_manifest, signed_number, verify_manifest

FLEET, OTHER = key(100), key(101)
RECORD = {"alpha": attested(1), "beta": entry(2), "gone": entry(3, extra={"state": "absent"})}
LATER = NOW + timedelta(minutes=5)


def manifest(present: bytes | None = None, **changes: Any) -> bytes:
    arguments: dict[str, Any] = {"key": FLEET, "cluster": CLUSTER, "now": NOW, "members": members_of(RECORD)}
    given = {**arguments, **changes}
    return renew_manifest(given.pop("members"), present, given.pop("key"), **given)


def check(data: bytes, signer: int = 100, cluster: str | None = CLUSTER) -> Any:
    return verify_manifest(data, signers=[key(signer).public()], cluster=cluster)


def test_it_says_of_each_entry_who_it_is_in_words_that_a_review_can_read() -> None:
    document = json.loads(manifest())

    validate("record-manifest", document)
    assert [member["name"] for member in document["members"]] == ["alpha", "beta", "gone"]
    assert document["members"][0] == {
        "name": "alpha",
        "node_id": 1,
        "iroh_node_id": key(1).public().base64,
        "state": "present",
        "seq": 1768469400,
        "content": None,
        "retired_ids": [],
    }
    assert (document["members"][1]["seq"], len(document["members"][1]["content"])) == (None, 64)
    assert check(manifest()).members == members_of(RECORD)


def test_the_signature_is_over_the_documented_bytes() -> None:
    document = json.loads(manifest())
    signed = {
        "domain": "blixard/record/v1",
        "cluster": CLUSTER,
        "seq": document["seq"],
        "members_sha256": sha256_hex(canonical_bytes(document["members"])),
    }
    signature = decode_base64(document["signature"])
    assert signature is not None
    assert verify(FLEET.public(), canonical_bytes(signed), signature)


def test_it_stays_to_the_byte_while_it_says_the_same_and_else_its_number_grows() -> None:
    first = manifest()
    assert manifest(first, now=LATER) == first

    moved = manifest(first, members=members_of({"alpha": attested(1)}), now=LATER)
    assert check(moved).seq > check(first).seq
    back = manifest(moved, now=NOW)
    assert check(back).seq > check(moved).seq


def test_it_is_never_behind_the_signature_of_the_peers_file() -> None:
    first = manifest()
    ahead = int(LATER.timestamp())
    assert check(manifest(first, at_least=ahead)).seq == ahead
    assert manifest(first, at_least=check(first).seq, now=LATER) == first


def test_a_number_that_a_wrong_clock_wrote_does_not_keep_the_fleet_from_signing() -> None:
    far = manifest(now=NOW.replace(year=2099))
    assert check(manifest(far)).seq == 1768469400


def test_another_fleet_key_signs_it_anew() -> None:
    first = manifest()
    second = manifest(first, key=OTHER, now=LATER)
    assert check(second, 101).members == check(first).members
    with pytest.raises(TrustError, match="not one of the trusted signers"):
        check(second)


def test_it_is_refused_for_another_cluster() -> None:
    with pytest.raises(TrustError, match='not "east"'):
        check(manifest(), cluster="east")
    assert check(manifest(), cluster=None)


def test_every_byte_flipped_in_turn_is_refused() -> None:
    good = manifest()
    for at in range(len(good)):
        with pytest.raises(BlixardError):
            check(good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1 :])


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{" * 5000, b'{"members": []}'])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        check(data)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": "../alpha"}, "/members/0/name"),
        ({"name": "a" * 201}, "/members/0/name"),
        ({"node_id": 0}, "/members/0/node_id"),
        ({"iroh_node_id": "x"}, "/members/0/iroh_node_id"),
        ({"state": "perhaps"}, "/members/0/state"),
        ({"seq": -1}, "/members/0/seq"),
        ({"retired_ids": {}}, "/members/0/retired_ids"),
        ({"seq": 0}, "/members/0/seq"),
        ({"content": "a" * 65}, "/members/0/content"),
        ({"more": 1}, "/members/0/more"),
    ],
)
def test_a_member_of_another_form_is_refused_with_its_place(change: dict[str, Any], place: str) -> None:
    document = json.loads(manifest())
    document["members"][0] |= change
    with pytest.raises(InputError) as caught:
        check(json.dumps(document).encode())
    assert caught.value.place == place


def test_the_least_numbers_and_the_longest_name_are_taken() -> None:
    members = (replace(members_of(RECORD)[0], name="a" * 200, node_id=1, seq=1),)
    data = manifest(members=members, now=datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc))
    assert (check(data).seq, check(data).members) == (1, members)
    with pytest.raises(InputError, match="/seq"):
        check(json.dumps(json.loads(data) | {"seq": 0}).encode())


def test_a_manifest_has_a_size_and_a_number_of_members_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    data = manifest()
    for name, most in (("MAX_MANIFEST_BYTES", len(data)), ("MAX_RECORD_ENTRIES", 3)):
        monkeypatch.setattr(f"blixard.trust.manifest.{name}", most)
        assert check(data)
        monkeypatch.setattr(f"blixard.trust.manifest.{name}", most - 1)
        with pytest.raises(InputError, match=f"{most - 1}"):
            check(data)
        monkeypatch.undo()


def test_the_number_of_a_manifest_that_is_missing_or_another_keys_is_0(tmp_path: Path) -> None:
    assert signed_number(None, FLEET, cluster=CLUSTER) == 0
    write_record(tmp_path, {}, {"alpha": attested(1)})
    assert signed_number(tmp_path, FLEET, cluster=CLUSTER) == 0
    keep_manifest(tmp_path, key=FLEET, cluster=CLUSTER, now=NOW)
    assert signed_number(tmp_path, FLEET, cluster=CLUSTER) == 1768469400
    assert signed_number(tmp_path, OTHER, cluster=CLUSTER) == 0


def test_it_is_kept_in_the_folder_of_the_record_and_not_written_in_check_mode(tmp_path: Path) -> None:
    write_record(tmp_path, {}, {"alpha": attested(1)})
    path = tmp_path / "MANIFEST"

    assert keep_manifest(tmp_path, key=FLEET, cluster=CLUSTER, now=NOW, check=True)
    assert not path.exists()
    assert keep_manifest(tmp_path, key=FLEET, cluster=CLUSTER, now=NOW)
    assert check(path.read_bytes()).members == members_of({"alpha": attested(1)})
    assert not keep_manifest(tmp_path, key=FLEET, cluster=CLUSTER, now=LATER)


def test_what_stands_in_its_place_and_is_none_is_named_and_left(tmp_path: Path) -> None:
    write_record(tmp_path, {}, {"alpha": attested(1)})
    (tmp_path / "MANIFEST").write_text("{}")

    with pytest.raises(InputError, match=r"MANIFEST: /domain: is missing"):
        keep_manifest(tmp_path, key=FLEET, cluster=CLUSTER, now=NOW)
    assert (tmp_path / "MANIFEST").read_text() == "{}"
