"""The example application itself: what tests and people count on."""

import json
import subprocess
import time

import pytest

from tests.support.laravel import EXAMPLE, PHP, LaravelApp
from tests.support.redis import RedisServer
from tests.support.wait import eventually

pytestmark = pytest.mark.php


def work(app: LaravelApp, *args: str) -> subprocess.CompletedProcess[str]:
    return app.try_artisan("queue:work", "--stop-when-empty", "--sleep=0", *args)


def test_a_thousand_jobs_are_dispatched_in_a_moment_and_each_is_done_once(laravel_app: LaravelApp) -> None:
    before = time.monotonic()
    laravel_app.dispatch("Ledger", 1000)
    assert time.monotonic() - before < 10  # 0.15 s on an idle machine; one round trip per job would be far more

    ledger = laravel_app.ledger()
    assert (ledger.sent, ledger.done, len(ledger.missing)) == (1000, 0, 1000)
    assert work(laravel_app).returncode == 0
    ledger = laravel_app.ledger()
    assert ledger.exactly_once
    assert ledger.done == 1000
    assert json.loads(laravel_app.artisan("demo:ledger", "--json")) == {
        "sent": 1000, "done": 1000, "missing": [], "doubled": [], "unfinished": [],
    }  # fmt: skip


def test_a_job_that_was_killed_and_one_done_twice_are_named(laravel_app: LaravelApp, redis_server: RedisServer) -> None:
    laravel_app.dispatch("Ledger", 1)
    [payload] = redis_server.client.lrange(redis_server.prefix + "queues:default", 0, -1)
    redis_server.client.rpush(redis_server.prefix + "queues:default", payload)
    work(laravel_app)
    laravel_app.dispatch("Ledger", 1, ms=60_000)
    worker = subprocess.Popen(
        [*PHP, "artisan", "queue:work", "--quiet"], cwd=laravel_app.root, stdin=subprocess.DEVNULL
    )
    try:
        eventually(lambda: laravel_app.ledger().unfinished, what="the job was begun")
    finally:
        worker.kill()
        worker.wait()

    ledger = laravel_app.ledger()
    assert (len(ledger.doubled), len(ledger.missing), ledger.missing) == (1, 1, ledger.unfinished)
    report = laravel_app.try_artisan("demo:ledger")
    assert report.returncode == 1
    assert report.stdout.splitlines()[0] == "1 of 2 jobs done"
    assert ledger.missing[0] in report.stdout
    assert ledger.doubled[0] in report.stdout


def test_each_kind_of_job_does_what_its_name_says(laravel_app: LaravelApp) -> None:
    laravel_app.dispatch("Quick", queue="high")
    laravel_app.dispatch("Failing")
    laravel_app.dispatch("Long", ms=1000)
    laravel_app.dispatch("Hungry", mb=150)
    done = work(laravel_app, "--queue=high,default", "--tries=1", "--memory=128")

    assert done.returncode == 12, "Laravel's exit code for a worker over its memory limit"
    assert "long job: 1 of 1 s" in done.stdout
    assert "this job always fails" in laravel_app.log()
    assert "App\\Jobs\\Failing" in laravel_app.artisan("queue:failed")


def test_a_delayed_job_waits_and_a_reset_forgets_everything(laravel_app: LaravelApp, redis_server: RedisServer) -> None:
    laravel_app.dispatch("Ledger", 3, delay=60, queue="low")
    assert redis_server.client.zcard(redis_server.prefix + "queues:low:delayed") == 3

    laravel_app.artisan("demo:reset")
    assert redis_server.client.keys(redis_server.prefix + "queues*") == []
    assert laravel_app.ledger().sent == 0


def test_the_database_connection_works_too(laravel_app: LaravelApp) -> None:
    laravel_app.dispatch("Ledger", 501, connection="database")
    work(laravel_app, "database", "--max-jobs=20")
    ledger = laravel_app.ledger()
    assert (ledger.sent, ledger.done, len(ledger.missing), ledger.doubled) == (501, 20, 481, ())


def test_an_unknown_job_is_refused(laravel_app: LaravelApp) -> None:
    refused = laravel_app.try_artisan("demo:dispatch", "Nonsense")
    assert refused.returncode == 2
    assert "Quick, Sleeping, Failing, Hungry, Long, Ledger, Crashing" in refused.stdout


def test_a_copy_writes_nothing_into_the_example(laravel_app: LaravelApp) -> None:
    def files() -> set[str]:
        return {str(file) for file in EXAMPLE.rglob("*") if ".run" not in file.parts}

    before = files()
    laravel_app.dispatch("Ledger", 1)
    work(laravel_app)
    assert files() == before
    assert laravel_app.ledger().done == 1
