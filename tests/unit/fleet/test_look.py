# SPDX-License-Identifier: MIT
"""A look at a host: whose the key is, what the node says of itself, and the entry where the node does not answer."""

from __future__ import annotations

import asyncio
import errno
import getpass
import grp
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from tests.unit.peers.people import peer
from tests.unit.sources.files import registry_of

from blixard.agent.control_server import ControlServer, Tell
from blixard.agent.interfaces import LocalAddress
from blixard.documents.data_dir_files import SEEN_FILE_NAME
from blixard.errors import InputError
from blixard.fleet.host import run
from blixard.fleet.look import KEY_FILE_NAME, look
from blixard.model.entry import NodeRegistryEntry
from blixard.trust.attestation import verify_attestation
from blixard.trust.highest_seq import HighestSeq
from blixard.trust.keys import create_secret_key


def test_a_key_has_an_owner_and_nothing_else_is_said_of_it(tmp_path: Path) -> None:
    key = create_secret_key(tmp_path / KEY_FILE_NAME)

    seen = look(tmp_path, config=None, paths={}, expected={}, min_seq=0)

    assert seen["key"] == {
        "path": str(tmp_path / KEY_FILE_NAME),
        "state": "present",
        "owner": getpass.getuser(),
        "group": grp.getgrgid(os.getgid()).gr_name,
    }
    assert key.to_bytes().hex() not in json.dumps(seen)


def test_the_numbers_that_the_node_has_seen_are_told_where_it_trusts_signers(tmp_path: Path) -> None:
    signer, settings = peer(1).endpoint_id, {"cluster": "test", "peers_file": "/srv/peers.json"}
    seen = HighestSeq(tmp_path, lambda: datetime.now(timezone.utc))
    seen.raise_to("/srv/peers.json", "test", signer, 5)

    def told(**more: object) -> object:
        config = json.dumps({**settings, **more}).encode()
        return look(tmp_path, config=config, paths={}, expected={}, min_seq=0)["seen"]

    assert told() == []
    assert told(trusted_signers=[signer.hex]) == [{"signer": signer.base64, "seq": 5}]
    assert told(trusted_signers=[signer.hex], cluster="other", peers_file="/elsewhere") == []
    (tmp_path / SEEN_FILE_NAME).write_text("[]")
    assert told(trusted_signers=[signer.hex]) == []
    for config in (None, b"[]", b"{"):
        assert look(tmp_path, config=config, paths={}, expected={}, min_seq=0)["seen"] == []


def test_a_number_against_every_signer_is_told_for_the_place_of_the_nodes_peers_file_alone(tmp_path: Path) -> None:
    default = str(tmp_path / "discovery-peers.json")
    (tmp_path / SEEN_FILE_NAME).write_text(json.dumps({default: 7, "/srv/peers.json": 9}))

    def told(**more: object) -> object:
        config = json.dumps({"cluster": "test", "trusted_signers": [peer(1).iroh_node_id], **more}).encode()
        return look(tmp_path, config=config, paths={}, expected={}, min_seq=0)["seen"]

    assert told() == [{"signer": None, "seq": 7}]
    assert told(peers_file="/srv/peers.json") == [{"signer": None, "seq": 9}]


def test_a_key_of_an_account_that_is_not_there_has_a_number_for_an_owner(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("only root gives files away")
    create_secret_key(tmp_path / KEY_FILE_NAME)
    os.chown(tmp_path / KEY_FILE_NAME, 54321, 54321)

    key = look(tmp_path, config=None, paths={}, expected={}, min_seq=0)["key"]

    assert (key["owner"], key["group"]) == ("54321", "54321")


@pytest.fixture
def port() -> Iterator[int]:
    """A port that the node of these tests has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def _config(data_dir: Path, port: int) -> bytes:
    return json.dumps(
        {"node_id": 5, "bind": f"127.0.0.1:{port}", "data_dir": str(data_dir), "cluster": "test"}
    ).encode()


def _told(*addresses: str, config_sha256: str = "of another configuration", seq: int = 0) -> dict[str, Any]:
    """What a node says of itself."""
    entry = {"cluster_node_id": 5, "attestation": {"seq": seq}}
    known = [{"address": each, "advertised": True, "reason": "a test"} for each in addresses]
    return {"config_sha256": config_sha256, "version": "1", "iroh_node_id": "x", "entry": entry, "addresses": known}


async def _look_beside(
    data_dir: Path, config: bytes | None, info: Mapping[str, Any] | None, *, min_seq: int = 0
) -> dict[str, Any]:
    """Look at a host whose node says `info`, and None: hangs."""

    async def say(_: Mapping[str, Any], __: Tell) -> Mapping[str, Any] | None:
        if info is None:
            await asyncio.Event().wait()
        return info

    server = ControlServer(data_dir, {"info": say})
    await server.start()
    try:
        return await asyncio.to_thread(look, data_dir, config=config, paths={}, expected={}, min_seq=min_seq)
    finally:
        await server.stop()


def _is_of_the_key(seen: Mapping[str, Any], port: int) -> bool:
    entry = NodeRegistryEntry.from_json(seen["entry"])
    verify_attestation(entry, cluster="test")
    return seen["entry_source"] == "key" and entry.direct_addresses == (f"127.0.0.1:{port}",)


async def test_the_entry_of_a_node_that_hangs_comes_from_its_key_and_its_port_is_not_bound_twice(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blixard.fleet.look.INFO_TIMEOUT", 0.2)
    create_secret_key(tmp_path / KEY_FILE_NAME)

    seen = await _look_beside(tmp_path, _config(tmp_path, port), None)

    assert seen["agent"]["state"] == "not answering"
    assert "did not answer in 0.2 s" in seen["agent"]["error"]
    assert _is_of_the_key(seen, port)


@pytest.mark.parametrize(
    "info", [{}, [], {**_told(), "entry": []}, {**_told(), "addresses": {}}, {"version": "1", "iroh_node_id": "x"}]
)
async def test_what_does_not_say_who_it_is_is_no_running_node(tmp_path: Path, port: int, info: Any) -> None:
    create_secret_key(tmp_path / KEY_FILE_NAME)

    seen = await _look_beside(tmp_path, _config(tmp_path, port), info)

    assert seen["agent"]["state"] == "not answering"
    assert "what listens there" in seen["agent"]["error"]
    assert _is_of_the_key(seen, port)


@pytest.mark.parametrize("further", ["203.0.113.7:17001", "[2001:db8::7]:17001"])
async def test_a_node_that_tells_a_further_port_has_its_own_all_the_same(
    tmp_path: Path, port: int, further: str
) -> None:
    create_secret_key(tmp_path / KEY_FILE_NAME)

    for addresses in ((further, f"127.0.0.1:{port}"), (f"127.0.0.1:{port}", further), (further, f"[::1]:{port}")):
        seen = await _look_beside(tmp_path, _config(tmp_path, port), _told(*addresses))
        assert seen["agent"]["state"] == "running"
        assert _is_of_the_key(seen, port)


@pytest.mark.parametrize("addresses", [(), ("127.0.0.1:1",), ("127.0.0.1:",), ("127.0.0.1:123456",)])
async def test_a_port_that_the_running_node_has_not_is_bound_to_prove_that_it_is_free(
    tmp_path: Path, port: int, addresses: tuple[str, ...]
) -> None:
    create_secret_key(tmp_path / KEY_FILE_NAME)

    with pytest.raises(InputError, match=f"/bind: cannot bind 127.0.0.1:{port}"):
        await _look_beside(tmp_path, _config(tmp_path, port), _told(*addresses))


async def test_the_word_of_a_node_that_runs_as_it_is_to_run_counts_unless_a_newer_one_is_recorded(
    tmp_path: Path, port: int
) -> None:
    create_secret_key(tmp_path / KEY_FILE_NAME)
    config = _config(tmp_path, port)
    told = _told(f"127.0.0.1:{port}", config_sha256=hashlib.sha256(config).hexdigest(), seq=7)

    seen = await _look_beside(tmp_path, config, told, min_seq=7)
    assert (seen["entry"], seen["entry_source"]) == (told["entry"], "agent")
    assert seen["agent"]["started"] > 0.0
    assert "entry" not in seen["agent"]

    unsigned = told | {"entry": {**told["entry"], "attestation": None}}
    assert (await _look_beside(tmp_path, config, unsigned))["entry_source"] == "agent"
    assert _is_of_the_key(await _look_beside(tmp_path, config, told, min_seq=8), port)
    assert _is_of_the_key(await _look_beside(tmp_path, config, told | {"entry": None}, min_seq=1), port)


async def test_a_node_that_says_no_more_than_who_it_is_runs(tmp_path: Path) -> None:
    seen = await _look_beside(tmp_path, None, {"config_sha256": "a", "version": "1", "iroh_node_id": "x"})
    assert seen["agent"]["state"] == "running"


async def test_without_settings_to_hold_it_against_the_word_of_the_running_node_counts(tmp_path: Path) -> None:
    told = _told("127.0.0.1:1")
    seen = await _look_beside(tmp_path, None, told, min_seq=8)
    assert (seen["entry"], seen["entry_source"], seen["config_sha256"]) == (told["entry"], "agent", None)


def test_a_host_that_is_left_with_loopback_alone_says_so_before_its_node_first_runs(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loopback = [LocalAddress(ip_address("127.0.0.1"))]
    monkeypatch.setattr("blixard.agent.own_entry.local_addresses", lambda: loopback)
    create_secret_key(tmp_path / KEY_FILE_NAME)

    def why(bind: str) -> Any:
        config = json.dumps({"node_id": 5, "bind": bind, "data_dir": str(tmp_path), "cluster": "test"}).encode()
        return look(tmp_path, config=config, paths={}, expected={}, min_seq=0)["not_reachable"]

    assert "is left to tell the peers" in why("0.0.0.0:0")
    assert why("127.0.0.1:0") is None


def test_a_host_that_has_settings_and_no_key_yet_has_no_entry_but_that_of_a_registry_file(
    tmp_path: Path, port: int
) -> None:
    seen = look(tmp_path, config=_config(tmp_path, port), paths={}, expected={}, min_seq=0)
    assert (seen["entry"], seen["entry_source"], seen["key"]["state"]) == (None, None, "absent")

    (tmp_path / "node-1-registry.json").write_bytes(registry_of(peer(4)))
    seen = look(tmp_path, config=_config(tmp_path, port), paths={}, expected={}, min_seq=0)
    assert (seen["entry"]["cluster_node_id"], seen["entry_source"]) == (4, "registry")


def test_of_several_registry_files_the_one_with_the_plain_name_counts(tmp_path: Path) -> None:
    (tmp_path / "node-1-registry.json").write_bytes(registry_of(peer(1)))
    (tmp_path / "node-registry.json").write_bytes(registry_of(peer(2)))
    (tmp_path / "node-x-registry.json").write_bytes(registry_of(peer(3)))
    assert look(tmp_path, config=None, paths={}, expected={}, min_seq=0)["entry"]["cluster_node_id"] == 2


@pytest.mark.root
def test_a_key_that_is_still_to_be_given_to_the_account_signs_nothing(tmp_path: Path, port: int) -> None:
    create_secret_key(tmp_path / KEY_FILE_NAME)
    os.chown(tmp_path / KEY_FILE_NAME, 54321, 54321)
    seen = look(tmp_path, config=_config(tmp_path, port), paths={}, expected={}, min_seq=0)
    assert (seen["entry"], seen["entry_source"]) == (None, None)


def test_a_file_is_expected_only_with_the_digest_that_it_is_to_have(tmp_path: Path) -> None:
    paths = {name: str(tmp_path / name) for name in ("same", "other", "gone", "unasked")}
    for name in ("same", "other", "unasked"):
        (tmp_path / name).write_text("content")
    digest = hashlib.sha256(b"content").hexdigest()
    expected = {"same": digest, "other": "0" * 64, "gone": digest, "no path": digest}
    files = look(tmp_path, config=None, paths=paths, expected=expected, min_seq=0)["files"]
    assert {name: file.get("expected") for name, file in files.items()} == {
        "same": True,
        "other": False,
        "gone": False,
        "unasked": None,
    }


def test_a_file_that_goes_away_during_a_look_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / "gone"))

    monkeypatch.setattr("blixard.fleet.look.observe", gone)
    options = {"data_dir": str(tmp_path), "config": None, "paths": {"f": "f"}, "expected": {}, "min_seq": 0}

    line = f"{tmp_path}/gone: No such file or directory; see to it, and run this again"
    assert run("look", options) == {"failed": True, "msg": line}
