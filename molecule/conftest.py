# SPDX-License-Identifier: MIT
"""What every scenario's verification looks at: the fleet of its inventory, through Podman or Docker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

DATA_DIR = "/var/lib/blixard"
CONFIG_FILE = "/etc/blixard/node-config.json"
CLI = "/opt/blixard/venv/bin/blixard"
UNIT = "blixard"
# systemd's own numbers for "a unit is being stopped" and "a unit was started", see systemd.journal-fields(7).
STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"
STARTED = "39f53479d3a045ac8e11786248231fbf"
JOURNAL = "journalctl --no-pager --output=json --output-fields=MESSAGE_ID UNIT={}.service MESSAGE_ID={}"


@dataclass(frozen=True)
class Node:
    """One host of the scenario and the node on it."""

    name: str
    variables: dict[str, Any]

    @property
    def node_id(self) -> int:
        return int(self.variables["blixard_node_id"])

    @property
    def port(self) -> int:
        return int(self.variables.get("blixard_bind", "0.0.0.0:7001").rpartition(":")[2])

    @property
    def container(self) -> str:
        return os.environ["BLIXARD_TEST_PREFIX"] + self.name

    @cached_property
    def host(self) -> Host:
        return testinfra.get_host(f"{_engine()}://{self.container}")

    def run(self, command: str) -> str:
        """Run a shell command that must succeed, and return what it prints."""
        return str(self.host.check_output(command))

    def json(self, command: str) -> Any:
        """Run `blixard COMMAND` and return the document that it prints, whatever its exit code."""
        done = self.host.run(f"{CLI} {command}")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def unit(self, *properties: str) -> list[str]:
        """Return properties of the node's service."""
        shown = self.run(f"systemctl show {UNIT} {' '.join(f'--property={name}' for name in properties)}")
        values = dict(line.split("=", 1) for line in shown.splitlines())
        return [values[name] for name in properties]

    def status(self) -> Any:
        """Return what the node says of itself and its peers."""
        return self.json(f"status --data-dir {DATA_DIR} --json")

    def downtimes(self) -> list[tuple[float, float]]:
        """Return when the service was down between two starts, by the clock that all hosts of the machine share."""
        stopping, started = (
            [int(json.loads(line)["__MONOTONIC_TIMESTAMP"]) / 1_000_000 for line in said.splitlines()]
            for said in (self.run(JOURNAL.format(UNIT, message)) for message in (STOPPING, STARTED))
        )
        return list(zip(stopping, started[1:], strict=False))

    def document(self, name: str) -> Any:
        """Return a JSON document of the data directory."""
        return json.loads(self.run(f"cat {DATA_DIR}/{name}"))

    def states(self, of: Collection[int]) -> dict[int, str | None]:
        """Return the state of the given peers by node id; None for one that the node does not know.

        A node that does not run (yet) says why not, for each of them: whoever waits for a state asks again.
        """
        done = self.host.run(f"{CLI} status --data-dir {DATA_DIR} --json")
        if not done.stdout:
            return dict.fromkeys(of, done.stderr.strip())
        states = {peer["node_id"]: peer["state"] for peer in json.loads(done.stdout)["peers"]}
        return {node_id: states.get(node_id) for node_id in of}


@dataclass(frozen=True)
class Fleet:
    """All hosts of the scenario, and what the controller keeps of them."""

    nodes: dict[str, Node]

    @property
    def up(self) -> list[Node]:
        """The hosts that are there."""
        return [node for node in self.nodes.values() if node.variables.get("container_there", True)]

    @property
    def ours(self) -> list[Node]:
        """The hosts that are there and whose node the role runs."""
        return [node for node in self.up if node.variables.get("blixard_node_manage", True)]

    def beside(self, name: str) -> Node:
        """Return a host of the scenario that is no member."""
        return Node(name, {})

    @property
    def work(self) -> Path:
        """What the controller keeps of the scenario."""
        return _work()

    @property
    def registry(self) -> Path:
        """The folder of the record."""
        return _work() / "registry"

    def record_files(self) -> dict[str, bytes]:
        """Return the record's files by host name."""
        return {path.stem: path.read_bytes() for path in sorted(self.registry.glob("*.json"))}

    def record(self) -> dict[str, Any]:
        """Return the record's entries by host name."""
        return {name: json.loads(data) for name, data in self.record_files().items()}

    @property
    def peers_file(self) -> Path:
        """The controller's peers file."""
        return _work() / "discovery-peers.json"

    def peers(self) -> Any:
        return json.loads(self.peers_file.read_bytes())

    def report(self) -> Any:
        """Return the connectivity report of the last run."""
        return json.loads((_work() / "connectivity-report.json").read_bytes())

    def playbook(self, name: str, *arguments: str) -> Run:
        """Run one of the project's playbooks on the scenario's hosts, whatever its exit code."""
        root = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
        inventories = (root / "molecule/shared/inventory", Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"], "inventory"))
        done = subprocess.run(
            [
                "ansible-playbook",
                *(f"--inventory={path}" for path in inventories),
                str(root / "playbooks" / name),
                *arguments,
            ],
            env=os.environ | {"ANSIBLE_CONFIG": str(root / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        # Shown with a test that fails.
        print(done.stdout)
        return Run(done.returncode, done.stdout)

    def engine(self, command: str, *names: str) -> None:
        """Run a command of Podman's or Docker's on hosts: stop, start, kill, pause, unpause."""
        containers = [self.nodes[name].container for name in names]
        subprocess.run([_engine(), command, *containers], check=True, capture_output=True)

    def downtimes_overlap(self) -> bool:
        """Tell whether two nodes were ever down at the same time, but for before their first start."""
        down = sorted(each for node in self.up for each in node.downtimes())
        return any(start < end for (_, end), (start, _) in pairwise(down))

    def settles(self, condition: Callable[[], object], wanted: object = True, seconds: float = 60) -> None:
        """Wait until `condition` answers what is wanted; fail with its last answer after `seconds`."""
        deadline = time.monotonic() + seconds
        while (answer := condition()) != wanted:
            assert time.monotonic() < deadline, f"after {seconds} s still {answer!r}"
            time.sleep(0.5)

    def lose_peers_files(self) -> None:
        """Take the peers file from every node, and what it remembers of one; the nodes run again then."""
        for node in self.up:
            node.run("systemctl stop blixard")
            node.run("rm -rf /var/lib/blixard/discovery-peers.json /var/lib/blixard/remembered-peers")
        for node in self.up:
            node.run("systemctl start blixard")

    def are_found_by(self, name: str) -> list[dict[str, Any]]:
        """Return that source as each node has it: the only one that names the peers, to which all are connected."""
        self.settles_connected()
        found = []
        for node in self.up:
            status = node.status()
            assert {source for peer in status["peers"] for source in peer["sources"]} == {name}
            sources = {source["name"]: source for source in status["sources"]}
            assert sources["static:/var/lib/blixard/discovery-peers.json"]["peers"] == 0
            found.append(sources[name])
        return found

    def settles_connected(self, *names: str, seconds: float = 60) -> None:
        """Wait until all nodes that are there, or those on the hosts named, are connected to each other."""
        among = [node for node in self.up if not names or node.name in names]
        for node in among:
            if node not in self.ours:
                continue
            others = {other.node_id: "connected" for other in among if other is not node}
            self.settles(partial(node.states, others), others, seconds)


def _engine() -> str:
    return os.environ.get("CONTAINER_ENGINE", "podman")


def _work() -> Path:
    return Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])


@dataclass(frozen=True)
class Run:
    """How a run of a playbook went."""

    returncode: int
    output: str = field(repr=False)

    def counts(self, what: str) -> dict[str, int]:
        """Return a column of the recap by host: `changed`, `failed`, `unreachable` and so on."""
        lines = self.output.partition("PLAY RECAP")[2].splitlines()
        found = (re.match(rf"(\S+) .*\b{what}=(\d+)", line) for line in lines)
        return {match[1]: int(match[2]) for match in found if match}

    def hosts(self, what: str) -> set[str]:
        """Return the hosts for which a column of the recap is not zero."""
        return {name for name, count in self.counts(what).items() if count}


def _hosts() -> dict[str, Node]:
    directory = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
    listing = json.loads(
        subprocess.run(
            ["ansible-inventory", f"--inventory={directory / 'inventory'}", "--list"],
            capture_output=True,
            check=True,
        ).stdout
    )
    variables = listing["_meta"]["hostvars"]
    return {name: Node(name, variables.get(name, {})) for name in listing.get("blixard", {}).get("hosts", [])}


@pytest.fixture(scope="session")
def fleet(pytestconfig: pytest.Config) -> Fleet:
    return pytestconfig.stash[FLEET]


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    """Each host whose node the role runs, in turn; a failure shows the end of its log."""
    each: Node = request.param
    yield each
    if request.node.stash.get(FAILED, False):
        print(each.host.run(f"journalctl --no-pager --unit {UNIT} --lines 40").stdout)


FLEET = pytest.StashKey[Fleet]()
FAILED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FLEET] = Fleet(_hosts())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "node" in metafunc.fixturenames:
        nodes = metafunc.config.stash[FLEET].ours
        metafunc.parametrize("node", nodes, indirect=True, ids=[node.name for node in nodes])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report
