# SPDX-License-Identifier: MIT
"""What a controller does with the record for one shard of the hosts: pull, add a node, sign, publish."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.unit.publishing.fleets import FLEET, at, keep, record_of

from blixard.cli.main import main
from blixard.publishing.base import BASE


def roll_out(place: str, folder: Path, number: int) -> int:
    """Returns the exit code of the first command that failed."""
    where = ["--registry-dir", str(folder / "registry"), "--peers", str(folder / "discovery-peers.json"), place]
    code = main(["record", "pull", "--signer", FLEET.public().hex, *where])
    if code:
        return code
    members = {int(path.stem[1:]) for path in (folder / "registry").glob("*.json")}
    base = (folder / "registry" / BASE).read_bytes()
    keep(folder, record_of(*members, number), seq=at(len(members) + 1))
    (folder / "registry" / BASE).write_bytes(base)
    return main(["publish", *where])


if __name__ == "__main__":
    sys.exit(roll_out(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
