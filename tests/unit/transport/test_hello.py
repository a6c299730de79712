# SPDX-License-Identifier: MIT
"""The hello: its form on the wire, whatever arrives there, and who is let in."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.documents.samples import CLUSTER, NOW, attested, entry, key
from tests.unit.model.strategies import entries, json_values, node_ids

from blixard.dialling.protocols import REFUSALS
from blixard.errors import InputError
from blixard.model.entry import NodeRegistryEntry
from blixard.model.ids import EndpointId
from blixard.transport.hello import (
    MAX_HELLO_BYTES,
    MAX_REASON,
    AdmissionContext,
    Hello,
    Refusal,
    Welcome,
    decode_hello,
    decode_welcome,
    encode,
    refusal,
    turned_away,
)
from blixard.trust.attestation import attest

clusters = st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
any_entry = st.none() | entries
reasons = st.none() | st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=MAX_REASON)
hellos = st.builds(
    Hello, cluster=clusters, node_id=st.none() | node_ids, entry=any_entry, purpose=st.sampled_from(["mesh", "check"])
)
welcomes = st.builds(
    Welcome, admitted=st.booleans(), reason=reasons, cluster=clusters, node_id=st.none() | node_ids, entry=any_entry
)


@given(hellos)
def test_a_hello_arrives_as_it_was_sent(hello: Hello) -> None:
    assert decode_hello(encode(hello)) == hello


@given(welcomes)
def test_a_welcome_arrives_as_it_was_sent(welcome: Welcome) -> None:
    assert decode_welcome(encode(welcome)) == welcome


def test_the_largest_entry_that_is_allowed_fits_into_a_hello() -> None:
    largest = entry(
        2**53 - 1,
        direct_addresses=[f"[2001:ffff:ffff:ffff:ffff:ffff:ffff:ff{n:02x}]:65535" for n in range(64)],
        relay_url="https://" + "a" * 60 + "/" + "b" * (2048 - 69),
        address="a." * 126 + "b:65535",
    )
    signed = attest(largest, key(2**53 - 1), cluster="c" * 64, now=NOW, expires_at=NOW + timedelta(days=1))
    data = encode(Hello(cluster="c" * 64, node_id=2**53 - 1, entry=signed, purpose="check"))
    assert len(data) <= MAX_HELLO_BYTES
    assert decode_hello(data).entry == signed


GOOD = {
    "v": 1,
    "cluster": CLUSTER,
    "node_id": 2,
    "entry": attested(2).to_json(),
    "purpose": "mesh",
    "admitted": True,
    "reason": None,
}
decoders = st.sampled_from([decode_hello, decode_welcome])
almost = st.builds(
    lambda base, changes, dropped: {name: value for name, value in {**base, **changes}.items() if name != dropped},
    st.just(GOOD),
    st.dictionaries(st.sampled_from([*GOOD, "more"]), json_values, max_size=3),
    st.sampled_from([*GOOD, None]),
)


def outcome(decode: Callable[[bytes], Hello | Welcome], data: bytes) -> Hello | Welcome | InputError:
    try:
        return decode(data)
    except InputError as error:
        return error


@given(
    decoders,
    st.binary(max_size=300)
    | almost.map(lambda obj: json.dumps(obj).encode())
    | st.builds(lambda data, cut: data[:cut], st.just(json.dumps(GOOD).encode()), st.integers(0, 600)),
)
def test_whatever_arrives_is_a_message_or_refused(decode: Any, data: bytes) -> None:
    assert str(outcome(decode, data)).isprintable()


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"v": 2}, "/v"),
        ({"v": True}, "/v"),
        ({"v": 1.0}, "/v"),
        ({"v": None}, "/v"),
        ({"cluster": ""}, "/cluster"),
        ({"cluster": "a\nb"}, "/cluster"),
        ({"cluster": "x" * 65}, "/cluster"),
        ({"node_id": 0}, "/node_id"),
        ({"node_id": True}, "/node_id"),
        ({"node_id": 2**64}, "/node_id"),
        ({"node_id": "2"}, "/node_id"),
        ({"entry": []}, "/entry"),
        ({"entry": {}}, "/entry/cluster_node_id"),
        ({"entry": attested(2).to_json() | {"iroh_node_id": "AA=="}}, "/entry/iroh_node_id"),
        ({"purpose": "war"}, "/purpose"),
        ({"purpose": None}, "/purpose"),
        ({"purpose": ["mesh"]}, "/purpose"),
    ],
)
def test_a_hello_that_is_wrong_is_refused_by_the_place(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_hello(json.dumps(GOOD | changes).encode())
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"admitted": 1}, "/admitted"),
        ({"admitted": None}, "/admitted"),
        ({"reason": ""}, "/reason"),
        ({"reason": 5}, "/reason"),
        ({"reason": "x" * (MAX_REASON + 1)}, "/reason"),
        ({"node_id": -1}, "/node_id"),
    ],
)
def test_a_welcome_that_is_wrong_is_refused_by_the_place(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_welcome(json.dumps(GOOD | changes).encode())
    assert caught.value.place == place


def test_a_message_that_is_too_long_is_not_even_parsed() -> None:
    with pytest.raises(InputError, match="longer than"):
        decode_hello(json.dumps(GOOD).encode().ljust(MAX_HELLO_BYTES + 1))
    assert decode_hello(json.dumps(GOOD).encode().ljust(MAX_HELLO_BYTES)).node_id == 2


def test_what_a_later_version_may_add_is_not_refused() -> None:
    assert decode_hello(json.dumps(GOOD | {"more": {"to": "come"}}).encode()).cluster == CLUSTER


def test_a_reason_from_a_peer_cannot_steer_a_terminal() -> None:
    welcome = decode_welcome(json.dumps(GOOD | {"admitted": False, "reason": "no\n\x1b[2J\x9b"}).encode())
    assert welcome.reason is not None
    assert welcome.reason.isprintable()


OWN = key(2).public()


def context(**changes: Any) -> AdmissionContext:
    """What node 1 knows, with `changes`."""
    values: dict[str, Any] = {"cluster": CLUSTER, "admission": "known", "node_id": 1, "known_as": 2, "holder": OWN}
    return AdmissionContext(**(values | changes))


NOBODY: dict[str, Any] = {"known_as": None, "holder": None}


def asked(hello: Hello, at: AdmissionContext, caller: EndpointId = OWN) -> Refusal | None:
    return refusal(hello, caller, at, NOW)


def hello(attestation_of: NodeRegistryEntry | None = None, **changes: Any) -> Hello:
    """The hello of node 2, with `changes`."""
    values: dict[str, Any] = {"cluster": CLUSTER, "node_id": 2, "entry": attestation_of or attested(2)}
    return Hello(**(values | changes))


def test_a_known_peer_is_let_in_with_or_without_its_entry() -> None:
    assert asked(hello(), context()) is None
    assert asked(hello(entry=None), context()) is None


def test_an_open_node_lets_a_stranger_in_that_signs_for_itself_and_a_closed_one_does_not() -> None:
    assert asked(hello(), context(admission="open", **NOBODY)) is None
    refused = asked(hello(), context(**NOBODY))
    assert refused is not None
    assert refused.kind == "unknown"
    assert OWN.short in refused.message


@pytest.mark.parametrize("admission", ["open", "known"])
def test_a_stranger_that_brings_nothing_is_unknown(admission: str) -> None:
    bare = Hello(cluster=None, node_id=None, entry=None, purpose="check")
    refused = asked(bare, context(admission=admission, **NOBODY))
    assert refused is not None
    assert refused.kind == "unknown"


@pytest.mark.parametrize("at", [context(), context(admission="open", **NOBODY)], ids=["known", "open"])
def test_a_node_of_another_cluster_is_refused_and_not_told_this_ones_name(at: AdmissionContext) -> None:
    at = dataclasses.replace(at, cluster="hidden")
    for told in (hello(cluster="another"), hello(cluster=None)):
        refused = asked(told, at)
        assert refused is not None
        assert refused.kind == "wrong_cluster"
        assert "hidden" not in str(refused)


def test_a_known_key_that_claims_another_node_id_is_refused_with_both() -> None:
    refused = asked(hello(node_id=7, entry=attested(2, cluster_node_id=7)), context(holder=None))
    assert refused is not None
    assert refused.kind == "wrong_node_id"
    assert "node 7" in refused.message
    assert "node 2" in refused.message


@pytest.mark.parametrize("taken", [{"node_id": 2}, {"holder": key(5).public()}], ids=["by this node", "by another"])
def test_a_node_id_that_is_taken_is_refused(taken: dict[str, Any]) -> None:
    refused = asked(hello(), dataclasses.replace(context(admission="open", **NOBODY), **taken))
    assert refused is not None
    assert refused.kind == "node_id_taken"


@pytest.mark.parametrize(
    "bad",
    [
        attested(3),
        attested(2, cluster_node_id=9),
        entry(2),
        dataclasses.replace(attested(2), direct_addresses=("192.0.2.66:1",)),
        dataclasses.replace(attested(2), attestation=attested(3).attestation),
        attest(entry(2), key(2), cluster=CLUSTER, now=NOW - timedelta(days=2), expires_at=NOW - timedelta(days=1)),
    ],
    ids=["another's", "another node id's", "not signed", "changed", "another's signature", "expired"],
)
@pytest.mark.parametrize("at", [context(), context(admission="open", **NOBODY)], ids=["known", "open"])
def test_an_entry_that_does_not_hold_is_refused_from_everyone(bad: NodeRegistryEntry, at: AdmissionContext) -> None:
    refused = asked(hello(bad), at)
    assert refused is not None
    assert refused.kind == "bad_entry"


def test_a_refusal_that_names_a_kind_of_dial_error_becomes_that_kind() -> None:
    for kind in REFUSALS:
        assert (turned_away(f"{kind}: why").kind, turned_away(f"{kind}: why").message) == (kind, "why")


@pytest.mark.parametrize("reason", ["unknown: who", "no", ": x", "timeout: not for a peer to say"])
def test_any_other_refusal_is_refused_with_the_whole_reason(reason: str) -> None:
    assert (turned_away(reason).kind, turned_away(reason).message) == ("refused", reason)


@pytest.mark.parametrize("reason", [None, ""])
def test_a_refusal_without_a_reason_says_so(reason: str | None) -> None:
    assert str(turned_away(reason)) == "refused: no reason given"


def test_a_long_refusal_arrives_as_a_reason_of_200_characters_at_most() -> None:
    said = str(Refusal("bad_entry", "x" * 1000))
    assert len(said) <= 200
    assert decode_welcome(encode(Welcome(admitted=False, reason=said))).reason == said
    with pytest.raises(InputError, match="/reason"):
        decode_welcome(encode(Welcome(admitted=False, reason="x" * 201)))
    assert decode_welcome(encode(Welcome(admitted=False, reason="x" * 200))).reason == "x" * 200


def test_a_message_of_16384_bytes_is_read() -> None:
    data = encode(Welcome(admitted=True))
    assert decode_welcome(data.ljust(16_384)) == Welcome(admitted=True)
    with pytest.raises(InputError, match="longer than 16384 bytes"):
        decode_welcome(data.ljust(16_385))
