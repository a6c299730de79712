# SPDX-License-Identifier: MIT
"""A registry at an http or https URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from blixard.documents.limits import MAX_REGISTRY_BYTES
from blixard.errors import BlixardError
from blixard.sources.base import Answer, Failed, Found, Nothing, Sighting
from blixard.sources.http_get import GONE, NOT_MODIFIED, HttpError, check_url, get, shown
from blixard.sources.registry_entry import RegistryReader
from blixard.sources.threads import StillBusy, Worker

if TYPE_CHECKING:
    from blixard.sources.attestations import AttestationCheck
    from blixard.sources.base import SourceKind


class HttpRegistry:
    """Gets one registry, and gets it again only when the server says that it has changed.

    410 Gone takes its node away; any other answer that is no registry is a failure.
    """

    kind: SourceKind = "registry"

    def __init__(self, url: str, *, check: AttestationCheck, wall: Callable[[], datetime]) -> None:
        """Raises InputError as `check_url` does."""
        self._url = check_url(url)
        self._place = shown(url)
        self.name = f"registry:{self._place}"
        self._reader = RegistryReader(check, wall)
        self._worker: Worker[Answer] = Worker()
        self._sighting: Sighting | None = None
        self._good: Found | Nothing | None = None
        self._validators: Mapping[str, str] = {}

    async def fetch(self) -> Answer:
        """Ask the server, as `Source.fetch`."""
        try:
            return await self._worker.run(self._look)
        except StillBusy:
            return Failed(f"{self._place}: the last request has not come back; does the name server answer?")
        except HttpError as error:
            return Failed(f"{self._place}: {error}")
        except BlixardError as error:
            return Failed(str(error))

    def _look(self) -> Answer:
        response = get(self._url, most=MAX_REGISTRY_BYTES, headers=self._validators)
        if response.status == NOT_MODIFIED and self._good is not None and self._validators:
            return self._good
        if response.status == GONE:
            self._sighting, self._validators, self._good = None, {}, Nothing()
            return self._good
        if response.status != 200:
            raise HttpError(f"the server answers {response.status} {response.reason}")
        sighting = self._reader.read(response.body, self._place, self._sighting)
        if self._good is None or sighting is not self._sighting:
            self._good = Nothing() if sighting is None else Found((sighting,))
        # Remembered only now: what could not be used is asked for in full again.
        self._sighting, self._validators = sighting, response.validators
        return self._good
