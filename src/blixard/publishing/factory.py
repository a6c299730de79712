# SPDX-License-Identifier: MIT
"""The destinations that a location can name, and one publication to all of several."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from blixard.errors import BlixardError, InputError
from blixard.publishing.base import Outcome, note_base
from blixard.sources.urls import has_secret, name_of, scheme_of

if TYPE_CHECKING:
    from pathlib import Path

    from blixard.publishing.base import Destination, Publication, PublishContext

SHARED = ("etcd", "etcds")
"""Places from which several controllers take one record."""

TIMEOUT = 600.0
"""Seconds for one place: what is not there by then goes on with the next publication."""


def make_destinations(locations: Iterable[str], context: PublishContext) -> list[Destination]:
    """Return a destination for each location, in order; one that is named twice is made once.

    Raises:
        InputError: one is no place that can be published to; nothing was looked at yet.
    """
    return [_destination_at(location, context) for location in dict.fromkeys(locations)]


def _destination_at(location: str, context: PublishContext) -> Destination:
    """Return the destination at the path of a folder, or at a URL. Its module is imported only now."""
    if not location or "\0" in location:
        raise InputError("is not a place", file=location or "''", mend="name a folder or a URL")
    scheme = scheme_of(location)
    if scheme is not None and has_secret(location):
        # It would be in the process list, in the inventory and in whatever keeps the arguments of tasks.
        mend = "leave it out: each driver has files and variables for that, see docs/publishing.md"
        raise InputError("has a password or a query", file=name_of(location), mend=mend)
    if scheme in ("http", "https"):
        mend = "publish to the folder that the web server serves, or to the store behind it"
        raise InputError("cannot be written to", file=name_of(location), mend=mend)
    if scheme in SHARED:
        from blixard.publishing.etcd import EtcdDestination

        return EtcdDestination(location, context)
    if scheme == "zone" or location[:4].lower() == "dns:":
        return _dns_at(location, context)
    from blixard.publishing.store import store_at

    return store_at(location, context)


def _dns_at(location: str, context: PublishContext) -> Destination:
    try:
        from blixard.publishing.dns import dns_at
    except ImportError:
        mend = "pip install 'blixard[dns]'"
        raise InputError("needs a package that is not installed", file=location, mend=mend) from None
    return dns_at(location, context)


async def publish_everywhere(
    destinations: Iterable[Destination], publication: Publication, *, check: bool = False
) -> list[Outcome]:
    """Publish to each place; one that cannot be used keeps no other from getting it. An outcome each, in order."""
    return list(await asyncio.gather(*(_publish(each, publication, check) for each in destinations)))


async def _publish(destination: Destination, publication: Publication, check: bool) -> Outcome:
    try:
        return await asyncio.wait_for(destination.publish(publication, check=check), TIMEOUT)
    except asyncio.TimeoutError:
        reason = f"{destination.name}: took longer than {TIMEOUT:g} s; can it be reached?"
    except BlixardError as error:
        reason = str(error)
    return Outcome(destination.name, "failed", reason=reason)


def remember(record: Path, publication: Publication, outcomes: Iterable[Outcome]) -> None:
    """Have the record know what it now has in common with the places that several controllers share."""
    shared = [each.place for each in outcomes if scheme_of(each.place) in SHARED and each.reason is None]
    note_base(record, shared, publication.peers)


def report(outcomes: Iterable[Outcome]) -> dict[str, object]:
    """Return the document that the schema `publication-report` describes."""
    listed = list(outcomes)
    words = ("changed", "unchanged", "refused", "failed")
    return {
        "places": [each.to_json() for each in listed],
        "summary": {word: sum(each.status == word for each in listed) for word in words},
    }
