"""Which processes people mean by the names that they give, and the note of what they asked. Part of operations.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from queuepool.control import visiting
from queuepool.controller.controller import Controller
from queuepool.domain.amounts import count
from queuepool.domain.events import Kind
from queuepool.domain.names import ProcessName, UnknownName
from queuepool.errors import QueuepoolError, UsageError

if TYPE_CHECKING:
    from queuepool.control.operations import Operator


def choose(operator: Operator, selectors: Iterable[str]) -> tuple[ProcessName, ...]:
    """The processes that an operation is about. Raises UsageError, QueuepoolError when the daemon is about to end."""
    refuse_while_stopping(operator.controller)
    return selected(operator.controller, selectors)


def refuse_while_stopping(control: Controller, what: str = "do that") -> None:
    """Raises QueuepoolError when the daemon is about to end, and nothing that is asked for could become true."""
    if control.stopping:
        raise QueuepoolError(f"cannot {what}: the daemon is stopping", "wait for it, then `queuepool up`")


def selected(control: Controller, selectors: Iterable[str]) -> tuple[ProcessName, ...]:
    """The processes that people name. Raises UsageError, with the nearest known name."""
    try:
        return control.select(selectors)
    except UnknownName as unknown:
        raise no_such(control, unknown.text) from None


def no_such(control: Controller, text: str) -> UsageError:
    """There is nothing of that name, and perhaps something of another."""
    from difflib import get_close_matches

    pool = text.partition(":")[0]
    if pool in control.pools and pool != text:
        there = count(control.desire(control.pools[pool]).size, "process", "processes")
        return UsageError(f"cannot find {text}: {pool} has {there}", f"see them with `queuepool status {pool}`")
    known = ["all", *control.pools, *control.loaded.groups, *control.displays().values()]
    near = get_close_matches(text, known, 1)
    hint = f"did you mean {near[0]}?" if near else "see the names with `queuepool status`"
    return UsageError(f"cannot find {text}: there is no such program, group or process", hint)


def note(operator: Operator, what: str, names: Iterable[str]) -> None:
    """Journal that this was asked for, and by whom."""
    facts = {"asked": what, "names": " ".join(names) or None, **visiting.facts()}
    operator.controller.journal.add(Kind.OPERATION, "", facts)
