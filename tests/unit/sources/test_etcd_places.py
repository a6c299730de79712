# SPDX-License-Identifier: MIT
"""How the place of a fleet in etcd is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.sources.test_small_sources import TOOLS

from blixard.errors import InputError
from blixard.sources.base import EtcdAccess
from blixard.sources.etcd import EtcdSource
from blixard.sources.etcd_client import MAX_ENDPOINTS, EtcdPlace, password_of, tls_of
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


@pytest.mark.parametrize(
    ("url", "is_plain"),
    [
        ("etcd://localhost,127.0.0.1:1,[::1]/x", False),
        ("etcd://localhost,etcd.example.org/x", True),
        ("etcd://10.0.0.1/x", True),
        ("etcds://etcd.example.org/x", False),
    ],
)
def test_what_comes_from_another_host_without_tls_is_told_apart(url: str, is_plain: bool) -> None:
    assert EtcdPlace.parse(url).is_plain is is_plain


def test_files_that_cannot_be_used_are_named_with_the_mend(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate")
    bad.chmod(0o600)
    with pytest.raises(InputError, match=r"bad\.pem: has no certificate in PEM form"):
        tls_of(EtcdAccess(ca_file=bad))
    with pytest.raises(InputError, match=r"bad\.pem: cannot be used with its key"):
        tls_of(EtcdAccess(cert_file=bad, key_file=bad))
    with pytest.raises(InputError, match=r"missing: does not exist"):
        tls_of(EtcdAccess(ca_file=tmp_path / "missing"))
    bad.chmod(0o644)
    with pytest.raises(InputError, match="has mode 0644"):
        tls_of(EtcdAccess(cert_file=bad, key_file=bad))


def test_a_user_needs_a_password_of_one_line_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "password"
    with pytest.raises(InputError, match="etcd_password_file"):
        password_of(EtcdAccess(user="node"))
    path.write_bytes(b"\xff")
    path.chmod(0o600)
    with pytest.raises(InputError, match="is not UTF-8"):
        password_of(EtcdAccess("node", path))
    path.write_text(" hush \r\n")
    assert password_of(EtcdAccess("node", path)) == " hush "
