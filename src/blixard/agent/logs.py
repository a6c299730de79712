# SPDX-License-Identifier: MIT
"""What the node logs, as key-value lines (logfmt) or JSON, on standard error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone

# What every LogRecord has; the rest is what the caller gave with `extra`.
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _fields(record: logging.LogRecord) -> dict[str, object]:
    when = datetime.fromtimestamp(record.created, timezone.utc)
    fields: dict[str, object] = {
        "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "msg": record.getMessage(),
    }
    fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if record.exc_info:
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    return fields


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        # ASCII alone: no text of a peer can end the line or steer a terminal.
        return json.dumps(_fields(record), default=str)


class LogfmtFormatter(logging.Formatter):
    """`key=value` pairs; a value with a space, a quote, an equals sign or a control character is quoted."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return " ".join(f"{key}={_quoted(value)}" for key, value in _fields(record).items())


def _quoted(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not set(text) & set(' "='):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def set_up(level: str, style: str) -> None:
    """Log in `style` ("logfmt" or "json") to standard error: what is ours at `level`, others' warnings always."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else LogfmtFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("blixard").setLevel(level.upper())
