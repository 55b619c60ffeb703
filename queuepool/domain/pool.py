"""What one program is, resolved: everything an engine needs to run its processes, with every default and expansion
filled in. How a file is turned into these is spec.py's matter; which slots should run is desired.py's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from queuepool.domain.access import HttpSpec
from queuepool.domain.capture import Tap
from queuepool.domain.names import ProcessName

COMMANDS = frozenset({"command", "eventlistener"})
"""Kinds of programs that run what `command` says, whatever that is."""
if TYPE_CHECKING:
    from queuepool.domain.notify import Notify


class Autorestart(Enum):
    """Supervisor's autorestart: what follows an exit that was not asked for, once the process was RUNNING."""

    ALWAYS = "true"
    UNEXPECTED = "unexpected"
    NEVER = "false"


@dataclass(frozen=True, slots=True)
class Launch:
    """All that makes one operating system process. A change of any of it needs a restart of that process.

    argv: program and arguments, no shell. directory: absolute; a `current` symlink is kept as it is, so that each
    start sees the newest release. user, group: names or numbers as text; None: the daemon's own. groups: supplementary
    groups; None: those of the user. umask: octal value. nice: -20..19. rlimits: name without RLIMIT_, soft, hard; -1 is
    unlimited. environment: what the file gives, sorted. clear_env: whether the daemon's own environment is kept out.
    settled: stands for what an engine cannot change of a living process although it is no part of this (supervised.py).
    hears: whether it has a standard input, as an event listener does.
    """

    argv: tuple[str, ...]
    directory: str
    user: str | None = None
    group: str | None = None
    groups: tuple[str, ...] | None = None
    umask: int | None = None
    nice: int | None = None
    rlimits: tuple[tuple[str, int, int], ...] = ()
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    clear_env: bool = True
    redirect_stderr: bool = True
    settled: str = ""
    hears: bool = False

    @property
    def fingerprint(self) -> str:
        """A short hash that differs when a restart is needed. It gives no secret of the environment away."""
        return _fingerprint(self)


@lru_cache(maxsize=20_000)
def _fingerprint(launch: Launch) -> str:
    # One that is as it was before these were known keeps its hash, and so its processes.
    later = {"settled": "", "hears": False}
    values = tuple(
        value for item in fields(launch) if (value := getattr(launch, item.name)) != later.get(item.name, ...)
    )
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Policy:
    """How one process is kept alive and stopped. A change applies to running processes without a restart.

    startsecs: seconds it must stay up to count as RUNNING. startretries: failed starts in a row before FATAL.
    exitcodes: expected ones (Supervisor). recycle_codes: clean ends of a worker, never a failure: 0 and 12
    (Illuminate/Queue/Worker.php, EXIT_MEMORY_LIMIT). stopsignal: number. stop_seconds: from the stop signal to
    SIGKILL. sweep_signal: what the rest of a process tree gets when its leader is gone; 0: nothing, it is waited for.
    fatal_retry_seconds: pause before FATAL is tried again by itself; 0: never. memory_limit: bytes resident above
    which a process is recycled; 0: none.
    """

    startsecs: float = 1.0
    startretries: int = 3
    autorestart: Autorestart = Autorestart.ALWAYS
    exitcodes: frozenset[int] = frozenset({0})
    recycle_codes: frozenset[int] = frozenset()
    stopsignal: int = 15
    stop_seconds: float = 10.0
    stopasgroup: bool = False
    killasgroup: bool = True
    fatal_retry_seconds: float = 60.0
    memory_limit: int = 0
    sweep_signal: int = 15


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """Where the lines of a process go. Two processes with the same path share one writer.

    path: absolute; None: thrown away. maxbytes: size at which the file is rotated, 0: never. backups: kept files,
    0: truncate. rotate_seconds: also rotate at this age, aligned to the wall clock; 0: never. compress: gzip backups.
    timestamp, slot: put the time, the slot before each line. json: each line becomes a JSON object instead.
    user, group: owner of files and directories that have to be made; mode: of the file.
    """

    path: str | None
    maxbytes: int = 50 * 1024 * 1024
    backups: int = 10
    rotate_seconds: int = 0
    compress: bool = False
    timestamp: bool = False
    slot: bool = False
    json: bool = False
    user: str | None = None
    group: str | None = None
    mode: int = 0o640

    @property
    def plain(self) -> bool:
        """Whether the bytes go to the file as they are."""
        return not (self.timestamp or self.slot or self.json)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One slot of a pool, ready to be run. display: the name in Supervisor's form, `group:process`. taps: what of
    stdout and of stderr goes to event listeners."""

    name: ProcessName
    display: str
    launch: Launch
    policy: Policy
    stdout: LogPolicy
    stderr: LogPolicy | None = None
    taps: tuple[Tap, Tap] = (Tap(), Tap())

    @property
    def log(self) -> str | None:
        """The log that people are shown: that of stdout, else that of stderr, as of an event listener."""
        return self.stdout.path or (self.stderr.path if self.stderr else None)


@dataclass(frozen=True, slots=True)
class Listening:
    """What makes a program an event listener. events: types of events that it is told of, by Supervisor's names.
    buffer_size: how many may wait for it."""

    events: tuple[str, ...]
    buffer_size: int = 10


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a pool is restarted. max_surge, max_unavailable: processes, or a percentage such as "25%" of the wanted
    count (surge rounded up, unavailable down), as in a Kubernetes Deployment. For a deploy: batch: processes, or a
    percentage (rounded up), that are replaced before it looks whether all is well; None: as many as may be replaced
    side by side. pause_between: seconds between two batches."""

    max_surge: int | str = "25%"
    max_unavailable: int | str = 0
    batch: int | str | None = None
    pause_between: float = 0.0

    def limits(self, wanted: int) -> tuple[int, int]:
        """(surge, unavailable) in processes for a pool of `wanted`; at least one of them is 1."""
        surge = _share(self.max_surge, wanted, up=True)
        unavailable = _share(self.max_unavailable, wanted, up=False)
        return (surge, unavailable) if surge or unavailable else (0, 1)

    def batch_size(self, wanted: int) -> int:
        """How many processes of a pool of `wanted` a deploy replaces at a time."""
        count = sum(self.limits(wanted)) if self.batch is None else _share(self.batch, wanted, up=True)
        return max(1, count)


def _share(value: int | str, whole: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    percent = int(value.rstrip("%"))
    return -(-whole * percent // 100) if up else whole * percent // 100


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """A program of the file, resolved.

    kind: worker, listen, horizon, command or eventlistener. process: the spec of any slot, also beyond numprocs
    (scale). home: the first group of the file that has it, or its own name. listening: of an event listener. priority:
    lower starts first and stops last. depends_on: programs that must be RUNNING before this one starts. pace: whether
    starts wait for earlier ones to have booted. app: the Laravel root whose real path is the release; None for a
    command without one. queues: (connection or None for the default, queue names) of workers. says: whether its
    processes print what they do with which job; verbose: with the job's id (`-v`). requeue: whether a job whose worker
    died is given back at once. stop_follows: the file gives no stopwaitsecs, so it follows what the application is
    configured to do, once that is known. source: "file:line".
    """

    name: str
    kind: str
    numprocs: int
    process: Callable[[int], ProcessSpec]
    priority: int = 999
    autostart: bool = True
    depends_on: tuple[str, ...] = ()
    pace: bool = False
    app: str | None = None
    php: tuple[str, ...] = ("php",)
    connection: str | None = None
    queues: tuple[str, ...] = ()
    strategy: Strategy = Strategy()
    says: bool = False
    verbose: bool = False
    requeue: bool = True
    stop_follows: bool = False
    home: str = ""
    listening: Listening | None = None
    source: str = ""

    @property
    def artisan(self) -> bool:
        """Whether its processes are Laravel's own: they boot the application and know its queues."""
        return self.kind not in COMMANDS

    @property
    def group(self) -> str:
        """The group by which Supervisor's clients and listeners know it."""
        return self.home or self.name

    def patient(self, seconds: float) -> PoolSpec:
        """The same pool, whose processes get this long to end."""

        @cache
        def process(slot: int) -> ProcessSpec:
            spec = self.process(slot)
            return replace(spec, policy=replace(spec.policy, stop_seconds=seconds))

        return replace(self, process=process)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What `queuepool deploy` does besides replacing processes. before, after, on_failure: commands, each an argv.
    check: a command that has to succeed; () for none. canary: seconds that a worker of the new release has for one job
    of its own before any is replaced; 0: there is none. observe: seconds without a crash that make a worker a good one.
    timeout: seconds for all of it. launch: how a command is run; its argv is put in. app: the link to the release."""

    before: tuple[tuple[str, ...], ...] = ()
    after: tuple[tuple[str, ...], ...] = ()
    on_failure: tuple[tuple[str, ...], ...] = ()
    check: tuple[str, ...] = ()
    canary: float = 0.0
    observe: float = 5.0
    timeout: float = 600.0
    launch: Launch = Launch((), "/")
    app: str | None = None


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What keeps the processes alive. type: local or supervisord. For the latter: config: its main file. directory:
    where a file of programs is put; None: where its [include] looks. url, username, password: where it answers, when
    that is not what its file says."""

    type: str = "local"
    config: str | None = None
    directory: str | None = None
    url: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A queuepool.yml as read: every pool by name in the order of the file, the groups, and what was wrong but did not
    stop it. broken: included files that could not be used; the pools that came from them are absent here.
    problems: "file:line: path: what is wrong (hint)", one each. digest: changes when anything of it changes. notify:
    who is told when something is wrong; None: nobody."""

    path: str
    pools: dict[str, PoolSpec]
    groups: dict[str, tuple[str, ...]]
    problems: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    app: str | None = None
    digest: str = ""
    deploy: Deployment = Deployment()
    http: HttpSpec | None = None
    notify: Notify | None = None
    engine: EngineSpec = EngineSpec()
