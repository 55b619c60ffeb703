"""What runs: the daemon and its processes, and others that do the same work. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from queuepool.doctor.facts.managers import OthersFacts
from queuepool.domain.observed import DaemonView, ProcessView, ProgramView


@dataclass(frozen=True, slots=True)
class Survivor:
    """A process in the record of a daemon that is gone. name: `default:3`."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """The daemon's run directory and the socket in it. mode, uid: None where there is none. denied: we may not use the
    socket. lost: pid of a daemon of this file that runs although nobody holds the lock; 0: there is none. foreign:
    the user of a daemon of this file that runs as another one, in a run directory of its own; "": there is none."""

    directory: str
    socket: str
    directory_mode: int | None = None
    directory_uid: int | None = None
    socket_mode: int | None = None
    socket_uid: int | None = None
    denied: bool = False
    lost: int = 0
    foreign: str = ""


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """A systemd unit of this file. scope: "system" or "user". enabled: whether it starts at boot. state: systemd's
    ActiveState, "" where systemd cannot be asked; result: why it failed, in systemd's word."""

    name: str
    path: str
    scope: str
    enabled: bool
    state: str = ""
    result: str = ""


@dataclass(frozen=True, slots=True)
class BootFacts:
    """How the daemon comes up at boot. systemd: whether systemd is the init here. units: those of this file, the
    queuepool ones. detached: a daemon runs and has no terminal. unit: the systemd unit that it runs in, "" for none.
    container: we are in one, where another init starts it."""

    systemd: bool
    units: tuple[UnitFacts, ...] = ()
    detached: bool = False
    unit: str = ""
    container: bool = False


@dataclass(frozen=True, slots=True)
class Crashes:
    """Ends of a process that nobody asked for, by the daemon's log. name: `default:3`. code: exit status of the last,
    minus the signal. recycled: clean ends of a worker (its --memory limit, --max-jobs). seconds: between the first and
    the last of them. reason: of the last."""

    name: str
    program: str
    count: int
    seconds: float
    code: int | None = None
    recycled: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """A process whose directory was removed. path: as it was."""

    name: str
    program: str
    pid: int
    path: str


@dataclass(frozen=True, slots=True)
class Stuck:
    """A process that is to end and does not. state: the kernel's letter. seconds: since it was asked. limit: its
    stopwaitsecs."""

    name: str
    program: str
    pid: int
    state: str
    seconds: float
    limit: float


@dataclass(frozen=True, slots=True)
class RunningFacts:
    """daemon: None when none answers, and `unreachable` says why; then there are no processes. version: our own.
    pid: of the daemon that holds the lock, whether or not it answers. survivors: processes of a daemon that is gone.
    changes: sentences about what `queuepool update` would change. deploying: a deploy is under way. expected: exit
    codes that are no failure, by program. others: of each application."""

    daemon: DaemonView | None = None
    unreachable: str = ""
    programs: tuple[ProgramView, ...] = ()
    processes: tuple[ProcessView, ...] = ()
    version: str = ""
    pid: int | None = None
    survivors: tuple[Survivor, ...] = ()
    place: PlaceFacts | None = None
    boot: BootFacts | None = None
    changes: tuple[str, ...] = ()
    deploying: bool = False
    expected: tuple[tuple[str, tuple[int, ...]], ...] = ()
    crashes: tuple[Crashes, ...] = ()
    gone: tuple[Gone, ...] = ()
    stuck: tuple[Stuck, ...] = ()
    others: tuple[OthersFacts, ...] = ()
