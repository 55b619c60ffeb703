"""A job whose worker dies in it is back on its queue at once, and is done exactly once more. retry_after is 90 s here,
so whatever comes back sooner was given back by queuepool."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Queuepool
from tests.support.laravel import PHP, LaravelApp
from tests.support.wait import eventually

pytestmark = pytest.mark.php

KILLS = int(os.environ.get("QUEUEPOOL_TEST_KILLS", "60"))
"""Workers to kill under load; the full count of 1000 takes four minutes, and `-o faulthandler_timeout=0`."""


def workers(app: LaravelApp, numprocs: int = 2, keys: str = "") -> str:
    return f"""
app: {app.root}
php: {json.dumps([*PHP, "-d", "zend.max_allowed_stack_size=-1"])}
programs:
  w:
    connection: redis
    queue: [high, default]
    numprocs: {numprocs}
    tries: 3
    timeout: 60
    sleep: 0.1
{keys}"""


def begins(app: LaravelApp) -> dict[str, list[float]]:
    """Job -> when it was begun, each time, in unix seconds."""
    found = defaultdict(list)
    for line in (app.root / "storage/app/ledger.log").read_text().splitlines():
        mark, name, *rest = line.split()
        if mark == "begin":
            found[name].append(float(rest[1]))
    return found


def told(qp: Queuepool, kind: str) -> list[dict[str, Any]]:
    return [event for event in qp.events() if event["event"] == kind]


@contextmanager
def memory_cgroup(limit: int) -> Iterator[Path]:
    """A memory cgroup (either version) whose members the kernel kills above `limit` bytes."""
    one, two = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    old = (one / "cgroup.procs").exists()
    group = (one if old else two) / f"queuepool-test-{os.getpid()}-{time.monotonic_ns()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if old else "memory.max")).write_text(str(limit))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no memory cgroup can be made here: {error}")
    try:
        yield group
    finally:
        parent = group.parent / "cgroup.procs"
        for pid in (group / "cgroup.procs").read_text().split():
            parent.write_text(pid)
        group.rmdir()


@pytest.mark.parametrize("how", ["kill", "fatal", "segfault"])
def test_the_job_of_a_worker_that_died_runs_again_within_a_second(
    tmp_path: Path, laravel_app: LaravelApp, how: str
) -> None:
    with Queuepool(tmp_path / "qp", workers(laravel_app)) as qp:
        qp.up()
        qp.running("w", 2)
        laravel_app.dispatch("Crashing", how=how)
        eventually(lambda: laravel_app.ledger().done == 1, 30, "the job is done", show=qp.story)
        [[first, second]] = begins(laravel_app).values()
        assert second - first < 90 / 2, "it did not wait for retry_after"
        told_of_it = [event["event"] for event in qp.events() if event["event"] in ("exited", "requeued", "backoff")]
        assert told_of_it == ["exited", "requeued"], "at once, and not after a look around"
        [event] = told(qp, "requeued")
        assert event["fields"]["job"] == "App\\Jobs\\Crashing"
        assert event["fields"]["queue"] == "default"
        assert len(event["fields"]["id"]) > 10
        reasons = {"kill": "SIGKILL", "fatal": "255", "segfault": "SIGSEGV"}
        exited = next(e for e in qp.events() if e["event"] == "exited")
        assert reasons[how] in exited["fields"]["reason"], exited
        qp.running("w", 2)
        assert laravel_app.ledger().doubled == ()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a cgroup")
def test_the_job_that_the_kernel_killed_for_memory_runs_again(tmp_path: Path, laravel_app: LaravelApp) -> None:
    with memory_cgroup(150 << 20) as group, Queuepool(tmp_path / "qp", workers(laravel_app, 1)) as qp:
        qp.up()
        [pid] = qp.running("w", 1).values()
        (group / "cgroup.procs").write_text(str(pid))
        laravel_app.dispatch("Crashing", how="memory")
        eventually(lambda: laravel_app.ledger().done == 1, 60, "the job is done", show=qp.story)
        [event] = told(qp, "requeued")
        assert event["process"] == "w:0"
        assert len(next(iter(begins(laravel_app).values()))) == 2


def test_a_job_that_kills_each_worker_ends_among_the_failed_and_holds_up_nobody(
    tmp_path: Path, laravel_app: LaravelApp
) -> None:
    with Queuepool(tmp_path / "qp", workers(laravel_app)) as qp:
        qp.up()
        qp.running("w", 2)
        laravel_app.dispatch("Crashing", times=1000)
        laravel_app.dispatch("Ledger", 100, ms=5)
        eventually(lambda: laravel_app.ledger().done == 100, 60, "the others are done", show=qp.story)
        eventually(lambda: "Crashing" in laravel_app.artisan("queue:failed"), 60, "it has failed", show=qp.story)
        poison = [times for times in begins(laravel_app).values() if len(times) > 1]
        assert [len(times) for times in poison] == [3], "tries: 3"
        assert len(told(qp, "requeued")) == 3
        qp.running("w", 2)


def test_requeue_can_be_switched_off(tmp_path: Path, laravel_app: LaravelApp) -> None:
    with Queuepool(tmp_path / "qp", workers(laravel_app, 1, "    requeue: false\n")) as qp:
        qp.up()
        qp.running("w", 1)
        laravel_app.dispatch("Crashing")
        eventually(lambda: told(qp, "job_left"), 30, "it is said", show=qp.story)
        assert "requeue is off" in told(qp, "job_left")[0]["fields"]["reason"]
        qp.running("w", 1)
        assert laravel_app.ledger().done == 0
        eventually(lambda: '"reserved": 1' in qp.try_("queues", "--json").stdout, what="it is reserved", show=qp.story)


def test_a_stop_that_has_to_kill_gives_the_job_back(tmp_path: Path, laravel_app: LaravelApp) -> None:
    with Queuepool(tmp_path / "qp", workers(laravel_app, 1)) as qp:
        qp.up()
        qp.running("w", 1)
        laravel_app.dispatch("Ledger", ms=250_000)
        eventually(lambda: laravel_app.ledger().unfinished, 30, "the job has begun", show=qp.story)
        eventually(lambda: qp.processes("w")[0]["job"], 30, "the job is known", show=qp.story)
        qp("stop", "--kill", "w")
        eventually(lambda: told(qp, "requeued"), 30, "it is given back", show=qp.story)


def test_a_worker_that_dies_while_no_daemon_is_there_is_no_loss_either(tmp_path: Path, laravel_app: LaravelApp) -> None:
    held = laravel_app.hold()
    with Queuepool(tmp_path / "qp", workers(laravel_app, 1)) as qp:
        qp.up()
        [pid] = qp.running("w", 1).values()
        laravel_app.dispatch("Ledger", ms=10)
        eventually(lambda: qp.processes("w")[0]["job"], 30, "the job is known", show=qp.story)
        qp.kill()
        os.kill(pid, signal.SIGKILL)
        held.unlink()
        qp.up()
        eventually(lambda: laravel_app.ledger().done == 1, 80, "the job is done", show=qp.story)
        assert laravel_app.ledger().doubled == ()


def test_many_kills_under_load_lose_no_job_and_run_none_in_two_workers(tmp_path: Path, laravel_app: LaravelApp) -> None:
    """Workers are killed at random moments, in mid-job mostly. A worker killed between taking a job and printing its
    line leaves that job to retry_after: it is looked for in Redis, not lost. There are so many slots that none is
    restarted more often than is free of a pause, and jobs so long that a hundred a second keep all slots busy."""
    chance = random.Random(7)
    slots = max(8, KILLS // 8)
    at_once, ms = max(1, slots // 25), 10 * slots
    text = workers(laravel_app, slots, "    startsecs: 0\n").replace("tries: 3", "tries: 0")
    with Queuepool(tmp_path / "qp", text) as qp:
        qp.up()
        qp.running("w", slots, timeout=120)
        laravel_app.dispatch("Ledger", KILLS * 10, ms=ms)
        killed = 0

        def kill_some() -> bool:
            nonlocal killed
            busy = [p["pid"] for p in qp.processes("w") if p["job"] and p["pid"] and p["uptime"] > 0.3]
            for pid in chance.sample(busy, min(at_once, len(busy))):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            if not busy and len(laravel_app.ledger().missing) <= reserved(qp):
                laravel_app.dispatch("Ledger", KILLS * 2, ms=ms)
            return killed >= KILLS

        eventually(kill_some, 60 + KILLS, f"{KILLS} workers are killed", show=qp.story)

        def all_done_but_those_left() -> bool:
            idle = not any(p["job"] for p in qp.processes("w"))
            return idle and len(laravel_app.ledger().missing) == reserved(qp)

        eventually(all_done_but_those_left, 120 + KILLS, "all but those left to retry_after are done", show=qp.story)
        left = reserved(qp)
        assert left <= max(2, KILLS // 20), f"{left} jobs were left to retry_after"
        assert overlapping(laravel_app) == []
        assert len(told(qp, "requeued")) >= KILLS / 5, "the others were killed between two jobs"


def reserved(qp: Queuepool) -> int:
    """How many jobs are reserved now, in Redis itself."""
    rows = json.loads(qp("queues", "--json"))["queues"]
    return sum(row["reserved"] or 0 for row in rows)


def overlapping(app: LaravelApp) -> list[str]:
    """Jobs that were begun again while their former worker was still at it and then finished it."""
    spans: dict[str, list[tuple[float, int]]] = defaultdict(list)
    ends: dict[tuple[str, int], float] = {}
    for line in (app.root / "storage/app/ledger.log").read_text().splitlines():
        mark, name, *rest = line.split()
        if mark == "begin":
            spans[name].append((float(rest[1]), int(rest[0])))
        elif mark == "end":
            ends[name, int(rest[0])] = float(rest[1])
    return [
        name
        for name, starts in spans.items()
        for (_, pid), (again, _) in pairwise(starts)
        if ends.get((name, pid), 0.0) > again
    ]
