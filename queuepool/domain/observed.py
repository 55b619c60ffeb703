"""What is seen: one ProcessView per process, one ProgramView per pool, and the Snapshot that every screen shows.
The field names are the JSON of `queuepool status --json`: fields may be added, never renamed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from queuepool.domain.work import CountsView


@dataclass(frozen=True, slots=True)
class ProcessView:
    """One process. Times are unix seconds, uptime seconds, rss bytes, cpu a share of one core (0.3 is 30 %).

    restarts: starts of this slot after the first, by whatever cause. reason: why it is in this state, in words.
    release: real path of the application it runs. stale: an older release or older settings than wanted. adopted:
    started by a former daemon. job: the current job, where known. paused: told to take no jobs (SIGUSR2). retiring:
    told to stop, finishing its job. wanted: whether it should run. log: stdout file. changed_at: of the state.
    says: whether it prints what it does with which job; idle_since: when it had no job any more, None while it has one
    and where it does not say. paused_queues: those that it said it leaves alone (`artisan queue:pause`, Laravel 13.26).
    """

    name: str
    display: str
    program: str
    slot: int
    state: str
    statecode: int
    pid: int | None = None
    started_at: float | None = None
    uptime: float | None = None
    restarts: int = 0
    exit_code: int | None = None
    reason: str = ""
    release: str | None = None
    stale: bool = False
    adopted: bool = False
    job: dict[str, Any] | None = None
    rss: int | None = None
    cpu: float | None = None
    paused: bool = False
    retiring: bool = False
    wanted: bool = True
    log: str | None = None
    last_lines: tuple[str, ...] = ()
    changed_at: float | None = None
    says: bool = False
    idle_since: float | None = None
    paused_queues: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProgramView:
    """One pool. numprocs: what the file says. wanted: how many should run now, and `reason` why (numprocs, scale by an
    operator, stopped). problems: sentences about what is not as it should be. says: whether its processes print what
    they do with which job. work: what they did since the daemon began (domain/work.py, CountsView), None when nothing.
    horizon: what Laravel Horizon says of itself (HorizonView.to_json); None for others, or when nothing is known.
    """

    name: str
    kind: str
    numprocs: int
    wanted: int
    running: int
    reason: str
    problems: tuple[str, ...] = ()
    says: bool = False
    work: CountsView | None = None
    horizon: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class DaemonView:
    """The daemon itself. state: RUNNING, STOPPING or UPGRADING. problems: of the file, of included files, of logs.
    engine: what keeps the processes alive; without a daemon, pid is supervisord's, and socket where that answers."""

    pid: int
    version: str
    config: str
    socket: str
    state: str
    started_at: float = 0.0
    problems: tuple[str, ...] = ()
    log: str | None = None
    engine: str = "local"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a screen shows, at one moment."""

    daemon: DaemonView
    programs: tuple[ProgramView, ...]
    processes: tuple[ProcessView, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `queuepool status --json` prints."""
        return asdict(self)
