# SPDX-License-Identifier: MIT
"""URLs of sources, and how people may see them: passwords and the values of queries are nobody else's."""

from __future__ import annotations

import hashlib
import re
import urllib.parse

_HIDDEN = "…"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PATH_END = re.compile(r"[?#]")
_ONE_HOST = r"(?:\[[0-9A-Fa-f:.]*\]|[^:@\[\],]*)(?::[0-9]*)?"
_HOST = re.compile(f"{_ONE_HOST}(?:,{_ONE_HOST})*")  # several are the endpoints of one etcd


def scheme_of(text: str) -> str | None:
    """Return the scheme of a URL in lower case; None when it is no URL."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else None


def shown(url: str) -> str:
    """Return a URL without user info, query and fragment, as it may stand in names, errors and logs.

    Takes any text that `scheme_of` has a scheme for. Where nobody can tell what is secret, as in a password with a
    slash in it, nothing is shown but the scheme.
    """
    scheme, _, rest = url.partition("://")
    address = _PATH_END.split(rest, maxsplit=1)[0]
    netloc, slash, path = address.partition("/")
    user, at, host = netloc.rpartition("@")
    before, late, _ = rest.rpartition("@")
    if not _HOST.fullmatch(host) or (late and len(before) > len(netloc) and ":" in before):
        return f"{scheme}://{_HIDDEN}"
    query = f"?{_HIDDEN}" if address != rest else ""
    return f"{scheme}://{_HIDDEN if user else ''}{at}{host}{slash}{path}{query}"


def name_of(url: str) -> str:
    """Return `shown`, and where it hides something a mark that tells two such URLs apart.

    The mark is far too short to find out from it what is hidden.
    """
    text = shown(url)
    return (
        f"{text} #{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()[:4]}" if _HIDDEN in text else text
    )


def has_user(url: str) -> bool:
    """Tell whether a URL has user info in it, perhaps a password."""
    return "@" in _PATH_END.split(url.partition("://")[2], maxsplit=1)[0].partition("/")[0]


def has_secret(url: str) -> bool:
    """Tell whether a URL may have a password or a token in it: in its user info, in its query, or nobody can tell."""
    rest = url.partition("://")[2]
    user = _PATH_END.split(rest, maxsplit=1)[0].partition("/")[0].rpartition("@")[0]
    return ":" in user or _PATH_END.search(rest) is not None or shown(url).endswith(f"://{_HIDDEN}")


def scrubbed(text: str, url: str) -> str:
    """Return what some library says about `url` without what `shown` hides of it."""
    text = text.replace(url, shown(url))
    for secret in _secrets(url):
        text = text.replace(secret, _HIDDEN)
    return text


def _secrets(url: str) -> list[str]:
    _, _, rest = url.partition("://")
    address, _, query = rest.partition("?")
    user = address.partition("/")[0].rpartition("@")[0]
    found = {user, *user.split(":")[1:], query}
    found |= {urllib.parse.unquote(each) for each in found}
    return sorted(filter(None, found), key=len, reverse=True)


def beside(url: str, suffix: str) -> str:
    """Return the URL of the file beside the one at `url` whose name is longer by `suffix`; the query is the same."""
    end = _PATH_END.search(url)
    return url + suffix if end is None else f"{url[: end.start()]}{suffix}{url[end.start() :]}"
