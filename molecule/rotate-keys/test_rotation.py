# SPDX-License-Identifier: MIT
"""Every node gets a new key while the others stay connected; the old one is worth nothing, and no key was seen."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Fleet, Node, Run

DATA_DIR = "/var/lib/blixard"
CLI = "/opt/blixard/venv/bin/blixard"
KEY = f"{DATA_DIR}/iroh-secret-key"


def keys(fleet: Fleet) -> dict[str, str]:
    """Return each host's secret key, 64 hex digits."""
    return {node.name: node.run(f"cat {KEY}") for node in fleet.up}


def ids(fleet: Fleet) -> dict[str, str]:
    """Return the id that each node says it has."""
    return {node.name: node.status()["iroh_node_id"] for node in fleet.up}


@pytest.fixture(scope="module")
def old_keys(fleet: Fleet) -> dict[str, str]:
    return keys(fleet)


@pytest.fixture(scope="module")
def old_ids(fleet: Fleet) -> dict[str, str]:
    return ids(fleet)


@pytest.fixture(scope="module")
def rotation(fleet: Fleet, old_keys: dict[str, str], old_ids: dict[str, str]) -> Run:
    # As talkative as can be, since the keys are looked for in what it says.
    return fleet.playbook("rotate.yml", "-e", "blixard_rotate_min_age=0", "--diff", "-vvv")


def test_every_node_has_a_new_id_and_all_others_know_it(fleet: Fleet, rotation: Run, old_ids: dict[str, str]) -> None:
    assert rotation.returncode == 0
    new = ids(fleet)
    assert not set(new.values()) & set(old_ids.values())
    assert {name: entry["iroh_node_id"] for name, entry in fleet.record().items()} == new
    assert {peer["iroh_node_id"] for peer in fleet.peers()} == set(new.values())
    for node in fleet.up:
        assert node.document("discovery-peers.json") == fleet.peers()
    fleet.settles_connected()


def test_the_record_keeps_the_old_ids_as_retired(fleet: Fleet, rotation: Run, old_ids: dict[str, str]) -> None:
    assert {name: entry["retired_ids"] for name, entry in fleet.record().items()} == {
        name: [old] for name, old in old_ids.items()
    }


def test_each_was_restarted_once_and_never_two_at_the_same_time(fleet: Fleet, rotation: Run) -> None:
    assert {node.name: len(node.downtimes()) for node in fleet.up} == dict.fromkeys(fleet.nodes, 1)
    assert not fleet.downtimes_overlap()


def test_no_secret_key_left_its_host(fleet: Fleet, rotation: Run, old_keys: dict[str, str]) -> None:
    secrets = [*old_keys.values(), *keys(fleet).values()]
    assert len(set(secrets)) == 2 * len(fleet.up)
    raw = [bytes.fromhex(secret) for secret in secrets]
    forms = [*(secret.encode() for secret in secrets), *raw, *map(b64encode, raw)]
    kept = [path.read_bytes() for path in fleet.work.rglob("*") if path.is_file()]
    assert kept
    for text in [rotation.output.encode(), *kept]:
        assert not [form for form in forms if form in text]


def test_a_host_has_its_new_key_in_its_place_and_the_old_one_nowhere(
    node: Node, rotation: Run, old_keys: dict[str, str]
) -> None:
    patterns = f"-e {old_keys[node.name]} -e {node.run(f'cat {KEY}')}"
    assert node.run(f"grep -rlsF {patterns} /etc /opt/blixard /root /run /tmp /var") == KEY


def test_whoever_has_an_old_key_is_refused(fleet: Fleet, rotation: Run, old_keys: dict[str, str]) -> None:
    node, thief = fleet.nodes["node1"], "/run/thief"
    node.run(
        f"install -d -m 0700 {thief} && cp {DATA_DIR}/discovery-peers.json {thief}/"
        f" && (umask 077 && echo {old_keys['node2']} >{thief}/iroh-secret-key)"
        f" && systemd-run --quiet --unit=thief {CLI} node --id 2 --bind 0.0.0.0:7999 --data-dir {thief}"
    )
    try:
        fleet.settles(lambda: node.host.file(f"{thief}/agent.sock").exists)

        def state() -> str:
            peers = node.json(f"status --data-dir {thief} --json")["peers"]
            return str({peer["node_id"]: peer["state"] for peer in peers}.get(3))

        fleet.settles(state, "refused")
    finally:
        node.run(f"systemctl stop thief; rm -r {thief}")


def test_a_second_rotation_leaves_young_keys_alone(fleet: Fleet, rotation: Run) -> None:
    before = ids(fleet)

    again = fleet.playbook("rotate.yml")

    assert again.returncode == 0
    assert "no key is older than 86400 s" in again.output
    assert not again.hosts("changed")
    assert ids(fleet) == before


def test_the_fleet_is_converged_afterwards(fleet: Fleet, rotation: Run) -> None:
    run = fleet.playbook("site.yml")
    assert run.returncode == 0
    assert not run.hosts("changed")
    summary = fleet.report()["summary"]
    assert (summary["edges"], summary["reached"]) == (6, 6)
