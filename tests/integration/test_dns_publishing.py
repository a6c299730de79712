# SPDX-License-Identifier: MIT
"""A fleet's record published to DNS: by signed updates to a real server, and as a file that a zone includes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.knot import KEY_NAME, KEY_SECRET, ZONE, Knot, running_knot
from tests.integration.nodes import blixard
from tests.unit.documents.samples import CLUSTER
from tests.unit.publishing.fleets import CONTEXT, at, keep, publication_of, record_of, unsigned
from tests.unit.sources.files import in_an_hour

from blixard.errors import InputError
from blixard.publishing import dns_zone
from blixard.publishing.base import Outcome, Publication
from blixard.publishing.factory import make_destinations, publish_everywhere
from blixard.sources.base import Answer, Found, Nothing, SourceContext
from blixard.sources.dns_client import DnsClient, DnsLocation
from blixard.sources.dns_records import SERVICE, format_node
from blixard.sources.factory import dns_at
from blixard.trust.attestation import AttestationCheck

CHECK = AttestationCheck(cluster=CLUSTER, wall=in_an_hour)


@pytest.fixture
def knot(tmp_path: Path) -> Iterator[Knot]:
    with running_knot(tmp_path) as server:
        server.start()
        yield server


def publish(publication: Publication, location: str, key: Path | None = None, *, check: bool = False) -> Outcome:
    destinations = make_destinations([location], replace(CONTEXT, tsig_key_file=key))
    (outcome,) = asyncio.run(publish_everywhere(destinations, publication, check=check))
    return outcome


def answer(knot: Knot) -> Answer:
    context = SourceContext(check=CHECK, wall=in_an_hour, is_known=lambda _: False)
    return asyncio.run(dns_at(knot.location, context).fetch())


def read(knot: Knot) -> list[tuple[object, ...]]:
    """What nodes read there now."""
    found = answer(knot)
    assert isinstance(found, Found), found
    assert found.problems == ()
    return [(*each.peer.content(), each.peer.attestation) for each in found.sightings]


def listed(publication: Publication) -> list[tuple[object, ...]]:
    return [(*each.content(), each.attestation) for each in publication.listed]


def test_what_is_published_by_a_signed_update_is_what_nodes_read_with_every_attestation(
    knot: Knot, tmp_path: Path
) -> None:
    one = publication_of(tmp_path / "f", record_of(1, 2, 3), seq=at(1))
    first = publish(one, knot.location, knot.key_file)
    assert (first.status, len(first.changes)) == ("changed", 4)
    assert read(knot) == listed(one)
    assert publish(one, knot.location, knot.key_file).status == "unchanged"
    two = publication_of(tmp_path / "f", record_of(1, 2, changed=2), seq=at(2))
    assert publish(two, knot.location, knot.key_file, check=True).status == "changed"
    assert read(knot) == listed(one)
    second = publish(two, knot.location, knot.key_file)
    assert [line.split()[:2] for line in second.changes] == [["~", "n2"], ["−", "node"], ["+0", "−1"]]
    assert read(knot) == listed(two)


def test_an_older_publication_and_an_unsigned_one_are_never_put_over_a_newer_one(knot: Knot, tmp_path: Path) -> None:
    older = publication_of(tmp_path / "f", record_of(1, 2), seq=at(1))
    newer = publication_of(tmp_path / "f", record_of(1), seq=at(2))
    assert publish(newer, knot.location, knot.key_file).status == "changed"
    refused = publish(older, knot.location, knot.key_file)
    assert (refused.status, "is newer" in (refused.reason or "")) == ("refused", True)
    bare = publication_of(tmp_path / "g", record_of(1, 2))
    assert "sign it" in (publish(bare, knot.location, knot.key_file).reason or "")
    assert read(knot) == listed(newer)


def test_a_fleet_without_nodes_says_so_in_so_many_words(knot: Knot, tmp_path: Path) -> None:
    publish(publication_of(tmp_path / "f", record_of(1)), knot.location, knot.key_file)
    publish(publication_of(tmp_path / "f", {}), knot.location, knot.key_file)
    assert isinstance(answer(knot), Nothing)


def test_a_fleet_that_outgrows_one_name_and_shrinks_again_is_whole_at_every_step(
    knot: Knot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_zone, "MAX_NAME_BYTES", 2000)
    for numbers in ([1, 2], [*range(1, 13)], [*range(1, 31)], [1]):
        one = publication_of(tmp_path / "f", record_of(*numbers))
        assert publish(one, knot.location, knot.key_file).status == "changed"
        assert read(knot) == listed(one)
        assert publish(one, knot.location, knot.key_file).status == "unchanged"


def test_a_name_that_somebody_else_wrote_into_the_zone_is_not_removed(
    knot: Knot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_zone, "MAX_NAME_BYTES", 2000)
    publish(publication_of(tmp_path / "f", record_of(*range(1, 13))), knot.location, knot.key_file)
    mine = f"{SERVICE}.mine"
    knot.set([f"{SERVICE} PTR {mine}.{ZONE}", f"{SERVICE} PTR {SERVICE}.0of2.{ZONE}", f'{mine} TXT "kept"'])
    publish(publication_of(tmp_path / "f", record_of(1)), knot.location, knot.key_file)
    asked = asyncio.run(DnsClient(DnsLocation.parse(knot.location)).ask(f"{mine}.{ZONE}", "TXT"))
    assert asked.texts == ("kept",)


def test_of_two_publishers_at_the_same_time_one_is_refused(
    knot: Knot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_zone, "MAX_NAME_BYTES", 2000)
    publications = [publication_of(tmp_path / f"f{number}", unsigned(*range(1, 13 + number))) for number in range(2)]
    context = replace(CONTEXT, tsig_key_file=knot.key_file)

    async def both() -> list[Outcome]:
        places = [make_destinations([knot.location], context)[0] for _ in publications]
        return [*await asyncio.gather(*(one.publish(two) for one, two in zip(places, publications, strict=True)))]

    outcomes = asyncio.run(both())
    statuses = sorted(each.status for each in outcomes)
    assert statuses in (["changed", "refused"], ["changed", "changed"])
    if "refused" in statuses:
        (refused,) = [each for each in outcomes if each.status == "refused"]
        assert "somebody else published meanwhile" in (refused.reason or "")
    assert read(knot) in [listed(each) for each in publications]


def test_records_that_somebody_changed_by_hand_are_published_again(knot: Knot, tmp_path: Path) -> None:
    one = publication_of(tmp_path / "f", record_of(1, 2), seq=at(1))
    publish(one, knot.location, knot.key_file)
    ours = [format_node(each) for each in one.listed]
    for records in (
        [],
        [ours[0].replace("node=1 ", "node=9 "), *ours],
        [ours[0].replace("node=1 ", "node=2 "), ours[1]],
        ["node=x", *ours],
    ):
        knot.set([f"{SERVICE} TXT {dns_zone.quoted(each)}" for each in records])
        assert publish(one, knot.location, knot.key_file).status == "changed"
        assert read(knot) == listed(one)


def test_an_update_without_a_key_or_with_another_one_is_refused_in_one_line(knot: Knot, tmp_path: Path) -> None:
    one = publication_of(tmp_path / "f", record_of(1))
    bare = publish(one, knot.location)
    assert (bare.status, "NOTAUTH" in (bare.reason or "")) == ("failed", True)
    assert "unsigned updates" in (bare.reason or "")
    other = tmp_path / "other.key"
    other.write_text('key "stranger." { algorithm hmac-sha256; secret "b3RoZXI="; };\n')
    other.chmod(0o600)
    stranger = publish(one, knot.location, other)
    assert (stranger.status, "signature" in (stranger.reason or "")) == ("failed", True)
    assert "b3RoZXI" not in (stranger.reason or "")


def test_a_key_file_that_others_may_read_or_that_has_no_key_is_refused_and_not_shown(tmp_path: Path) -> None:
    key = tmp_path / "k"
    for text, mode, reason in (
        (f"hmac-sha256:{KEY_NAME}:{KEY_SECRET}", 0o644, "chmod"),
        (f"secret {KEY_SECRET}", 0o600, "no TSIG key"),
        (f'key "x" {{ algorithm hmac-nothing; secret "{KEY_SECRET}"; }};', 0o600, "no TSIG key"),
        ("hmac-sha256:name:abc", 0o600, "cannot be used"),
    ):
        key.write_text(text)
        key.chmod(mode)
        with pytest.raises(InputError, match=reason) as caught:
            make_destinations(["dns://127.0.0.1/fleet.test"], replace(CONTEXT, tsig_key_file=key))
        assert KEY_SECRET not in str(caught.value)
    with pytest.raises(InputError, match="names no server"):
        make_destinations(["dns:fleet.test"], CONTEXT)


def test_both_forms_of_a_key_file_are_read(knot: Knot, tmp_path: Path) -> None:
    knot.key_file.write_text(f"hmac-sha256:{KEY_NAME}:{KEY_SECRET}\n")
    knot.key_file.chmod(0o600)
    assert publish(publication_of(tmp_path / "f", record_of(1)), knot.location, knot.key_file).status == "changed"


def test_a_server_that_is_down_is_a_place_that_failed(knot: Knot, tmp_path: Path) -> None:
    knot.stop()
    outcome = publish(publication_of(tmp_path / "f", record_of(1)), knot.location, knot.key_file)
    assert (outcome.status, "no DNS server answered" in (outcome.reason or "")) == ("failed", True)


def test_a_zone_that_includes_the_published_file_serves_the_fleet(
    knot: Knot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "fleet.inc"
    monkeypatch.setattr(dns_zone, "MAX_NAME_BYTES", 2000)
    for numbers, seq in (([1, 2], 1), ([*range(1, 13)], 2)):
        one = publication_of(tmp_path / "f", record_of(*numbers), seq=at(seq))
        assert publish(one, f"zone://{file}", check=True).status == "changed"
        assert publish(one, f"zone://{file}").status == "changed"
        assert publish(one, f"zone://{file}").status == "unchanged"
        knot.set([f"$INCLUDE {file}"])
        assert read(knot) == listed(one)
    older = publication_of(tmp_path / "f", record_of(1), seq=at(1))
    assert publish(older, f"zone://{file}").status == "refused"
    file.write_text(file.read_text() + "mine A 10.0.0.1\n")
    assert publish(one, f"zone://{file}").changes == ("the same peers in another form",)
    with pytest.raises(InputError, match="whole path"):
        make_destinations(["zone://fleet.inc"], CONTEXT)


def test_the_command_publishes_with_a_key_file(knot: Knot, tmp_path: Path) -> None:
    peers = keep(tmp_path / "f", record_of(1, 2))
    words = ["publish", "--registry-dir", tmp_path / "f" / "registry", "--peers", peers, knot.location]
    refused = blixard(*words)
    assert (refused.code, "NOTAUTH" in refused.err) == (1, True)
    done = blixard(*words, "--tsig-key-file", knot.key_file, "--json")
    assert (done.code, done.document["places"][0]["status"]) == (0, "changed")
    assert [each[0] for each in read(knot)] == [1, 2]
