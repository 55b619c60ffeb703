"""What the configuration of the application says of queues, caches and failed jobs. PURE. The group is that of
application.py."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from difflib import get_close_matches

from queuepool.doctor.checks.application import clear
from queuepool.doctor.checks.base import Checks
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.application import ApplicationFacts
from queuepool.doctor.facts.program import ProgramFacts
from queuepool.doctor.finding import Note, Severity
from queuepool.laravel.config import CacheFile
from queuepool.laravel.inside import Table

CHECKS = Checks("application", needs=("applications",))

_WITHOUT_QUEUE = {
    "sync": "jobs run at once where they are dispatched, so there is nothing for a worker",
    "null": "jobs are thrown away when they are dispatched",
    "deferred": "jobs run at the end of the request that dispatches them, so there is nothing for a worker",
    "background": "jobs run in a process of their own, so there is nothing for a worker",
}
"""Drivers behind which no queue waits (Illuminate/Queue)."""
_ELSEWHERE = ("application.config_elsewhere", "application.env")
_ASIDE = ("readonly", "sqlite", "traverse")


def _workers(facts: Facts, app: ApplicationFacts) -> Iterator[ProgramFacts]:
    return (one for one in facts.programs if one.name in app.programs and one.kind in ("worker", "listen"))


@CHECKS.add("queue_connection", Severity.ERROR, "The queue connection of each program has a queue", unless=_ELSEWHERE)
def queue_connection(facts: Facts) -> Iterator[Note]:
    """A program without `connection:` works on the default one, QUEUE_CONNECTION. With `sync`, the default of Laravel 6
    to 10, `queue:work` idles for ever without a word while jobs run inside web requests; with `null` they vanish. Set
    QUEUE_CONNECTION to redis or database, or give the program a `connection:`."""
    for app in facts.applications:
        config = app.asked
        if config is None:
            continue
        for program in _workers(facts, app):
            name = program.connection or config.default_connection
            entry = config.connections.get(name or "")
            driver = entry.driver if entry else "null" if name in (None, "null") else ""
            if driver not in _WITHOUT_QUEUE:
                continue
            real = [one for one, it in config.connections.items() if it.driver not in _WITHOUT_QUEUE]
            said = f"its connection is {name}" if program.connection else f"queue.default is {name or 'empty'}"
            yield Note(
                program.subject,
                f"it works on the connection {name or 'null'}, which has no queue, so it never gets a job",
                (f"{said}, with the driver {driver}: {_WITHOUT_QUEUE[driver]}",),
                (f"change `connection:` of the program ({program.source})" if program.connection else
                 f"set QUEUE_CONNECTION in {config.environment_file or '.env'}, or `connection:` of the program")
                + (f"; there are {', '.join(real[:8])}" if real else ""),
                (program.name,),
            )  # fmt: skip


@CHECKS.add("connection", Severity.ERROR, "Every queue connection is configured", unless=_ELSEWHERE)
def connection(facts: Facts) -> Iterator[Note]:
    """The connection that a program works on is no entry of `connections` in config/queue.php: each start of a worker
    ends with 1 and "The [x] queue connection has not been configured."."""
    for app in facts.applications:
        config = app.asked
        if config is None:
            continue
        for program in _workers(facts, app):
            name = program.connection or config.default_connection
            if not name or name == "null" or name in config.connections:
                continue
            near = get_close_matches(name, config.connections, 1)
            whose = f"`connection:` of the program ({program.source})" if program.connection else "QUEUE_CONNECTION"
            yield Note(
                program.subject,
                f"its queue connection {name} is not in config/queue.php, so it cannot start",
                ("config/queue.php has " + (", ".join(config.connections) or "none"),),
                f"change {whose}" + (f" to {near[0]}" if near else " to one of them"),
                (program.name,),
            )


@CHECKS.add("cache_store", Severity.WARNING, "The cache is one that all processes share", unless=_ELSEWHERE)
def cache_store(facts: Facts) -> Iterator[Note]:
    """queue:restart, queue:pause, unique jobs and WithoutOverlapping speak to workers through the default cache store.
    With `array` or `null` each process has one of its own: they have no effect, and say nothing. A store that
    config/cache.php does not have, or whose table is missing, keeps workers from running (an error)."""
    for app in facts.applications:
        config = app.asked
        if config is None:
            continue
        table = next((one for one in _tables(app, "cache") if not one.there), None)
        where = f"set CACHE_STORE (CACHE_DRIVER before Laravel 11) in {config.environment_file or '.env'}"
        if config.cache is None:
            yield Note(app.subject, "its default cache store is not in config/cache.php, so no worker can run",
                       ("cache.default names no entry of cache.stores",), f"{where} to one that is there",
                       app.programs, Severity.ERROR)  # fmt: skip
        elif not config.cache.shared:
            yield Note(app.subject, f"its cache store {config.cache.name} is not shared, so queue:restart and "
                       "queue:pause have no effect", (f"cache.default is {config.cache.name}, with the driver "
                       f"{config.cache.driver}",), f"{where} to redis, database or file", app.programs)  # fmt: skip
        elif table:
            yield Note(app.subject, f"the table {table.table} of its cache store {table.name} cannot be used",
                       (_evidence(table),), f"{app.artisan('cache:table')} && {app.artisan('migrate', '--force')}",
                       app.programs, Severity.ERROR)  # fmt: skip


@CHECKS.add("cache_in_release", Severity.WARNING, "The cache outlives a release", unless=_ELSEWHERE)
def cache_in_release(facts: Facts) -> Iterator[Note]:
    """The file store lies in the directory of the release, which the next deploy leaves behind: `queue:restart` from
    the new release writes to another file than the one which old workers read, so they never end. Link storage/ to a
    directory that all releases share, or use redis. (`queuepool deploy` restarts workers by itself.)"""
    for app in facts.applications:
        store = app.asked.cache if app.asked else None
        if store is None or store.driver != "file" or not store.path:
            continue
        releases = posixpath.dirname(app.release.rstrip("/"))
        if posixpath.basename(releases) == "releases" and f"{app.files.cache_real}/".startswith(f"{app.release}/"):
            yield Note(app.subject, "its file cache lies in the release, so the next deploy has another one",
                       (f"cache.stores.{store.name}.path is {store.path}",),
                       f"link {app.release}/storage to {posixpath.dirname(releases)}/shared/storage, or use redis",
                       app.programs)  # fmt: skip


def _cache(app: ApplicationFacts, name: str) -> CacheFile | None:
    return app.config.caches.get(name) if app.config else None


def _stale(facts: Facts, name: str, what: str, command: str) -> Iterator[Note]:
    """Of each application whose cache is older than what it was made from. command: artisan's, before `:cache`."""
    for app in facts.applications:
        cache = _cache(app, name)
        if cache and cache.stale:
            newer = tuple(f"{file} is newer than {cache.path}" for file in cache.newer[:5])
            yield Note(app.subject, what, newer, app.artisan(f"{command}:cache"), app.programs,
                       fix=clear(app, f"{command}:clear"))  # fmt: skip


@CHECKS.add(
    "config_stale", Severity.WARNING, "The cached configuration is up to date", unless=("application.config_elsewhere",)
)
def config_stale(facts: Facts) -> Iterator[Note]:
    """`artisan config:cache` wrote the whole configuration into one file; since then neither .env nor config/ is read.
    They were changed later, and the change has no effect. Make the cache anew, or clear it."""
    yield from _stale(
        facts, "config", "its configuration is cached, and was changed since: the change has no effect", "config"
    )


@CHECKS.add("config_elsewhere", Severity.ERROR, "The cached configuration was made in this directory")
def config_elsewhere(facts: Facts) -> Iterator[Note]:
    """The cached configuration holds absolute paths (logs, cache, views, SQLite). It was made in another directory, on
    a build server or in another release, and copied: workers write to places that do not exist here or belong to
    another release. Run `config:cache` in the directory where the application runs, after it has got there."""
    for app in facts.applications:
        if app.files.foreign:
            cache = _cache(app, "config")
            path = cache.path if cache else "bootstrap/cache/config.php"
            yield Note(app.subject, "its cached configuration was made in another directory",
                       tuple(f"{path} has {foreign}" for foreign in app.files.foreign[:5]),
                       app.artisan("config:cache"), app.programs, fix=clear(app, "config:clear"))  # fmt: skip


@CHECKS.add("routes_stale", Severity.INFO, "The cached routes are up to date")
def routes_stale(facts: Facts) -> Iterator[Note]:
    """Cached routes are older than routes/. Workers only need them to make URLs in mails; the web server has the same
    cache."""
    yield from _stale(facts, "routes", "its routes are cached, and were changed since", "route")


@CHECKS.add("events_stale", Severity.WARNING, "The cached events are up to date")
def events_stale(facts: Facts) -> Iterator[Note]:
    """Cached events are older than the listeners: a listener that was added since is never called, and its job is never
    dispatched."""
    yield from _stale(facts, "events", "its events are cached, and listeners were changed since", "event")


@CHECKS.add("env_calls", Severity.WARNING, "env() is called in config/ alone", unless=("application.config_elsewhere",))
def env_calls(facts: Facts) -> Iterator[Note]:
    """Once the configuration is cached, .env is not read any more and env() outside of config/ gives null
    (https://laravel.com/docs/configuration#configuration-caching). Put the value into a file of config/ and call
    config() instead."""
    for app in facts.applications:
        calls = app.files.env_calls
        if calls and app.config and app.config.config_cached:
            yield Note(app.subject, "its configuration is cached, so env() in its code gives null",
                       (*calls[:5], *(["and more"] if len(calls) > 5 else [])),
                       "put these into a file of config/ and call config() instead", app.programs)  # fmt: skip


def _tables(app: ApplicationFacts, use: str) -> Iterator[Table]:
    return (one for one in (app.inside.tables if app.inside else ()) if one.use == use)


def _evidence(table: Table) -> str:
    return f"database connection {table.connection}: " + (table.why or f"there is no table {table.table}")


@CHECKS.add("jobs_table", Severity.ERROR, "The tables of database queues are there",
            unless=(*_ELSEWHERE, *(f"permissions.{name}" for name in _ASIDE)))  # fmt: skip
def jobs_table(facts: Facts) -> Iterator[Note]:
    """The driver `database` keeps jobs in a table. It is not there, or its database does not answer: jobs cannot be
    dispatched, and each worker writes an exception per second."""
    for app in facts.applications:
        for table in _tables(app, "queue"):
            if not table.there:
                default = app.config.default_connection if app.config else None
                programs = tuple(one.name for one in _workers(facts, app) if (one.connection or default) == table.name)
                yield Note(app.subject, f"the table {table.table} of the queue connection {table.name} cannot be used",
                           (_evidence(table),), _make(app, table, "queue:table"), programs or app.programs)  # fmt: skip


@CHECKS.add("failed_store", Severity.ERROR, "Failed jobs are kept",
            unless=(*_ELSEWHERE, "application.jobs_table", *(f"permissions.{name}" for name in _ASIDE)))  # fmt: skip
def failed_store(facts: Facts) -> Iterator[Note]:
    """A job that fails for good is written to a table, from which `queue:retry` takes it. Where that table is missing,
    or its database does not answer, the job is gone with all it carried, and the worker writes an exception instead.
    With the driver `null` that is on purpose (a warning)."""
    for app in facts.applications:
        failed = app.asked.failed if app.asked else None
        if failed is not None and failed.driver == "null":
            yield Note(app.subject, "jobs that fail are thrown away", ("queue.failed.driver is null",),
                       "set QUEUE_FAILED_DRIVER=database-uuids", app.programs, Severity.WARNING)  # fmt: skip
        for table in _tables(app, "failed"):
            if not table.there:
                yield Note(app.subject, "jobs that fail cannot be kept, and are lost", (_evidence(table),),
                           _make(app, table, "queue:failed-table"), app.programs)  # fmt: skip


def _make(app: ApplicationFacts, table: Table, command: str) -> str:
    if table.why:
        return f"look over the database connection {table.connection}, then: {app.artisan('migrate:status')}"
    return f"{app.artisan(command)} && {app.artisan('migrate', '--force')}"
