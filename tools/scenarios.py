#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the Molecule scenarios: prepare the machine, run each, take everything away again, and say how it went.

    tools/scenarios.py test [NAME...]           all of them, or those named; nothing is left behind
    tools/scenarios.py test --newest NAME    with the newest ansible-core and Python that are supported
    tools/scenarios.py converge NAME            any step of Molecule on one; its hosts stay until `clean`
    tools/scenarios.py list                     what there is
    tools/scenarios.py clean                    remove what a run left: hosts and networks
    tools/scenarios.py clean --images           and the images that are kept for the next one

CONTAINER_ENGINE is podman (the default) or docker. With CI=true a scenario that cannot run here is a failure.
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
import time
from collections.abc import Iterator
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
STEPS = ("create", "prepare", "converge", "idempotence", "side-effect", "verify", "login", "destroy")


class CannotRun(Exception):
    """This machine lacks something; the text says what."""


@dataclass(frozen=True)
class Outcome:
    name: str
    result: str
    seconds: float
    note: str = ""


def names() -> list[str]:
    """Return the scenarios, `default` first."""
    found = (path.parent.name for path in SCENARIOS.glob("*/molecule.yml"))
    return sorted(found, key=lambda name: (name != "default", name))


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


def with_release(env: dict[str, str], name: str) -> dict[str, str]:
    """Return `env` with the image of the further release of Debian that a scenario is about; CannotRun without it."""
    if name not in RELEASES:
        return env
    release = RELEASES[name]
    return env | {f"BLIXARD_TEST_{release.upper()}_IMAGE": tool("images", env, release)[-1]}


def of_scenario(env: dict[str, str], name: str) -> dict[str, str]:
    """Return `env` with what belongs to one scenario: the names and the label of all that it makes, its folder."""
    label = f"{CHECKOUT}-{name}"
    return env | {
        "BLIXARD_TEST_LABEL": label,
        "BLIXARD_TEST_PREFIX": f"{label}-",
        "MOLECULE_EPHEMERAL_DIRECTORY": str(WORK / name),
        # Only this scenario's settings are read.
        "MOLECULE_GLOB": str(SCENARIOS / name / "molecule.yml"),
    }


def remove(env: dict[str, str], name: str) -> bool:
    """Remove everything that a scenario made; tell whether nothing of it is left."""
    label = f"{CHECKOUT}-{name}"
    done = subprocess.run([SCENARIOS / "shared" / "remove", label], env=env, check=False)
    shutil.rmtree(WORK / name, ignore_errors=True)
    return done.returncode == 0 and not (WORK / name).exists()


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


def molecule(env: dict[str, str], step: str, name: str, log: Path | None = None) -> int:
    """Run one of Molecule's commands; its output goes into `log` where one is given."""
    command = ["molecule", "--base-config", str(SCENARIOS / "shared" / "base.yml"), step, "--scenario-name", name]
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(log.open("wb")) if log else None
        # A group of its own, so that an interrupt reaches this process first, which then ends the group.
        group = step != "login"
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=of_scenario(env, name),
            stdout=out,
            stderr=subprocess.STDOUT if out else None,
            stdin=subprocess.DEVNULL if group else None,
            start_new_session=group,
        )
        try:
            return process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise


def test(env: dict[str, str], name: str, label: str, log: Path | None) -> Outcome:
    """Run one scenario from nothing to nothing."""
    remove(env, name)
    started = time.monotonic()
    try:
        failed = molecule(env, "test", name, log) != 0
    finally:
        clean = remove(env, name)
    note = "" if clean else "something of it is left, see `tools/scenarios.py clean`"
    return Outcome(label, "passed" if clean and not failed else "failed", time.monotonic() - started, note)


def run_tests(chosen: list[str], *, newest: bool, verbose: bool) -> list[Outcome]:
    """Run the scenarios one after the other; one that fails is shown and stops no other."""
    label = "{} (newest)" if newest else "{}"
    try:
        env = prepare(newest=newest)
    except CannotRun as trouble:
        return [Outcome(label.format(name), "cannot run here", 0, str(trouble)) for name in chosen]
    LOGS.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for name in chosen:
        log = None if verbose else LOGS / f"{label.format(name)}.log"
        try:
            outcome = test(with_release(env, name), name, label.format(name), log)
        except CannotRun as trouble:
            outcome = Outcome(label.format(name), "cannot run here", 0, str(trouble))
        outcomes.append(outcome)
        print(f"{outcome.name}: {outcome.result} in {outcome.seconds:.0f} s", flush=True)
        if log and outcome.result == "failed":
            print(log.read_text(errors="replace"), f"==== that was {outcome.name}", sep="", flush=True)
    return outcomes


def report(outcomes: list[Outcome]) -> int:
    """Print how it went and return the exit code."""
    width = max(len(outcome.name) for outcome in outcomes)
    print()
    for outcome in outcomes:
        print(f"{outcome.name:<{width}}  {outcome.result:<15}  {outcome.seconds:5.0f} s  {outcome.note}".rstrip())
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
    for name in names():
        remove(env, name)
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
                return molecule(with_release(prepare(), options.names[0]), options.command, options.names[0])
            verbose = options.verbose or len(options.names) == 1
            outcomes = run_tests(options.names or names(), newest=options.newest, verbose=verbose)
            if not options.names:
                outcomes += run_tests(list(ALSO_WITH_NEWEST), newest=True, verbose=False)
            return report(outcomes)
        except KeyboardInterrupt:
            print("interrupted; what was made is removed", file=sys.stderr)
            return 130
        except CannotRun as trouble:
            print(trouble, file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
