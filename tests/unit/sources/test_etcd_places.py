# SPDX-License-Identifier: MIT
"""How the place of a fleet in etcd is written."""

from __future__ import annotations

import pytest
from tests.unit.sources.test_small_sources import TOOLS

from blixard.errors import InputError
from blixard.sources.etcd import EtcdSource
from blixard.sources.etcd_client import MAX_ENDPOINTS, EtcdPlace
from blixard.sources.factory import DiscoverySource, Unusable, make_sources, registry_at


@pytest.mark.parametrize(
    ("url", "shown", "key"),
    [
        ("etcd://a:1/fleet", "etcd://a:1/fleet", b"fleet/peers"),
        ("etcds://a/fleet/", "etcds://a:2379/fleet", b"fleet/peers"),
        ("ETCD://a:1//fleet/prod", "etcd://a:1//fleet/prod", b"/fleet/prod/peers"),
        ("etcd://a,[::1],[::1]:7,a:2379/x", "etcd://a:2379,[::1]:2379,[::1]:7/x", b"x/peers"),
    ],
)
def test_a_place_is_endpoints_and_a_prefix(url: str, shown: str, key: bytes) -> None:
    place = EtcdPlace.parse(url)
    assert str(place) == shown
    assert place.key("peers") == key
    assert EtcdPlace.parse(shown) == place


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("etcd://a:1", "has no usable prefix"),
        ("etcd://a:1/", "has no usable prefix"),
        ("etcd://a:1/x?y", "has no usable prefix"),
        ("etcd://a:1/" + "x" * 201, "has no usable prefix"),
        ("etcd:///fleet", "is not an address"),
        ("etcd://a:0/fleet", "port 0"),
        ("etcd://a:1,/fleet", "is not an address"),
        ("etcd://user:hush@a:1/fleet", "is not the place of an etcd"),
        ("http://a:1/fleet", "is not the place of an etcd"),
        ("etcd://" + ",".join(f"h{n}" for n in range(MAX_ENDPOINTS + 1)) + "/fleet", "has more than 16 endpoints"),
    ],
)
def test_what_is_no_place_is_refused_without_its_password(url: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        EtcdPlace.parse(url)
    assert reason in str(caught.value)
    assert "hush" not in str(caught.value)


def test_an_etcd_is_a_location_like_any_other() -> None:
    assert isinstance(registry_at("etcd://a:1/fleet", TOOLS), EtcdSource)
    assert isinstance(registry_at("etcd://a:1", TOOLS), Unusable)


def test_urls_that_differ_in_scheme_or_prefix_are_sources_of_their_own() -> None:
    named = DiscoverySource.Etcd(["etcd://a/x", "etcd://b/x", "etcds://a/x", "etcd://a/y"])
    assert [each.name for each in make_sources([named], TOOLS)] == [
        "registry:etcd://a:2379,b:2379/x",
        "registry:etcds://a:2379/x",
        "registry:etcd://a:2379/y",
    ]
