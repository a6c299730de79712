# SPDX-License-Identifier: MIT
"""What people see of a URL, and what they do not."""

from __future__ import annotations

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blixard.sources.urls import beside, has_secret, name_of, scheme_of, scrubbed, shown

WEIRD = st.text(alphabet=":/?#@[]%&= x", max_size=20)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://h/n.json", "https://h/n.json"),
        ("https://[::1]:8443/n.json", "https://[::1]:8443/n.json"),
        ("https://user:hush@h/n.json", "https://…@h/n.json"),
        ("https://h/@scope/n.json", "https://h/@scope/n.json"),
        ("https://h/n.json?token=hush", "https://h/n.json?…"),
        ("https://h/n.json#hush", "https://h/n.json?…"),
        ("https://user:hu/sh@h/n.json", "https://…"),
        ("https://user:12/hush@h/n.json", "https://…"),
        ("https://us/er:hush@h/n.json", "https://…"),
        ("https://user:hu?sh@h/n.json", "https://…"),
        ("s3://bucket/registries", "s3://bucket/registries"),
        ("memory://", "memory://"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, seen: str) -> None:
    assert shown(url) == seen


@given(WEIRD, WEIRD)
def test_a_password_is_never_shown_wherever_its_odd_characters_lead(before: str, after: str) -> None:
    url = f"https://user:{before}hush{after}@host/path"
    assert "hush" not in shown(url)


@given(WEIRD)
def test_a_query_is_never_shown(text: str) -> None:
    assert "hush" not in shown(f"https://host/path?{text}hush")


def test_urls_that_look_alike_have_names_of_their_own() -> None:
    urls = ["https://h/n?a", "https://h/n?b", "https://u:p@h/n", "https://u:q@h/n", "https://h/n"]
    names = {name_of(url) for url in urls}
    assert len(names) == len(urls)
    assert name_of("https://h/n") == "https://h/n"


def test_what_a_library_says_is_cleared_of_secrets_also_when_it_has_decoded_them() -> None:
    url = "sftp://user:h%40sh@host/n.json?key=hidden"
    text = f"cannot open {url}: {urllib.parse.unquote('h%40sh')} was refused, key=hidden too"
    assert scrubbed(text, url) == "cannot open sftp://…@host/n.json?…: … was refused, … too"


def test_a_signature_stands_beside_its_file() -> None:
    assert beside("https://h/p.json", ".sig") == "https://h/p.json.sig"
    assert beside("https://h/p.json?a=b#c", ".sig") == "https://h/p.json.sig?a=b#c"


def test_only_what_has_a_scheme_is_a_url() -> None:
    assert scheme_of("HTTPS://h") == "https"
    assert scheme_of("s3://b") == "s3"
    assert [scheme_of(text) for text in ("host:7001", "/a://b", "c:\\x", "", "1s://x")] == [None] * 5


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("s3://bucket/path", False),
        ("sftp://user@host:22/path", False),
        ("sftp://user@[::1]:22/path", False),
        ("abfs://container@account.dfs.core.windows.net/path", False),
        ("sftp://user:word@host/path", True),
        ("sftp://user:wo/rd@host/path", True),
        ("sftp://:word@host/path", True),
        ("s3://bucket/path?token=word", True),
        ("s3://bucket/path#word", True),
    ],
)
def test_a_url_with_a_password_or_a_token_is_known(url: str, secret: bool) -> None:
    assert has_secret(url) is secret
