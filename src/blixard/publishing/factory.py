# SPDX-License-Identifier: MIT
"""The destinations that a location can name, and one publication to all of several."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from blixard.errors import BlixardError, InputError
from blixard.publishing.base import Outcome
from blixard.sources.urls import name_of, scheme_of

if TYPE_CHECKING:
    from blixard.publishing.base import Destination, Publication, PublishContext

TIMEOUT = 600.0
"""Seconds for one place: far more than 50,000 entries take, and an end for one that answers without end."""


def destination_at(location: str, context: PublishContext) -> Destination:
    """Return the destination for a location: the path of a folder, or a URL. Its module is imported only now.

    Raises:
        InputError: it is not a place that can be published to.
    """
    if not location or "\0" in location:
        raise InputError("is not a place", file=location, mend="name a folder or a URL")
    scheme = scheme_of(location)
    if scheme in ("http", "https"):
        mend = "publish to the folder that the web server serves, or to the store behind it"
        raise InputError("cannot be written to", file=name_of(location), mend=mend)
    # Each kind of place: `if scheme in (...)`, and its module imported there.
    raise InputError("is no place that can be published to", file=name_of(location), mend="name a folder or a URL")


async def publish_everywhere(
    locations: Iterable[str], publication: Publication, context: PublishContext, *, check: bool = False
) -> list[Outcome]:
    """Publish to each place; one that cannot be used keeps no other from getting it.

    Returns an outcome for each location, in order; one that is named twice counts once.
    """
    each = dict.fromkeys(locations)
    return list(await asyncio.gather(*(_publish(location, publication, context, check) for location in each)))


async def _publish(location: str, publication: Publication, context: PublishContext, check: bool) -> Outcome:
    place = location if scheme_of(location) is None else name_of(location)
    try:
        destination = destination_at(location, context)
        place = destination.name
        return await asyncio.wait_for(destination.publish(publication, check=check), TIMEOUT)
    except asyncio.TimeoutError:
        return Outcome(place, "failed", reason=f"took longer than {TIMEOUT:g} s; can it be reached?")
    except BlixardError as error:
        return Outcome(place, "failed", reason=str(error))
