# SPDX-License-Identifier: MIT
"""A publication is read whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.publishing.fleets import at, keep, publication_of, record_of

from blixard.errors import BlixardError, TrustError
from blixard.publishing.base import read_publication


def test_a_publication_has_the_bytes_as_they_stand_and_the_number(tmp_path: Path) -> None:
    publication = publication_of(tmp_path, record_of(1, 2), seq=at(3))
    assert publication.seq == at(3)
    assert publication.entries == {f"n{n}": (tmp_path / f"registry/n{n}.json").read_bytes() for n in (1, 2)}
    assert publication.manifest == (tmp_path / "registry/MANIFEST").read_bytes()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("discovery-peers.json.sig", "discovery-peers.json.sig: is not JSON"),
        ("registry/MANIFEST", "MANIFEST: is not JSON"),
        ("registry/n1.json", "n1.json: is not JSON"),
        ("discovery-peers.json", "discovery-peers.json: is not JSON"),
    ],
)
def test_a_damaged_part_is_named(tmp_path: Path, damage: str, said: str) -> None:
    peers = keep(tmp_path, record_of(1), seq=at(0))
    (tmp_path / damage).write_bytes(b"<html>")
    with pytest.raises(BlixardError, match=said):
        read_publication(tmp_path / "registry", peers)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("discovery-peers.json", "is not what .* gives; run `blixard peers build` first"),
        ("discovery-peers.json.sig", "does not fit the file; run `blixard peers sign` first"),
        ("registry/MANIFEST", "is of another record; run `blixard peers sign --record"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_not_published(tmp_path: Path, part: str, said: str) -> None:
    keep(tmp_path, record_of(1, 2), seq=at(0))
    old = (tmp_path / part).read_bytes()
    peers = keep(tmp_path, record_of(1), seq=at(1))
    (tmp_path / part).write_bytes(old)
    with pytest.raises(TrustError, match=said):
        read_publication(tmp_path / "registry", peers)
