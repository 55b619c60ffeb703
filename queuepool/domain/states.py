"""The states of a process, with Supervisor's names and codes, and the table of moves between them."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """State of a process; the value is Supervisor's statecode (supervisor/states.py)."""

    STOPPED = 0
    STARTING = 10
    RUNNING = 20
    BACKOFF = 30
    STOPPING = 40
    EXITED = 100
    FATAL = 200
    UNKNOWN = 1000

    @property
    def code(self) -> int:
        """Supervisor's statecode."""
        return self.value

    @property
    def has_process(self) -> bool:
        """Whether an operating system process (or what is left of its tree) belongs to a process in this state."""
        return self in (State.STARTING, State.RUNNING, State.STOPPING)


MOVES: dict[State, frozenset[State]] = {
    State.STOPPED: frozenset({State.STARTING, State.BACKOFF}),
    State.STARTING: frozenset({State.RUNNING, State.BACKOFF, State.FATAL, State.STOPPING, State.STOPPED}),
    State.RUNNING: frozenset({State.STARTING, State.EXITED, State.BACKOFF, State.STOPPING, State.STOPPED}),
    State.BACKOFF: frozenset({State.STARTING, State.STOPPED}),
    State.STOPPING: frozenset({State.STOPPED, State.STARTING, State.BACKOFF, State.EXITED, State.FATAL}),
    State.EXITED: frozenset({State.STARTING, State.STOPPED, State.BACKOFF}),
    State.FATAL: frozenset({State.STARTING, State.STOPPED, State.BACKOFF}),
    State.UNKNOWN: frozenset({State.STOPPED, State.STARTING}),
}
"""Every move a process may make. A crash goes from RUNNING or STARTING to BACKOFF (or at once to STARTING); STOPPING
also stands between a death and the next start while children of the dead process are still being ended."""
