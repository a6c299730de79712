# SPDX-License-Identifier: MIT
"""An announced change of key: both keys say so, for one node of one cluster, and nothing in it can be altered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.documents.samples import CLUSTER, NOW, key

from blixard.documents.json_bytes import canonical_bytes
from blixard.errors import BlixardError, InputError, TrustError
from blixard.model.encodings import encode_base64
from blixard.trust.key_announcement import DOMAIN, Announcement, announce, verify_announcement

OLD, NEW, STRANGER = key(1), key(11), key(12)


def announcement(**options: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"cluster": CLUSTER, "node_id": 1, "now": NOW}
    return announce(OLD, NEW, **{**arguments, **options})


def test_what_both_keys_announced_holds() -> None:
    said = verify_announcement(announcement(), cluster=CLUSTER)

    assert said == Announcement(CLUSTER, 1, OLD.public(), NEW.public(), "2026-01-15T09:30:00Z")


def test_the_signatures_are_over_the_documented_bytes() -> None:
    obj = announcement()
    assert list(obj)[:6] == ["domain", "cluster", "node_id", "old", "new", "issued_at"]
    assert obj["domain"] == DOMAIN == "blixard/rotation/v1"
    message = canonical_bytes({name: value for name, value in obj.items() if not name.endswith("signature")})
    for who, each in (("old", OLD), ("new", NEW)):
        assert obj[f"{who}_signature"] == encode_base64(each.sign(message))


@pytest.mark.parametrize("missing", ["old_signature", "new_signature"])
def test_one_key_alone_announces_nothing(missing: str) -> None:
    forged = announcement()
    message = canonical_bytes({name: value for name, value in forged.items() if not name.endswith("signature")})
    forged[missing] = encode_base64(STRANGER.sign(message))

    with pytest.raises(TrustError, match=f"the {missing[:3]} key .* did not sign this announcement"):
        verify_announcement(forged, cluster=CLUSTER)


def test_an_announcement_is_for_one_cluster() -> None:
    with pytest.raises(TrustError, match='announced for cluster "blixard", not "other"'):
        verify_announcement(announcement(), cluster="other")


def test_a_key_does_not_follow_itself() -> None:
    with pytest.raises(InputError, match="/new: is the same as the old one"):
        announce(OLD, OLD, cluster=CLUSTER, node_id=1, now=NOW)


def test_every_altered_byte_is_refused() -> None:
    data = json.dumps(announcement(), separators=(",", ":")).encode()
    for index in range(len(data)):
        for bit in (0x01, 0x20):
            altered = data[:index] + bytes([data[index] ^ bit]) + data[index + 1 :]
            try:
                obj = json.loads(altered)
            except ValueError:
                continue
            with pytest.raises(BlixardError):
                verify_announcement(obj, cluster=CLUSTER)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"domain": "blixard/registry/v1"}, "/domain: must be"),
        ({"node_id": 0}, "/node_id: must be at least 1"),
        ({"node_id": True}, "/node_id: must be an integer"),
        ({"issued_at": "2026-01-15T09:30:00.5Z"}, "/issued_at: "),
        ({"issued_at": 5}, "/issued_at: must be a string"),
        ({"old": "short"}, "/old: "),
        ({"new_signature": "AAAA"}, "/new_signature: "),
        ({"surplus": 1}, "/surplus: is not a known field"),
    ],
)
def test_what_is_no_announcement_is_refused_by_place(change: dict[str, Any], place: str) -> None:
    with pytest.raises(InputError, match=place):
        verify_announcement({**announcement(), **change}, cluster=CLUSTER)


def test_a_missing_field_and_what_is_no_object_are_refused() -> None:
    lacking = announcement()
    del lacking["new"]
    with pytest.raises(InputError, match="/new: is missing"):
        verify_announcement(lacking, cluster=CLUSTER)
    with pytest.raises(InputError, match="must be an object, not a list"):
        verify_announcement([], cluster=CLUSTER)
