# SPDX-License-Identifier: MIT
"""No playbook shows a key: not in its output at its loudest, nor in a diff, a file, a fact or a process list."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ansible.fleet import BIN, PROJECT, Fleet, Run

from blixard.trust.keys import KEY_FILE_NAME, create_secret_key

# A playbook, and after it all that it has set or registered for any host.
WITH_FACTS = """\
- import_playbook: {playbook}
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{{{ hostvars[inventory_hostname] | dict2items | selectattr('key', 'match', own) }}}}"
      vars:
        own: __blixard|ansible_facts
"""


def _forms(secret: bytes) -> set[bytes]:
    """The ways in which a key may be written down."""
    texts = {secret.hex(), secret.hex().upper(), str(list(secret)), repr(secret)}
    for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.b32encode):
        texts.add(encode(secret).decode().rstrip("="))
    return {secret, *(text.encode() for text in texts), base64.b64encode(secret.hex().encode()).rstrip(b"=")}


class Processes:
    """Keeps every command line and environment that any process has while it watches."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Processes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            for process in Path("/proc").iterdir():
                if process.name.isdigit():
                    self.seen |= {self._read(process / name) for name in ("cmdline", "environ")}

    @staticmethod
    def _read(path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError:
            return b""


class Stage:
    """A fleet whose key is in a vault, with every temporary file and every fact kept where it can be searched."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keys: set[bytes] = set()
        self.shown: list[bytes] = []
        self.fleet_key = create_secret_key(root / "keys" / "fleet")
        (root / "fleet").mkdir()
        self.fleet = Fleet.of(root / "fleet", 3)
        self.fleet.group |= {
            "blixard_fleet_key": "{{ vault_fleet_key }}",
            "blixard_trusted_signers": [self.fleet_key.public().hex],
        }
        (root / "keys" / "password").write_text("a password for this test\n")
        vault = root / "keys" / "vault.yml"
        vault.write_text(f"vault_fleet_key: {(root / 'keys' / 'fleet').read_text().strip()}\n")
        self.vault = ("--vault-password-file", str(root / "keys" / "password"), "-e", f"@{vault}")
        subprocess.run([BIN / "ansible-vault", "encrypt", *self.vault[:2], vault], check=True, capture_output=True)
        self.keys.add(self.fleet_key.to_bytes())

    def learn(self) -> None:
        """Learn the keys that the hosts have now."""
        for path in self.fleet.root.glob(f"*/{KEY_FILE_NAME}*"):
            self.keys.add(bytes.fromhex(path.read_text()))

    def play(self, playbook: str, *arguments: str) -> Run:
        """Run a playbook at its loudest, and keep what it showed and what could be seen while it ran."""
        places = {
            "ANSIBLE_LOCAL_TEMP": "local",
            "ANSIBLE_REMOTE_TEMP": "remote",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": "facts",
            "ANSIBLE_LOG_PATH": "log/ansible.log",
        }
        (self.root / "log").mkdir(exist_ok=True)
        environment = {name: str(self.root / place) for name, place in places.items()}
        environment |= {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_KEEP_REMOTE_FILES": "1"}
        self.learn()
        path = self.root / f"{playbook}.yml"
        path.write_text(WITH_FACTS.format(playbook=PROJECT / "playbooks" / f"{playbook}.yml"))
        with Processes() as processes:
            run = self.fleet.play(path, "-vvv", "--diff", *self.vault, *arguments, environment=environment)
        self.learn()
        self.shown += [run.output.encode(), *processes.seen]
        return run

    def leaks(self) -> list[str]:
        """Where a key is that should not be there."""
        forms = {form for key in self.keys for form in _forms(key)}
        found = [text[:200].decode(errors="replace") for text in self.shown if any(form in text for form in forms)]
        for path in self.root.rglob("*"):
            if path.is_file() and not path.name.startswith(KEY_FILE_NAME) and path.parent.name != "keys":
                data = path.read_bytes()
                found += [str(path)] if any(form in data for form in forms) else []
        return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("secrets"))
    yield stage
    stage.fleet.stop()


def test_no_playbook_shows_a_key_anywhere_nor_writes_anything_in_check_mode(stage: Stage) -> None:
    for playbook, arguments in (
        ("site", []),
        ("peers", []),
        ("check", []),
        ("rotate", ["-e", "blixard_rotate_min_age=0", "-e", "blixard_rotate=node1"]),
        ("decommission", ["-e", "blixard_decommission=node3"]),
    ):
        before = stage.fleet.settled()
        would = stage.play(playbook, *arguments, "--check")
        assert would.code == 0, (playbook, would.output)
        assert stage.fleet.settled() == before
        run = stage.play(playbook, *arguments)
        assert run.code == 0, (playbook, run.output)
        assert "key: __blixard_" in run.output, "facts are shown"

    # The three, the one that followed in the rotation, and the fleet's own.
    assert len(stage.keys) == 5
    assert any(b"ansible-playbook" in text for text in stage.shown[1:])
    assert stage.leaks() == []


def test_a_key_that_cannot_be_used_is_refused_without_being_shown(stage: Stage) -> None:
    secret = os.urandom(31)
    stage.keys.add(secret)

    run = stage.play(
        "peers",
        "-e",
        '{"blixard_fleet_key": "'
        + "{{ lookup('ansible.builtin.file', '"
        + str(_write(stage.root / "keys" / "broken", secret.hex()))
        + "') }}"
        + '"}',
    )

    assert run.code != 0
    assert "blixard_fleet_key: is not a secret key" in run.words
    assert stage.leaks() == []


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
