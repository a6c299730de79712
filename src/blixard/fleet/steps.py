# SPDX-License-Identifier: MIT
"""The steps of a rollout that `--tags` and `--skip-tags` select, and the selections that are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

STEPS = ("install", "gather", "identity", "publish", "node", "check")
"""Each step is a tag, in the order of a run."""

NEEDED = {"gather": ("identity", "publish", "node"), "check": ("node",)}
"""Steps that run when one of these does: what a host was seen to have decides, and nodes go down batch after batch."""

SPECIAL = frozenset({"all", "always", "tagged", "untagged"})
"""Words that Ansible itself gives a meaning."""

_MOLECULES = "notest"
"""How the words end that Molecule skips with its runs, whatever playbook it is: `molecule-idempotence-notest`."""

_UNTAGGED = "untagged"


def steps(run: Collection[str], skip: Collection[str], *, whole: bool = False) -> list[str]:
    """Return the steps that run, those included that another one needs.

    Args:
        run: the words after `--tags`; `["all"]` without.
        skip: the words after `--skip-tags`.
        whole: every step is selected, by a tag that stands outside of the role.
    """
    chosen = [step for step in STEPS if (whole or _selects(run, step)) and not _skips(skip, step)]
    wanted = {*chosen, *(step for step, by in NEEDED.items() if set(by) & set(chosen) and step not in skip)}
    return [step for step in STEPS if step in wanted]


def refused(run: Collection[str], skip: Collection[str], having: Sequence[str], *, alone: bool) -> str | None:
    """Return why this selection would not do what it says, as one line; None when it would.

    Args:
        run: the words after `--tags`; `["all"]` without.
        skip: the words after `--skip-tags`.
        having: tags that the playbook has for its steps; without any it is one step.
        alone: the playbook runs by itself. As a part of another one it does not know whose the other tags are.
    """
    return (alone and (_unknown(run, skip, having) or _nothing(run, skip, having))) or _unmet(run, skip, having)


def _unknown(run: Iterable[str], skip: Iterable[str], having: Sequence[str]) -> str | None:
    for option, words in (("--tags", run), ("--skip-tags", skip)):
        unknown = sorted(word for word in {*words} - SPECIAL - {*having} if not word.endswith(_MOLECULES))
        if unknown:
            known = f"its steps are {', '.join(having)}" if having else "it runs as a whole, without tags"
            return f"{option} {','.join(unknown)}: this playbook has no such step; {known}"
    return None


def _nothing(run: Collection[str], skip: Collection[str], having: Sequence[str]) -> str | None:
    if "always" in run or any(_selects(run, tag) and not _skips(skip, tag) for tag in having or (_UNTAGGED,)):
        return None
    words = " ".join(
        f"{option} {','.join(sorted(given))}" for option, given in (("--tags", run), ("--skip-tags", skip)) if given
    )
    rest = f"the steps are {', '.join(having)}" if having else "leave them out"
    return f"{words}: nothing is left to do; {rest}"


def _unmet(run: Collection[str], skip: Collection[str], having: Sequence[str]) -> str | None:
    if "gather" not in skip or not having:
        return None
    left = [step for step in NEEDED["gather"] if _selects(run, step) and not _skips(skip, step)]
    if not left:
        return None
    return f"--skip-tags gather: {', '.join(left)} cannot do without it; skip {','.join(left)} too"


def _selects(run: Collection[str], tag: str) -> bool:
    """Tell whether Ansible runs a task with this one tag, `untagged` for a task without any."""
    return bool({"all", tag} & set(run)) or ("tagged" in run and tag != _UNTAGGED)


def _skips(skip: Collection[str], tag: str) -> bool:
    """Tell whether Ansible skips a task with this one tag."""
    return bool({"all", tag} & set(skip)) or ("tagged" in skip and tag != _UNTAGGED)
