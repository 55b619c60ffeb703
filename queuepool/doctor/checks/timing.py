"""Time limits that have to fit each other: of workers, of their connection, of jobs and of the stop. PURE."""

from __future__ import annotations

from collections.abc import Iterator

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.checks.known import configs, listed, option, seconds, workers
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.program import ProgramFacts
from queuepool.doctor.facts.queues import Job, QueueFacts, StoreFacts
from queuepool.doctor.finding import Note, Severity
from queuepool.laravel.config import QueueConnection

CHECKS = Checks("timing", needs=("applications", "queues"))

TIMEOUT = 60.0
"""Laravel's --timeout where none is given."""
SLEEP = 3.0
WITHOUT_RETRY_AFTER = 60
"""What Laravel takes where config/queue.php gives none (Illuminate/Queue/Connectors/RedisConnector.php and
DatabaseConnector.php)."""
RETRYING = ("redis", "database", "beanstalkd")
"""Drivers with retry_after. SQS has its visibility timeout, which only AWS knows."""
MARGIN = 30


def _stores(facts: Facts, program: str) -> StoreFacts | None:
    stores = facts.queues.stores if facts.queues else ()
    return next((store for store in stores if program in store.programs), None)


def _retry_after(entry: QueueConnection) -> int:
    return WITHOUT_RETRY_AFTER if entry.retry_after is None else entry.retry_after


def _elastic(facts: Facts, program: str, connection: str) -> bool:
    """Whether a job is reserved for as long as its own timeout (`expire_after_timeout`, Laravel 13)."""
    store = _stores(facts, program)
    return store is not None and connection in store.elastic


def _jobs(facts: Facts, program: ProgramFacts) -> Iterator[tuple[QueueFacts, Job]]:
    for queue in facts.queues.queues if facts.queues else ():
        if program.name in queue.programs:
            for job in queue.jobs:
                yield queue, job


@CHECKS.add(
    "timeout", Severity.ERROR, "No job runs twice: --timeout is below retry_after", unless=("timing.retry_after",)
)
def timeout(facts: Facts) -> Iterator[Note]:
    """After retry_after seconds Laravel takes the worker of a job for dead and gives the job to another. When
    --timeout, which ends a job that takes too long, comes later, the job still runs: it runs twice at once, and at last
    fails with MaxAttemptsExceededException (Laravel's documentation, "Job Expirations & Timeouts"). retry_after has to
    be the larger one by some seconds, on each connection."""
    for program, _, name, entry in workers(facts):
        limit = option(program, "timeout", TIMEOUT)
        if entry.driver not in RETRYING or limit is None or limit <= 0 or _elastic(facts, program.name, name):
            continue
        retry = _retry_after(entry)
        if 0 < retry <= limit:
            said = "--timeout" if program.option("timeout", "") else "--timeout is not given, so it"
            yield Note(
                program.subject,
                f"may run a job twice: its timeout of {limit:.0f} s is not below retry_after, {retry} s",
                (f"{said} is {limit:.0f}", f"config/queue.php: connections.{name}.retry_after is {retry}"),
                f"set retry_after of {name} to {limit + MARGIN:.0f} in config/queue.php, or `timeout: "
                f"{max(1, retry - 5)}` in {program.source or program.name}",
                (program.name,),
            )


@CHECKS.add("job_timeout", Severity.ERROR, "No job runs twice by a $timeout of its own", unless=("timing.timeout",))
def job_timeout(facts: Facts) -> Iterator[Note]:
    """As timing.timeout, for a job whose class has a `$timeout`, which wins over --timeout. Seen in the first jobs of
    each queue."""
    said = set()
    for program, _, name, entry in workers(facts):
        retry = _retry_after(entry)
        for queue, job in _jobs(facts, program):
            limit = job.timeout or 0
            key = (name, job.job)
            if entry.driver not in RETRYING or key in said or not 0 < retry <= limit:
                continue
            if not _elastic(facts, program.name, name):
                said.add(key)
                yield Note(
                    queue.subject,
                    f"{job.job or 'a job'} may run twice: its own timeout of {limit} s is not below retry_after, "
                    f"{retry} s",
                    (f"the first {job.place} job, {job.id or 'without an id'}, has timeout {limit}",
                     f"config/queue.php: connections.{name}.retry_after is {retry}"),
                    f"set retry_after of {name} to {limit + MARGIN} in config/queue.php, or push such jobs to a "
                    "connection of their own",
                    queue.programs,
                )  # fmt: skip


@CHECKS.add("retry_after", Severity.ERROR, "Connections say when a job is given up for lost")
def retry_after(facts: Facts) -> Iterator[Note]:
    """With `retry_after` 0 a job counts as lost the moment it was taken: every free worker runs it too. Where
    config/queue.php gives none, Laravel takes 60 s, which is not above its own default of --timeout: a job of a minute
    runs twice."""
    said = set()
    for program, _, name, entry in workers(facts):
        limit = option(program, "timeout", TIMEOUT)
        if entry.driver not in ("redis", "database") or name in said or _elastic(facts, program.name, name):
            continue
        if entry.retry_after is not None and entry.retry_after <= 0:
            what = f"the connection {name} gives each job to every free worker: its retry_after is {entry.retry_after}"
        elif entry.retry_after is None and (limit is None or not 0 < limit < WITHOUT_RETRY_AFTER):
            what = f"the connection {name} has no retry_after, and Laravel's 60 s are not above the workers' timeout"
        else:
            continue
        said.add(name)
        given = "missing or null" if entry.retry_after is None else str(entry.retry_after)
        longest = max(limit or 0.0, TIMEOUT)
        yield Note(
            program.subject,
            what,
            (f"config/queue.php: connections.{name}.retry_after is {given}",
             f"--timeout is {'60, the default' if not program.option('timeout', '') else f'{limit or 0:.0f}'}"),
            f"set 'retry_after' => {longest + MARGIN:.0f} for {name} in config/queue.php",
            tuple(each.name for each, _, its, _ in workers(facts) if its == name),
        )  # fmt: skip


@CHECKS.add("no_timeout", Severity.WARNING, "Every worker ends a job that hangs")
def no_timeout(facts: Facts) -> Iterator[Note]:
    """With `--timeout=0` a job that hangs, in a request without a time limit for example, keeps its worker for ever,
    and after retry_after the job is given to the next one, until all of them hang. Also without PHP's pcntl there is no
    timeout."""
    for program, _, name, entry in workers(facts):
        limit = option(program, "timeout", TIMEOUT)
        if limit is not None and limit <= 0:
            retry = f", and retry_after ({_retry_after(entry)} s) hands it on" if entry.driver in RETRYING else ""
            yield Note(
                program.subject,
                "never ends a job that hangs: its timeout is 0",
                (f"--timeout={program.option('timeout', '')}{retry}",),
                f"`timeout: {max(1, _retry_after(entry) - 5)}` in {program.source or program.name} (retry_after of "
                f"{name} is {_retry_after(entry)})",
                (program.name,),
            )


@CHECKS.add("stop", Severity.WARNING, "A stop waits for the job that runs")
def stop(facts: Facts) -> Iterator[Note]:
    """stopwaitsecs is shorter than a job may take, by the worker's --timeout or by the `$timeout` of a job that is
    there: when the worker is stopped in such a job, as each deploy does, it is killed, and the job runs again from its
    beginning. Without stopwaitsecs in the file, queuepool takes what --timeout and block_for need."""
    for program, _, _, entry in workers(facts):
        if program.stop_follows or _file_says(facts, program):
            continue
        limit = option(program, "timeout", TIMEOUT) or 0.0
        longest = max(
            (
                (job.timeout or 0, f"{job.job} in {queue.view.queue} has $timeout")
                for queue, job in _jobs(facts, program)
            ),
            default=(0, ""),
        )
        needed, why = longest if longest[0] > limit else (limit, "--timeout is")
        if needed > program.stop_seconds:
            yield Note(
                program.subject,
                f"kills a job that takes longer than stopwaitsecs, {program.stop_seconds:g} s, when it is stopped",
                (f"stopwaitsecs is {program.stop_seconds:g} ({program.source})", f"{why} {needed:.0f}"),
                f"leave stopwaitsecs out of {program.source or program.name}, or set it to "
                f"{needed + SLEEP + (entry.block_for or 0) + 15:.0f}",
                (program.name,),
            )


def _file_says(facts: Facts, program: ProgramFacts) -> bool:
    """Whether reading the file said so already."""
    return any(f"programs.{program.name}" in text and "stopwaitsecs" in text for text in facts.file.problems)


@CHECKS.add("stop_block_for", Severity.WARNING, "A stop waits for block_for as well", unless=("timing.stop",))
def stop_block_for(facts: Facts) -> Iterator[Note]:
    """With block_for a worker waits in Redis and hears the stop signal only afterwards; when a job came at that moment
    it does that first. So stopping takes up to block_for + --sleep + --timeout. With a shorter stopwaitsecs that job is
    killed."""
    for program, _, name, entry in workers(facts):
        if program.stop_follows or _file_says(facts, program) or entry.driver != "redis" or not entry.block_for:
            continue
        limit = option(program, "timeout", TIMEOUT) or 0.0
        needed = limit + entry.block_for + (option(program, "sleep", SLEEP) or 0.0)
        if limit <= program.stop_seconds < needed:
            yield Note(
                program.subject,
                f"may be killed in a job when it is stopped: stopwaitsecs, {program.stop_seconds:g} s, leaves no time "
                "for block_for",
                (f"--timeout {limit:g} + block_for {entry.block_for} (config/queue.php, {name}) + --sleep = {needed:g}",
                 f"stopwaitsecs is {program.stop_seconds:g} ({program.source})"),
                f"leave stopwaitsecs out of {program.source or program.name}, or set it to {needed + 15:.0f}",
                (program.name,),
            )  # fmt: skip


@CHECKS.add("block_for", Severity.ERROR, "No worker blocks in Redis for ever")
def block_for(facts: Facts) -> Iterator[Note]:
    """`block_for` 0 means for ever to Redis: a worker on an empty queue hears neither a stop signal nor queue:restart,
    so every stop and every deploy ends with SIGKILL; Laravel's documentation says so, too. It also never looks at the
    other queues of `--queue=`. null does not block; 1 to 5 seconds are fine."""
    for program, _, name, entry in workers(facts):
        if entry.driver == "redis" and entry.block_for is not None and entry.block_for <= 0:
            yield Note(
                program.subject,
                "blocks in Redis for ever and hears no signal while its queue is empty",
                (f"config/queue.php: connections.{name}.block_for is {entry.block_for}",),
                f"set 'block_for' => 5 (or null) for {name} in config/queue.php",
                (program.name,),
            )


@CHECKS.add(
    "read_timeout", Severity.ERROR, "PHP waits for Redis for longer than block_for", unless=("timing.block_for",)
)
def read_timeout(facts: Facts) -> Iterator[Note]:
    """The client gives up reading before Redis answers the BLPOP of a worker: each wait on an empty queue ends with
    `read error on connection`. For phpredis the limit is `read_timeout` of the connection in config/database.php, and
    PHP's default_socket_timeout (60 s) where that is missing or 0; for predis read_write_timeout."""
    for program, config, name, entry in workers(facts):
        store = _stores(facts, program.name)
        if entry.driver != "redis" or not entry.block_for or store is None:
            continue
        redis = entry.connection or "default"
        limit = store.read_timeouts.get(redis, 0.0)
        if 0 < limit <= entry.block_for:
            yield Note(
                program.subject,
                f"breaks off each wait for a job: block_for is {entry.block_for} s, and PHP reads for {limit:g} s",
                (f"config/queue.php: connections.{name}.block_for is {entry.block_for}",
                 f"{config.redis_client} gives up reading from redis.{redis} after {limit:g} s"),
                f"set 'block_for' => {max(1, min(5, int(limit) - 1))} for {name} in config/queue.php, or a larger "
                f"read_timeout for redis.{redis} in "
                "config/database.php",
                (program.name,),
            )  # fmt: skip


@CHECKS.add("tries", Severity.WARNING, "No worker tries a job for ever", unless=("queues.poison",))
def tries(facts: Facts) -> Iterator[Note]:
    """`--tries=0` is no limit: a job that always throws is tried again and again, at once where there is no backoff,
    unless its class has $tries, $maxExceptions or retryUntil(). The default of Laravel is one try."""
    for program, _, _, _ in workers(facts):
        if option(program, "tries", 1.0) == 0:
            yield Note(
                program.subject,
                "tries a job that throws for ever",
                (f"--tries={program.option('tries', '')}",),
                f"`tries: 3` in {program.source or program.name}; classes that need more say so with $tries",
                (program.name,),
            )


@CHECKS.add("sleep", Severity.WARNING, "Idle workers sleep")
def sleep(facts: Facts) -> Iterator[Note]:
    """With `--sleep=0` a worker without a job asks Redis or the database again at once, thousands of times a second,
    and takes a processor for it. With block_for it waits in Redis instead, and with --stop-when-empty it ends."""
    for program, _, _, entry in workers(facts):
        ends = any(word in ("--once", "--stop-when-empty") for word in program.argv)
        if option(program, "sleep", SLEEP) == 0 and not (entry.block_for or 0) > 0 and not ends:
            yield Note(
                program.subject,
                "never sleeps: each idle worker keeps a processor and its queue's server busy",
                (f"--sleep={program.option('sleep', '')}, block_for is "
                 f"{'null' if entry.block_for is None else entry.block_for}",),
                f"`sleep: 0.25` in {program.source or program.name}",
                (program.name,),
            )  # fmt: skip


@CHECKS.add("startsecs", Severity.WARNING, "Workers live for longer than startsecs")
def startsecs(facts: Facts) -> Iterator[Note]:
    """A worker that ends by --max-time before startsecs is over never counts as RUNNING, and waits as after a failed
    start before the next one begins."""
    for program, _, _, _ in workers(facts):
        life = option(program, "max-time", 0.0) or 0.0
        if 0 < life <= program.startsecs:
            yield Note(
                program.subject,
                f"ends after {life:g} s, before it counts as started",
                (f"--max-time={life:g}, startsecs is {program.startsecs:g} ({program.source})",),
                f"raise `max_time` above startsecs in {program.source or program.name}",
                (program.name,),
            )


@CHECKS.add("horizon_timeout", Severity.ERROR, "No job of Horizon runs twice: timeout is below retry_after")
def horizon_timeout(facts: Facts) -> Iterator[Note]:
    """As timing.timeout, for the `timeout` of each supervisor in config/horizon.php (60 s where it gives none)."""
    known = configs(facts)
    for horizon in facts.queues.horizons if facts.queues else ():
        for program in horizon.programs:
            config = known.get(program)
            for one in horizon.supervisors.get(program, ()):
                entry = config.connections.get(one.connection) if config else None
                if entry is None or entry.driver != "redis" or _elastic(facts, program, one.connection):
                    continue
                retry = _retry_after(entry)
                if 0 < retry <= one.timeout:
                    yield Note(
                        horizon.subject,
                        f"its supervisor {one.name} may run a job twice: its timeout of {seconds(one.timeout)} is not "
                        f"below retry_after, {seconds(retry)}",
                        (f"config/horizon.php: {one.name} (queues {listed(one.queues)}) has timeout {one.timeout}",
                         f"config/queue.php: connections.{one.connection}.retry_after is {retry}"),
                        f"set retry_after of {one.connection} to {one.timeout + MARGIN} in config/queue.php; then: "
                        "php artisan horizon:terminate",
                        (program,),
                    )  # fmt: skip
