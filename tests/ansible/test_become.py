# SPDX-License-Identifier: MIT
"""Another user on the hosts: what runs there becomes that user in the way that is set, and the controller does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.ansible.conftest import NewFleet
from tests.ansible.fleet import Fleet

PASSWORD = "a word"

# Takes sudo's place, so that nobody need be root: asks as sudo does, writes down for whom it ran what, and runs it.
SUDO = """\
#!/bin/sh
exec 3>&2
while :; do
    case $1 in
    -p) prompt=$2; shift 2 ;;
    -u) user=$2; shift 2 ;;
    --login-class=fleet) flagged=yes; shift ;;
    -*) shift ;;
    *) break ;;
    esac
done
printf '%s' "$prompt" >&3
IFS= read -r word
[ "$word" = 'a word' ] || exit 1
printf '\\nThis host is watched.\\n'
printf '%s %s %s\\n' "$user" "$flagged" "$*" >>LOG
exec "$@"
"""

OPERATIONS = ("look", "put_packed", "refresh", "check", "rotation")


@pytest.fixture
def fleet(new_fleet: NewFleet, tmp_path: Path) -> Fleet:
    """Two hosts on which everything becomes the user nobody, with a password and a flag."""
    sudo = tmp_path / "sudo"
    sudo.write_text(SUDO.replace("LOG", str(tmp_path / "log")))
    sudo.chmod(0o755)
    fleet = new_fleet(2)
    fleet.group |= {
        "ansible_become": True,
        "ansible_become_exe": str(sudo),
        "ansible_become_flags": "--login-class=fleet",
        "ansible_become_user": "nobody",
        # Only where neither root nor ACLs are at hand does Ansible need this to give a file to another user.
        "ansible_shell_allow_world_readable_temp": True,
        "ansible_become_password": PASSWORD,
    }
    return fleet


def test_all_that_the_plugins_run_on_a_host_becomes_the_user_in_the_way_that_is_set(
    fleet: Fleet, tmp_path: Path
) -> None:
    rolled_out = fleet.play("site")
    assert rolled_out.code == 0, rolled_out.output
    rotated = fleet.play("rotate", "-e", "blixard_rotate_min_age=0", "-e", "blixard_rotate=node1")
    assert rotated.code == 0, rotated.output
    left = fleet.play("decommission", "-e", "blixard_decommission=node2")
    assert left.code == 0, left.output

    ran = (tmp_path / "log").read_text().splitlines()
    asked = [line for line in ran if "blixard.fleet.host" in line]
    assert {name for name in OPERATIONS if any(f"blixard.fleet.host {name} " in line for line in asked)} == {
        *OPERATIONS
    }
    assert {line.split()[0] + " " + line.split()[1] for line in asked} == {"nobody yes"}
    assert not (fleet.root / "node2").exists() or not any((fleet.root / "node2").iterdir())
    again = fleet.play("site", "--limit", "node1")
    assert (again.code, again.changed["node1"]) == (0, 0), again.output


def test_a_wrong_password_is_said_of_the_host_and_nothing_is_written(fleet: Fleet) -> None:
    fleet.group["ansible_become_password"] = "another word"

    run = fleet.play("site")

    assert run.code != 0
    assert not fleet.registry.exists()


@pytest.mark.parametrize(
    "said", ["ansible_become=true", "ansible_connection=ssh", "ansible_python_interpreter=/usr/bin/env-python"]
)
def test_what_would_count_for_the_controller_too_is_refused_before_anything_is_written(
    new_fleet: NewFleet, said: str
) -> None:
    fleet = new_fleet(2)
    before = fleet.files()

    for playbook in ("site", "check"):
        run = fleet.play(playbook, "-e", said)
        assert run.code != 0, (playbook, run.output)
        assert f"{said.partition('=')[0]}: given with -e" in run.words, (playbook, run.output)

    assert fleet.files() == before
