# SPDX-License-Identifier: MIT
"""What still has to be done on a host before its node runs as wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blixard.fleet.observe import differs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def pending(
    look: Mapping[str, Any], wanted: Sequence[Mapping[str, str | None]], newer: Sequence[str] = ()
) -> list[str]:
    """Return the reasons to work on the host, for people; empty where everything is as wanted.

    A restart that an interrupted run left undone is found again, since everything here is read from the host:
    the running node is compared with the files, not with what this run changed.

    Args:
        look: what iroh_node_info returned for the host.
        wanted: files as they are to be: `path`, and `sha256`, `mode`, `owner`, `group`, or `kind` for what is
            no file; null is for any. The first one is the settings that the node must run with.
        newer: paths that the running node must not be older than, such as its unit and its runtime.
    """
    files = look["files"]
    unlike = [want["path"] for want in wanted if _unlike(files[want["path"]], want)]
    reasons = [f"{path} is {'missing' if files[path]['kind'] == 'absent' else 'not as wanted'}" for path in unlike]
    agent = look["agent"]
    if agent["state"] != "running":
        return [*reasons, f"the node is {agent['state']}"]
    if agent["config_sha256"] != wanted[0]["sha256"]:
        reasons.append("the node runs with other settings")
    if agent["version"] != look["version"]:
        reasons.append(f"the node runs version {agent['version']}, installed is {look['version']}")
    late = [path for path in newer if files[path].get("mtime", 0) > agent["started"]]
    return reasons + [f"the node is older than {path}" for path in late]


def _unlike(seen: Mapping[str, Any], want: Mapping[str, str | None]) -> bool:
    if "kind" in want:
        return bool(seen["kind"] != want["kind"])
    return differs(seen, **{name: value for name, value in want.items() if name != "path"})
