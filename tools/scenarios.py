#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the Molecule scenarios: prepare the machine, run each, take everything away again, and say how it went.

    tools/scenarios.py test [NAME...]           all of them, or those named; nothing is left behind
    tools/scenarios.py test --newest NAME       with the newest ansible-core and Python that are supported
    tools/scenarios.py converge NAME            any step of Molecule on one; its hosts stay until `clean`
    tools/scenarios.py list                     what there is
    tools/scenarios.py clean                    remove what a run left: hosts and networks
    tools/scenarios.py clean --images           and the images that are kept for the next one

Several run side by side: one for each processor, at most four. CONTAINER_ENGINE is podman (the default) or docker.
With CI=true a scenario that cannot run here is a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCENARIOS = ROOT / "molecule"
WORK = ROOT / ".cache" / "molecule"
LOGS = ROOT / ".cache" / "logs"
# Two checkouts on one machine do not meet.
CHECKOUT = "blixard-" + hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
# What also runs at the other end of the supported range, see tools/make-newest-venv.
ALSO_WITH_NEWEST = ("default",)
# Those with hosts of another release of Debian besides, for which there is an image then.
RELEASES = {"debian-13": "trixie"}
# A scenario mostly waits for its hosts: two of them keep two processors busy.
AT_ONCE = min(os.cpu_count() or 1, 4)
STEPS = ("create", "prepare", "converge", "idempotence", "side-effect", "verify", "login", "destroy")


class CannotRun(Exception):
    """This machine lacks something; the text says what."""


@dataclass(frozen=True)
class Run:
    """One pass through a scenario, perhaps with the newest ansible-core."""

    scenario: str
    newest: bool = False

    def __str__(self) -> str:
        return f"{self.scenario} (newest)" if self.newest else self.scenario

    @property
    def place(self) -> str:
        """What its containers, networks and folder are called by, so that no two passes meet."""
        return f"{self.scenario}-newest" if self.newest else self.scenario

    @property
    def label(self) -> str:
        """The label of all that it makes."""
        return f"{CHECKOUT}-{self.place}"


@dataclass(frozen=True)
class Outcome:
    run: Run
    result: str
    seconds: float = 0
    note: str = ""


def names() -> list[str]:
    """Return the scenarios, `default` first."""
    found = (path.parent.name for path in SCENARIOS.glob("*/molecule.yml"))
    return sorted(found, key=lambda name: (name != "default", name))


def newest_runs() -> list[Run]:
    """Return the runs with the newest ansible-core that belong to the whole."""
    return [Run(name, newest=True) for name in ALSO_WITH_NEWEST]


def tool(name: str, env: dict[str, str], *arguments: str) -> list[str]:
    """Run tools/make-NAME and return the lines that it prints; CannotRun with its last words if it fails."""
    command: list[str | Path] = [ROOT / "tools" / f"make-{name}", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(done.stderr.strip() or f"tools/make-{name} failed")
    return done.stdout.split()


def environment() -> dict[str, str]:
    """Return the environment that every step runs in, as far as it needs no preparation."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MOLECULE_", "BLIXARD_"))}
    env |= {"ANSIBLE_HOME": str(ROOT / ".ansible"), "MOLECULE_COMMAND_BORDERS": "0"}
    if not sys.stdout.isatty():
        env |= {"NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", "PY_COLORS": "0"}
    settings = ROOT / ".cache" / "engine" / "containers.conf"
    if settings.exists():
        env["CONTAINERS_CONF"] = str(settings)
    return env


def prepare(*, newest: bool = False) -> dict[str, str]:
    """Make the machine ready and return the environment for Molecule."""
    started = time.monotonic()
    env = environment()
    venv = tool("newest-venv", env)[0] if newest else str(ROOT / ".venv")
    env |= {"VIRTUAL_ENV": venv, "PATH": f"{venv}/bin:{env['PATH']}"}
    for line in tool("engine", env):
        key, _, value = line.partition("=")
        env[key] = value
    env["BLIXARD_TEST_SSH_KEY"] = tool("access", env)[0]
    env["BLIXARD_TEST_WHEELHOUSE"] = tool("wheelhouse", env)[0]
    env["BLIXARD_TEST_HOST_IMAGE"], env["BLIXARD_TEST_RUNTIME_IMAGE"] = tool("images", env)
    print(f"prepared in {time.monotonic() - started:.0f} s", flush=True)
    return env


def of_run(env: dict[str, str], run: Run) -> dict[str, str]:
    """Return `env` with what belongs to one run: its names, label and folder, and the image that it alone is about.

    Raises:
        CannotRun: without that image.
    """
    more = {
        "BLIXARD_TEST_LABEL": run.label,
        "BLIXARD_TEST_PREFIX": f"{run.label}-",
        "MOLECULE_EPHEMERAL_DIRECTORY": str(WORK / run.place),
        # Only this scenario's settings are read.
        "MOLECULE_GLOB": str(SCENARIOS / run.scenario / "molecule.yml"),
    }
    if release := RELEASES.get(run.scenario):
        more[f"BLIXARD_TEST_{release.upper()}_IMAGE"] = tool("images", env, release)[-1]
    return env | more


def remove(env: dict[str, str], run: Run) -> bool:
    """Remove everything that a run made; tell whether nothing of it is left."""
    done = subprocess.run([SCENARIOS / "shared" / "remove", run.label], env=env, check=False)
    shutil.rmtree(WORK / run.place, ignore_errors=True)
    return done.returncode == 0 and not (WORK / run.place).exists()


@contextlib.contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Turn the signals that end a run into KeyboardInterrupt, so that what it made is removed."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    ends = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Molecules:
    """The Molecule processes of this run. Each has a process group of its own; an interrupt ends them all."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._interrupted = threading.Event()

    def run(self, env: dict[str, str], step: str, name: str, log: Path | None = None) -> int:
        """Run one of Molecule's commands; its output goes into `log` where one is given."""
        command = ["molecule", "--base-config", str(SCENARIOS / "shared" / "base.yml"), step, "--scenario-name", name]
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(log.open("wb")) if log else None
            # `login` is for the person at the terminal, whose interrupt is meant for the host.
            group = step != "login"
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=env,
                stdout=out,
                stderr=subprocess.STDOUT if out else None,
                stdin=subprocess.DEVNULL if group else None,
                start_new_session=group,
            )
            self._running.add(process)
            try:
                if self._interrupted.is_set():
                    self._end(process)
                return process.wait()
            except BaseException:
                self._end(process)
                process.wait()
                raise
            finally:
                self._running.discard(process)

    def interrupt(self) -> None:
        """End those that run, and whatever is started from now on."""
        self._interrupted.set()
        for process in tuple(self._running):
            self._end(process)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


def test(env: dict[str, str], run: Run, log: Path | None, molecules: Molecules) -> Outcome:
    """Go through one scenario from nothing to nothing."""
    remove(env, run)
    started = time.monotonic()
    try:
        failed = molecules.run(of_run(env, run), "test", run.scenario, log) != 0
    except CannotRun as trouble:
        return Outcome(run, "cannot run here", note=str(trouble))
    finally:
        clean = remove(env, run)
    note = "" if clean else "something of it is left, see `tools/scenarios.py clean`"
    return Outcome(run, "passed" if clean and not failed else "failed", time.monotonic() - started, note)


def run_tests(runs: list[Run], *, verbose: bool) -> list[Outcome]:
    """Go through the scenarios, several side by side; one that fails is shown and stops no other."""
    environments: dict[bool, dict[str, str]] = {}
    outcomes = []
    for newest in sorted({run.newest for run in runs}):
        try:
            environments[newest] = prepare(newest=newest)
        except CannotRun as trouble:
            outcomes += [Outcome(run, "cannot run here", note=str(trouble)) for run in runs if run.newest == newest]
    LOGS.mkdir(parents=True, exist_ok=True)
    logs = {run: None if verbose else LOGS / f"{run}.log" for run in runs}
    molecules = Molecules()
    with ThreadPoolExecutor(1 if verbose else AT_ONCE) as pool:
        begun = [
            pool.submit(test, environments[run.newest], run, logs[run], molecules)
            for run in runs
            if run.newest in environments
        ]
        try:
            for ended in as_completed(begun):
                outcome = ended.result()
                outcomes.append(outcome)
                show(outcome, logs[outcome.run])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            molecules.interrupt()
            raise
    return sorted(outcomes, key=lambda outcome: runs.index(outcome.run))


def show(outcome: Outcome, log: Path | None) -> None:
    """Say how one went, with all that it printed if it failed."""
    print(f"{outcome.run}: {outcome.result} in {outcome.seconds:.0f} s", flush=True)
    if log and outcome.result == "failed":
        print(log.read_text(errors="replace"), f"==== that was {outcome.run}", sep="", flush=True)


def report(outcomes: list[Outcome]) -> int:
    """Print how it went and return the exit code."""
    width = max(len(str(outcome.run)) for outcome in outcomes)
    print()
    for outcome in outcomes:
        print(f"{outcome.run!s:<{width}}  {outcome.result:<15}  {outcome.seconds:5.0f} s  {outcome.note}".rstrip())
    passed, failed, skipped = (
        sum(outcome.result == result for outcome in outcomes) for result in ("passed", "failed", "cannot run here")
    )
    print(f"\nscenarios: {passed} passed, {failed} failed, {skipped} skipped")
    strict = os.environ.get("CI", "").lower() in ("1", "true")
    if skipped and strict:
        print("with CI=true every scenario must run", file=sys.stderr)
    return 1 if failed or (skipped and strict) else 0


def clean(images: bool) -> int:
    env = environment()
    for run in [*map(Run, names()), *newest_runs()]:
        remove(env, run)
    if images:
        engine = env.get("CONTAINER_ENGINE", "podman")
        listing = subprocess.run(
            [engine, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for image in re.findall(r"^localhost/blixard-test-\S+$", listing, re.MULTILINE):
            subprocess.run([engine, "image", "rm", "--force", image], env=env, stdout=subprocess.DEVNULL, check=False)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("test", *STEPS):
        sub = commands.add_parser(command)
        sub.add_argument("names", metavar="NAME", nargs="*" if command == "test" else 1)
    commands.choices["test"].add_argument("-v", "--verbose", action="store_true", help="show all output as it comes")
    commands.choices["test"].add_argument("--newest", action="store_true", help="the newest ansible-core and Python")
    commands.add_parser("list")
    commands.add_parser("clean").add_argument("--images", action="store_true")
    options = parser.parse_args()
    unknown = sorted(set(getattr(options, "names", [])) - set(names()))
    if unknown:
        parser.error(f"there is no scenario {', '.join(unknown)}; there are {', '.join(names())}")

    if options.command == "list":
        print("\n".join(names()))
        return 0
    if options.command == "clean":
        return clean(options.images)
    with signals_as_exceptions():
        try:
            if options.command != "test":
                run = Run(options.names[0])
                return Molecules().run(of_run(prepare(), run), options.command, run.scenario)
            runs = [Run(name, newest=options.newest) for name in options.names or names()]
            runs += [] if options.names else newest_runs()
            return report(run_tests(runs, verbose=options.verbose or len(runs) == 1))
        except KeyboardInterrupt:
            print("interrupted; what was made is removed", file=sys.stderr)
            return 130
        except CannotRun as trouble:
            print(trouble, file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
