# SPDX-License-Identifier: MIT
"""`blixard registry`: validate, show, sign, verify and ticket of one file."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.cli.run import blixard, refused
from tests.unit.documents.samples import NOW, SEED_REGISTRY, attested, entry, key

from blixard.documents.registry_file import format_registry, read_registry, write_registry
from blixard.model.tickets import parse_ticket
from blixard.trust.attestation import attest
from blixard.trust.keys import KEY_FILE_NAME


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry file that is not attested, its node's key beside it."""
    path = tmp_path / "node-registry.json"
    write_registry(path, entry(1), mode=0o640)
    secret = tmp_path / KEY_FILE_NAME
    secret.write_text(key(1).to_bytes().hex() + "\n")
    secret.chmod(0o600)
    return path


def test_a_good_file_is_called_good(registry: Path) -> None:
    ran = blixard("registry", "validate", registry)
    assert (ran.code, ran.out) == (0, f"{registry}: good, node 1 {key(1).public().short}\n")


def test_a_bad_file_is_refused_with_file_place_and_mend(tmp_path: Path) -> None:
    path = tmp_path / "seed.json"
    path.write_text(SEED_REGISTRY)
    for action in ("validate", "show", "verify", "ticket"):
        line = refused(blixard("registry", action, path), 2)
        assert line.startswith(f"blixard: {path}: /iroh_node_id: ")
        assert "blixard key show" in line


def test_what_a_file_says_is_shown_for_people_and_for_programs(registry: Path) -> None:
    write_registry(registry, attested(1, extra={"zone": "\x1b[31mred"}))
    shown = blixard("registry", "show", registry).out
    for fact in (key(1).public().hex, "192.168.1.1:7001", "https://relay.example.org", "for cluster blixard"):
        assert fact in shown
    assert "\x1b" not in shown
    assert json.loads(blixard("registry", "show", "--json", registry).out) == read_registry(registry).to_json()


def test_a_file_is_attested_once_and_then_verifies(registry: Path) -> None:
    assert "has no attestation" in refused(blixard("registry", "verify", registry), 1)
    assert blixard("registry", "sign", registry).code == 0
    assert stat.S_IMODE(registry.stat().st_mode) == 0o640
    signed = registry.read_bytes()
    assert "good, for cluster blixard" in blixard("registry", "verify", "--cluster", "blixard", registry).out
    assert "nothing to do" in blixard("registry", "sign", registry).out
    assert registry.read_bytes() == signed


def test_a_change_is_attested_under_a_higher_number(registry: Path) -> None:
    blixard("registry", "sign", registry)
    first = read_registry(registry)
    obj = {**first.to_json(), "relay_url": None}
    registry.write_text(json.dumps(obj))
    assert "does not fit" in refused(blixard("registry", "verify", registry), 1)
    assert blixard("registry", "sign", registry).code == 0
    assert blixard("registry", "verify", registry).code == 0


def test_a_file_is_attested_by_its_own_key_only(registry: Path, tmp_path: Path) -> None:
    blixard("key", "generate", "--out", tmp_path / "other")
    before = registry.read_bytes()
    assert "/iroh_node_id: is not the id of the key" in refused(
        blixard("registry", "sign", registry, "--key", tmp_path / "other"), 2
    )
    assert "does not exist" in refused(blixard("registry", "sign", registry, "--key", tmp_path / "none"), 2)
    assert registry.read_bytes() == before


def test_an_end_in_the_past_or_another_cluster_is_refused(registry: Path) -> None:
    past = attest(entry(1), key(1), cluster="east", now=NOW, expires_at=NOW + timedelta(hours=1))
    write_registry(registry, past)
    assert "expired at 2026-01-15T10:30:00Z" in refused(blixard("registry", "verify", registry), 1)
    assert 'not "west"' in refused(blixard("registry", "verify", "--cluster", "west", registry), 1)
    line = refused(blixard("registry", "sign", registry, "--expires-at", "2020-01-01T00:00:00Z"), 2)
    assert str(registry) in line
    assert "/expires_at" in line
    assert "RFC 3339" in refused(blixard("registry", "sign", registry, "--expires-at", "soon"), 2)
    assert "not a cluster name" in refused(blixard("registry", "sign", registry, "--cluster", "a b"), 2)


def test_the_ticket_says_what_the_file_says(registry: Path) -> None:
    ticket = parse_ticket(blixard("registry", "ticket", registry).out.strip())
    assert ticket.endpoint_id == key(1).public()
    assert set(ticket.direct_addresses) == set(entry(1).socket_addresses)


def test_a_file_with_a_changed_byte_is_no_longer_good(registry: Path) -> None:
    data = format_registry(attested(1))
    registry.write_bytes(data.replace(b"192.168.1.1:7001", b"192.168.1.9:7001", 1))
    assert "does not fit the entry" in refused(blixard("registry", "verify", registry), 1)
