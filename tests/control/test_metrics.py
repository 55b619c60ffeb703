"""The metrics of a real daemon with real workers: what they say is what has happened, no more and no less."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from queuepool.domain.events import Kind
from tests.support.daemon import Queuepool
from tests.support.laravel import LaravelApp
from tests.support.redis import RedisServer
from tests.support.scraping import Scrape, get, promtool, scrape
from tests.support.wait import eventually
from tests.support.worker import worker_argv

ENDS = "queuepool_process_ends_total"


class Watch:
    """What the metrics of a daemon say more than they did when the watch began."""

    def __init__(self, qp: Queuepool) -> None:
        self.qp = qp
        self.before = scrape(qp.run.socket)

    def more(self, name: str, **labels: str) -> float:
        """By how much a number has grown."""
        return scrape(self.qp.run.socket).total(name, **labels) - self.before.total(name, **labels)

    def ends(self, program: str = "w") -> dict[str, float]:
        """The ends of processes since, by reason."""
        now = scrape(self.qp.run.socket)
        reasons = now.labels(ENDS, "reason")
        grown = {
            why: now.total(ENDS, program=program, reason=why) - self.before.total(ENDS, program=program, reason=why)
            for why in reasons
        }
        return {why: count for why, count in grown.items() if count}


def until(qp: Queuepool, true: Callable[[Scrape], bool], what: str, seconds: float = 60.0) -> Scrape:
    def seen() -> Scrape | None:
        found = scrape(qp.run.socket)
        return found if true(found) else None

    return eventually(seen, seconds, what, show=qp.story)  # type: ignore[return-value]


# --- plain processes --------------------------------------------------------------------------------------------------


PRINTS = """#!/bin/sh
# In place of PHP: says what it did with a thousand classes of jobs, and then sleeps as a worker does.
case "$*" in *queue:work*) ;; *) exit 1 ;; esac
for n in $(seq 1000); do
    echo "[2026-01-31 10:00:00][$n] Processing: App\\\\Jobs\\\\Job$n"
    echo "[2026-01-31 10:00:00][$n] Processed:  App\\\\Jobs\\\\Job$n"
done
exec sleep 600
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queuepool]:
    directory = tmp_path_factory.mktemp("plain")
    app = directory / "app"
    app.mkdir()
    (app / "artisan").touch()
    prints = directory / "prints"
    prints.write_text(PRINTS)
    prints.chmod(0o755)
    command = {"type": "command", "startsecs": 0}
    programs = {
        "w": {**command, "numprocs": 3, "command": shlex.join(worker_argv(text="hello"))},
        "deaf": {**command, "stopwaitsecs": 0.2, "command": shlex.join(worker_argv(ignore="TERM"))},
        "off": {**command, "autostart": False, "command": "sleep 600", "numprocs": 2},
        "nobody": {**command, "autostart": False, "command": "/no/such/program"},
        "jobs": {"numprocs": 1, "startsecs": 0},
    }
    with Queuepool(directory, json.dumps({"app": str(app), "php": str(prints), "programs": programs})) as qp:
        qp.up()
        qp.running("w", 3)
        qp.running("deaf", 1)
        qp.running("jobs", 1)
        yield qp


def test_promtool_finds_nothing_to_say_about_a_real_daemon(plain: Queuepool) -> None:
    status, kind, text = get(plain.run.socket)
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert promtool("check", "metrics", text=text) == ""


def test_both_forms_say_the_same(plain: Queuepool) -> None:
    text, openmetrics = scrape(plain.run.socket), scrape(plain.run.socket, openmetrics=True)
    assert {family.name for family in text.families} == {family.name for family in openmetrics.families}
    for state in ("RUNNING", "STOPPED", "FATAL"):
        of_state = [seen.total("queuepool_processes", state=state) for seen in (text, openmetrics)]
        assert of_state[0] == of_state[1]


def test_processes_are_shown_by_state_with_what_is_wanted(plain: Queuepool) -> None:
    seen = scrape(plain.run.socket)
    assert seen("queuepool_processes", program="w", state="RUNNING") == 3
    assert seen("queuepool_processes", program="off", state="STOPPED") == 2
    assert seen("queuepool_processes", program="off", state="RUNNING") == 0
    assert seen("queuepool_processes_configured", program="off") == 2
    assert seen("queuepool_processes_wanted", program="off") == 0
    assert seen("queuepool_process_starts_total", program="w") == 3
    started = seen("queuepool_start_time_seconds")
    assert started
    assert abs(started - time.time()) < 3000
    assert seen("queuepool_resident_memory_bytes", program="w")
    assert seen.total("queuepool_log_written_bytes_total") > 0


def test_a_kill_a_stop_a_restart_and_a_scale_are_told_apart(plain: Queuepool) -> None:
    watch = Watch(plain)
    os.kill(plain.pids("w")["w:0"], signal.SIGKILL)
    until(plain, lambda seen: seen.total(ENDS, program="w", reason="killed") == 1, "the kill is counted")
    plain.running("w", 3)
    assert watch.more("queuepool_process_starts_total", program="w") == 1
    plain("restart", "w")
    plain.running("w", 3)
    plain("stop", "w:1")
    plain("start", "w:1")
    plain("scale", "w", "5")
    plain("scale", "w", "3")
    plain.running("w", 3)
    assert watch.ends() == {"killed": 1, "replaced": 3, "stopped": 1, "scaled": 2}
    assert watch.more("queuepool_process_starts_total", program="w") == 1 + 3 + 1 + 2
    assert watch.more("queuepool_process_start_seconds_count", program="w") == 7
    assert watch.more("queuepool_process_spawn_seconds_count") == 7
    assert watch.more("queuepool_process_kills_total") == 0


def test_a_process_that_does_not_end_in_time_counts_as_stopped_and_killed(plain: Queuepool) -> None:
    watch = Watch(plain)
    plain("stop", "deaf")
    assert watch.ends("deaf") == {"stopped": 1}
    assert watch.more("queuepool_process_kills_total", program="deaf") == 1


def test_a_program_that_cannot_be_started_is_seen_to_fail(plain: Queuepool) -> None:
    watch = Watch(plain)
    plain.try_("start", "nobody")
    until(plain, lambda seen: bool(seen("queuepool_processes", program="nobody", state="BACKOFF")), "it waits")
    plain("stop", "nobody")
    assert watch.more("queuepool_process_start_failures_total", program="nobody") >= 1
    assert watch.more("queuepool_process_starts_total", program="nobody") == 0
    assert watch.ends("nobody") == {}


def test_a_thousand_job_classes_are_bounded(plain: Queuepool) -> None:
    seen = until(
        plain, lambda seen: seen.total("queuepool_jobs_done_total", program="jobs") == 1000, "a thousand jobs are read"
    )
    assert len(seen.labels("queuepool_jobs_done_total", "class")) == 201
    assert seen("queuepool_jobs_done_total", program="jobs", class_="App\\Jobs\\Job1") == 1
    assert seen("queuepool_jobs_done_total", program="jobs", class_="other") == 800
    assert seen("queuepool_job_runtime_seconds_count", program="jobs") == 1000


def test_events_are_counted_from_the_first_one_on(plain: Queuepool) -> None:
    journal = [event["event"] for event in plain.events()]
    seen = scrape(plain.run.socket)
    assert seen("queuepool_events_total", event="daemon_started") == 1
    for kind in Kind:
        assert seen("queuepool_events_total", event=kind.value) == journal.count(kind.value), kind


def test_scrapes_at_the_same_time_are_all_answered(plain: Queuepool) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: get(plain.run.socket), range(32)))
    assert {status for status, _, _ in answers} == {200}
    assert "defect" not in plain.journal()


def test_the_code_for_prometheus_is_not_loaded_before_somebody_scrapes() -> None:
    code = "import sys; from queuepool.daemon.serving import import_code; import_code(); "
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            code + "print([name for name in sys.modules if 'metrics' in name or 'prometheus' in name])",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "queuepool.control.metrics" in loaded
    assert "prometheus_client" not in loaded


def test_what_a_daemon_takes_over_is_not_counted_as_started(tmp_path: Path) -> None:
    with Queuepool(tmp_path, "programs: {w: {type: command, command: sleep 600}}") as qp:
        qp.up()
        qp.running("w", 1)
        before = scrape(qp.run.socket)
        assert before("queuepool_process_starts_total", program="w") == 1
        qp("upgrade")
        eventually(lambda: qp.started_at() not in (None, before("queuepool_start_time_seconds")), 60, "it is another")
        after = scrape(qp.run.socket)
        assert after("queuepool_process_starts_total", program="w") == 0
        assert after("queuepool_process_start_seconds_count", program="w") is None
        assert after("queuepool_processes", program="w", state="RUNNING") == 1


# --- jobs, queues, Redis, deploys -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as found:
        yield found


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, server: RedisServer) -> LaravelApp:
    found = LaravelApp(tmp_path_factory.mktemp("srv") / "app", server)
    found.hold().unlink()  # until a test wants that jobs go on
    return found


@pytest.fixture(scope="module")
def laravel(tmp_path_factory: pytest.TempPathFactory, app: LaravelApp, server: RedisServer) -> Iterator[Queuepool]:
    text = f"""
app: {app.root}
deploy: {{observe: 0.1}}
programs:
  w: {{connection: redis, queue: default, numprocs: 2, tries: 1, sleep: 0.1, startsecs: 0.5}}
"""
    with Queuepool(tmp_path_factory.mktemp("laravel"), text) as qp:
        qp.up()
        qp.running("w", 2)
        where = {"connection": "redis", "queue": "default", "app": str(app.root)}
        until(qp, lambda seen: seen("queuepool_queue_up", **where) == 1, "the queue is read")
        yield qp


@pytest.mark.php
def test_jobs_done_and_failed_are_counted_by_class(laravel: Queuepool, app: LaravelApp) -> None:
    watch = Watch(laravel)
    app.dispatch("Quick", 40)
    app.dispatch("Failing", 7)
    app.dispatch("Sleeping", 1, ms=2600)
    until(laravel, lambda _: watch.more("queuepool_job_runtime_seconds_count", program="w") == 48, "all is done")
    assert watch.more("queuepool_jobs_done_total", program="w", class_="App\\Jobs\\Quick") == 40
    assert watch.more("queuepool_jobs_failed_total", program="w", class_="App\\Jobs\\Failing") == 7
    assert watch.more("queuepool_jobs_done_total", program="w") == 41
    assert watch.more("queuepool_jobs_total", program="w", outcome="done") == 41
    assert watch.more("queuepool_jobs_total", program="w", outcome="failed") == 7
    assert watch.more("queuepool_jobs_failed_total", program="w") == 7
    assert watch.more("queuepool_job_runtime_seconds_bucket", program="w", le="2.5") == 47
    assert watch.more("queuepool_job_runtime_seconds_bucket", program="w", le="10.0") == 48
    assert watch.ends() == {}


@pytest.mark.php
def test_what_waits_and_who_works_is_shown(laravel: Queuepool, app: LaravelApp) -> None:
    where = {"connection": "redis", "queue": "default", "app": str(app.root)}
    held = app.hold()
    app.dispatch("Sleeping", 2, ms=10)
    app.dispatch("Quick", 5)
    app.dispatch("Quick", 3, delay=600)
    seen = until(
        laravel,
        lambda seen: (
            seen("queuepool_workers_busy", program="w") == 2
            and seen("queuepool_queue_ready_jobs", **where) == 5
            and seen("queuepool_queue_delayed_jobs", **where) == 3
        ),
        "two work and five wait",
    )
    assert seen("queuepool_queue_reserved_jobs", **where) == 2
    assert seen("queuepool_queue_due_jobs", **where) == 0
    assert seen("queuepool_queue_workers", **where) == 2
    assert seen("queuepool_queue_busy_workers", **where) == 2
    assert seen("queuepool_queue_wait_seconds", **where) is not None
    held.unlink()
    empty = until(laravel, lambda seen: seen("queuepool_queue_ready_jobs", **where) == 0, "all is done")
    assert empty("queuepool_queue_oldest_seconds", **where) == 0
    assert empty("queuepool_event_loop_lag_seconds_count")


@pytest.mark.php
def test_a_worker_killed_in_its_job_is_counted_and_so_is_the_job_that_went_back(
    laravel: Queuepool, app: LaravelApp
) -> None:
    watch = Watch(laravel)
    crashing = {"program": "w", "class_": "App\\Jobs\\Crashing"}
    app.dispatch("Crashing", 1, how="kill")
    until(laravel, lambda _: watch.more("queuepool_jobs_failed_total", **crashing) == 1, "it had its one try")
    laravel.running("w", 2)
    assert watch.ends() == {"killed": 1}
    assert watch.more("queuepool_process_starts_total", program="w") == 1
    assert watch.more("queuepool_jobs_requeued_total", program="w") == 1
    assert watch.more("queuepool_jobs_left_total", program="w") == 0


@pytest.mark.php
def test_a_deploy_is_counted_with_its_outcome_and_what_it_replaced(laravel: Queuepool) -> None:
    watch = Watch(laravel)
    laravel("deploy", "--force")
    laravel.running("w", 2)  # the deploy does not wait for old ones to end
    assert watch.ends() == {"deploy": 2}
    assert watch.more("queuepool_deploys_total", outcome="done") == 1
    assert watch.more("queuepool_deploys_total") == 1
    assert watch.more("queuepool_deploy_duration_seconds_count") == 1
    assert 0 < watch.more("queuepool_deploy_duration_seconds_sum") < 120
    assert watch.more("queuepool_process_starts_total", program="w") == 2
    assert scrape(laravel.run.socket)("queuepool_deploy_in_progress") == 0


@pytest.mark.php
def test_a_redis_that_does_not_answer_is_down_and_delays_no_scrape_for_long(
    laravel: Queuepool, server: RedisServer, app: LaravelApp
) -> None:
    address = f"127.0.0.1:{server.port}"
    where = {"connection": "redis", "queue": "default", "app": str(app.root)}
    before = scrape(laravel.run.socket)
    assert before("queuepool_redis_up", server=address) == 1
    took = before("queuepool_redis_ping_seconds", server=address)
    assert took
    assert 0 < took < 1
    server.freeze()
    try:
        began = time.monotonic()
        frozen = scrape(laravel.run.socket)
        assert time.monotonic() - began < 10, "Prometheus waits for ten seconds"
        assert frozen("queuepool_redis_up", server=address) == 0
        assert frozen("queuepool_redis_ping_seconds", server=address) is None
    finally:
        server.thaw()
    until(laravel, lambda seen: seen("queuepool_redis_up", server=address) == 1, "it is up again")
    server.stop()
    until(
        laravel,
        lambda seen: (
            seen("queuepool_redis_up", server=address) == 0
            and seen("queuepool_queue_up", **where) == 0
            and seen("queuepool_queue_ready_jobs", **where) is None
        ),
        "all of it is seen",
    )
    server.start()
    until(
        laravel,
        lambda seen: seen("queuepool_redis_up", server=address) == seen("queuepool_queue_up", **where) == 1,
        "all is well",
    )
