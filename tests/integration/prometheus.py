# SPDX-License-Identifier: MIT
"""A real Prometheus on loopback that scrapes nodes and evaluates the project's alert rules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.etcd import free_tcp_ports
from tests.integration.nodes import eventually

MONITORING = Path(__file__).parents[2] / "monitoring"
RULES = MONITORING / "blixard.rules.yml"
INTERVAL = "250ms"
"""Of scrapes and rules: a test is not to wait for a monitoring system's leisure."""


def promtool(*words: object, stdin: str | None = None) -> str:
    """Run it to its end; what it complains of fails the test."""
    needs_prometheus()
    done = subprocess.run(
        ["promtool", *map(str, words)], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def needs_prometheus() -> None:
    """Skip where there is none; a CI without it fails."""
    if shutil.which("prometheus") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("needs Debian's package prometheus, see tools/make-services", pytrace=False)
        pytest.skip("needs Debian's package prometheus, see tools/make-services")


@dataclass
class Prometheus:
    """One that runs at `port`."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression gives now."""
        data: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return data

    def firing(self, alert: str) -> list[dict[str, str]]:
        """Return the labels of each alert of this name that fires."""
        alerts = self._get("alerts")["alerts"]
        return [each["labels"] for each in alerts if each["state"] == "firing" and each["labels"]["alertname"] == alert]

    def answers(self) -> bool:
        """Tell whether it is ready."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return bool(self._get("query", query="vector(1)"))
        except OSError:
            return False

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 503:  # not ready yet
                raise
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None
        data: dict[str, Any] = document["data"]
        return data


@contextmanager
def prometheus(folder: Path, targets: Sequence[str]) -> Iterator[Prometheus]:
    """Run one until the block ends, with the project's rules, whose waiting times (`for`) are left out.

    Those are what `promtool test rules` is for, in a time of its own.
    """
    needs_prometheus()
    folder.mkdir()
    rules = yaml.safe_load(RULES.read_text())
    for rule in rules["groups"][0]["rules"]:
        rule.pop("for", None)
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    settings = {
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "blixard", "static_configs": [{"targets": list(targets)}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    (port,) = free_tcp_ports(1)
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=out,
            stderr=out,
        )
    try:
        server = Prometheus(port, process, log)
        eventually(server.answers)
        yield server
    finally:
        process.kill()
        process.wait()
