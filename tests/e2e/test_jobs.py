"""What real workers do, as their output tells: the job of each process, and what was done by when."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from queuepool.laravel.output import Reader
from tests.support.daemon import Queuepool
from tests.support.laravel import LaravelApp
from tests.support.wait import eventually

pytestmark = pytest.mark.php


def workers(app: LaravelApp, numprocs: int = 2, keys: str = "") -> str:
    return f"""
app: {app.root}
programs:
  w:
    connection: redis
    queue: default
    numprocs: {numprocs}
    tries: 1
    sleep: 0.1
{keys}"""


def busy(qp: Queuepool) -> dict[str, Any]:
    """The one process that has a job."""
    [view] = eventually(
        lambda: [p for p in qp.processes("w") if p["job"]],
        30,
        "a job is shown",
        show=lambda: (qp.processes(), qp.story()),
    )
    return view


def test_status_shows_the_job_while_it_runs(tmp_path: Path, laravel_app: LaravelApp) -> None:
    held = laravel_app.hold()
    with Queuepool(tmp_path / "qp", workers(laravel_app)) as qp:
        qp.up()
        qp.running("w", 2)
        assert all(p["job"] is None and p["says"] and p["idle_since"] for p in qp.processes("w"))
        before = time.time()
        laravel_app.dispatch("Long", 1, ms=1000)
        view = busy(qp)
        job = view["job"]
        assert job["class"] == "App\\Jobs\\Long"
        assert (job["queue"], job["connection"]) == ("default", "redis")
        assert len(job["id"]) == 32
        assert before - 2 <= job["since"] <= time.time()
        assert view["idle_since"] is None
        assert re.search(r"running App\\Jobs\\Long for 0:0\d:\d\d", qp("status"))
        least = time.time() - job["since"]
        held.unlink()
        eventually(lambda: not any(p["job"] for p in qp.processes("w")), 30, "it is idle again")
        [program] = qp.status()["programs"]
        assert (program["says"], program["work"]["done"], program["work"]["failed"]) == (True, 1, 0)
        assert least <= program["work"]["runtime"]["mean"] <= time.time() - job["since"]


def test_the_job_is_known_after_a_sigkill_of_the_daemon(tmp_path: Path, laravel_app: LaravelApp) -> None:
    with Queuepool(tmp_path / "qp", workers(laravel_app)) as qp:
        qp.up()
        qp.running("w", 2)
        laravel_app.dispatch("Long", 1, ms=250_000)
        view = busy(qp)
        for _ in range(2):
            qp.kill()
            qp.up()
            again = busy(qp)
            assert (again["name"], again["pid"], again["job"]) == (view["name"], view["pid"], view["job"])


def test_what_was_said_while_no_daemon_ran_is_read_on(tmp_path: Path, laravel_app: LaravelApp) -> None:
    held = laravel_app.hold()
    with Queuepool(tmp_path / "qp", workers(laravel_app, 1)) as qp:
        qp.up()
        qp.running("w", 1)
        laravel_app.dispatch("Sleeping", 1, ms=10)
        busy(qp)
        qp.kill()
        held.unlink()
        laravel_app.dispatch("Ledger", 3)
        laravel_app.dispatch("Long", 1, ms=250_000)
        eventually(lambda: laravel_app.ledger().done == 3, what="the worker works on its own")
        qp.up()
        eventually(lambda: busy(qp)["job"]["class"] == "App\\Jobs\\Long", what="the last line counts")
        [program] = qp.status()["programs"]
        assert (program["work"]["done"], program["work"]["failed"]) == (4, 0)


def test_what_was_done_is_counted(tmp_path: Path, laravel_app: LaravelApp) -> None:
    with Queuepool(tmp_path / "qp", workers(laravel_app, 3)) as qp:
        qp.up()
        qp.running("w", 3)
        laravel_app.dispatch("Quick", 100)
        laravel_app.dispatch("Failing", 30)
        laravel_app.dispatch("Ledger", 70, ms=5)

        def ended() -> bool:
            work = qp.status()["programs"][0]["work"]
            return work is not None and work["done"] + work["failed"] + work["released"] >= 200

        eventually(ended, 60, "200 jobs are counted", show=lambda: (qp.status()["programs"], qp.story()))
        work = qp.status()["programs"][0]["work"]
        assert (work["done"], work["failed"], work["released"]) == (170, 30, 0)
        assert not any(p["job"] for p in qp.processes("w"))
        log = (laravel_app.root / "storage/logs/w.log").read_bytes()
        assert len(Reader(ids=True).feed(log)) == 400, "the log holds what was read"


def test_quiet_workers_say_nothing_and_that_is_said(tmp_path: Path, laravel_app: LaravelApp) -> None:
    with Queuepool(tmp_path / "qp", workers(laravel_app, 1, "    quiet: true\n")) as qp:
        qp.up()
        qp.running("w", 1)
        laravel_app.dispatch("Ledger", 1)
        eventually(lambda: laravel_app.ledger().done == 1, what="it works")
        [view] = qp.processes("w")
        [program] = qp.status()["programs"]
        assert (view["says"], view["idle_since"], program["says"], program["work"]) == (False, None, False, None)
