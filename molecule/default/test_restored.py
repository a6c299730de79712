# SPDX-License-Identifier: MIT
"""Hosts whose files are not their account's, as after a restore, get them back; what is planted there leads nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from molecule.conftest import Fleet

DATA_DIR = "/var/lib/blixard"
VICTIM = "stat --format '%U:%G %a' /root/victim; cat /root/victim"


def test_a_link_that_is_planted_in_a_restored_directory_stops_the_host_and_leads_nowhere(fleet: Fleet) -> None:
    restored = fleet.nodes["node2"]
    restored.run(
        f"systemctl stop blixard && userdel blixard && chown -R 4711:4711 {DATA_DIR} && chmod 755 {DATA_DIR}"
        " && echo 'as it was' >/root/victim && chmod 600 /root/victim"
        f" && rm {DATA_DIR}/discovery-peers.json && ln -s /root/victim {DATA_DIR}/discovery-peers.json"
        f" && ln -s /root/victim {DATA_DIR}/notes && chown -h 4711:4711 {DATA_DIR}/*"
    )

    run = fleet.playbook("site.yml")

    assert run.hosts("failed") >= {"node2"}
    assert f"{DATA_DIR}/discovery-peers.json: is a link, not a file; it is not given away" in " ".join(
        run.output.split()
    )
    assert restored.run(VICTIM) == "root:root 600\nas it was"


def test_without_it_the_host_gets_its_files_back_and_nothing_else_is_given(fleet: Fleet) -> None:
    restored, by_root = fleet.nodes["node2"], fleet.nodes["node3"]
    restored.run(f"rm {DATA_DIR}/discovery-peers.json")
    by_root.run(f"chown root:root {DATA_DIR}/iroh-secret-key")

    run = fleet.playbook("site.yml")

    assert run.returncode == 0
    assert restored.run(VICTIM) == "root:root 600\nas it was"
    assert restored.run(f"stat --format %u {DATA_DIR}/notes") == "4711"
    restored.run(f"rm {DATA_DIR}/notes")
    for node in (restored, by_root):
        owners = f"stat --format '%U:%G' {DATA_DIR} {DATA_DIR}/*"
        assert set(node.run(owners).splitlines()) == {"blixard:blixard"}
        assert node.unit("ActiveState") == ["active"]
    fleet.settles_connected()


def test_a_further_run_has_nothing_to_do(fleet: Fleet) -> None:
    run = fleet.playbook("site.yml")
    assert run.returncode == 0
    assert not run.hosts("changed")
