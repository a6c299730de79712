# SPDX-License-Identifier: MIT
"""The text of DNS records about nodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.peers.people import HOUR, NOON, endpoint_id, peer

from blixard.errors import InputError
from blixard.model.ids import EndpointId
from blixard.sources.dns_records import (
    MAX_STRING,
    MAX_TEXT,
    base32,
    format_node,
    id_of,
    parse_iroh,
    parse_label,
    parse_node,
    strings_of,
    z_base32,
)

ID = base32(endpoint_id(1))


@given(
    st.integers(1, 2**64 - 1), st.lists(st.integers(1, 9), unique=True), st.booleans(), st.sampled_from([None, 5, 7])
)
def test_what_is_written_is_read_back_with_its_attestation(
    node_id: int, hosts: list[int], has_relay: bool, seq: int | None
) -> None:
    addresses = [f"10.0.0.{host}:7001" for host in hosts] or ["[2001:db8::1]:7001"]
    node_id = min(node_id, 2**53 - 1) if seq else node_id
    relay = "https://relay.example/?a=b" if has_relay else None
    one = peer(1, *addresses, node_id=node_id, seq=seq, expires_at=NOON + HOUR if seq == 7 else None, relay_url=relay)
    said = parse_node("".join(strings_of(format_node(one))))
    assert said is not None
    assert (said.node_id, said.endpoint_id, said.addresses, said.relay_url) == (
        node_id,
        endpoint_id(1),
        tuple(one.direct_addresses),
        relay,
    )
    assert said.attestation == one.attestation


def test_a_long_text_is_cut_into_strings_that_fit() -> None:
    text = format_node(peer(1, *(f"10.0.0.{n}:7001" for n in range(1, 33)), seq=5))
    strings = strings_of(text)
    assert len(strings) > 1
    assert max(map(len, strings)) <= MAX_STRING
    assert "".join(strings) == text


def test_keys_are_read_in_any_case_addresses_also_with_commas_and_unknown_words_are_skipped() -> None:
    said = parse_node(f"v=1 NODE=3 Id={endpoint_id(1).hex} addr=10.0.0.1:1,10.0.0.2:1 addr=10.0.0.1:1 hello")
    assert said is not None
    assert (said.node_id, said.endpoint_id, said.addresses) == (3, endpoint_id(1), ("10.0.0.1:1", "10.0.0.2:1"))


def test_none_is_said_by_one_word() -> None:
    assert parse_node(" none ") is None
    assert parse_node("none node=1") is not None


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("node=0", "/node", "at least 1"),
        ("node=x", "/node", "not a number"),
        ("node=" + "9" * 30, "/node", "not a number"),
        ("node=1 node=2", "/node", "twice"),
        ("id=abc", "/id", "not an Iroh node id"),
        (f"id={'a' * 52}", "/id", "weak"),
        ("addr=localhost:1", "/addr/0", "IP address"),
        ("addr=0.0.0.0:1", "/addr/0", "0.0.0.0"),
        ("relay=ftp://x", "/relay", "http"),
        ("sig=abc", "/cluster", "missing"),
        ("sig=abc cluster=c seq=1 issued=2026-01-01T00:00:00Z", "/signature", "not a signature"),
        ("x" * (MAX_TEXT + 1), "", "characters"),
        (" ".join(f"addr=10.0.{n}.1:1" for n in range(65)), "/addr", "at most 64"),
    ],
)
def test_a_bad_word_is_refused_with_its_key_and_the_reason(text: str, place: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_node(text)
    assert caught.value.place == place
    assert reason in str(caught.value)


def test_the_id_of_a_record_is_found_although_the_rest_is_bad() -> None:
    assert id_of(f"node=x id={ID} addr=nowhere") == endpoint_id(1)
    assert id_of("node=1 id=bad") is None
    assert id_of(f"node=1 myid={ID}") is None


def test_a_label_is_the_id_in_base32_in_either_case_and_nothing_else() -> None:
    assert len(ID) <= 63
    assert parse_label(ID) == parse_label(ID.upper()) == endpoint_id(1)
    for bad in ("node1", ID[:-1], "1" * 52, "a" * 52):
        with pytest.raises(InputError):
            parse_label(bad)


def test_irohs_names_are_in_z_base_32() -> None:
    # An id in both forms, as it stands in iroh's own tests.
    one = EndpointId.parse("1992d53c02cdc04566e5c0edb1ce83305cd550297953a047a445ea3264b54b18")
    assert z_base32(one) == "dgjpkxyn3zyrk3zfads5duwdgbqpkwbjxfj4yt7rezidr3fijccy"


def test_irohs_records_are_read_with_lists_repeated_keys_and_what_is_bad_left_out() -> None:
    texts = [
        "user-data=hello",
        "addr=10.0.0.1:1 [2001:db8::1]:2 nonsense",
        "addr=10.0.0.2:1",
        "addr=10.0.0.1:1",
        "relay=not a url",
        "relay=https://relay.example.org/",
        "relay=https://second.example.org/",
        "novalue",
    ]
    assert parse_iroh(texts) == (("10.0.0.1:1", "[2001:db8::1]:2", "10.0.0.2:1"), "https://relay.example.org/")
    assert parse_iroh([]) == ((), None)
    assert len(parse_iroh([" ".join(["addr=10.0.0.1:1", *(f"10.0.0.1:{n}" for n in range(2, 99))])])[0]) == 64
