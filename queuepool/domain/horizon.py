"""Laravel Horizon, as its keys in Redis show it, and what is wrong with what they show. How the keys are read is
laravel/horizon.py's matter, what is printed of them cli/horizon.py's.

Horizon's words: a master (`php artisan horizon`) runs one supervisor for each entry of config/horizon.php, and each
supervisor keeps workers. Master and supervisors beat once a second (src/Repositories/Redis*SupervisorRepository.php).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from queuepool.domain.queues import QueueName

BEAT_SECONDS = 14.0
"""Older than this, Horizon itself takes a master or a supervisor for dead."""
LATE_SECONDS = 5.0
"""Beats come once a second. One that is not this late comes from a process that lives, here or in a container of the
same host name, whose pids mean nothing here."""
BOOT_SECONDS = 30.0
"""How long a master may take until Redis shows it: it boots the application, and its first beat may come late."""
OLD_NEWS_SECONDS = 600.0
"""A dead master stays in Redis until another one runs, for years perhaps. After this it is no news."""
TIMEOUT = 60.0
"""Of a supervisor that gives none (src/SupervisorOptions.php)."""
MARGIN = 20.0
"""Seconds that ending takes beside the job: master and supervisors look once a second, and a worker that is just
booting hears the signal only then."""
NO_LIMIT = 3600.0
"""For a supervisor with `timeout` 0, whose jobs may take any time."""


@dataclass(frozen=True, slots=True)
class Master:
    """A master. name: slug of its host and a random part. status: running or paused, "" where it does not say. age:
    seconds since its last beat, None where that is not known. supervisors: their full names."""

    name: str
    pid: int | None = None
    status: str = ""
    age: float | None = None
    environment: str | None = None
    supervisors: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """The part of its name that stands for the machine: `web1` of `web1-Ab3d`."""
        return self.name.rpartition("-")[0] or self.name

    @property
    def beats(self) -> bool:
        """Whether Horizon takes it for alive."""
        return self.age is not None and self.age <= BEAT_SECONDS


@dataclass(frozen=True, slots=True)
class Options:
    """What a supervisor was told by config/horizon.php. balance: auto, simple or off. strategy: of balancing, time or
    size. timeout: seconds. None: not said."""

    balance: str = "off"
    strategy: str | None = None
    min_processes: int | None = None
    max_processes: int | None = None
    timeout: int | None = None


@dataclass(frozen=True, slots=True)
class Supervisor:
    """A supervisor and its workers. name: `web1-Ab3d:supervisor-1`. connection: of config/queue.php. queues: in order.
    processes: workers by the queues that they serve, `high,default` being one pool that serves both."""

    name: str
    master: str
    pid: int | None = None
    status: str = ""
    age: float | None = None
    connection: str = ""
    queues: tuple[str, ...] = ()
    processes: tuple[tuple[str, int], ...] = ()
    options: Options = Options()

    @property
    def short(self) -> str:
        """Its name in config/horizon.php."""
        return self.name.rpartition(":")[2]

    @property
    def count(self) -> int:
        """All its workers."""
        return sum(count for _, count in self.processes)

    @property
    def serves(self) -> tuple[QueueName, ...]:
        """The queues it works on."""
        return tuple(QueueName(self.connection, queue) for queue in self.queues)

    @property
    def beats(self) -> bool:
        """Whether Horizon takes it for alive."""
        return self.age is not None and self.age <= BEAT_SECONDS


@dataclass(frozen=True, slots=True)
class HorizonView:
    """All of one application's Horizon, on every host that shares its Redis."""

    masters: tuple[Master, ...] = ()
    supervisors: tuple[Supervisor, ...] = ()

    @property
    def live(self) -> tuple[Master, ...]:
        """The masters that beat."""
        return tuple(master for master in self.masters if master.beats)

    @property
    def working(self) -> tuple[Supervisor, ...]:
        """The supervisors that beat, so those whose workers count."""
        return tuple(supervisor for supervisor in self.supervisors if supervisor.beats)

    @property
    def status(self) -> str:
        """running, paused or inactive, as `horizon:status` says: paused when any master is."""
        if not self.live:
            return "inactive"
        return "paused" if any(master.status == "paused" for master in self.live) else "running"

    @property
    def processes(self) -> int:
        """Workers, all together."""
        return sum(supervisor.count for supervisor in self.working)

    def pids_on(self, host: str) -> frozenset[int]:
        """Pids of the masters that say they run on this host. host: as the system calls it."""
        slug = host_slug(host)
        return frozenset(master.pid for master in self.masters if master.pid is not None and master.host == slug)

    def to_json(self, problems: Sequence[str] = ()) -> dict[str, Any]:
        """The object `horizon` of `queuepool status --json`."""
        return {
            "status": self.status,
            "processes": self.processes,
            "masters": [_master(master) for master in self.masters],
            "supervisors": [_supervisor(supervisor) for supervisor in self.supervisors],
            "problems": list(problems),
        }


def _master(master: Master) -> dict[str, Any]:
    return {
        "name": master.name,
        "host": master.host,
        "pid": master.pid,
        "status": master.status,
        "alive": master.beats,
        "age": master.age,
        "environment": master.environment,
        "supervisors": list(master.supervisors),
    }


def _supervisor(supervisor: Supervisor) -> dict[str, Any]:
    options = supervisor.options
    return {
        "name": supervisor.name,
        "short": supervisor.short,
        "master": supervisor.master,
        "pid": supervisor.pid,
        "status": supervisor.status,
        "alive": supervisor.beats,
        "age": supervisor.age,
        "connection": supervisor.connection,
        "queues": list(supervisor.queues),
        "processes": dict(supervisor.processes),
        "balance": options.balance,
        "strategy": options.strategy,
        "min_processes": options.min_processes,
        "max_processes": options.max_processes,
        "timeout": options.timeout,
    }


@dataclass(frozen=True, slots=True)
class Beside:
    """A program of queuepool for the same application. kind: horizon, worker or listen. serves: its queues, with the
    application's defaults filled in; none for Horizon. pids: every process of its trees, the leaders included.
    orphans: workers of Horizon among them whose parent is gone. running: seconds since it is RUNNING, None when it is
    not. paused: by `queuepool pause`."""

    name: str
    kind: str
    serves: frozenset[QueueName] = frozenset()
    pids: frozenset[int] = frozenset()
    orphans: frozenset[int] = frozenset()
    running: float | None = None
    paused: bool = False


def host_slug(hostname: str) -> str:
    """What Horizon calls a host: Laravel's Str::slug, for names of letters, digits, `-`, `_` and dots."""
    text = re.sub(r"[^-\w\s]+", "", hostname.replace("_", "-").lower())
    return re.sub(r"[-\s]+", "-", text).strip("-")


def paused_pids(view: HorizonView) -> frozenset[int]:
    """The masters that are paused, by whatever means; `status` marks them."""
    return frozenset(master.pid for master in view.live if master.pid is not None and master.status == "paused")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something about a Horizon that is not as it should be. kind: dead, doubled, foreign, missing, paused, silent,
    orphans or shared. text: one sentence. programs: of queuepool, those that it is about."""

    kind: str
    text: str
    programs: tuple[str, ...] = ()


def judge(
    view: HorizonView, programs: Sequence[Beside], *, host: str, living: Collection[int] = frozenset()
) -> tuple[Trouble, ...]:
    """What is not as it should be; nothing when all is well.

    programs: those of the same application. host: as the system calls it. living: which of `view.pids_on(host)` are
    alive.
    """
    return tuple(_Judge(view, programs, host_slug(host), living).troubles())


class _Judge:
    """The facts that several troubles need."""

    def __init__(self, view: HorizonView, programs: Sequence[Beside], host: str, living: Collection[int]) -> None:
        self.view = view
        self.horizons = [program for program in programs if program.kind == "horizon"]
        self.others = [program for program in programs if program.kind != "horizon"]
        ours = {pid for program in self.horizons for pid in program.pids}
        self.ours = [master for master in view.live if master.pid in ours]
        # An application may call its hosts as it likes (MasterSupervisor::determineNameUsing): our own masters tell.
        self.hosts = {host} | {master.host for master in self.ours}
        self.living = set(living) | ours
        self.here = [m for m in view.live if m.host in self.hosts and m.pid in self.living]

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(program.name for program in self.horizons)

    def troubles(self) -> Iterator[Trouble]:
        yield from self._dead()
        yield from self._doubled()
        yield from self._foreign()
        yield from self._missing()
        yield from self._paused()
        yield from self._silent_supervisors()
        yield from self._orphans()
        yield from self._shared_queues()

    def _dead(self) -> Iterator[Trouble]:
        for master in self.view.masters:
            if not master.beats:
                if master.age is None or master.age <= OLD_NEWS_SECONDS:
                    since = "" if master.age is None else f": its last beat was {_ago(master.age)} ago"
                    yield Trouble("dead", f"Horizon's master {master.name} is dead and still in Redis{since}")
            elif self._is_late(master) and master.host in self.hosts and master.pid not in self.living:
                yield Trouble(
                    "dead",
                    f"Horizon's master {master.name} is dead, there is no process {master.pid}; Redis still announces "
                    "it, for 15 s at most",
                )

    @staticmethod
    def _is_late(master: Master) -> bool:
        return master.pid is not None and master.age is not None and master.age > LATE_SECONDS

    def _doubled(self) -> Iterator[Trouble]:
        for host in sorted(self.hosts):
            masters = [master for master in self.here if master.host == host]
            if len(masters) > 1:
                pids = " and ".join(map(str, sorted(master.pid or 0 for master in masters)))
                yield Trouble(
                    "doubled",
                    f"{len(masters)} masters of Horizon run on {host} (pids {pids}), each with all its workers; end "
                    f"the surplus with kill -TERM",
                    self._names,
                )

    def _foreign(self) -> Iterator[Trouble]:
        for master in self.here:
            if master not in self.ours:
                what = f"Horizon's master {master.name} (pid {master.pid}) was not started by queuepool"
                text = f"{what}: nothing here restarts it" if not self.horizons else what
                yield Trouble("foreign", text, self._names)

    def _missing(self) -> Iterator[Trouble]:
        for program in self.horizons:
            if program.running is None or program.running < BOOT_SECONDS:
                continue
            if not any(master.pid in program.pids for master in self.ours):
                yield Trouble(
                    "missing",
                    f"{program.name} runs since {_ago(program.running)}, and Redis shows no master of it; does it use "
                    "the Redis database and horizon.prefix that the application's configuration names?",
                    (program.name,),
                )

    def _paused(self) -> Iterator[Trouble]:
        intended = {pid for program in self.horizons if program.paused for pid in program.pids}
        for master in self.view.live:
            if master.status != "paused" or master.pid in intended:
                continue
            name = next((p.name for p in self.horizons if master.pid in p.pids), None)
            how = f"`queuepool continue {name}`" if name else f"`php artisan horizon:continue` on {master.host}"
            text = f"Horizon is paused on {master.host}, it takes no jobs; {how} lets it work"
            yield Trouble("paused", text, (name,) if name else ())
        masters = {master.name for master in self.view.live if master.status != "paused"}
        for supervisor in self.view.working:
            if supervisor.status == "paused" and supervisor.master in masters:
                yield Trouble(
                    "paused",
                    f"Horizon's supervisor {supervisor.name} is paused; "
                    f"`php artisan horizon:continue-supervisor {supervisor.short}` lets it work",
                )

    def _silent_supervisors(self) -> Iterator[Trouble]:
        masters = {master.name for master in self.view.live}
        for supervisor in self.view.supervisors:
            if not supervisor.beats and supervisor.master in masters and supervisor.age is not None:
                yield Trouble(
                    "silent", f"Horizon's supervisor {supervisor.name} is silent since {_ago(supervisor.age)}"
                )

    def _orphans(self) -> Iterator[Trouble]:
        """Horizon replaces a supervisor that dies and forgets its workers. `horizon:terminate` with fast_termination
        leaves such ones too, but then the master is gone as well."""
        for program in self.horizons:
            if program.orphans and program.running is not None:
                pids = " ".join(map(str, sorted(program.orphans)))
                text = (
                    f"a process of {program.name} has lost its supervisor and works beside those that replaced it; "
                    f"`kill -TERM {pids}` lets it finish its job and end"
                    if len(program.orphans) == 1
                    else f"{len(program.orphans)} processes of {program.name} have lost their supervisor and work "
                    f"beside those that replaced them; `kill -TERM {pids}` lets them finish their job and end"
                )
                yield Trouble("orphans", text, (program.name,))

    def _shared_queues(self) -> Iterator[Trouble]:
        for program in self.others:
            for supervisor in self.view.working:
                shared = [queue for queue in supervisor.serves if queue in program.serves]
                if shared and program.running is not None:
                    yield Trouble(
                        "shared",
                        f"{program.name} works on {', '.join(map(str, shared))}, and so does Horizon's supervisor "
                        f"{supervisor.name}: neither knows of the other's workers; leave each queue to one of them",
                        (program.name,),
                    )


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def graceful_seconds(timeouts: Iterable[float]) -> float:
    """How long Horizon may need to end without killing a job, in seconds: for stopwaitsecs.

    timeouts: `timeout` of each supervisor that it starts; 0: jobs may take any time. Master and supervisors wait for
    their workers. With `fast_termination` these two end at once, but their workers finish their jobs as before, and a
    program has stopped when nothing of its tree is left. A job with a `$timeout` of its own above that is not known
    here.
    """
    known = list(timeouts) or [TIMEOUT]
    return NO_LIMIT if min(known) <= 0 else max(known) + MARGIN
