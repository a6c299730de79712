# SPDX-License-Identifier: MIT
"""Modules and actions by themselves: documented, small on the host, and plain about what they cannot use."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from tests.ansible.fleet import BIN, PROJECT
from tests.plugins import find_collection
from tests.ports import free_ports
from tests.unit.documents.samples import CLUSTER, attested

from blixard.errors import BlixardError
from blixard.fleet.look import KEY_FILE_NAME
from blixard.fleet.registry import keep_record
from blixard.fleet.remote import command
from blixard.trust.keys import KEY_FILE_NAME as KEY_FILE_NAME_OF_KEYS
from blixard.trust.keys import create_secret_key

LIBRARY = PROJECT / "library"
MODULES = sorted(path.stem for path in LIBRARY.glob("*.py"))
ACTIONS = sorted(path.stem for path in (PROJECT / "action_plugins").glob("*.py"))
ON_CONTROLLER = {"blixard_registry": keep_record}
ON_HOST = {"iroh_node_info": "look", "blixard_connectivity": "check"}


def _documentation(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [BIN / "ansible-doc", "-M", LIBRARY, "-t", "module", "--json", name],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    documentation = json.loads(done.stdout)[name]
    assert isinstance(documentation, dict)
    return documentation


def _load(path: Path) -> ModuleType:
    find_collection()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(name: str, arguments: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Run a module as Ansible runs it on a host; the result says `failed` too."""
    if name in (*ON_HOST, *ON_CONTROLLER):
        action = _load(PROJECT / "action_plugins" / f"{name}.py").ActionModule
        defaults = {option: body.get("default") for option, body in action.SPEC.items()}
    if name in ON_CONTROLLER:
        try:
            return ON_CONTROLLER[name]({**defaults, **arguments}, check=check)
        except BlixardError as error:
            return {"failed": True, "msg": str(error)}
    if name in ON_HOST:
        line = command(sys.executable, ON_HOST[name], {**defaults, **arguments})
        done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    else:
        given = json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check}})
        module = [sys.executable, str(LIBRARY / f"{name}.py")]
        done = subprocess.run(module, input=given, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize("name", MODULES)
def test_ansible_doc_shows_every_module_with_examples_results_and_attributes(name: str) -> None:
    shown = _documentation(name)

    assert shown["doc"]["short_description"]
    assert {"check_mode", "diff_mode"} <= shown["doc"]["attributes"].keys()
    assert all(option["description"] for option in shown["doc"]["options"].values())
    assert all(value["description"] and "sample" in value for value in shown["return"].values())
    examples = yaml.safe_load(shown["examples"])
    assert all("name" in example for example in examples)
    assert any(name in example for example in examples)


FACTS = ("type", "required", "default", "choices", "elements")


def _facts(options: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What an option is, in the words that documentation and code share; nothing said is false."""
    return {name: {fact: body.get(fact) or None for fact in FACTS} for name, body in options.items()}


@pytest.mark.parametrize("name", [name for name in MODULES if "def main" in (LIBRARY / f"{name}.py").read_text()])
def test_a_module_takes_exactly_what_it_documents(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = _load(LIBRARY / f"{name}.py")
    taken: dict[str, Any] = {}

    def take(**arguments: Any) -> None:
        taken.update(arguments)
        raise InterruptedError

    monkeypatch.setattr(module, "AnsibleModule", take)
    with pytest.raises(InterruptedError):
        module.main()

    assert _facts(taken["argument_spec"]) == _facts(_documentation(name)["doc"]["options"])
    assert taken["supports_check_mode"]


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_takes_exactly_what_it_documents(name: str) -> None:
    action = _load(PROJECT / "action_plugins" / f"{name}.py")

    assert _facts(action.ActionModule.SPEC) == _facts(_documentation(name)["doc"]["options"])
    assert frozenset(action.ActionModule.SPEC) == action.ActionModule._VALID_ARGS


def test_what_runs_on_every_host_imports_neither_iroh_nor_asyncio_nor_jsonschema() -> None:
    code = (
        "import sys, blixard.fleet.host, blixard.fleet.look, blixard.fleet.check, blixard.fleet.report;"
        "print([name for name in ('iroh', 'asyncio', 'jsonschema', 'rfc8785') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_the_look_at_a_host_knows_the_key_by_the_name_that_it_has() -> None:
    assert KEY_FILE_NAME == KEY_FILE_NAME_OF_KEYS


def test_a_bare_host_is_seen_as_bare(tmp_path: Path) -> None:
    missing = tmp_path / "missing"

    seen = _run("iroh_node_info", {"data_dir": str(missing), "paths": {"some": str(missing / "file")}})

    assert seen["entry"] is None
    assert seen["entry_source"] is None
    assert seen["key"] == {"path": str(missing / "iroh-secret-key"), "state": "absent"}
    assert seen["agent"] == {"state": "not running"}
    assert seen["files"] == {"some": {"path": str(missing / "file"), "kind": "absent"}}
    assert not missing.exists()


def test_a_file_says_whether_it_is_what_was_expected(tmp_path: Path) -> None:
    path = tmp_path / "unit"
    path.write_text("[Unit]\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    asked = {
        "data_dir": str(tmp_path),
        "paths": {"unit": str(path), "gone": str(tmp_path / "gone"), "other": str(path)},
    }
    files = _run("iroh_node_info", {**asked, "expected": {"unit": digest, "gone": digest}})["files"]

    assert files["unit"]["expected"]
    assert not files["gone"]["expected"]
    assert "expected" not in files["other"]


def test_the_entry_of_a_host_whose_node_is_not_ours_is_that_of_its_registry_file(tmp_path: Path) -> None:
    entry = attested(4)
    (tmp_path / "node-4-registry.json").write_text(json.dumps(entry.to_json()))

    seen = _run("iroh_node_info", {"data_dir": str(tmp_path)})

    assert seen["entry_source"] == "registry"
    assert seen["entry"] == entry.to_json()


def test_the_entry_of_a_node_that_does_not_run_is_worked_out_from_its_key_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    key = create_secret_key(tmp_path / "iroh-secret-key")
    settings = {"node_id": 5, "bind": "127.0.0.1:0", "data_dir": str(tmp_path), "cluster": "test"}

    seen = _run("iroh_node_info", {"data_dir": str(tmp_path), "config": json.dumps(settings)})

    assert seen["entry_source"] == "key"
    assert seen["entry"]["iroh_node_id"] == key.public().base64
    assert seen["entry"]["attestation"]["cluster"] == "test"
    assert [path.name for path in tmp_path.iterdir()] == ["iroh-secret-key"]
    assert key.to_bytes().hex() not in json.dumps(seen)


def test_another_port_for_a_running_node_is_proven_to_be_free_and_its_own_is_not_bound_twice(tmp_path: Path) -> None:
    own, taken = free_ports(2)
    node = ["node", "--id", "5", "--bind", f"127.0.0.1:{own}", "--data-dir", str(tmp_path), "--detach"]
    subprocess.run([BIN / "blixard", *node], check=True, capture_output=True)

    def look(port: int) -> dict[str, Any]:
        settings = {"node_id": 5, "bind": f"127.0.0.1:{port}", "data_dir": str(tmp_path), "log_level": "debug"}
        return _run("iroh_node_info", {"data_dir": str(tmp_path), "config": json.dumps(settings)})

    try:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
            other.bind(("127.0.0.1", taken))
            refused = look(taken)
        free, same = look(taken), look(own)
    finally:
        subprocess.run([BIN / "blixard", "stop", "--data-dir", tmp_path], check=True, capture_output=True)

    assert refused["failed"]
    assert f"/bind: cannot bind 127.0.0.1:{taken}" in refused["msg"]
    assert [seen["entry"]["direct_addresses"] for seen in (free, same)] == [
        [f"127.0.0.1:{taken}"],
        [f"127.0.0.1:{own}"],
    ]


@pytest.mark.parametrize(
    ("content", "mode"), [("0" * 63 + "\n", 0o600), ("", 0o600), ("ff" * 32 + "\n", 0o644), ("g" * 64 + "\n", 0o600)]
)
def test_a_key_that_cannot_be_used_is_one_clear_line_that_does_not_show_it(
    tmp_path: Path, content: str, mode: int
) -> None:
    path = tmp_path / "iroh-secret-key"
    path.write_text(content)
    path.chmod(mode)
    settings = {"node_id": 5, "bind": "127.0.0.1:0", "data_dir": str(tmp_path)}

    seen = _run("iroh_node_info", {"data_dir": str(tmp_path), "config": json.dumps(settings)})
    kept = _run("iroh_identity", {"path": str(path), "regenerate": "fail"})

    for result in (seen, kept):
        assert result["failed"]
        assert result["msg"].startswith(f"{path}: ")
        assert len(result["msg"].splitlines()) == 1
        assert not content or content.strip() not in json.dumps(result)


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ("{", "settings"),
        ('{"node_id": 1, "node_id": 2, "bind": "127.0.0.1:7001"}', "node_id"),
        ('{"node_id": 0, "bind": "127.0.0.1:7001"}', "/node_id"),
        ('{"node_id": 1, "bind": "nowhere"}', "/bind"),
        ('{"node_id": 1, "bind": "127.0.0.1:7001", "colour": 1}', "/colour"),
        ("[" * 100000, "settings"),
    ],
)
def test_settings_that_cannot_be_used_are_one_clear_line(tmp_path: Path, settings: str, place: str) -> None:
    create_secret_key(tmp_path / "iroh-secret-key")

    seen = _run("iroh_node_info", {"data_dir": str(tmp_path), "config": settings})

    assert seen["failed"]
    assert place in seen["msg"]
    assert len(seen["msg"].splitlines()) == 1


def test_the_identity_module_returns_the_id_and_shows_it_in_the_diff_but_never_the_key(tmp_path: Path) -> None:
    path = tmp_path / "data" / "iroh-secret-key"

    would = _run("iroh_identity", {"path": str(path)}, check=True)
    assert would["changed"]
    assert would["diff"]["after"] == {"iroh_node_id": "a new one"}
    assert not path.exists()

    made = _run("iroh_identity", {"path": str(path)})
    replaced = _run("iroh_identity", {"path": str(path), "regenerate": "always"})
    removed = _run("iroh_identity", {"path": str(path), "state": "absent"})

    assert made["diff"]["after"] == {"iroh_node_id": made["iroh_node_id"]}
    assert replaced["diff"]["before"] == {"iroh_node_id": made["iroh_node_id"]}
    assert removed["diff"]["before"] == {"iroh_node_id": replaced["iroh_node_id"]}
    assert removed["changed"]
    assert not path.exists()


def test_the_owner_of_the_key_is_set_and_kept(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("only root gives files away")
    path = tmp_path / "iroh-secret-key"
    arguments = {"path": str(path), "owner": "daemon", "group": "daemon"}

    assert _run("iroh_identity", arguments)["changed"]
    assert (path.owner(), path.group()) == ("daemon", "daemon")
    assert not _run("iroh_identity", arguments)["changed"]


def test_the_registry_module_merges_tells_the_difference_and_refuses_in_one_message(tmp_path: Path) -> None:
    folder, peers_file = tmp_path / "registry", tmp_path / "discovery-peers.json"
    arguments = {"path": str(folder), "cluster": CLUSTER, "peers_file": str(peers_file)}
    both = {"one": attested(1).to_json(), "two": attested(2).to_json()}

    merged = _run("blixard_registry", {**arguments, "entries": both})
    assert merged["changed"]
    assert merged["peers_changed"] == "+2 −0 ~0 peers"
    assert merged["diff"]["prepared"].splitlines()[0] == "+2 −0 ~0 peers"
    assert merged["record"] == both
    assert not _run("blixard_registry", {**arguments, "entries": both})["changed"]

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    clones = {"one": attested(2).to_json(), "three": attested(1).to_json()}
    refused = _run("blixard_registry", {**arguments, "entries": clones, "states": {"two": "absent"}})
    assert refused["failed"]
    assert refused["msg"].splitlines() == ["refused, nothing was written:", *refused["refused"]]
    assert len(refused["refused"]) > 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"cluster_node_id": 1}'])
def test_a_record_that_cannot_be_read_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one.json").write_bytes(content)

    refused = _run("blixard_registry", {"path": str(tmp_path), "cluster": CLUSTER})

    assert refused["failed"]
    assert refused["msg"].startswith(f"{tmp_path}/one.json")
    assert (tmp_path / "one.json").read_bytes() == content


def test_a_connectivity_check_without_node_and_settings_says_that_no_node_runs(tmp_path: Path) -> None:
    result = _run("blixard_connectivity", {"data_dir": str(tmp_path), "config": str(tmp_path / "missing.json")})

    assert result["failed"]
    assert result["msg"].startswith(f"no node runs in {tmp_path}")
    assert "report" not in result
