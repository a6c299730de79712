# SPDX-License-Identifier: MIT
"""Print what a host's node says of its peers, four times a second: a line of JSON with the monotonic time."""

from __future__ import annotations

import contextlib
import json
import time

from blixard.agent.control_client import ask
from blixard.errors import BlixardError

while True:
    states = {}
    with contextlib.suppress(BlixardError):
        status = ask("/var/lib/blixard", "status", timeout=2)
        states = {peer["node_id"]: peer["state"] for peer in status["peers"]}
    print(json.dumps({"time": time.monotonic(), "states": states}), flush=True)
    time.sleep(0.25)
