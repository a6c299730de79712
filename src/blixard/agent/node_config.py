# SPDX-License-Identifier: MIT
"""A node's settings: defaults, file and flags in one; and which of them can change while it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blixard.agent.advertise import AdvertisePolicy
from blixard.agent.options import OPTIONS, PATHS, Bind
from blixard.discovery_manager import DiscoveryConfig, DiscoverySource
from blixard.documents.data_dir_files import PEERS_FILE_NAME as PEERS_FILE_NAME
from blixard.documents.files import read_limited
from blixard.documents.json_bytes import loads, sha256_hex
from blixard.errors import InputError
from blixard.model import fields
from blixard.model.limits import MAX_CONFIG_BYTES
from blixard.model.words import MISSING, UNKNOWN, wrong_kind
from blixard.sources.base import EtcdAccess

if TYPE_CHECKING:
    from blixard.model.ids import EndpointId
    from blixard.sources.factory import Named
    from blixard.transport.hello import Admission


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """What a node was told. Fields are the keys of node-config.json, see its schema."""

    node_id: int
    bind: Bind
    cluster: str = "blixard"
    data_dir: Path
    relay_url: str | None = None
    advertise: AdvertisePolicy = field(default_factory=AdvertisePolicy)
    join: tuple[str, ...] = ()
    registries: tuple[str, ...] = ()
    etcd: tuple[str, ...] = ()
    etcd_user: str | None = None
    etcd_password_file: str | None = None
    etcd_ca_file: str | None = None
    etcd_cert_file: str | None = None
    etcd_key_file: str | None = None
    etcd_live: bool = False
    dns: tuple[str, ...] = ()
    cloud: tuple[str, ...] = ()
    mdns: bool = False
    peers_file: Path
    refresh_interval_s: float = 60.0
    auto_connect: bool = True
    admission: Admission
    trusted_signers: tuple[EndpointId, ...] = ()
    raft: bool = False
    raft_voters: tuple[int, ...] = ()
    gossip: bool = False
    metrics: Bind | None = None
    page: bool = False
    log_level: str = "info"
    log_format: str = "logfmt"
    sha256: str | None = None
    """Digest of the configuration file that was read; null without one."""

    @property
    def relays(self) -> tuple[str, ...]:
        """The relay, if there is one, as the transport takes it."""
        return () if self.relay_url is None else (self.relay_url,)


@dataclass(frozen=True)
class _Given:
    """A value as somebody gave it, and where."""

    value: object
    file: str
    place: str


def _from_document(data: bytes, file: str) -> dict[str, _Given]:
    document = loads(data, file=file)
    if not isinstance(document, dict):
        raise InputError(wrong_kind("an object", document), file=file, mend="write the settings as a JSON object")
    given: dict[str, _Given] = {}
    for path, value in _settings(document, file):
        place = fields.pointer(*path)
        if path not in PATHS:
            mend = "known settings are " + ", ".join(option.key for option in OPTIONS)
            raise InputError(UNKNOWN, file=file, place=place, mend=mend)
        given[PATHS[path]] = _Given(value, file, place)
    return given


def _settings(document: Mapping[str, object], file: str) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in document.items():
        if key != "advertise":
            yield (key,), value
        elif isinstance(value, dict):
            yield from (((key, inner), each) for inner, each in value.items())
        else:
            mend = 'write an object such as {"exclude": ["10.0.0.0/8"]}'
            raise InputError(wrong_kind("an object", value), file=file, place="/advertise", mend=mend)


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    return {
        option.key: _Given(option.from_text(environ[option.env_name]), "environment", option.env_name)
        for option in OPTIONS
        if environ.get(option.env_name)
    }


def _from_flags(flags: Mapping[str, Any]) -> dict[str, _Given]:
    given = {}
    for option in OPTIONS:
        text = flags.get(option.key)
        if text is not None:
            value = option.from_text(",".join(text) if isinstance(text, list) else text)
            given[option.key] = _Given(value, "command line", option.flag_name)
    return given


def load_config(
    path: Path | None = None, *, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> NodeConfig:
    """Read a node's configuration: flags win over the environment, the environment over the file.

    Raises:
        InputError: with the file, variable or flag, and the place in it.
    """
    data = read_limited(path, MAX_CONFIG_BYTES) if path else None
    given = {} if data is None else _from_document(data, str(path))
    given |= _from_environment(environ or {}) | _from_flags(flags or {})
    return _complete(_converted(given), str(path or "command line"), data)


def parse_config(data: bytes, *, file: str) -> NodeConfig:
    """Read a configuration from the bytes of a node-config.json, which `file` names in errors."""
    return _complete(_converted(_from_document(data, file)), file, data)


def _converted(given: Mapping[str, _Given]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for option in OPTIONS:
        if option.key not in given or (given[option.key].value is None and option.nullable):
            continue
        each = given[option.key]
        try:
            values[option.key] = option.convert(each.value, each.place)
        except InputError as error:
            mend = error.mend or f"write {option.form}"
            raise InputError(error.reason, file=each.file, place=error.place, mend=mend) from None
    return values


def _complete(values: dict[str, Any], file: str, data: bytes | None) -> NodeConfig:
    for required in ("node_id", "bind"):
        if required not in values:
            mend = "give it with " + next(o.flag_name for o in OPTIONS if o.key == required)
            raise InputError(MISSING, file=file, place=f"/{required}", mend=mend)
    data_dir = Path(values.pop("data_dir", f"data/node{values['node_id']}"))
    advertise = {
        f.name: values.pop(f"advertise.{f.name}")
        for f in dataclasses.fields(AdvertisePolicy)
        if f"advertise.{f.name}" in values
    }
    peers_file = Path(values.pop("peers_file", data_dir / PEERS_FILE_NAME))
    # The seed's --join needs a bootstrap node that lets strangers of its own cluster in; who trusts
    # signers has said who the members are.
    admission = values.pop("admission", "known" if values.get("trusted_signers") else "open")
    return NodeConfig(
        **values,
        data_dir=data_dir,
        advertise=AdvertisePolicy(**advertise),
        peers_file=peers_file,
        admission=admission,
        sha256=None if data is None else sha256_hex(data),
    )


def sources_of(config: NodeConfig) -> list[Named]:
    """Return where this node looks for peers, what the operator named first."""
    named = named_sources(
        [*config.join, *config.registries], etcd=config.etcd, dns=config.dns, cloud=config.cloud, mdns=config.mdns
    )
    return [*named, DiscoverySource.StaticFile(config.peers_file)]


def named_sources(
    locations: Sequence[str], *, etcd: Sequence[str], dns: Sequence[str], cloud: Sequence[str], mdns: bool
) -> list[Named]:
    """Return the sources of these settings, in the order in which they count."""
    named: list[Named] = []
    named += [DiscoverySource.NodeRegistry(locations)] if locations else []
    named += [DiscoverySource.Etcd(etcd)] if etcd else []
    named += [DiscoverySource.Dns(dns)] if dns else []
    named += [DiscoverySource.Cloud(cloud)] if cloud else []
    named += [DiscoverySource.Mdns()] if mdns else []
    return named


def etcd_access(given: Mapping[str, str | None]) -> EtcdAccess:
    """Return by what etcd and this node prove who they are, of settings by name."""

    def path(name: str) -> Path | None:
        text = given.get(name)
        return Path(text) if text else None

    return EtcdAccess(
        given.get("etcd_user") or None,
        path("etcd_password_file"),
        path("etcd_ca_file"),
        path("etcd_cert_file"),
        path("etcd_key_file"),
    )


def etcd_of_environment(environ: Mapping[str, str]) -> EtcdAccess:
    """Return by what etcd and a program prove who they are: a node's variables say that for commands and runs too."""
    return etcd_access({o.key: environ.get(o.env_name) for o in OPTIONS if o.key.startswith("etcd_")})


def discovery_of(config: NodeConfig) -> DiscoveryConfig:
    """Return what this node's discovery manager works with."""
    return DiscoveryConfig(
        sources_of(config),
        config.refresh_interval_s,
        config.auto_connect,
        trusted_signers=config.trusted_signers,
        state_dir=config.data_dir,
        etcd=etcd_access(vars(config)),
    )


NEEDS_RESTART = ("node_id", "bind", "cluster", "data_dir", "relay_url", "gossip", "raft", "metrics", "page")
"""What the node is, where it listens, where it lives, and what it has told its peers that it speaks."""

_NOT_SETTINGS = frozenset({"sha256"})


def changed_settings(old: NodeConfig, new: NodeConfig) -> list[str]:
    """Return the names of the settings that differ, those that can be taken over.

    Raises:
        InputError: one differs that needs a restart; then nothing of the new configuration is to be used, so
            that what runs is always what one file says.
    """
    names = [field.name for field in dataclasses.fields(old) if field.name not in _NOT_SETTINGS]
    changed = [name for name in names if getattr(old, name) != getattr(new, name)]
    fixed = [name for name in changed if name in NEEDS_RESTART]
    if fixed:
        raise InputError(
            f"{', '.join(fixed)} cannot be changed while the node runs; nothing was changed", mend="restart the node"
        )
    return changed
