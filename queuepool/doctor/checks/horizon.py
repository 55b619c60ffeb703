"""Laravel Horizon. PURE. What its keys in Redis mean is judged in domain/horizon.py, for `queuepool status` too."""

from __future__ import annotations

from collections.abc import Iterator

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.checks.known import artisan, listed, seconds
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.horizon import HorizonFacts
from queuepool.doctor.finding import Note, Severity
from queuepool.domain.amounts import count
from queuepool.domain.horizon import Trouble

CHECKS = Checks("horizon", needs=("applications", "queues"))

SNAPSHOT_SECONDS = 900.0
"""`horizon:snapshot` is to run each five minutes."""
YOUNG_SECONDS = 1800.0
"""A Horizon that runs for less may not have been measured yet."""


def _horizons(facts: Facts) -> tuple[HorizonFacts, ...]:
    return facts.queues.horizons if facts.queues else ()


def _troubles(facts: Facts, *kinds: str) -> Iterator[tuple[HorizonFacts, Trouble]]:
    for horizon in _horizons(facts):
        for trouble in horizon.troubles:
            if trouble.kind in kinds:
                yield horizon, trouble


def _masters(horizon: HorizonFacts) -> tuple[str, ...]:
    """What Redis shows."""
    return tuple(
        f"master {one.name}: pid {one.pid}, {one.status or 'no status'}, last beat {seconds(one.age)} ago"
        for one in (horizon.view.masters if horizon.view else ())
    )


def _everybody(horizon: HorizonFacts) -> tuple[str, ...]:
    return horizon.programs or horizon.others


def _artisan(facts: Facts, horizon: HorizonFacts, *words: str) -> str:
    program = next((each for each in facts.programs if each.name in _everybody(horizon)), None)
    return artisan(program, horizon.app, *words)


@CHECKS.add("paused", Severity.WARNING, "Horizon is not paused", unless=("processes.paused",))
def paused(facts: Facts) -> Iterator[Note]:
    """A paused Horizon, or a paused supervisor of it, runs and takes no jobs. It was paused by `horizon:pause`, in its
    dashboard, or by SIGUSR2; `queuepool pause` is meant and not said."""
    for horizon, trouble in _troubles(facts, "paused"):
        ours = [name for name in trouble.programs if name in horizon.programs]
        _, _, short = trouble.text.partition("continue-supervisor ")
        words = ("horizon:continue-supervisor", short.partition("`")[0]) if short else ("horizon:continue",)
        remedy = f"queuepool continue {' '.join(ours)}" if ours else _artisan(facts, horizon, *words)
        yield Note(horizon.subject, trouble.text, _masters(horizon), remedy, _everybody(horizon))


@CHECKS.add(
    "inactive",
    Severity.ERROR,
    "A Horizon that runs shows itself in Redis",
    unless=("redis.*", "horizon.two_masters", "processes.*"),
)
def inactive(facts: Facts) -> Iterator[Note]:
    """Either `artisan horizon` runs and Redis shows no master of it: it uses another Redis, database or horizon.prefix
    than its configuration names now, or hangs before its first loop. Or Redis still announces a master whose process is
    gone: Horizon was killed, and its dashboard calls it active for 15 s more."""
    for horizon, trouble in _troubles(facts, "missing", "dead"):
        if trouble.kind == "dead" and horizon.view and horizon.view.status != "inactive" and not _late(horizon):
            continue
        names = " ".join(horizon.programs)
        remedy = f"queuepool restart {names}; queuepool logs {names}" if names else _artisan(facts, horizon, "horizon")
        if names and facts.queues and not facts.queues.daemon:
            remedy = "queuepool up -d"
        yield Note(horizon.subject, trouble.text, _masters(horizon), remedy, _everybody(horizon))


def _late(horizon: HorizonFacts) -> bool:
    """Whether no master beats as often as it should."""
    ages = [one.age for one in (horizon.view.masters if horizon.view else ()) if one.age is not None]
    return not any(age <= 5.0 for age in ages)


@CHECKS.add(
    "two_masters", Severity.ERROR, "One Horizon runs on this machine for each application",
    unless=("managers.supervisord", "managers.systemd"),
)  # fmt: skip
def two_masters(facts: Facts) -> Iterator[Note]:
    """Two masters of the same application run on one machine, each with all its workers: twice the processes that
    config/horizon.php allows. One is often left over from Supervisor, cron or a terminal. Or a Horizon runs that
    queuepool did not start, so nothing here restarts it, and the one of the file would be the second."""
    for horizon, trouble in _troubles(facts, "doubled", "foreign"):
        doubled = any(each.kind == "doubled" for each in horizon.troubles)
        if trouble.kind == "foreign" and (doubled or not horizon.programs):
            continue
        pids = [one.pid for one in (horizon.view.live if horizon.view else ()) if one.pid is not None]
        yield Note(
            horizon.subject, trouble.text, _masters(horizon),
            f"end the one that is not queuepool's: kill -TERM PID (one of {listed([str(pid) for pid in pids])}), and "
            "whatever starts it (Supervisor, systemd, cron)",
            _everybody(horizon), None if trouble.kind == "doubled" else Severity.WARNING,
        )  # fmt: skip


@CHECKS.add("beside", Severity.WARNING, "No worker works on a queue of Horizon")
def beside(facts: Facts) -> Iterator[Note]:
    """A program runs queue:work on a queue that a live supervisor of Horizon has, too. Both take its jobs, and neither
    knows of the other's workers: Horizon's metrics and balancing and queuepool's scaling see half of what happens, and
    options such as tries and timeout differ by chance."""
    for horizon, trouble in _troubles(facts, "shared"):
        mine = tuple(name for name in trouble.programs if name in horizon.others)
        if mine:
            yield Note(
                horizon.subject, trouble.text, _supervisors(horizon),
                f"take the queue from config/horizon.php, or from `queue:` of {listed(mine)}", mine,
            )  # fmt: skip


def _supervisors(horizon: HorizonFacts) -> tuple[str, ...]:
    return tuple(
        f"supervisor {one.name}: {one.connection}:{','.join(one.queues)}, {count(one.count, 'worker')}"
        for one in (horizon.view.working if horizon.view else ())
    )


@CHECKS.add("silent", Severity.WARNING, "Every supervisor of Horizon is alive", unless=("managers.orphans",))
def silent(facts: Facts) -> Iterator[Note]:
    """A supervisor does not beat, or died and left its workers behind: Horizon starts another and forgets them, and
    they take jobs beside the new ones, with the old code."""
    for horizon, trouble in _troubles(facts, "silent", "orphans"):
        names = " ".join(horizon.programs)
        remedy = f"queuepool restart {names}" if names else _artisan(facts, horizon, "horizon:terminate")
        yield Note(horizon.subject, trouble.text, _supervisors(horizon), remedy, _everybody(horizon))


@CHECKS.add("environment", Severity.ERROR, "config/horizon.php has supervisors for this environment")
def environment(facts: Facts) -> Iterator[Note]:
    """Horizon starts the supervisors of the first entry of `environments` whose name fits APP_ENV (or --environment).
    Where none fits, `artisan horizon` runs, calls itself active and works on nothing."""
    for horizon in _horizons(facts):
        for program in horizon.programs:
            if not horizon.supervisors.get(program, ()):
                name = horizon.environment.get(program, "")
                yield Note(
                    horizon.subject,
                    f"has no supervisor for the environment {name or '(none)'}, so it works on no queue",
                    (f"config/horizon.php, environments: {listed(horizon.environments) or 'none'}",
                     f"APP_ENV is {name or 'not set'}"),
                    f"add '{name}' to environments in config/horizon.php, or set APP_ENV to one of them",
                    (program,),
                )  # fmt: skip


@CHECKS.add("version", Severity.ERROR, "Horizon is new enough for this Laravel")
def version(facts: Facts) -> Iterator[Note]:
    """Laravel 11.53, 12.60 and 13.10 brought `queue:work --stop-when-empty-for`. horizon:work extends that command with
    a list of options of its own, so in an older Horizon every worker ends at once with `The "stop-when-empty-for"
    option does not exist.` (laravel/framework #60176, laravel/horizon #1767). The application was asked which options
    both commands have."""
    lacking = {store.app: store for store in (facts.queues.stores if facts.queues else ()) if store.horizon_lacks}
    for horizon in _horizons(facts):
        store = lacking.get(horizon.app)
        if store is not None and _everybody(horizon):
            options = listed([f"--{name}" for name in store.horizon_lacks])
            named = f" {horizon.version}" if horizon.version else ""
            yield Note(
                horizon.subject,
                f"Horizon{named} does not work with Laravel {horizon.laravel}: its workers end at once",
                (f"queue:work has {options}, and horizon:work has not",),
                f"cd {horizon.app} && composer update laravel/horizon, then deploy",
                _everybody(horizon),
            )


@CHECKS.add("snapshot", Severity.INFO, "Horizon's metrics are taken", unless=("horizon.inactive",))
def snapshot(facts: Facts) -> Iterator[Note]:
    """`horizon:snapshot` has not run for 15 minutes, or never: Horizon's graphs of throughput and run time are empty,
    and its balancing by time goes by old numbers. It belongs into the schedule, each five minutes, and the scheduler
    has to run (`schedule:work` as a program, or schedule:run by cron)."""
    for horizon in _horizons(facts):
        if not horizon.view or not horizon.view.live or not horizon.programs:
            continue
        age = None if horizon.snapshot is None else facts.now - horizon.snapshot
        old = age is not None and age > SNAPSHOT_SECONDS
        never = age is None and (horizon.running or 0.0) > YOUNG_SECONDS
        last = "horizon:snapshot has never run"
        if old or never:
            yield Note(
                horizon.subject,
                f"takes no metrics: {f'the last horizon:snapshot was {seconds(age)} ago' if old else last}",
                (f"last_snapshot_at: {'not there' if horizon.snapshot is None else f'{horizon.snapshot:.0f}'}",),
                "Schedule::command('horizon:snapshot')->everyFiveMinutes(); and a program with `php artisan "
                "schedule:work`",
                horizon.programs,
            )


@CHECKS.add("stop", Severity.WARNING, "A stop waits for Horizon's jobs")
def stop(facts: Facts) -> Iterator[Note]:
    """stopwaitsecs of the program is shorter than the longest `timeout` of its supervisors: when Horizon is stopped, as
    each deploy does, jobs that still run are killed. Without stopwaitsecs in the file queuepool takes the longest
    timeout and a margin."""
    by_name = {program.name: program for program in facts.programs}
    for horizon in _horizons(facts):
        for name in horizon.programs:
            program = by_name.get(name)
            longest = max((one.timeout for one in horizon.supervisors.get(name, ())), default=0)
            if program is not None and not program.stop_follows and program.stop_seconds < longest:
                yield Note(
                    program.subject,
                    f"kills Horizon's jobs that take longer than stopwaitsecs, {program.stop_seconds:g} s, when it is "
                    "stopped",
                    (f"stopwaitsecs is {program.stop_seconds:g} ({program.source})",
                     f"config/horizon.php: the longest timeout is {longest}"),
                    f"leave stopwaitsecs out of {program.source or name}, or set it to {longest + 20}",
                    (name,),
                )  # fmt: skip
