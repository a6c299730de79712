# SPDX-License-Identifier: MIT
"""A running node's own entry: signed anew when an address has changed, and kept in the registry file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blixard.agent.entry import REGISTRY_FILE_NAME, advertised, last_signed, signed_entry
from blixard.documents.files import read_limited, write_atomic
from blixard.documents.registry_file import format_registry
from blixard.documents.size_limits import MAX_REGISTRY_BYTES
from blixard.errors import InputError
from blixard.model.numbers import is_ahead

if TYPE_CHECKING:
    from pathlib import Path

    from blixard.agent.config import NodeConfig
    from blixard.clock import Clock
    from blixard.model.entry import NodeRegistryEntry
    from blixard.trust.keys import SecretKey


class OwnEntry:
    """What this node says of itself now.

    Attributes:
        entry: the signed entry.
    """

    def __init__(self, config: NodeConfig, key: SecretKey, port: int, clock: Clock) -> None:
        """`port` is the one that the endpoint really has.

        Raises:
            InputError: as `signed_entry`.
        """
        self._key = key
        self._port = port
        self._clock = clock
        self.entry = self.signed(config, last_signed(config, key.public(), clock.wall()))

    def signed(self, config: NodeConfig, previous: NodeRegistryEntry | None) -> NodeRegistryEntry:
        """Return the entry under `config`, with the signature of `previous` where nothing has changed."""
        return signed_entry(config, self._key, self._port, now=self._clock.wall(), previous=previous)

    def addresses(self, config: NodeConfig) -> list[dict[str, Any]]:
        """Return each address of this host, whether the peers are told of it, and why."""
        return [verdict.to_json() for verdict in advertised(config, self._port)]

    def is_ahead(self) -> bool:
        """Tell whether the entry was signed far ahead of now, by a clock that was set since: then no peer takes it."""
        attestation = self.entry.attestation
        return attestation is not None and is_ahead(attestation.seq, self._clock.wall())

    def update(self, config: NodeConfig) -> bool:
        """Look at the addresses anew, keep the registry file as it must be, and tell whether the entry changed.

        Raises:
            InputError: there is no address to tell any more, or the file cannot be written. What was said last
                stands then.
        """
        entry = self.signed(config, self.entry)
        changed, self.entry = entry != self.entry, entry
        keep_file(config.data_dir / REGISTRY_FILE_NAME, format_registry(entry))
        return changed


def keep_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` unless that is what stands there: who watches the file shall not read it for nothing."""
    try:
        if read_limited(path, MAX_REGISTRY_BYTES) == data:
            return
    except InputError:
        pass  # missing or damaged: it is written anew
    write_atomic(path, data, 0o644)
