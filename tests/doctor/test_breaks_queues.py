"""Real queues of a real application on which nobody works as they should."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time

import pytest

from queuepool.control.client import Client
from queuepool.control.messages import Queues
from tests.support.installation import Break, Installation
from tests.support.laravel import laravel_version
from tests.support.wait import eventually

pytestmark = pytest.mark.doctor


def put(it: Installation, queue: str = "default", place: str = "", score: float = 0.0, **more: object) -> None:
    """A job as Laravel writes it into Redis."""
    job = {"uuid": "5ad0", "displayName": "App\\Jobs\\Quick", "attempts": 0, "id": "Xy7", **more}
    key = f"{it.app.prefix}queues:{queue}"
    if place:
        it.redis.client.zadd(f"{key}:{place}", {json.dumps(job): score})
    else:
        it.redis.client.rpush(key, json.dumps(job))


def forgotten_queue(it: Installation) -> None:
    it.app.dispatch("quick", 2, queue="mail")


def serve_it_too(it: Installation) -> None:
    it.program(queue=["default", "mail"])
    run_until("ready", "mail", it)


def run_until(nothing_is: str, queue: str, it: Installation) -> None:
    it.qp.up()
    eventually(lambda: _told(it, nothing_is, queue) == 0, what="all is done")


def misspelt_queue(it: Installation) -> None:
    it.program(queue="notfications")
    it.app.dispatch("quick", queue="notifications")


def a_driver_without_its_package(it: Installation) -> None:
    file = it.app.root / "config/queue.php"
    entry = (
        "'beanstalkd' => ['driver' => 'beanstalkd', 'host' => '127.0.0.1', 'queue' => 'default', 'retry_after' => 90],"
    )
    file.write_text(file.read_text().replace("'connections' => [", f"'connections' => [{entry}"))
    it.program(connection="beanstalkd")


def a_key_of_another_kind(it: Installation) -> None:
    it.redis.client.set(f"{it.app.prefix}queues:default", "mine")


def nobody_runs(it: Installation) -> None:
    it.app.dispatch("quick", 3)


def idle_workers(it: Installation) -> None:
    """A signal pauses the worker, which the daemon does not know."""
    it.works()
    [pid] = it.qp.running("w", 1).values()
    os.kill(pid, signal.SIGUSR2)
    put(it, createdAt=int(time.time()) - 1000, pushedAt=str(time.time() - 1000))
    eventually(lambda: _told(it, "oldest"), what="the daemon sees the job")


def _told(it: Installation, name: str, queue: str = "default") -> object:
    told = Client(it.qp.run.socket).ask(Queues())  # many times over: a command each would be work for a processor
    rows = [row for row in told["queues"] if row["queue"] == queue]
    assert rows, "the application was not asked yet"
    return rows[0][name]


def a_busy_pool(it: Installation) -> None:
    """The worker works on something else for long, while another job waits since long."""
    it.program(queue=["high", "default"])
    it.app.dispatch("sleeping", queue="high", ms=250_000)
    it.qp.up()
    it.qp.running("w", 1)
    eventually(lambda: _told(it, "busy"), what="it is at work")
    put(it, createdAt=int(time.time()) - 1000, pushedAt=str(time.time() - 1000))


def more_than_can_be_done(it: Installation) -> None:
    it.app.dispatch("sleeping", ms=250_000)
    it.qp.up()
    it.qp.running("w", 1)
    eventually(lambda: _told(it, "busy"), what="it is at work")
    eventually(lambda: _told(it, "rate_in") is not None, what="rates are known")
    it.app.dispatch("quick", 20)
    eventually(lambda: _rising(it), what="the daemon has seen them come")


def _rising(it: Installation) -> bool:
    came, ready = _told(it, "rate_in"), _told(it, "ready")
    return isinstance(came, float) and came > 0 and ready == 20


def poisoned(it: Installation) -> None:
    put(it, place="delayed", score=time.time() + 3600, attempts=12, maxTries=None)


def failing_jobs(it: Installation) -> None:
    it.app.dispatch("failing", 2)
    it.app.artisan("queue:work", "--stop-when-empty", "--sleep=0")
    it.own()


def many_failures(it: Installation) -> None:
    """Two jobs that failed, and twelve more like each of them."""
    failing_jobs(it)
    with sqlite3.connect(it.app.root / "storage/app/database.sqlite") as database:
        names = [row[1] for row in database.execute("pragma table_info(failed_jobs)")]
        others = ", ".join(name for name in names if name not in ("id", "uuid"))
        for copy in range(12):
            insert = f"insert into failed_jobs (uuid, {others}) select uuid || ?, {others} from failed_jobs limit 2"
            database.execute(insert, (f"-{copy}",))
    database.close()


def forget_failures(it: Installation) -> None:
    it.app.artisan("queue:flush")
    it.own()


def old_failures(it: Installation) -> None:
    with sqlite3.connect(it.app.root / "storage/app/database.sqlite") as database:
        database.execute("update failed_jobs set failed_at = '2020-01-01 00:00:00'")
    database.close()


def many_workers_on_sqlite(it: Installation) -> None:
    it.program(connection="database", numprocs=6)


def paused_queue(it: Installation) -> None:
    it.app.set_env(CACHE_STORE="redis")
    it.app.artisan("queue:pause", "redis:default")


def resumed(it: Installation) -> None:
    it.app.artisan("queue:resume", "redis:default")


BREAKS = [
    Break(
        "queues.unserved", forgotten_queue, r"queues:mail: 2 ready, .*the first is App.Jobs.Quick", "warning",
        mended=serve_it_too,
    ),
    Break(
        "queues.typo", misspelt_queue, r"queues:notifications: 1 ready.*\nw works on notfications", "warning",
    ),
    Break(
        "queues.unreadable", a_driver_without_its_package, "driver beanstalkd: .*Pheanstalk", name="driver",
        mended=lambda it: it.program(connection=None),
    ),
    Break(
        "queues.unreadable", a_key_of_another_kind, "WRONGTYPE", name="key",
        mended=lambda it: it.redis.client.flushdb(),
    ),
    Break(
        "queues.stuck", nobody_runs, r"3 ready, .*\nprograms that should: w",
        mended=lambda it: run_until("ready", "default", it),
    ),
    Break("queues.stuck", idle_workers, r"the first waits for 1[78] min\n0 of 1 worker at work", name="idle"),
    Break("queues.expired", lambda it: put(it, place="reserved", score=time.time() - 5, attempts=1), "1 expired"),
    Break(
        "queues.delayed_due", lambda it: put(it, place="delayed", score=time.time() - 5), "1 delayed, 1 due",
        mended=lambda it: run_until("due", "default", it),
    ),
    Break("queues.oldest", a_busy_pool, r"waits for 1[78] min\n1 of 1 worker at work", "warning"),
    Break("queues.growing", more_than_can_be_done, r"jobs/s came and 0 jobs/s were done", "warning"),
    Break("queues.poison", poisoned, r"first of the delayed jobs: 5ad0, attempts 12", "warning"),
    Break(
        "queues.failed", failing_jobs, r"the newest: App.Jobs.Failing in redis:default, .* ago\n.*Exception", "info",
        mended=forget_failures,
    ),
    Break("queues.failed", many_failures, "App.Jobs.Failing", "warning", mended=old_failures, name="many"),
    Break("queues.database_locks", many_workers_on_sqlite, r"sqlite 3\..*\nw: numprocs 6", "warning"),
]  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_broken_queues_are_found(broken: Break) -> None:
    broken.prove()


@pytest.mark.php  # with the Laravels of `tests/run --laravel` too: only a newer one can pause a queue
def test_a_paused_queue_is_found() -> None:
    if laravel_version() < (12, 40):
        pytest.skip("this Laravel cannot pause a queue")
    Break("queues.paused", paused_queue, "illuminate:queue:paused:redis:default", "warning", mended=resumed).prove()


def test_a_queue_that_somebody_else_works_on_is_not_forgotten() -> None:
    with Installation() as it:
        forgotten_queue(it)
        put(it, "mail", "reserved", time.time() + 60, uuid="77", attempts=1)
        assert it.look()["findings"] == []


@pytest.mark.parametrize("names", [(), ("w",)])
def test_a_queue_that_is_worked_on_by_another_connection_to_the_same_redis_is_not_forgotten(names: list[str]) -> None:
    """As Laravel's documentation advises for jobs that take long: a connection with another retry_after."""
    with Installation() as it:
        file = it.app.root / "config/queue.php"
        entry = "'slow' => ['driver' => 'redis', 'connection' => 'default', 'queue' => 'slow', 'retry_after' => 900],"
        file.write_text(file.read_text().replace("'connections' => [", f"'connections' => [{entry}"))
        it.programs["slow"] = {"connection": "slow", "queue": "slow"}
        it.write()
        put(it, "slow", "delayed", time.time() + 3600)
        assert it.look(names=names)["findings"] == []


def test_jobs_of_another_application_in_the_same_database_are_its_own() -> None:
    with Installation() as it:
        it.redis.client.rpush("other_queues:default", json.dumps({"displayName": "App\\Jobs\\NotOurs", "attempts": 0}))
        assert it.look()["findings"] == []
