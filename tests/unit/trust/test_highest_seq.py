# SPDX-License-Identifier: MIT
"""The highest numbers seen: by cluster and signer, across restarts and versions, and never silently lost."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from tests.unit.peers.people import CLUSTER, NOON, endpoint_id

from blixard.errors import InputError
from blixard.trust.highest_seq import MOST_TOLD, HighestSeq, numbers_seen

FILE = "seen-signatures.json"
OLD, NEW = endpoint_id(1000), endpoint_id(1001)


def now() -> datetime:
    return NOON


def lowest(seen: HighestSeq, place: str = "a", signer: object = OLD, cluster: str = CLUSTER) -> int:
    assert signer in (OLD, NEW)
    return seen.lowest(place, cluster, OLD if signer == OLD else NEW, [OLD, NEW])


def problem_of(seen: HighestSeq) -> str:
    return seen.problem or ""


def test_numbers_only_grow_and_survive_a_restart(tmp_path: Path) -> None:
    seen = HighestSeq(tmp_path, now)
    assert lowest(seen) == 0
    seen.raise_to("a", CLUSTER, OLD, 5)
    seen.raise_to("a", CLUSTER, OLD, 3)
    assert lowest(HighestSeq(tmp_path, now), "another place") == 5
    assert lowest(HighestSeq(None, now)) == 0


def test_a_number_is_of_one_cluster_and_one_signer(tmp_path: Path) -> None:
    HighestSeq(tmp_path, now).raise_to("a", CLUSTER, OLD, 5)
    seen = HighestSeq(tmp_path, now)
    assert lowest(seen, "b", NEW) == 0
    assert lowest(seen, "b", OLD, "other") == 0


def test_after_a_change_of_key_the_former_signers_older_files_count_nowhere(tmp_path: Path) -> None:
    HighestSeq(tmp_path, now).raise_to("a", CLUSTER, OLD, 5)
    HighestSeq(tmp_path, now).raise_to("a", CLUSTER, NEW, 9)
    assert lowest(HighestSeq(tmp_path, now), "b", OLD) == 9


def test_a_signer_that_is_trusted_no_longer_keeps_no_place_from_its_successor(tmp_path: Path) -> None:
    seen = HighestSeq(tmp_path, now)
    seen.raise_to("a", CLUSTER, OLD, 50)
    assert seen.lowest("a", CLUSTER, NEW, [OLD, NEW]) == 50
    assert seen.lowest("a", CLUSTER, NEW, [NEW]) == 0


def test_what_an_earlier_version_wrote_still_counts_for_its_places(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"/etc/peers.json": 7, "https://a.example/peers.json": 9}\n')
    seen = HighestSeq(tmp_path, now)
    assert lowest(seen, "/etc/peers.json") == 7
    seen.raise_to("/etc/peers.json", CLUSTER, OLD, 8)
    seen = HighestSeq(tmp_path, now)
    assert lowest(seen, "anywhere") == 8
    assert lowest(seen, "https://a.example/peers.json", NEW) == 9


def _told(folder: Path, place: str = "a") -> dict[str | None, int]:
    return numbers_seen(folder / FILE, CLUSTER, place, NOON)


def test_a_look_sees_the_numbers_of_the_cluster_and_of_the_place_by_signer(tmp_path: Path) -> None:
    assert _told(tmp_path) == {}
    seen = HighestSeq(tmp_path, now)
    seen.raise_to("a", CLUSTER, OLD, 5)
    seen.raise_to("b", CLUSTER, OLD, 7)
    seen.raise_to("b", CLUSTER, NEW, 9)
    seen.raise_to("a", "other", NEW, 11)

    assert _told(tmp_path, "c") == {OLD.base64: 9, NEW.base64: 9}
    assert _told(tmp_path, "a") == {OLD.base64: 9, NEW.base64: 11}, "what was taken at the place counts there"


def test_a_look_sees_what_an_earlier_version_wrote_as_a_number_against_every_signer(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"/etc/peers.json": 7}\n')
    assert (_told(tmp_path, "/etc/peers.json"), _told(tmp_path)) == ({None: 7}, {})


def test_a_look_sees_no_number_that_the_node_leaves_out_and_not_more_than_a_few(tmp_path: Path) -> None:
    seen = HighestSeq(tmp_path, lambda: NOON.replace(year=2099))
    for number in range(MOST_TOLD + 3):
        seen.raise_to(f"b{number}", CLUSTER, endpoint_id(1000 + number), number + 1)
    seen.raise_to("b", CLUSTER, endpoint_id(2000), int(NOON.replace(year=2099).timestamp()))

    assert len(_told(tmp_path)) == MOST_TOLD - 1


@pytest.mark.parametrize("document", [[1], {"signers": {CLUSTER: []}}, {"a": "7"}, {"signers": {CLUSTER: {"x": -1}}}])
def test_a_look_refuses_what_this_program_does_not_write(tmp_path: Path, document: object) -> None:
    (tmp_path / FILE).write_text(json.dumps(document))
    with pytest.raises(InputError, match="is not what this program writes there; remove it"):
        _told(tmp_path)


def test_a_remembered_number_far_ahead_of_the_clock_counts_for_nothing(tmp_path: Path) -> None:
    before_it_was_set = HighestSeq(tmp_path, lambda: datetime(1970, 1, 1, tzinfo=timezone.utc))
    before_it_was_set.raise_to("a", CLUSTER, OLD, 2**53 - 1)
    seen = HighestSeq(tmp_path, now)
    assert lowest(seen) == 0
    seen.raise_to("a", CLUSTER, OLD, 5)
    assert lowest(HighestSeq(tmp_path, now)) == 5


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"a": "b"}',
        '{"a": -1}',
        '{"a": true}',
        "{",
        '{"version": 3, "signers": {}, "places": {}}',
        '{"version": 2, "signers": {"c": {"nobody": 1}}, "places": {}}',
        '{"version": 2, "signers": {"c": 5}, "places": {}}',
        '{"version": 2, "signers": {}}',
        '{"version": 2, "signers": {}, "places": {"a": {"signer": 5, "seq": 1}}}',
        '{"version": 2, "signers": {}, "places": {"a": {"signer": null, "seq": "1"}}}',
        '{"version": 2, "signers": {}, "places": {"a": {"signer": null, "seq": 9007199254740992}}}',
    ],
)
def test_numbers_that_cannot_be_read_are_not_forgotten(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=FILE) as caught:
        HighestSeq(tmp_path, now)
    assert caught.value.mend
    assert (tmp_path / FILE).read_text() == content


def test_however_many_places_there_were_the_file_stays_small_and_readable(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({f"/{'x' * 4000}/{number}": 7 for number in range(400)}))
    seen = HighestSeq(tmp_path, now)
    for number in range(1100):
        seen._places.pop(f"/{number}", None)
        seen.raise_to(f"/{number}", CLUSTER, OLD, 10)
    assert (tmp_path / FILE).stat().st_size < 512 * 1024
    assert lowest(HighestSeq(tmp_path, now)) == 10


def test_a_number_that_cannot_be_written_is_said_and_written_later(tmp_path: Path) -> None:
    seen = HighestSeq(tmp_path / "not there yet", now)
    seen.raise_to("a", CLUSTER, OLD, 5)
    assert lowest(seen) == 5
    assert FILE in problem_of(seen)
    (tmp_path / "not there yet").mkdir()
    seen.write_again()
    assert not problem_of(seen)
    assert lowest(HighestSeq(tmp_path / "not there yet", now)) == 5


def test_a_number_that_is_known_is_not_written_again(tmp_path: Path) -> None:
    seen = HighestSeq(tmp_path, now)
    seen.raise_to("a", CLUSTER, OLD, 5)
    (tmp_path / FILE).unlink()
    seen.raise_to("a", CLUSTER, OLD, 5)
    assert not (tmp_path / FILE).exists()
    seen.raise_to("a", CLUSTER, OLD, 6)
    assert lowest(HighestSeq(tmp_path, now)) == 6


def test_a_place_that_has_a_number_known_from_elsewhere_is_remembered_over_a_restart(tmp_path: Path) -> None:
    seen = HighestSeq(tmp_path, now)
    seen.raise_to("a", CLUSTER, OLD, 5)
    seen.raise_to("b", CLUSTER, OLD, 5)
    again = HighestSeq(tmp_path, now)
    assert again.lowest("b", CLUSTER, NEW, [OLD, NEW]) == 5
    assert again.lowest("c", CLUSTER, NEW, [OLD, NEW]) == 0


def test_what_has_seen_nothing_writes_nothing(tmp_path: Path) -> None:
    HighestSeq(tmp_path, now).write_again()
    assert list(tmp_path.iterdir()) == []


def test_the_least_numbers_are_remembered_too(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"/etc/peers.json": 0}\n')
    HighestSeq(tmp_path, now).raise_to("a", CLUSTER, OLD, 1)
    assert lowest(HighestSeq(tmp_path, now), "b") == 1


def test_of_too_many_signers_the_one_seen_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blixard.trust.highest_seq.MOST", 2)
    seen = HighestSeq(None, now)
    signers = [endpoint_id(number) for number in (1000, 1001, 1002)]
    for number, signer in ((5, signers[0]), (6, signers[1]), (7, signers[0]), (8, signers[2])):
        seen.raise_to(f"place {number}", CLUSTER, signer, number)
    assert [seen.lowest("elsewhere", CLUSTER, signer, signers) for signer in signers] == [7, 0, 8]


def test_a_place_is_written_as_it_is_up_to_256_bytes(tmp_path: Path) -> None:
    seen = HighestSeq(tmp_path, now)
    for place in ("x" * 256, "y" * 257):
        seen.raise_to(place, CLUSTER, OLD, 5)
    short, long = json.loads((tmp_path / FILE).read_text())["places"]
    assert short == "x" * 256
    assert long.startswith("sha256:")
