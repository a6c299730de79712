# SPDX-License-Identifier: MIT
"""A record published to a real etcd under its lock, and taken from there by other controllers."""

from __future__ import annotations

import json
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.integration.etcd import EtcdServer, etcd, place, server
from tests.unit.documents.samples import CLUSTER
from tests.unit.publishing.fleets import CONTEXT, FLEET, at, keep, publication_of, publish, record_of, unsigned

from blixard.cli.main import main
from blixard.documents.parts import MAX_PART
from blixard.errors import BlixardError, InputError
from blixard.model.entry import NodeRegistryEntry
from blixard.publishing import etcd as publishing_etcd
from blixard.publishing import etcd_locks
from blixard.publishing.base import BASE, Outcome, Publication
from blixard.publishing.etcd import EtcdDestination
from blixard.publishing.etcd_locks import Publishing, RunFence, publishing, put
from blixard.sources.base import EtcdAccess, Found, SourceContext
from blixard.sources.etcd import EtcdSource
from blixard.sources.etcd_client import Etcd, EtcdPlace
from blixard.trust.attestation import AttestationCheck

__all__ = ["etcd", "place", "server"]

READING = SourceContext(
    check=AttestationCheck(cluster=CLUSTER, wall=CONTEXT.wall),
    wall=CONTEXT.wall,
    is_known=lambda _: False,
    cluster=CLUSTER,
    signers=[FLEET.public()],
)


def one(outcomes: list[Outcome]) -> Outcome:
    [outcome] = outcomes
    return outcome


async def read(place: str) -> list[int]:
    answer = await EtcdSource(EtcdPlace.parse(place), READING).fetch()
    assert isinstance(answer, Found), answer
    assert answer.problems == ()
    return [each.node_id for each in answer.peers]


def client(place: str) -> Etcd:
    return Etcd(EtcdPlace.parse(place), EtcdAccess())


def locked(place: str) -> AbstractContextManager[Publishing]:
    asking = client(place)
    return publishing(asking, {"user": "ann", "machine": "m1", "process": 7, "since": "now"}, RunFence(asking, None))


def pull(place: str, folder: Path, *more: str) -> int:
    words = ["record", "pull", "--registry-dir", str(folder / "registry"), *more]
    return main([*words, "--peers", str(folder / "discovery-peers.json"), place])


def command(place: str, folder: Path, *more: str) -> int:
    words = ["publish", "--registry-dir", str(folder / "registry"), *more]
    return main([*words, "--peers", str(folder / "discovery-peers.json"), place])


def test_a_publication_is_read_by_nodes_and_the_same_again_changes_nothing(
    place: str, etcd: EtcdServer, tmp_path: Path
) -> None:
    publication = publication_of(tmp_path, record_of(1, 2), seq=at(1))
    outcome = one(publish(publication, place))
    assert outcome.status == "changed"
    assert outcome.changes[-1] == "+2 −0 ~0 peers"
    keys = etcd.keys("fleet/", "fleet0")
    assert set(keys) == {f"fleet/{name}" for name in ("manifest", "peers", "peers.sig", "registry/n1", "registry/n2")}
    assert keys["fleet/peers"] == publication.peers
    assert one(publish(publication, place)).status == "unchanged"


async def test_nodes_take_what_was_published(place: str, tmp_path: Path) -> None:
    publication = publication_of(tmp_path, record_of(1, 2, 3), seq=at(1))
    assert (await EtcdDestination(place, CONTEXT).publish(publication)).status == "changed"
    assert await read(place) == [1, 2, 3]


async def test_documents_larger_than_a_value_go_in_parts_of_which_only_those_that_differ_are_written(
    place: str, etcd: EtcdServer, tmp_path: Path
) -> None:
    record = record_of(*range(1, 251)) | {}
    publication = publication_of(tmp_path, record, seq=at(1))
    large = _padded(publication)
    destination = EtcdDestination(place, CONTEXT)
    assert (await destination.publish(large)).status == "changed"
    parts = set(etcd.keys("fleet/parts/", "fleet/parts0"))
    assert len(parts) > 1
    assert destination.look().peers == large.peers
    assert (await destination.publish(large)).status == "unchanged"
    assert (await destination.publish(publication)).status == "changed"
    assert etcd.keys("fleet/parts/", "fleet/parts0") == {}


def _padded(publication: Publication) -> Publication:
    """The same with a peers file of more bytes than one value has."""
    from dataclasses import replace

    return replace(publication, peers=publication.peers + b" " * MAX_PART)


def test_an_older_publication_is_refused(place: str, tmp_path: Path) -> None:
    newer = publication_of(tmp_path / "a", record_of(1, 2), seq=at(5))
    older = publication_of(tmp_path / "b", record_of(1), seq=at(4))
    publish(newer, place)
    outcome = one(publish(older, place))
    assert outcome.status == "refused"
    assert "is newer" in (outcome.reason or "")
    assert EtcdDestination(place, CONTEXT).look().peers == newer.peers


def test_a_check_says_what_would_change_and_writes_nothing(place: str, etcd: EtcdServer, tmp_path: Path) -> None:
    publication = publication_of(tmp_path, record_of(1), seq=at(1))
    assert one(publish(publication, place, check=True)).status == "changed"
    assert etcd.keys("fleet/", "fleet0") == {}


def test_who_left_the_record_leaves_etcd(place: str, etcd: EtcdServer, tmp_path: Path) -> None:
    publish(publication_of(tmp_path, record_of(1, 2), seq=at(1)), place)
    publish(publication_of(tmp_path, record_of(1), seq=at(2)), place)
    assert list(etcd.keys("fleet/registry/", "fleet/registry0")) == ["fleet/registry/n1"]


def test_two_publishers_at_once_leave_one_whole_publication(place: str, tmp_path: Path) -> None:
    each = [publication_of(tmp_path / str(n), record_of(*range(1, n + 2)), seq=at(n)) for n in range(1, 4)]
    threads = [threading.Thread(target=publish, args=(publication, place)) for publication in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there = EtcdDestination(place, CONTEXT).look()
    assert there.peers == each[-1].peers
    assert there.signature == each[-1].signature
    assert there.entries == each[-1].entries


def test_a_lock_that_was_lost_lets_nothing_through(place: str, etcd: EtcdServer) -> None:
    with locked(place) as lock:
        lock.commit([put(b"fleet/registry/n1", b"1")], b"fleet/peers", 0)
        etcd.remove("fleet/lock")
        with locked(place), pytest.raises(InputError, match="the lock was lost"):
            lock.commit([put(b"fleet/registry/n1", b"2")], b"fleet/peers", 0)
    assert etcd.keys("fleet/", "fleet0") == {"fleet/registry/n1": b"1"}


def test_a_peers_file_that_somebody_else_changed_lets_nothing_through(place: str, etcd: EtcdServer) -> None:
    with locked(place) as lock:
        etcd.put("fleet/peers", b"[]")
        with pytest.raises(InputError, match="the lock was lost, and somebody else may have published"):
            lock.commit([put(b"fleet/registry/n1", b"2")], b"fleet/peers", 0)


def test_a_lock_that_is_held_is_named_and_waited_for_only_so_long(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_locks, "PATIENCE", 1)
    with (
        locked(place),
        pytest.raises(BlixardError, match="is being published to: ann on m1, process 7, since now"),
        locked(place),
    ):
        raise AssertionError
    with locked(place):
        pass


def test_a_lock_goes_with_whoever_dies(place: str, etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_locks, "LEASE", 1)
    dead = locked(place)
    dead.__enter__()
    monkeypatch.setattr(etcd_locks, "LEASE", 30)
    with locked(place):
        assert "fleet/lock" in etcd.keys("fleet/", "fleet0")


def test_a_controller_takes_the_record_from_where_another_published_it(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path / "a", record_of(1, 2), seq=at(1))
    assert command(place, tmp_path / "a") == 0
    assert pull(place, tmp_path / "b", "--signer", FLEET.public().hex) == 0
    for name in ("registry/n1.json", "registry/n2.json", "registry/MANIFEST", "discovery-peers.json.sig"):
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "a" / name).read_bytes()
    assert command(place, tmp_path / "b", "--check") == 0
    capsys.readouterr()
    assert pull(place, tmp_path / "b", "--json", "--check") == 0
    assert json.loads(capsys.readouterr().out)["places"][0]["status"] == "unchanged"


def change(folder: Path, record: dict[str, NodeRegistryEntry], seq: int) -> None:
    """Change the record as a run does, which leaves alone what is no entry of it."""
    base = (folder / "registry" / BASE).read_bytes()
    keep(folder, record, seq=seq)
    (folder / "registry" / BASE).write_bytes(base)


def test_a_record_that_another_controller_has_passed_is_not_published_over_it(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both begin with node 1; one adds node 2, the other node 3, and signs later: node 2 must not be lost."""
    keep(tmp_path / "a", record_of(1), seq=at(1))
    assert command(place, tmp_path / "a") == 0
    assert pull(place, tmp_path / "b", "--signer", FLEET.public().hex) == 0
    change(tmp_path / "a", record_of(1, 2), seq=at(2))
    assert command(place, tmp_path / "a") == 0
    change(tmp_path / "b", record_of(1, 3), seq=at(3))
    assert command(place, tmp_path / "b") == 1
    assert "another controller has published since" in capsys.readouterr().err
    assert pull(place, tmp_path / "b") == 2
    assert "has changes that were not published" in capsys.readouterr().err
    assert pull(place, tmp_path / "b", "--discard") == 0
    assert (tmp_path / "b/registry/n2.json").exists()
    assert not (tmp_path / "b/registry/n3.json").exists()
    change(tmp_path / "b", record_of(1, 2, 3), seq=at(3))
    assert command(place, tmp_path / "b") == 0


def test_the_first_pull_takes_the_word_of_whoever_signed_and_a_later_one_also_what_no_peer_tells(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path / "a", record_of(1), seq=at(1))
    assert command(place, tmp_path / "a") == 0
    assert pull(place, tmp_path / "b") == 0
    entry = tmp_path / "b/registry/n1.json"
    published = entry.read_bytes()
    entry.write_bytes(published + b" ")
    capsys.readouterr()
    assert pull(place, tmp_path / "b") == 0
    assert "the same peers; new: entries, signature or manifest" in capsys.readouterr().out
    assert entry.read_bytes() == published


def test_a_transaction_is_as_large_as_etcd_takes_and_no_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing_etcd, "MAX_BYTES", 10)
    monkeypatch.setattr(publishing_etcd, "MAX_OPERATIONS", 3)
    steps = [put(b"k", b"1234"), put(b"k", b"1234"), put(b"k", b"1234"), put(b"k", b"1234"), put(b"k", b"1" * 99)]
    steps += [put(b"k", b"")] * 4
    assert [len(batch) for batch in publishing_etcd._batches(steps)] == [2, 2, 1, 3, 1]
    assert list(publishing_etcd._batches([])) == []


def test_changes_that_go_on_from_what_is_published_are_kept(place: str, tmp_path: Path) -> None:
    """A run that failed before it published is run again: its pull has nothing to bring, and takes nothing away."""
    keep(tmp_path / "a", record_of(1), seq=at(1))
    assert command(place, tmp_path / "a") == 0
    change(tmp_path / "a", record_of(1, 2), seq=at(2))
    assert pull(place, tmp_path / "a") == 0
    assert (tmp_path / "a/registry/n2.json").exists()
    assert command(place, tmp_path / "a") == 0
    assert EtcdDestination(place, CONTEXT).look().entries.keys() == {"n1", "n2"}


def test_a_pull_takes_no_other_signer_and_nothing_unsigned(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(publication_of(tmp_path / "a", unsigned(1)), place)
    keep(tmp_path / "b", record_of(1), seq=at(1))
    assert pull(place, tmp_path / "b") == 1
    assert "is not signed, and has to be" in capsys.readouterr().err
    assert (tmp_path / "b" / "registry" / "MANIFEST").exists()


def test_entries_that_were_changed_in_etcd_are_not_pulled(
    place: str, etcd: EtcdServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(publication_of(tmp_path / "a", record_of(1, 2), seq=at(1)), place)
    etcd.remove("fleet/registry/n2")
    assert pull(place, tmp_path / "b") == 1
    assert "does not follow from its entries" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_an_etcd_that_is_down_is_one_line_and_no_other_place_suffers(tmp_path: Path) -> None:
    publication = publication_of(tmp_path, record_of(1), seq=at(1))
    (tmp_path / "store").mkdir()
    down, store = publish(publication, "etcd://localhost:1/fleet", tmp_path / "store")
    assert down.status == "failed"
    assert (down.reason or "").startswith("etcd://localhost:1/fleet: cannot be read")
    assert store.status == "changed"
