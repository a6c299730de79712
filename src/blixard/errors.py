# SPDX-License-Identifier: MIT
"""The errors that reach a person, each worded for the one who must act."""

from __future__ import annotations

MAX_LINE = 400
"""Characters of one line of somebody else's; more than the longest path and reason of ours."""

MAX_LINES = 100
"""Lines of a host's in one message: the reasons of a hundred edges; what is more says only that there is more."""


def one_line(text: str, limit: int = MAX_LINE) -> str:
    """Return `text` on one line: control characters escaped, the middle of an over-long text cut out."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    if len(escaped) <= limit:
        return escaped
    half = limit // 2
    return f"{escaped[:half]} … {escaped[-half:]}"


def bounded_lines(text: object, lines: int = MAX_LINES) -> str:
    """Return text of somebody else's for people: printable lines of bounded length, and a bounded number of them."""
    each = [one_line(line) for line in str(text).splitlines() if line.strip()]
    more = [f"… and {len(each) - lines} more lines"] if len(each) > lines else []
    return "\n".join([*each[:lines], *more])


class BlixardError(Exception):
    """Base of all errors meant for people; `exit_code` is what the command line ends with."""

    exit_code = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


class TrustError(BlixardError):
    """A signature, sequence number, cluster name or expiry that does not hold. Exit code 1."""


class InputError(BlixardError):
    """Input that cannot be used. Exit code 2.

    Args:
        reason: what is wrong, in the words of the reader's field.
        file: path or URL the input came from, if it came from one.
        place: JSON pointer (RFC 6901) into the document; empty for the whole of it.
        mend: what to do about it.
    """

    exit_code = 2

    def __init__(self, reason: str, *, file: str | None = None, place: str = "", mend: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.file = file
        self.place = place
        self.mend = mend

    def located(self, *, file: str | None = None, prefix: str = "") -> InputError:
        """Return the same error with `file` filled in where it was missing and `prefix` before its place."""
        return InputError(self.reason, file=self.file or file, place=prefix + self.place, mend=self.mend)

    def __str__(self) -> str:
        where = ": ".join(one_line(part) for part in (self.file, self.place) if part)
        what = one_line(self.reason) + (f"; {one_line(self.mend)}" if self.mend else "")
        return f"{where}: {what}" if where else what


def trouble_with_files(error: OSError, place: str) -> InputError:
    """Return in one line what no rule saw coming: a file that went away in the middle of the work, a failing disk.

    Args:
        error: what the system said.
        place: what was worked on, for an error that names no file.
    """
    file = error.filename if isinstance(error.filename, str) else place
    mend = "see to it, and run this again"
    return InputError(error.strerror or str(error), file=file, mend=mend)
