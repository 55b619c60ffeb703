"""What `queues` and `redis` show and end with."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click
import pytest

from queuepool.cli import queue_table, render
from queuepool.cli.queues import exceeded
from queuepool.control.messages import Queues, Redis
from queuepool.domain.queues import Concern, QueueView, RedisHealth
from tests.control.fake import FakeDaemon

from .calling import Place, call

HIGH = QueueView(
    "redis", "high", "redis", ready=12, delayed=3, due=1, reserved=4, expired=0, oldest=2.25, rate_in=10.04,
    rate_done=123.4, failed=2, workers=4, busy=4, wait=0.6, programs=("laravel-worker",),
)  # fmt: skip
AWAY = QueueView("redis", "mail", "redis", workers=2, busy=0, why="redis at 127.0.0.1:6379 refuses connections")
SERVER = RedisHealth(
    "127.0.0.1:6379", latency=0.00042, version="7.0.15", role="master", used_memory=1_500_000, maxmemory=10_000_000,
    policy="allkeys-lru", persistence="rdb", saved=True, clients=9, maxclients=10_000, uses=("queue redis", "cache"),
    concerns=(Concern("eviction", "loses jobs when memory is full; set noeviction"),),
)  # fmt: skip


def reply(*rows: QueueView, **more: Any) -> dict[str, Any]:
    return {"queues": [asdict(row) for row in rows], "redis": {}, "problems": [], **more}


def shown(lines: Any) -> list[str]:
    return [click.unstyle(line) for line in lines]


def test_the_table_has_a_line_for_each_queue_in_columns() -> None:
    idle = QueueView("redis", "default", ready=0, delayed=0, due=0, reserved=0)
    assert shown(queue_table.queues(reply(HIGH, idle))) == [
        "QUEUE          READY  DELAYED  DUE  RESERVED  OLDEST  IN/S  DONE/S  FAILED  BUSY  WAIT",
        "redis:high        12        3    1         4    2.2s  10.0     123       2   4/4  0.6s",
        "redis:default      0        0    0         0       -     -       -       -     -     -",
    ]  # fmt: skip


def test_what_is_wrong_stands_below() -> None:
    rows = (AWAY, QueueView("redis", "slow", ready=1, delayed=0, due=0, reserved=2, expired=1, paused=True))
    lines = shown(queue_table.queues(reply(*rows, problems=["cannot boot the application in /srv/app"])))
    assert lines[3] == "! redis:mail: redis at 127.0.0.1:6379 refuses connections"
    assert lines[4] == "! redis:slow is paused: `php artisan queue:resume redis:slow` lets it go on"
    assert lines[5] == "! redis:slow: 1 job is reserved for longer than retry_after and will run again"
    assert lines[6] == "! cannot boot the application in /srv/app"


def test_rough_counts_are_marked_and_no_queue_at_all_is_said() -> None:
    row = QueueView("sqs", "jobs", "sqs", ready=7, delayed=0, due=0, reserved=0, estimated=True)
    assert "~7" in shown(queue_table.queues(reply(row)))[1]
    assert shown(queue_table.queues(reply())) == ["no queues: no program here is a worker"]


def test_a_server_is_shown_with_its_uses_and_its_warnings() -> None:
    down = RedisHealth("10.0.0.5:6379", why="redis at 10.0.0.5:6379 does not answer within 1 s", uses=("cache",))
    lines = shown(queue_table.servers({"servers": [SERVER.to_json(), down.to_json()], "problems": []}))
    assert lines == [
        "127.0.0.1:6379  UP  PING 0.4 ms  (queue redis, cache)",
        "  Redis 7.0.15, master, memory 2 MB of 10 MB, allkeys-lru, persistence rdb, 9 of 10000 connections",
        "  ! loses jobs when memory is full; set noeviction",
        "10.0.0.5:6379  DOWN  (cache)",
        "  ! redis at 10.0.0.5:6379 does not answer within 1 s",
    ]


def test_one_job_is_no_jobs() -> None:
    one = {**asdict(HIGH), "ready": 1, "due": 0, "expired": 0}
    assert exceeded([one], 0, None) == ["redis:high holds 1 job that could start now, more than 0"]


@pytest.mark.parametrize(
    ("depth", "wait", "sentences"),
    [
        (None, None, []),
        (13, None, []),
        (12, None, ["redis:high holds 13 jobs that could start now, more than 12"]),
        (None, 2.25, []),
        (None, 2.0, ["a job in redis:high waits 2.2s, longer than 2.0s"]),
    ],
)
def test_limits(depth: int | None, wait: float | None, sentences: list[str]) -> None:
    assert exceeded([asdict(HIGH), asdict(AWAY)], depth, wait) == sentences


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (99.4, "99s"), (100, "2m"), (5400, "90m"), (6000, "2h"), (2e5, "2d")],
)
def test_a_short_time(seconds: float, text: str) -> None:
    assert render.short(seconds) == text


def test_queues_asks_the_daemon_and_ends_with_3_beyond_a_limit(daemon: FakeDaemon) -> None:
    daemon.replies["queues"] = reply(HIGH)
    done = call("queues", "laravel-worker")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].startswith("redis:high ")
    assert daemon.asked == [Queues(("laravel-worker",))]
    done = call("queues", "--max-wait", "1s", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["queues"][0]["ready"] == 12
    assert "longer than 1.0s" in done.stderr


def test_a_queue_that_cannot_be_asked_is_not_as_it_should_be(daemon: FakeDaemon) -> None:
    daemon.replies["queues"] = reply(AWAY)
    assert call("queues").returncode == 3


@pytest.mark.parametrize("value", ["soon", "-1", "1 parsec"])
def test_a_limit_that_is_none_is_refused(place: Place, value: str) -> None:
    done = call("queues", "--max-wait", value)
    assert done.returncode == 2
    assert "--max-wait" in done.stderr
    assert "Traceback" not in done.stderr


def test_redis_ends_with_1_when_one_is_down(daemon: FakeDaemon) -> None:
    daemon.replies["redis"] = {"servers": [SERVER.to_json()], "problems": []}
    assert call("redis").returncode == 0
    assert daemon.asked == [Redis()]
    daemon.replies["redis"] = {"servers": [asdict(RedisHealth("x:1", why="is away"))], "problems": []}
    assert call("redis").returncode == 1


def test_watching_needs_a_terminal_and_no_json(daemon: FakeDaemon) -> None:
    assert call("queues", "--watch").returncode == 2
    assert call("queues", "--watch", "--json").returncode == 2
