"""Every metric of /metrics: its name, what it means, and which of the facts it shows. PURE. docs/metrics.md is made
from this table; how the numbers become text is metrics_text.py's matter."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from queuepool.control.metrics_facts import Facts, ProgramFacts
from queuepool.domain.events import Kind
from queuepool.domain.histogram import Histogram
from queuepool.domain.queues import QueueView
from queuepool.domain.rollout import Outcome
from queuepool.domain.states import State
from queuepool.domain.tally import Cause

Value = int | float | Histogram
Row = tuple[tuple[str, ...], Value]
Type = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """name: as it is shown, but for the endings of a histogram. help: a sentence, without its full stop. labels: their
    names. read: the rows, values of the labels and the number."""

    name: str
    type: Type
    help: str
    labels: tuple[str, ...]
    read: Callable[[Facts], Iterable[Row]]


def _one(name: str, type_: Type, help_: str, read: Callable[[Facts], Value]) -> Metric:
    return Metric(name, type_, help_, (), lambda facts: [((), read(facts))])


def _of_program(name: str, type_: Type, help_: str, read: Callable[[ProgramFacts], Value | None]) -> Metric:
    """One number for each program; None: there is none for it."""

    def rows(facts: Facts) -> Iterator[Row]:
        for program in facts.programs:
            if (value := read(program)) is not None:
                yield (program.name,), value

    return Metric(name, type_, help_, ("program",), rows)


def _of_queue(name: str, help_: str, read: Callable[[QueueView], float | None]) -> Metric:
    """One number for each queue; None: it cannot be told."""

    def rows(facts: Facts) -> Iterator[Row]:
        for queue in facts.queues:
            if (value := read(queue)) is not None:
                yield (queue.connection, queue.queue, queue.app), value

    return Metric(name, "gauge", help_, ("connection", "queue", "app"), rows)


def _of_log(name: str, type_: Type, help_: str, field: str) -> Metric:
    read = attrgetter(field)
    return Metric(name, type_, help_, ("file",), lambda facts: [((log.path,), read(log)) for log in facts.logs])


def _jobs(name: str, help_: str, at: int) -> Metric:
    """at: which number of ProgramFacts.jobs."""

    def rows(facts: Facts) -> Iterator[Row]:
        for program in facts.programs:
            for job in program.jobs:
                yield (program.name, job[0]), int(job[at])

    return Metric(name, "counter", help_, ("program", "class"), rows)


def _states(facts: Facts) -> Iterator[Row]:
    for program in facts.programs:
        for state in State:
            if state is not State.UNKNOWN:
                yield (program.name, state.name), program.states.get(state, 0)


def _ends(facts: Facts) -> Iterator[Row]:
    for program in facts.programs:
        for cause in Cause:
            yield (program.name, cause.value), program.tally.ends.get(cause, 0)


def _outcomes(facts: Facts) -> Iterator[Row]:
    for program in facts.programs:
        if program.says:
            for outcome in ("done", "failed", "released"):
                yield (program.name, outcome), int(getattr(program, outcome))


def _oldest(queue: QueueView) -> float | None:
    return 0.0 if queue.ready == 0 else queue.oldest


def _histogram(histogram: Histogram | None) -> Histogram | None:
    """One that has counted anything: most programs need no dozen of zeros."""
    return histogram if histogram is not None and histogram.count else None


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


DAEMON = (
    Metric(
        "queuepool_build_info", "gauge", "Always 1; the version of queuepool, and of the Python it runs on",
        ("version", "python"), lambda facts: [((facts.version, _python()), 1)],
    ),
    _one("queuepool_start_time_seconds", "gauge", "When the daemon began, in unix seconds", lambda f: f.started_at),
    _one(
        "queuepool_config_problems", "gauge",
        "Problems of the settings in force, such as an included file that cannot be used", lambda f: f.problems,
    ),
    Metric(
        "queuepool_events_total", "counter", "Events of the journal, by kind, as `queuepool events` shows them",
        ("event",), lambda facts: [((kind.value,), facts.tally.events.get(kind, 0)) for kind in Kind],
    ),
    _one(
        "queuepool_event_loop_lag_seconds", "histogram",
        "How much too late the daemon's loop was; looked at each second while queues are, and at each scrape",
        lambda f: f.tally.lag,
    ),
)  # fmt: skip

PROCESSES = (
    Metric(
        "queuepool_program_info", "gauge", "Always 1; the type of the program", ("program", "type"),
        lambda facts: [((program.name, program.kind), 1) for program in facts.programs if program.kind],
    ),
    Metric(
        "queuepool_processes", "gauge",
        "Processes by state, the states being Supervisor's; slots that are not to run are STOPPED",
        ("program", "state"), _states,
    ),
    _of_program(
        "queuepool_processes_configured", "gauge", "Processes that the file asks for (numprocs)", lambda p: p.numprocs
    ),
    _of_program(
        "queuepool_processes_wanted", "gauge", "Processes that should run now, after `scale`, `stop` and the like",
        lambda p: p.wanted,
    ),
    _of_program(
        "queuepool_process_starts_total", "counter", "Processes that were made", lambda p: p.tally.starts
    ),
    _of_program(
        "queuepool_process_start_failures_total", "counter",
        "Processes that could not even be made, such as for a user that does not exist", lambda p: p.tally.failures,
    ),
    Metric(
        "queuepool_process_ends_total", "counter", "Processes that ended, each counted once, by reason",
        ("program", "reason"), _ends,
    ),
    _of_program(
        "queuepool_process_kills_total", "counter",
        "Processes that were sent SIGKILL by queuepool, not having ended within stopwaitsecs, or because a person "
        "was in a hurry", lambda p: p.tally.kills,
    ),
    _one(
        "queuepool_process_spawn_seconds", "histogram",
        "From the decision to start a process until it exists; with programs whose boots are paced, the time in line "
        "too", lambda f: f.tally.spawned,
    ),
    _of_program(
        "queuepool_process_start_seconds", "histogram",
        "From the decision to start a process until it is RUNNING, which is after startsecs",
        lambda p: _histogram(p.tally.up),
    ),
    _of_program(
        "queuepool_cpu_seconds_total", "counter",
        "Processor time of the process trees of a program; what a process used after the last look at it, at most "
        "every 10 seconds and only when scraped, is missed when it ends", lambda p: p.usage.cpu,
    ),
    _of_program(
        "queuepool_resident_memory_bytes", "gauge",
        "Memory of the process trees of a program, at most 10 seconds old; what processes share counts for each",
        lambda p: p.usage.rss,
    ),
)  # fmt: skip

JOBS = (
    _of_program(
        "queuepool_workers_busy", "gauge", "Jobs that are being done now; no program with `quiet` has this",
        lambda p: p.busy if p.says else None,
    ),
    Metric(
        "queuepool_jobs_total", "counter",
        "Attempts that ended, by outcome; it begins with 0, so that a rate knows of the first one",
        ("program", "outcome"), _outcomes,
    ),
    _jobs("queuepool_jobs_done_total", "Jobs done, by class", 1),
    _jobs(
        "queuepool_jobs_failed_total",
        "Attempts that failed, by class; for good, where the lines of the workers tell that", 2,
    ),
    _jobs("queuepool_jobs_released_total", "Attempts after which a job was put back on its queue, by class", 3),
    _of_program(
        "queuepool_job_runtime_seconds", "histogram", "How long jobs took, whether they were done or failed",
        lambda p: _histogram(p.lengths),
    ),
    _of_program(
        "queuepool_jobs_requeued_total", "counter", "Jobs whose worker died and which queuepool put back at once",
        lambda p: p.tally.requeued,
    ),
    _of_program(
        "queuepool_jobs_left_total", "counter", "Jobs whose worker died and which run again only after retry_after",
        lambda p: p.tally.left,
    ),
)  # fmt: skip

QUEUES = (
    _of_queue(
        "queuepool_queue_up", "1 when the last look at the queue could read it; its other numbers are absent when not",
        lambda q: int(q.ready is not None),
    ),
    _of_queue("queuepool_queue_ready_jobs", "Jobs that may be taken now", lambda q: q.ready),
    _of_queue("queuepool_queue_delayed_jobs", "Jobs that wait for their time, those due included", lambda q: q.delayed),
    _of_queue(
        "queuepool_queue_due_jobs", "Delayed jobs whose time has come, which a worker has to move", lambda q: q.due
    ),
    _of_queue(
        "queuepool_queue_reserved_jobs", "Jobs that workers have taken, those expired included", lambda q: q.reserved
    ),
    _of_queue(
        "queuepool_queue_expired_jobs", "Reserved jobs beyond retry_after: they will run again", lambda q: q.expired
    ),
    _of_queue(
        "queuepool_queue_oldest_seconds", "How long the first ready job has waited, at least; 0 when there is none",
        _oldest,
    ),
    _of_queue(
        "queuepool_queue_wait_seconds",
        "How long a job that is pushed now would wait; absent until a job was timed, and while the queue is paused",
        lambda q: q.wait,
    ),
    _of_queue(
        "queuepool_queue_arrivals_per_second", "Jobs that came, over the last minute; a retry counts as one",
        lambda q: q.rate_in,
    ),
    _of_queue("queuepool_queue_paused", "1 while `artisan queue:pause` is in force", lambda q: int(q.paused)),
    _of_queue("queuepool_queue_workers", "Processes that serve the queue", lambda q: q.workers),
    _of_queue(
        "queuepool_queue_busy_workers", "Of those, how many are at work, on a job of whatever queue", lambda q: q.busy
    ),
)  # fmt: skip

REDIS = (
    Metric(
        "queuepool_redis_up", "gauge",
        "1 when a Redis that applications use can serve workers, by a PING at the scrape",
        ("server",), lambda facts: [((where,), int(up)) for where, (up, _) in facts.redis.items()],
    ),
    Metric(
        "queuepool_redis_ping_seconds", "gauge", "How long that PING took", ("server",),
        lambda facts: [((where,), took) for where, (_, took) in facts.redis.items() if took is not None],
    ),
)  # fmt: skip

LOGS = (
    _of_log("queuepool_log_written_bytes_total", "counter", "Bytes written to a log", "bytes"),
    _of_log(
        "queuepool_log_dropped_bytes_total", "counter", "Bytes thrown away because a log could not be written",
        "dropped",
    ),
    _of_log(
        "queuepool_log_errors_total", "counter", "Times that a log could not be opened, written or rotated", "errors"
    ),
    _of_log("queuepool_log_rotations_total", "counter", "Rotations of a log", "rotations"),
    Metric(
        "queuepool_log_trouble", "gauge", "1 while a log cannot be written", ("file",),
        lambda facts: [((log.path,), int(bool(log.trouble))) for log in facts.logs],
    ),
)  # fmt: skip

DEPLOYS = (
    _one("queuepool_deploy_in_progress", "gauge", "1 while a deploy goes on", lambda f: int(f.deploying)),
    Metric(
        "queuepool_deploys_total", "counter", "Deploys that ended, by outcome", ("outcome",),
        lambda facts: [((outcome.value,), facts.tally.deploys.get(outcome.value, 0)) for outcome in Outcome],
    ),
    _one("queuepool_deploy_duration_seconds", "histogram", "How long deploys took", lambda f: f.tally.deploy_seconds),
)  # fmt: skip

GROUPS: dict[str, tuple[Metric, ...]] = {
    "The daemon": DAEMON,
    "Programs and processes": PROCESSES,
    "Jobs": JOBS,
    "Queues": QUEUES,
    "Redis": REDIS,
    "Logs": LOGS,
    "Deploys": DEPLOYS,
}
METRICS: tuple[Metric, ...] = tuple(metric for group in GROUPS.values() for metric in group)
