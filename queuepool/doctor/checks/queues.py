"""The queues that programs work on, what lies in them, and failed jobs. PURE. The Redis they are in is redis.py's
matter, time limits timing.py's."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.checks.known import artisan, count, listed, option, seconds, workers
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.program import ProgramFacts
from queuepool.doctor.facts.queues import QueueFacts, StoredQueue
from queuepool.doctor.finding import Note, Severity

CHECKS = Checks("queues", needs=("applications", "queues"))

OLD_SECONDS = 600.0
"""A job that waits for longer, though workers run, is said."""
STUCK_SECONDS = 15.0
"""A free worker looks for a job each `--sleep` seconds, 3 by default. A job that waits for that much longer than they
sleep, while they do nothing, waits for something else."""
DRAIN_SECONDS = 600.0
"""A backlog that lasts for longer, and grows, is said."""
POISON_ATTEMPTS = 10
MANY_FAILED = 20
"""Failed jobs in an hour from which on it is a warning."""
MANY_WORKERS = 5
"""From more on, a database without SKIP LOCKED is said: each job is taken under a lock on all of them."""
SKIP_LOCKED = {"mysql": (8, 0), "mariadb": (10, 6), "pgsql": (9, 5)}
"""First versions whose rows Laravel takes without waiting (Illuminate/Queue/DatabaseQueue.php, getLockForPopping)."""
AWAY = tuple(f"redis.{name}" for name in ("answers", "auth", "database", "loading", "clients", "acl"))
"""Findings that say why a queue cannot be asked."""


def _queues(facts: Facts) -> tuple[QueueFacts, ...]:
    return facts.queues.queues if facts.queues else ()


def _of(facts: Facts, names: tuple[str, ...]) -> ProgramFacts | None:
    return next((program for program in facts.programs if program.name in names), None)


def _holds(queue: QueueFacts) -> str:
    """What it holds, in numbers."""
    view = queue.view
    parts = [f"{getattr(view, name) or 0} {name}" for name in ("ready", "delayed", "due", "reserved", "expired")]
    # Who looks for the first time may not know how long it waits, and says 0.
    oldest = f"; the first waits for {seconds(view.oldest)}" if (view.oldest or 0.0) >= 1 else ""
    return ", ".join(parts) + oldest


def _busy(queue: QueueFacts) -> tuple[str, ...]:
    view = queue.view
    return () if view.workers is None else (f"{view.busy or 0} of {count(view.workers, 'worker')} at work",)


@CHECKS.add(
    "unreadable", Severity.ERROR, "Every queue can be asked what it holds",
    unless=(*AWAY, "application.queue_connection", "application.connection", "application.jobs_table"),
)  # fmt: skip
def unreadable(facts: Facts) -> Iterator[Note]:
    """What holds the jobs does not answer, so workers get none either: the package of the driver is not installed, its
    server is away, the credentials of SQS are wrong, or the key of a queue in Redis holds something else."""
    for queue in _queues(facts):
        if queue.view.why and queue.view.why != "not asked yet":
            program = _of(facts, queue.programs)
            yield Note(
                queue.subject,
                f"cannot be asked what it holds: {queue.view.why}",
                (f"driver {queue.view.driver or 'unknown'}: {queue.view.why}",),
                artisan(
                    program,
                    queue.view.app,
                    "queue:work",
                    queue.view.connection,
                    f"--queue={queue.view.queue}",
                    "--once",
                ),
                queue.programs,
            )


@CHECKS.add("paused", Severity.WARNING, "No queue is paused")
def paused(facts: Facts) -> Iterator[Note]:
    """`artisan queue:pause` is in force for the queue, or for all (Laravel 12.40 and newer): its workers run, and take
    no job of it. Workers that were paused themselves are said by processes.paused."""
    for queue in _queues(facts):
        view = queue.view
        if view.paused:
            name = f"{view.connection}:{view.queue}"
            yield Note(
                queue.subject,
                "is paused, so no job of it is worked on",
                (f"the cache has illuminate:queue:paused:{name} or illuminate:queues:paused", _holds(queue)),
                artisan(_of(facts, queue.programs), view.app, "queue:resume", name),
                queue.programs,
            )


def _backlog(queue: QueueFacts) -> int:
    view = queue.view
    return (view.ready or 0) + (view.due or 0) + (view.expired or 0)


IDLE = (
    "queues.paused", "processes.*", "daemon.killed", "daemon.hangs", "daemon.lost", "application.maintenance",
    "redis.full", "redis.replica", "redis.saving", "horizon.paused", "horizon.inactive", "horizon.environment",
)  # fmt: skip
"""Findings that say why nobody works."""


def _nobody(facts: Facts, queue: QueueFacts) -> bool:
    """Whether no worker takes jobs from it, here or elsewhere: nothing of it is being worked on either."""
    view = queue.view
    taken = (view.reserved or 0) > (view.expired or 0) or any(_same(one, queue) and one.worked for one in _all(facts))
    return not view.why and not view.workers and not taken


def _all(facts: Facts) -> tuple[StoredQueue, ...]:
    return facts.queues.stored if facts.queues else ()


def _same(one: StoredQueue, queue: QueueFacts) -> bool:
    view = queue.view
    return (one.connection, one.queue, one.app) == (view.connection, view.queue, view.app)


def _start(facts: Facts, queue: QueueFacts) -> tuple[str, str]:
    """Why nobody works, and what to type."""
    if facts.queues and facts.queues.daemon:
        return "none of its workers runs", f"queuepool start {' '.join(queue.programs)}; queuepool status"
    return "no daemon runs here that would work on it", "queuepool up -d"


@CHECKS.add("stuck", Severity.ERROR, "Jobs that wait are worked on", unless=IDLE)
def stuck(facts: Facts) -> Iterator[Note]:
    """Jobs are ready and nobody takes them: no worker runs, or the workers sit idle although the first job waits for
    longer than they sleep. Idle ones were paused by a signal (USR2), are in maintenance mode (`artisan down`), look at
    another database or prefix than the one the application's configuration names, or hang at the end of a job."""
    for queue in _queues(facts):
        view = queue.view
        if view.paused or not view.ready:
            continue
        if _nobody(facts, queue):
            why, remedy = _start(facts, queue)
            evidence = (_holds(queue), f"programs that should: {listed(queue.programs)}")
            yield Note(
                queue.subject, f"holds {count(view.ready, 'ready job')}, and {why}", evidence, remedy, queue.programs
            )
        elif view.workers and not view.busy and (view.oldest or 0.0) >= STUCK_SECONDS + _sleep(facts, queue):
            yield Note(
                queue.subject,
                f"holds {count(view.ready, 'ready job')}, and its workers sit idle",
                (_holds(queue), *_busy(queue)),
                f"queuepool restart {' '.join(queue.programs)}",
                queue.programs,
            )


def _sleep(facts: Facts, queue: QueueFacts) -> float:
    """How long its workers may not look: the longest --sleep, and the block_for of the connection."""
    found = [0.0]
    for program, _, name, entry in workers(facts):
        if program.name in queue.programs and name == queue.view.connection:
            found.append((option(program, "sleep", 3.0) or 0.0) + (entry.block_for or 0))
    return max(found)


@CHECKS.add("expired", Severity.ERROR, "No job of a dead worker is left lying", unless=(*IDLE, "queues.stuck"))
def expired(facts: Facts) -> Iterator[Note]:
    """A worker died with its job, and retry_after is over. The job becomes ready when some worker looks at the queue,
    and none does."""
    for queue in _queues(facts):
        view = queue.view
        if view.expired and not view.ready and _nobody(facts, queue):
            why, remedy = _start(facts, queue)
            yield Note(
                queue.subject,
                f"holds {count(view.expired)} of workers that died, to be given back, and {why}",
                (_holds(queue),), remedy, queue.programs,
            )  # fmt: skip


@CHECKS.add(
    "delayed_due", Severity.ERROR, "Delayed jobs that are due are worked on",
    unless=(*IDLE, "queues.stuck", "queues.expired"),
)  # fmt: skip
def delayed_due(facts: Facts) -> Iterator[Note]:
    """The time of delayed jobs has come. They become ready when some worker looks at the queue, and none does: nothing
    else in Laravel moves them, the scheduler does not."""
    for queue in _queues(facts):
        view = queue.view
        if view.due and not view.ready and not view.expired and _nobody(facts, queue):
            why, remedy = _start(facts, queue)
            yield Note(
                queue.subject, f"holds {count(view.due, 'due delayed job')}, and {why}",
                (_holds(queue),), remedy, queue.programs,
            )  # fmt: skip


@CHECKS.add(
    "oldest", Severity.WARNING, "No job waits for ten minutes while workers run",
    unless=(*IDLE, "queues.stuck", "queues.growing"),
)  # fmt: skip
def oldest(facts: Facts) -> Iterator[Note]:
    """The first job of a queue waits for more than ten minutes, and all its workers are at work: with other queues that
    come first in `--queue=`, with long jobs, or with more than they can do."""
    for queue in _queues(facts):
        view = queue.view
        if view.ready and view.workers and view.busy and (view.oldest or 0.0) > OLD_SECONDS:
            yield Note(
                queue.subject,
                f"its first job waits for {seconds(view.oldest)}",
                (_holds(queue), *_busy(queue), *_rates(queue)),
                f"queuepool scale {queue.programs[0] if queue.programs else 'NAME'} {_more(view.workers)}; or give the "
                "queue a program of its own",
                queue.programs,
            )


def _more(workers: int) -> int:
    return workers + max(1, workers // 2)


def _rates(queue: QueueFacts) -> tuple[str, ...]:
    view = queue.view
    if view.rate_in is None or view.rate_done is None:
        return ()
    return (f"over the last minute {view.rate_in:.3g} jobs/s came and {view.rate_done:.3g} jobs/s were done",)


@CHECKS.add("growing", Severity.WARNING, "No queue grows faster than it is worked on", unless=(*IDLE, "queues.stuck"))
def growing(facts: Facts) -> Iterator[Note]:
    """More jobs come than are done, all workers are busy, and what lies there already would take more than ten minutes.
    More workers help where the jobs wait for others; where the processor or the database is the limit, they do not."""
    for queue in _queues(facts):
        view = queue.view
        came, done = view.rate_in, view.rate_done
        if came is None or done is None or not view.workers or (view.busy or 0) < view.workers:
            continue
        backlog = _backlog(queue)
        if came > done and backlog > DRAIN_SECONDS * done and backlog > view.workers:
            lasts = f"lasts for {seconds(backlog / done)}" if done > 0 else "lasts for ever"
            yield Note(
                queue.subject,
                f"grows: {count(backlog)} wait, which {lasts} at this rate",
                (*_rates(queue), _holds(queue), *_busy(queue)),
                f"queuepool scale {queue.programs[0] if queue.programs else 'NAME'} {_more(view.workers)}",
                queue.programs,
            )


@CHECKS.add("typo", Severity.WARNING, "Programs name their queues as the application does")
def typo(facts: Facts) -> Iterator[Note]:
    """A program works on a queue that holds nothing, while jobs wait in one that is called nearly the same and that
    nobody works on."""
    for one, near in _typos(facts):
        yield Note(
            f"queue {near.view.connection}:{near.view.queue}",
            f"is empty, while {one.queue} holds {count(one.ready + one.delayed)} and nobody works on it: a slip of the "
            "pen?",
            (_lies(one), f"{listed(near.programs)} works on {near.view.queue}"),
            f"write {one.queue} in `queue:` of {listed(near.programs)}{_source(facts, near)}; queuepool update",
            near.programs,
        )


def _source(facts: Facts, queue: QueueFacts) -> str:
    program = _of(facts, queue.programs)
    return f" ({program.source})" if program and program.source else ""


def _lies(one: StoredQueue) -> str:
    job = f"; the first is {one.job.job}" if one.job and one.job.job else ""
    return f"{one.prefix}queues:{one.queue}: {one.ready} ready, {one.delayed} delayed, {one.reserved} reserved{job}"


def _unserved(facts: Facts) -> Iterator[StoredQueue]:
    """Queues of our own connections that hold jobs, and no program, Horizon or worker of somebody else works on."""
    served = facts.queues.served if facts.queues else frozenset()
    for one in _all(facts):
        ours = any((s.queue, s.app) == (one.queue, one.app) and one.reached_by(s.connection) for s in served)
        if one.connection and not ours and not one.worked and (one.ready or one.delayed):
            yield one


def _typos(facts: Facts) -> Iterator[tuple[StoredQueue, QueueFacts]]:
    for one in _unserved(facts):
        empty = {
            queue.view.queue: queue
            for queue in _queues(facts)
            if queue.view.app == one.app and one.reached_by(queue.view.connection)
            and not queue.view.why and not any((queue.view.ready, queue.view.delayed, queue.view.reserved))
        }  # fmt: skip
        for name in get_close_matches(one.queue, list(empty), 1, 0.75):
            yield one, empty[name]


@CHECKS.add("unserved", Severity.WARNING, "Every queue that holds jobs has a program")
def unserved(facts: Facts) -> Iterator[Note]:
    """Jobs wait in a queue that no program of this file works on, nor a supervisor of Horizon, and nobody was seen to
    take one. Other hosts may work on it with long pauses; else it was forgotten in `queue:`."""
    typed = [one for one, _ in _typos(facts)]
    for one in _unserved(facts):
        if one not in typed:
            program = _of(facts, one.programs)
            queues = [*(program.queues if program else ()), one.queue]
            where = f" ({program.source})" if program and program.source else ""
            yield Note(
                f"queue {one.connection}:{one.queue}",
                f"holds {count(one.ready + one.delayed)}, and no program works on it",
                (_lies(one),),
                f"add it to `queue:` of a program, such as {program.name if program else 'one'}{where}: "
                f"[{listed(queues)}]; queuepool update",
                one.programs,
            )


@CHECKS.add("poison", Severity.WARNING, "No job fails again and again")
def poison(facts: Facts) -> Iterator[Note]:
    """A job was begun ten times or more and is still there: it throws with `--tries=0`, or it takes its worker with it
    (memory, a crash), which no count of exceptions stops. Jobs that wait for a rate limit with retryUntil are meant to
    be tried often, and are not said."""
    for queue in _queues(facts):
        for job in queue.jobs:
            if job.attempts >= POISON_ATTEMPTS and job.retry_until is None:
                yield Note(
                    queue.subject,
                    f"{job.job or 'a job'} was begun {job.attempts} times and is not done",
                    (f"first of the {job.place} jobs: {job.id or 'no id'}, attempts {job.attempts}, maxTries "
                     f"{'none' if job.max_tries is None else job.max_tries}",
                     *(_failing(facts, queue))),
                    "give the class $tries and $maxExceptions (or $timeout); its exceptions are in "
                    f"{queue.view.app}/storage/logs",
                    queue.programs,
                )  # fmt: skip


def _failing(facts: Facts, queue: QueueFacts) -> tuple[str, ...]:
    tries = {program.option("tries", "1 (Laravel's default)") for program, *_ in workers(facts)
             if program.name in queue.programs}  # fmt: skip
    return (f"--tries of its workers: {listed(sorted(tries))}",) if tries else ()


@CHECKS.add("failed", Severity.INFO, "No jobs failed lately")
def failed(facts: Facts) -> Iterator[Note]:
    """Jobs that used up their tries in the last 24 hours, by the application's failed_jobs. Some fail in many
    applications, so it is only told; more than 20 in an hour are a warning."""
    for store in facts.queues.stores if facts.queues else ():
        jobs = store.failed
        if jobs is None or not jobs.day:
            continue
        hour = jobs.hour or 0
        age = seconds(facts.now - jobs.at) if jobs.at is not None else "an unknown time"
        program = _of(facts, store.programs)
        yield Note(
            f"application {store.app}",
            f"{count(jobs.day)} failed in the last 24 hours, {hour} of them in the last hour",
            (f"the newest: {jobs.newest or 'unknown'} in {jobs.queue or 'an unknown queue'}, {age} ago",
             *((jobs.exception,) if jobs.exception else ())),
            f"{artisan(program, store.app, 'queue:failed')}; then queue:retry all, or queue:flush",
            store.programs,
            Severity.WARNING if hour > MANY_FAILED else None,
        )  # fmt: skip


@CHECKS.add("database_locks", Severity.WARNING, "The database gives many workers their jobs side by side")
def database_locks(facts: Facts) -> Iterator[Note]:
    """The database driver takes a job under a lock. Where the database cannot skip locked rows (SQLite, MySQL before
    8.0.1, MariaDB before 10.6, PostgreSQL before 9.5), workers wait for each other: with many, most of their time, and
    on SQLite some end with `database is locked`. Fewer workers, or Redis."""
    for store in facts.queues.stores if facts.queues else ():
        for name, (driver, version) in store.databases.items():
            mine = [program for program, _, connection_, _ in workers(facts)
                    if connection_ == name and program.name in store.programs]  # fmt: skip
            total = sum(max(0, program.numprocs) for program in mine)
            if total > MANY_WORKERS and _locks(driver, version):
                yield Note(
                    f"application {store.app}",
                    f"{total} workers take their jobs from {_DATABASES.get(driver, driver)} on the connection {name}, "
                    "one at a time",
                    (f"{driver} {version}", *(f"{program.name}: numprocs {program.numprocs}" for program in mine)),
                    f"numprocs: {MANY_WORKERS} or less in all, or QUEUE_CONNECTION=redis",
                    tuple(program.name for program in mine),
                )


_DATABASES = {"sqlite": "SQLite", "mysql": "MySQL", "mariadb": "MariaDB", "pgsql": "PostgreSQL"}


def _locks(driver: str, version: str) -> bool:
    if driver == "sqlite":
        return True
    kind = "mariadb" if "mariadb" in version.lower() else driver
    words = version.lower().replace("5.5.5-", "").split(".")
    if kind not in SKIP_LOCKED or len(words) < 2 or not all(word.isascii() and word.isdecimal() for word in words[:2]):
        return False
    return tuple(int(word[:6]) for word in words[:2]) < SKIP_LOCKED[kind]
