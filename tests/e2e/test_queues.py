"""`queues` and `redis` on a real application: what the daemon knows, what a command finds without one, and what both
say when Redis or the application is in trouble."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from queuepool.control.client import Client
from queuepool.control.messages import Queues
from tests.support.daemon import Queuepool
from tests.support.laravel import PHP, LaravelApp
from tests.support.redis import RedisServer
from tests.support.wait import eventually

pytestmark = pytest.mark.php


def text(app: LaravelApp, more: str = "") -> str:
    return f"""
app: {app.root}
php: {json.dumps(PHP)}
programs:
  w:
    connection: redis
    queue: [high, default]
    numprocs: 2
    tries: 3
    sleep: 0.1
    fatal_retry: 1
{more}"""


def rows(qp: Queuepool) -> dict[str, dict[str, Any]]:
    """What the daemon knows of each queue."""
    return {row["queue"]: row for row in Client(qp.run.socket).ask(Queues())["queues"]}


def row(qp: Queuepool, queue: str = "default") -> dict[str, Any]:
    """What the daemon knows of one queue, once the application was asked which there are."""
    found: dict[str, Any] = eventually(lambda: rows(qp).get(queue), 60, f"{queue} is known", show=qp.story)  # type: ignore[assignment]
    return found


def test_right_after_a_start_the_queues_are_known_to_who_asks(tmp_path: Path, laravel_app: LaravelApp) -> None:
    laravel_app.dispatch("Ledger", 3, delay=600)
    with Queuepool(tmp_path / "qp", text(laravel_app)) as qp:
        qp.up()
        assert rows(qp)["default"]["delayed"] == 3
        assert set(rows(qp)) == {"high", "default"}


def test_depths_workers_and_rates_are_those_of_the_work(tmp_path: Path, laravel_app: LaravelApp) -> None:
    held = laravel_app.hold()
    with Queuepool(tmp_path / "qp", text(laravel_app)) as qp:
        qp.up()
        qp.running("w", 2)
        eventually(lambda: row(qp)["ready"] == 0, 30, "the queues were read", show=qp.story)
        laravel_app.dispatch("Ledger", 4, delay=600)
        laravel_app.dispatch("Ledger", 40, ms=10)

        def busy() -> bool:
            seen = row(qp)
            return bool(seen["busy"] == 2 and seen["reserved"] == 2 and seen["delayed"] == 4 and seen["ready"] > 3)

        eventually(busy, 30, "both work on them", show=lambda: (rows(qp), qp.story()))
        laravel_app.dispatch("Ledger", 5, ms=10, queue="high")  # not before: workers that boot now would take these
        shown = qp("queues")
        assert shown.splitlines()[0].split()[:3] == ["QUEUE", "READY", "DELAYED"]
        assert "redis:default" in shown

        def told() -> bool:  # between two jobs a worker has none
            return [(p["job"] or {}).get("class") for p in qp.processes("w")] == ["App\\Jobs\\Ledger"] * 2

        eventually(told, 30, "the job of each is told", show=lambda: qp.processes("w"))
        eventually(lambda: "running App\\Jobs\\Ledger" in qp("status"), 30, "status shows a job")
        over = qp.try_("queues", "--max-depth", "2")
        assert over.returncode == 3
        assert "more than 2" in over.stderr
        held.unlink()
        eventually(lambda: laravel_app.ledger().done == 45, 60, "all are done", show=qp.story)

        def settled() -> bool:
            seen = row(qp)
            return [seen[key] for key in ("ready", "reserved", "delayed", "busy", "wait")] == [0, 0, 4, 0, 0.0]

        eventually(settled, 30, "nobody is busy", show=lambda: rows(qp))
        assert all(p["job"] is None for p in qp.processes("w"))
        assert qp.try_("queues", "--max-depth", "2", "--max-wait", "10s").returncode == 0


def test_the_age_of_the_oldest_job_grows(tmp_path: Path, laravel_app: LaravelApp) -> None:
    with Queuepool(tmp_path / "qp", text(laravel_app).replace("numprocs: 2", "numprocs: 0")) as qp:
        qp.up()
        laravel_app.dispatch("Ledger", 1)
        eventually(lambda: row(qp)["oldest"] is not None, 30, "its age is known", show=lambda: rows(qp))
        first = row(qp)["oldest"]
        eventually(lambda: row(qp)["oldest"] > first + 1, 30, "it grows")
        assert (row(qp)["workers"], row(qp)["wait"]) == (0, None)
        assert qp.try_("queues", "--max-wait", "500ms").returncode == 3


def test_without_a_daemon_the_command_looks_itself(tmp_path: Path, laravel_app: LaravelApp) -> None:
    with Queuepool(tmp_path / "qp", text(laravel_app)) as qp:
        laravel_app.dispatch("Ledger", 7)
        done = qp.try_("queues")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[2].split()[:3] == ["redis:default", "7", "0"]
        assert done.stderr == "no daemon runs: workers and rates are not known\n"
        server = qp.try_("redis")
        assert server.returncode == 0
        assert "UP  PING" in server.stdout
        assert "queue redis" in server.stdout


def test_a_cached_configuration_is_what_counts(tmp_path: Path, laravel_app: LaravelApp) -> None:
    """With config:cache in force neither .env nor config/ is read, by workers as by us."""
    laravel_app.artisan("config:cache")
    laravel_app.set_env(REDIS_PREFIX="other_", REDIS_PORT="1")
    laravel_app.dispatch("Ledger", 3)
    with Queuepool(tmp_path / "qp", text(laravel_app)) as qp:
        assert "redis:default      3" in qp("queues")
        qp.up()
        eventually(lambda: laravel_app.ledger().done == 3, 60, "they are done", show=qp.story)
        eventually(lambda: row(qp)["ready"] == 0, 30, "and the daemon sees it")


def test_another_driver_is_sized_by_the_application(tmp_path: Path, laravel_app: LaravelApp) -> None:
    database = "  d: {connection: database, queue: imports, numprocs: 0}\n"
    with Queuepool(tmp_path / "qp", text(laravel_app, database)) as qp:
        laravel_app.dispatch("Ledger", 3, connection="database", queue="imports")
        qp.up()
        eventually(lambda: rows(qp).get("imports", {}).get("ready") == 3, 60, "it was read", show=lambda: rows(qp))


def said(qp: Queuepool) -> tuple[str, str]:
    """What `redis` and `queues` print; both have to answer within 2 s and the patience of a busy machine."""
    began = time.monotonic()
    redis = qp.try_("redis")
    took = time.monotonic() - began
    assert redis.returncode == 1, redis.stdout + redis.stderr
    assert took < 2.0 + 18.0, f"it took {took:.1f} s"
    assert "Traceback" not in redis.stderr
    return redis.stdout, qp.try_("queues").stdout


def test_a_redis_that_is_stopped_frozen_or_locked_is_said_and_all_is_well_afterwards(
    tmp_path: Path, laravel_app: LaravelApp, redis_server: RedisServer
) -> None:
    where = f"127.0.0.1:{redis_server.port}"
    with Queuepool(tmp_path / "qp", text(laravel_app)) as qp:
        qp.up()
        before = qp.running("w", 2)
        eventually(lambda: row(qp)["ready"] == 0, 30, "the queues were read", show=qp.story)
        assert qp.try_("redis").returncode == 0

        redis_server.freeze()
        redis, _ = said(qp)
        assert f"redis at {where} does not answer within 1 s" in redis
        eventually(lambda: "does not answer" in row(qp)["why"], 20, "queues says so", show=lambda: rows(qp))
        status = qp.try_("status")
        assert status.returncode == 3
        assert f"redis at {where} does not answer" in status.stdout
        redis_server.thaw()
        eventually(lambda: row(qp)["why"] == "", 20, "all is well", show=lambda: rows(qp))
        assert qp.running("w", 2) == before, "nobody was restarted for it"

        redis_server.client.config_set("requirepass", "secret-word")
        redis_server.client.client_kill_filter(_type="normal", skipme=True)
        eventually(lambda: "password" in row(qp)["why"], 20, "queues says so", show=lambda: rows(qp))
        redis, queues = said(qp)
        assert f"redis at {where} wants a password, and none is configured" in redis
        assert "secret-word" not in redis + queues + qp.journal()
        redis_server.client.config_set("requirepass", "")
        eventually(lambda: row(qp)["why"] == "", 20, "all is well", show=lambda: rows(qp))

        redis_server.stop()
        redis, _ = said(qp)
        assert f"redis at {where} refuses connections" in redis
        eventually(lambda: "refuses" in row(qp)["why"], 20, "queues says so", show=lambda: rows(qp))
        redis_server.start()
        eventually(lambda: row(qp)["why"] == "", 20, "all is well", show=lambda: rows(qp))
        qp.running("w", 2)
        laravel_app.dispatch("Ledger", 10)
        eventually(lambda: laravel_app.ledger().done == 10, 30, "they work", show=qp.story)
        assert qp.try_("status").returncode == 0


def test_a_redis_that_loses_jobs_is_warned_of(
    tmp_path: Path, laravel_app: LaravelApp, redis_server: RedisServer
) -> None:
    redis_server.client.config_set("maxmemory", "100mb")
    redis_server.client.config_set("maxmemory-policy", "allkeys-lru")
    with Queuepool(tmp_path / "qp", text(laravel_app)) as qp:
        done = qp.try_("redis")
        assert done.returncode == 0
        assert "allkeys-lru" in done.stdout
        assert "noeviction" in done.stdout


BROKEN = {
    "a parse error": ("app/Providers/Broken.php", "<?php\nclass {"),
    "a provider that throws": (
        "app/Providers/Broken.php",
        "<?php\nnamespace App\\Providers;\nclass Broken extends \\Illuminate\\Support\\ServiceProvider {\n"
        "    public function register() { throw new \\RuntimeException('no tenant'); }\n}\n",
    ),
    "a broken configuration": ("config/queue.php", "<?php return ["),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_application_gives_one_clear_line_and_the_daemon_goes_on(
    tmp_path: Path, laravel_app: LaravelApp, kind: str
) -> None:
    name, code = BROKEN[kind]
    other = "  other: {command: sleep 1000, directory: /}\n"
    with Queuepool(tmp_path / "qp", text(laravel_app, other)) as qp:
        qp.up()
        qp.running("w", 2)
        pid = qp.status()["daemon"]["pid"]
        file = laravel_app.root / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(code)
        if "Providers" in name:
            config = laravel_app.root / "config/app.php"
            config.write_text(
                config.read_text().replace("'providers' => [", "'providers' => [App\\Providers\\Broken::class,")
            )
        problem = eventually(lambda: problems(qp), 60, "it is said", show=qp.story)
        assert len(problem) == 1, problem  # type: ignore[arg-type]
        assert str(laravel_app.root) in problem[0]  # type: ignore[index]
        assert Path(name).name in problem[0], "the file where it is"  # type: ignore[index]
        assert "\n" not in problem[0]  # type: ignore[index]
        assert len(qp.running("w", 2)) == 2, "what runs goes on with what it has loaded"
        assert qp.status()["daemon"]["pid"] == pid
        assert qp.running("other", 1)
        assert "Traceback" not in qp.journal()


def problems(qp: Queuepool) -> list[str]:
    found: list[str] = json.loads(qp.try_("queues", "--json").stdout)["problems"]
    return found
