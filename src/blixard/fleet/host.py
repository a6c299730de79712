# SPDX-License-Identifier: MIT
"""What the controller has run on a host: `python -I -m blixard.fleet.host OPERATION OPTIONS`.

OPTIONS is JSON, and so is the one line that is printed. This takes a fifth of the processor time of a module that
Ansible packs up, sends and unpacks, and every host pays for it in each run; so what is imported here is
little, and the rest only where it is needed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from blixard.errors import BlixardError, trouble_with_files

Options = Mapping[str, Any]


def too_old(operation: str) -> str:
    """Return what a package says that does not know an operation."""
    mend = "run site.yml first, which installs the package that goes with it"
    return f"the package on this host is older than the role ({operation}); {mend}"


def run(operation: str, options: Options) -> dict[str, Any]:
    """Return the result of an operation in Ansible's form; what cannot be done has `failed` and `msg`."""
    if operation not in _OPERATIONS:
        return {"failed": True, "msg": too_old(operation)}
    try:
        return _OPERATIONS[operation](options)
    except BlixardError as error:
        return {"failed": True, "msg": str(error)}
    except OSError as error:
        return {"failed": True, "msg": str(trouble_with_files(error, str(options.get("path") or options["data_dir"])))}


def _identity(options: Options) -> dict[str, Any]:
    from dataclasses import asdict

    from blixard.fleet.identity import Wanted, keep_for

    wanted = Wanted(**{name: options[name] for name in ("state", "regenerate", "owner", "group", "data_dir")})
    return asdict(keep_for(Path(options["path"]), wanted, check=bool(options["check"])))


def _look(options: Options) -> dict[str, Any]:
    from blixard.fleet.look import look

    config = options["config"]
    return look(
        Path(options["data_dir"]),
        config=None if config is None else config.encode(),
        paths=options["paths"],
        expected=options["expected"],
        min_seq=options["min_seq"],
    )


def _check(options: Options) -> dict[str, Any]:
    from blixard.agent.check_sample import parse_sample
    from blixard.fleet.check import check
    from blixard.fleet.report import troubles

    config = options["config"]
    report = check(
        Path(options["data_dir"]),
        config=None if config is None else Path(config),
        timeout=options["timeout"],
        sample=parse_sample(options["sample"]),
        settle=options["settle"],
        config_sha256=options.get("config_sha256"),
    )
    lines = troubles(report)
    return {"report": report, **({"failed": True, "msg": "\n".join(lines)} if lines else {})}


def _refresh(options: Options) -> dict[str, Any]:
    """Have a running node look at its sources now; one that does not run looks when it starts."""
    from blixard.agent.control_client import AgentNotRunning, ask

    try:
        return {"running": True, **ask(Path(options["data_dir"]), "refresh", {"prune": True}, timeout=REFRESH_TIMEOUT)}
    except AgentNotRunning:
        return {"running": False, "peers": [], "problems": []}


def _rotation(options: Options) -> dict[str, Any]:
    from datetime import datetime, timezone

    from blixard.fleet.rotation import prepare, swap
    from blixard.model.ids import EndpointId

    data_dir, check = Path(options["data_dir"]), bool(options["check"])
    if options["new"] is not None:
        return swap(data_dir, new=EndpointId.parse(options["new"]), check=check)
    now = datetime.now(timezone.utc)
    return prepare(data_dir, config=options["config"].encode(), min_age=options["min_age"], now=now, check=check)


def _put(options: Options) -> dict[str, Any]:
    from blixard.fleet.put import put, unpacked

    source, content = options["source"], options.get("content")
    return put(
        Path(options["data_dir"]),
        options["name"],
        sha256=options["sha256"],
        mode=int(options["mode"], 8),
        source=unpacked(content) if content is not None else None if source is None else Path(source),
        diff=bool(options["diff"]),
    )


def _service(options: Options) -> dict[str, Any]:
    from blixard.fleet.service import Unit, run_with

    unit = options["unit"]
    return run_with(
        Path(options["data_dir"]),
        config_file=Path(options["config_file"]),
        config=options["config"],
        group=options["group"],
        unit=None if unit is None else Unit(options["service"], unit, options.get("facts")),
        check=bool(options["check"]),
        diff=bool(options["diff"]),
    )


# A source that does not answer has ten seconds.
REFRESH_TIMEOUT = 30.0

_OPERATIONS: dict[str, Callable[[Options], dict[str, Any]]] = {
    "look": _look,
    "identity": _identity,
    "service": _service,
    "check": _check,
    "refresh": _refresh,
    "rotation": _rotation,
    "put": _put,
    # Another name, so that a package which would not look for the content says that it is too old, and not "changed".
    "put_packed": _put,
}


def main(arguments: Sequence[str]) -> None:
    """Print the result of the operation that the command line names."""
    operation, options = arguments
    sys.stdout.write(json.dumps(run(operation, json.loads(options))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
