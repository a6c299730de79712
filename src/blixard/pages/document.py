# SPDX-License-Identifier: MIT
"""A self-contained HTML page: its own style and script by their digests, and nothing else; texts and data escaped.

The same input gives the same bytes. What a host said of itself gets into a page through `escaped` and `_data` alone.
"""

from __future__ import annotations

import base64
import html
import importlib.resources
import json
import re
from functools import cache

from blixard.documents.json_bytes import sha256
from blixard.errors import one_line

MAX_TEXT = 400
"""Characters of one text of a host's; the middle of a longer one is cut out."""

_SIZES = re.compile(r"(?<=\d)(?=(?:\d{3})+$)")


def escaped(text: object, limit: int = MAX_TEXT) -> str:
    """Return `text` for HTML, as content or in an attribute's quotes: on one line, printable and bounded."""
    return html.escape(one_line(str(text), limit))


def grouped(number: int) -> str:
    """Return a count as people read it: 19,980."""
    return _SIZES.sub(",", str(number))


def counted(number: int, one: str, many: str = "") -> str:
    """Return a count with its noun: 1 edge, 19,980 edges."""
    return f"{grouped(number)} {one if number == 1 else many or one + 's'}"


@cache
def asset(name: str) -> str:
    """Return a file of `assets`."""
    return (importlib.resources.files("blixard.pages") / "assets" / name).read_text("utf-8")


def page(title: str, body: str, *, script: str = "", data: object = None, attributes: str = "") -> bytes:
    """Return a whole page.

    Args:
        title: plain text.
        body: HTML of our own making, in which every text of somebody else's went through `escaped`.
        script: name of the asset that is its script; empty for none.
        data: what the script reads; JSON.
        attributes: HTML attributes of the root element.
    """
    style = asset("page.css")
    code = asset(script) if script else ""
    policy = f"default-src 'none'; style-src '{_digest(style)}'"
    policy += f"; script-src '{_digest(code)}'" if code else ""
    policy += "; base-uri 'none'; form-action 'none'"
    lines = [
        "<!DOCTYPE html>",
        f'<html lang="en"{attributes}>',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{escaped(title)}</title>",
        f"<style>{style}</style>",
        "</head>",
        "<body>",
        body,
        f'<script type="application/json" id="data">{_data(data)}</script>' if data is not None else "",
        f"<script>{code}</script>" if code else "",
        "</body>",
        "</html>",
    ]
    return "".join(f"{line}\n" for line in lines if line).encode()


def _digest(text: str) -> str:
    """Return the source expression of a policy that allows this element's content (CSP 3)."""
    return f"sha256-{base64.b64encode(sha256(text.encode())).decode()}"


def _data(data: object) -> str:
    """Return JSON that no HTML parser takes for a tag, a comment or its element's end."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # in ASCII
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
