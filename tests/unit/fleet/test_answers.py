# SPDX-License-Identifier: MIT
"""Of what a host prints nothing goes on but the documented keys, of their types, bounded and printable."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.documents.samples import CLUSTER, attested, entry
from tests.unit.documents.samples import key as secret_key

from blixard.errors import bounded_lines
from blixard.fleet.remote import result
from blixard.trust.attestation import attest
from blixard.trust.key_announcement import announce

NOW = datetime.now(timezone.utc)
CONFIG = '{"node_id": 1}'
DIGEST = "ab" * 32

OPTIONS: dict[str, dict[str, Any]] = {
    "look": {
        "python": "python",
        "data_dir": "/var/lib/blixard",
        "config": CONFIG,
        "paths": {"unit": "/etc/unit", "join node2": "/var/lib/blixard/registry.d/node2.json"},
        "expected": {"unit": DIGEST},
        "node_id": 1,
        "cluster": CLUSTER,
    },
    "check": {"python": "python", "node_id": 1},
    "refresh": {"python": "python", "data_dir": "/var/lib/blixard"},
    "rotation": {"python": "python", "new": None, "node_id": 1, "cluster": CLUSTER},
    "swap": {"python": "python", "new": secret_key(1).public().base64},
    "identity": {"python": "python", "path": "/var/lib/blixard/iroh-secret-key"},
    "service": {"python": "python", "data_dir": "/var/lib/blixard"},
    "put": {"python": "python", "data_dir": "/var/lib/blixard"},
}

KEYS = {
    "look": {
        *(
            "entry",
            "entry_source",
            "not_reachable",
            "config_sha256",
            "key",
            "agent",
            "files",
            "host",
            "version",
            "seen",
        ),
    },
    "check": {"report"},
    "refresh": {"running", "peers", "problems"},
    "rotation": {"changed", "due", "old", "new", "announcement", "entry", "restart"},
    "swap": {"changed"},
    "identity": {"changed", "before", "after", "exists", "removed", "given"},
    "service": {"changed", "config", "unit"},
    "put": {"changed", "before"},
}
"""What the documentation of the modules names."""

ALSO = {"failed", "msg", "warnings"}


def _good(operation: str) -> dict[str, Any]:
    """Return what an honest host answers, with everything in it."""
    own = attested(1).to_json()
    file = {"kind": "file", "mode": "0644", "owner": "root", "group": "root", "mtime": 1.5, "sha256": DIGEST}
    addresses = [{"address": "192.0.2.1:7001", "advertised": True, "reason": "address of this host"}]
    agent = {
        "state": "running",
        "node_id": 1,
        "iroh_node_id": own["iroh_node_id"],
        "cluster": CLUSTER,
        "version": "0.1.0",
        "pid": 4711,
        "config_sha256": DIGEST,
        "admission": "known",
        "connected": [2, 2**64 - 1],
        "addresses": addresses,
        "not_written": [],
        "not_reachable": None,
        "started": 1767225600.25,
    }
    node = {"node_id": 1, "iroh_node_id": own["iroh_node_id"], "agent": "running", "version": "0.1.0"}
    edge = {"from": 1, "to": 2, "reached": True, "id_matched": True, "admitted": True, "path": "direct"}
    edge |= {"rtt_ms": 0.5, "attempts": 1, "waited_s": 0.01, "error": None}
    failed = {**edge, "to": 3, "reached": False, "path": None, "rtt_ms": None}
    failed |= {"error": {"kind": "timeout", "message": "no answer"}}
    old, new = secret_key(1), secret_key(2)
    answers: dict[str, dict[str, Any]] = {
        "look": {
            "entry": own,
            "entry_source": "agent",
            "not_reachable": None,
            "config_sha256": DIGEST,
            "key": {"path": "/elsewhere", "state": "present", "owner": "blixard", "group": "blixard"},
            "agent": agent,
            "files": {
                "unit": {"path": "/elsewhere", "expected": False, **file},
                "join node2": {"path": "/elsewhere", "kind": "absent"},
            },
            "host": {"systemd": True, "uid": 0},
            "version": "0.1.0",
        },
        "check": {
            "report": {
                "cluster": CLUSTER,
                "nodes": [{**node, "addresses": addresses, "problems": ["does not take its peers file"]}],
                "edges": [edge, failed],
                "summary": {"nodes": 1, "edges": 1, "reached": 7, "failed": 0, "not_admitted": 0},
            },
            "failed": True,
            "msg": "whatever",
        },
        "refresh": {"running": True, "peers": [2, 3], "problems": ["does not take its peers file"]},
        "rotation": {
            "changed": True,
            "due": True,
            "old": old.public().base64,
            "new": new.public().base64,
            "announcement": announce(old, new, cluster=CLUSTER, node_id=1, now=NOW),
            "entry": attest(entry(1, iroh_node_id=new.public().base64), new, cluster=CLUSTER, now=NOW).to_json(),
            "restart": False,
        },
        "swap": {"changed": True},
        "identity": {
            "changed": True,
            "before": None,
            "after": own["iroh_node_id"],
            "exists": True,
            "removed": False,
            "given": ["discovery-peers.json", "."],
        },
        "service": {
            "changed": True,
            "config": {"changed": True, "before": "{}\n"},
            "unit": {"changed": False, "before": None},
        },
        "put": {"changed": True, "before": "[]\n"},
    }
    return answers[operation]


def _said(operation: str, answer: object) -> dict[str, Any]:
    line = answer if isinstance(answer, str) else json.dumps(answer)
    spoken = {"rc": 0, "stdout": line + "\n", "stderr": ""}
    return result("node1", operation.replace("swap", "rotation"), OPTIONS[operation], spoken)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from (*_texts(name), *_texts(each))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, each in items:
        yield from _places(each, (*path, step))


def _with(value: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    """Return a copy of `value` with `change` applied at `path`."""
    if not path:
        return change(value)
    copy = value.copy()
    copy[path[0]] = _with(value[path[0]], path[1:], change)
    return copy


def _without(name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {each: value[each] for each in value if each != name}


def _assert_tame(operation: str, said: dict[str, Any]) -> None:
    """Only known keys, only text that can be printed, nothing long."""
    assert said.keys() <= KEYS[operation] | ALSO
    assert said.get("failed", True) is True
    assert ("failed" in said) == ("msg" in said)
    for text in _texts(said):
        assert all(line.isprintable() for line in text.split("\n"))
    assert len(said.get("msg", "")) < 50_000
    assert sum(map(len, said.get("warnings", ()))) < 1000


@pytest.mark.parametrize("operation", KEYS)
def test_an_honest_answer_has_the_documented_keys_and_no_warning(operation: str) -> None:
    said = _said(operation, _good(operation))

    assert said.keys() - {"failed", "msg"} == KEYS[operation]


def test_what_the_controller_knows_itself_is_not_taken_from_the_host() -> None:
    seen = _said("look", _good("look"))

    assert seen["key"]["path"] == "/var/lib/blixard/iroh-secret-key"
    assert {name: file["path"] for name, file in seen["files"].items()} == OPTIONS["look"]["paths"]
    assert seen["files"]["unit"]["expected"] is True
    assert seen["config_sha256"] == hashlib.sha256(CONFIG.encode()).hexdigest()


def test_a_check_fails_by_what_is_in_the_report_and_not_by_the_hosts_word() -> None:
    good = _good("check")
    said = _said("check", {"report": good["report"], "failed": False})
    fine = _with(good, ("report", "edges"), lambda edges: edges[:1])
    fine = _with(fine, ("report", "nodes", 0, "problems"), lambda _: [])

    assert said["failed"] is True
    assert said["msg"].splitlines() == [
        "node 1 does not take its peers file",
        "node 1 → node 3: timeout: no answer; 1 attempt in 0.0 s",
    ]
    counts = {"nodes": 1, "edges": 2, "reached": 1, "failed": 1, "untold": 0, "not_admitted": 0}
    assert said["report"]["summary"] == counts
    assert "failed" not in _said("check", {**fine, "failed": True, "msg": "all is lost"})


ACTED_ON = {
    "add_host": {"host_name": "x", "host_vars": {"ansible_ssh_common_args": "-o ProxyCommand=touch /tmp/x"}},
    "add_group": "blixard",
    "ansible_facts": {"blixard_peers_file": "/etc/passwd"},
    "ansible_stats": {"data": {"x": 1}},
    "ansible_job_id": "1.2",
    "ansible_loop_var": "name",
    "_ansible_no_log": True,
    "_ansible_notify": ["handler"],
    "_ansible_delegated_vars": {"ansible_host": "controller"},
    "attempts": 5,
    "changed": True,
    "deprecations": [{"msg": "old"}],
    "diff": {"prepared": "\x1b[2J"},
    "exception": "Traceback",
    "failed_when_result": False,
    "include": "/etc/x.yml",
    "invocation": {"module_args": {"key": "x"}},
    "results": [{"add_host": {"host_name": "x"}}],
    "skipped": True,
    "unreachable": True,
    "warnings": ["\x1b[2J"],
}


@pytest.mark.parametrize(
    ("operation", "key"), [(name, key) for name in KEYS for key in ACTED_ON if key not in KEYS[name]]
)
def test_a_key_that_ansible_acts_on_is_left_out_and_the_host_is_named(operation: str, key: str) -> None:
    good = _good(operation)

    said = _said(operation, {**good, key: ACTED_ON[key]})

    assert {name: each for name, each in said.items() if name != "warnings"} == _said(operation, good)
    assert said["warnings"] == [f"node1: left out of its answer, as nobody asked for it: /{key}"]


def test_keys_are_left_out_at_any_depth_and_very_many_of_them_are_one_short_line() -> None:
    good = _good("look")
    good["agent"]["ansible_facts"] = {"x": 1}
    good["files"]["unit"]["\x1b[2J"] = 1
    good["files"]["ghost"] = {"path": "/etc/shadow", "kind": "file"}
    good["entry"]["all"] = {"vars": {"blixard_cluster": "{{ lookup('pipe', 'id') }}"}}

    said = _said("look", good)
    many = _said("refresh", _good("refresh") | dict.fromkeys(map(str, range(100_000)), 1))

    _assert_tame("look", said)
    assert said.keys() == KEYS["look"] | {"warnings"}
    assert "ghost" not in said["files"]
    assert "all" not in said["entry"]
    for place in ("/agent/ansible_facts", r"/files/unit/\x1b[2J", "/files/ghost", "/entry/all"):
        assert place in said["warnings"][0]
    assert many["warnings"][0].endswith(" and 99995 more")
    _assert_tame("refresh", many)


def test_a_node_that_no_other_host_reaches_or_that_cannot_write_is_a_warning_of_the_run() -> None:
    answer = _good("look")
    answer["not_reachable"] = "nothing but 127.0.0.1:7001 is left"
    answer["agent"]["not_written"] = ["/var/lib/blixard/node-registry.json: cannot be written: No space left on device"]
    assert _said("look", answer)["warnings"] == [
        "node1: its node cannot be reached from other hosts: nothing but 127.0.0.1:7001 is left",
        "node1: its node cannot write, and tries again: /var/lib/blixard/node-registry.json: cannot be written: "
        "No space left on device",
    ]


def test_a_package_that_is_older_than_the_controllers_says_neither() -> None:
    answer = _good("look")
    del answer["not_reachable"], answer["agent"]["not_written"], answer["agent"]["not_reachable"]
    said = _said("look", answer)
    assert said["not_reachable"] is None
    assert "warnings" not in said


@pytest.mark.parametrize("operation", KEYS)
def test_a_known_key_of_the_wrong_type_is_a_failure_that_names_host_key_and_mend(operation: str) -> None:
    good = _good(operation)
    # What the controller knows itself or works out is not read at all.
    unread = ("path", "expected", "config_sha256", "summary", "failed", "msg")
    for path in _places(good):
        if path and not any(step in unread for step in path if path[:1] != ("agent",)) and path[-1] != "mtime":
            said = _said(operation, _with(good, path, lambda _: {"lookup": ["{{ x }}"]}))
            assert said.keys() == {"failed", "msg"}, path
            assert said["msg"].startswith("node1: its answer to "), path
            assert f"/{path[0]}" in said["msg"], path
            assert "; " in said["msg"], path
            assert "\n" not in said["msg"], path


@pytest.mark.parametrize("operation", KEYS)
def test_a_known_key_that_is_missing_is_a_failure_or_was_never_needed(operation: str) -> None:
    good = _good(operation)
    for path in _places(good):
        if path and isinstance(path[-1], str):
            parent, name = path[:-1], path[-1]
            less = _with(good, parent, functools.partial(_without, name))
            _assert_tame(operation, _said(operation, less))


def test_an_older_package_says_told_and_why_where_it_is_advertised_and_reason_now() -> None:
    answer = _good("check")
    answer["report"]["nodes"][0]["addresses"] = [{"address": "192.0.2.1:7001", "told": False, "why": "loopback"}]
    (node,) = _said("check", answer)["report"]["nodes"]
    assert node["addresses"] == [{"address": "192.0.2.1:7001", "advertised": False, "reason": "loopback"}]


def test_the_entry_is_that_of_the_node_that_was_asked_and_signed_for_its_cluster() -> None:
    good = _good("look")
    other = _said("look", {**good, "entry": attested(2).to_json()})
    forged = _said("look", _with(good, ("entry", "direct_addresses"), lambda _: ["198.51.100.66:1"]))
    foreign = attest(entry(1), secret_key(1), cluster="other", now=NOW)
    expired = attest(
        entry(1), secret_key(1), cluster=CLUSTER, now=NOW - timedelta(days=2), expires_at=NOW - timedelta(days=1)
    )
    elsewhere = _said("look", {**good, "entry": foreign.to_json()})

    assert "/entry/cluster_node_id: is 2, but the inventory says 1" in other["msg"]
    assert "signature does not fit" in forged["msg"]
    assert "other" in elsewhere["msg"]
    assert "expired" in _said("look", {**good, "entry": expired.to_json()})["msg"]


def test_a_host_reports_for_itself_alone() -> None:
    good = _good("check")
    impostor = _with(good, ("report", "nodes", 0, "node_id"), lambda _: 2)
    crowd = _with(good, ("report", "nodes"), lambda nodes: nodes * 2)
    nobody = _with(good, ("report", "nodes"), lambda _: [])
    edges_of_another = _with(good, ("report", "edges", 1, "from"), lambda _: 2)

    assert "/report/nodes/0/node_id: is 2, but the inventory says 1" in _said("check", impostor)["msg"]
    assert "/report/nodes: must have at most 1 items" in _said("check", crowd)["msg"]
    assert "/report/nodes: must not be empty" in _said("check", nobody)["msg"]
    assert "/report/edges/1/from: is 2, but the node is 1" in _said("check", edges_of_another)["msg"]


def test_the_new_id_is_the_one_that_was_announced_and_that_signed_the_entry() -> None:
    good = _good("rotation")
    other = _with(good, ("new",), lambda _: secret_key(3).public().base64)
    bare = _with(good, ("announcement",), lambda _: None)
    forged = _with(good, ("announcement", "node_id"), lambda _: 2)

    assert "/new: is not the id in its entry and its announcement" in _said("rotation", other)["msg"]
    assert "/new: comes with its entry and its announcement" in _said("rotation", bare)["msg"]
    assert "did not sign this announcement" in _said("rotation", forged)["msg"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": 1, "a": 2}', "stands there twice"),
        ('{"running": NaN}', "NaN"),
        ('{"running": ' + "[" * 100_000, "nested deeper"),
        ('{"running": ' + "[" * 40 + "]" * 40 + "}", "nested deeper"),
        ('{"running": ' + "9" * 5000 + "}", "digits"),
        ('{"running": "\\ud800"}', "surrogate"),
        ('{"running": "\udcff"}', "UTF-8"),
        ("{", "not JSON"),
        ('{"problems": "' + "x" * 3_000_000 + '"}', "bytes"),
    ],
)
def test_what_is_not_plain_json_of_bounded_size_is_one_short_line(line: str, reason: str) -> None:
    said = _said("refresh", line)

    assert said.keys() == {"failed", "msg"}
    assert reason in said["msg"]
    assert said["msg"].startswith("node1: ")
    _assert_tame("refresh", said)


def test_the_words_of_a_host_that_could_not_do_it_are_printable_lines_and_nothing_else_of_it_counts() -> None:
    said = _said("look", {"failed": True, "msg": "\x1b]0;x\x07no key\nsecond\u202e line", "ansible_facts": {"x": 1}})
    flood = _said("refresh", {"failed": True, "msg": "line\n" * 200_000})
    odd = _said("refresh", {"failed": True, "msg": {"{{ x }}": ["\x1b"]}})

    assert said == {"failed": True, "msg": "\\x1b]0;x\\x07no key\nsecond\\u202e line"}
    assert flood["msg"].splitlines()[-1] == "… and 199900 more lines"
    _assert_tame("refresh", flood)
    _assert_tame("refresh", odd)


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_NAMES = st.sampled_from(sorted({*ACTED_ON, *(key for keys in KEYS.values() for key in keys)})) | st.text()
_ANYTHING = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=6), max_leaves=20
)


@given(st.sampled_from(sorted(KEYS)), _ANYTHING)
def test_any_json_gives_a_result_of_known_keys_and_printable_text(operation: str, answer: object) -> None:
    _assert_tame(operation, _said(operation, answer))


@given(st.sampled_from(sorted(KEYS)), st.data())
def test_any_value_in_any_place_of_an_honest_answer_gives_known_keys_and_printable_text(
    operation: str, data: st.DataObject
) -> None:
    good = _good(operation)
    path = data.draw(st.sampled_from(list(_places(good))))
    value = data.draw(_ANYTHING)

    _assert_tame(operation, _said(operation, _with(good, path, lambda _: value)))


@given(st.text())
def test_any_text_is_shown_as_printable_lines(text: str) -> None:
    assert all(line.isprintable() for line in bounded_lines(text).split("\n"))
