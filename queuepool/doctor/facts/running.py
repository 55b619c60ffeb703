"""What runs: the daemon and its processes, and others that do the same work. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from queuepool.domain.observed import DaemonView, ProcessView, ProgramView


@dataclass(frozen=True, slots=True)
class RunningFacts:
    """daemon: None when none answers, and `unreachable` says why; then there are no processes."""

    daemon: DaemonView | None = None
    unreachable: str = ""
    programs: tuple[ProgramView, ...] = ()
    processes: tuple[ProcessView, ...] = ()
