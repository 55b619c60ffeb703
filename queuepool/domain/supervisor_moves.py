"""A move of one of our processes -> the moves that Supervisor would tell its listeners of. The states are the same, the
ways between them are not always: we go from RUNNING to STARTING at once, Supervisor by way of EXITED."""

from __future__ import annotations

from itertools import pairwise

from queuepool.domain.lifecycle import Process
from queuepool.domain.pool import Policy
from queuepool.domain.states import State
from queuepool.domain.supervisor_events import Step

_SILENT = frozenset({(State.FATAL, State.STOPPED), (State.EXITED, State.STOPPED)})
"""Moves of ours that Supervisor does not know: what does not run is not stopped there."""


def steps(before: Process, after: Process, policy: Policy) -> tuple[Step, ...]:
    """What a process went through from `before` to `after`, the two sides of one step of its lifecycle.

    A start that did not last leads to BACKOFF, from there to FATAL, and every other end that nobody asked for to
    EXITED. An end is expected when its code is, or when it is a worker's own clean end; one whose code is not known
    counts as expected, since nothing tells of a failure.
    """
    ended = before.pid is not None and after.pid is None
    if before.state is after.state and not ended:
        return ()
    way = [before.state]
    if ended:
        way.append(_end(before, after))
    if after.state is State.FATAL and way[-1] is not State.BACKOFF:
        way.append(State.BACKOFF)
    if way[-1] is not after.state or len(way) == 1:
        way.append(after.state)
    code = after.code
    expected = code is None or code in policy.exitcodes or code in policy.recycle_codes
    pid = before.pid or after.pid or 0
    return tuple(
        Step(frm, to, tries=0 if frm in _FRESH else after.failures, pid=pid, expected=expected)
        for frm, to in pairwise(way)
        if (frm, to) not in _SILENT
    )


_FRESH = frozenset({State.FATAL, State.EXITED, State.STOPPED})
"""States from which a start is the first of its row."""


def _end(before: Process, after: Process) -> State:
    """Where the end of a process leads to first."""
    if before.state is State.STARTING:
        return State.BACKOFF
    if after.state is State.STOPPED or (before.state is State.STOPPING and not before.leader_gone):
        return State.STOPPED
    return State.EXITED
