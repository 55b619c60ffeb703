"""Canaries of the real application: one worker of the new release does a job before any worker is replaced, or nothing
is touched at all."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from queuepool.control.client import Client
from queuepool.control.messages import Deploy, DeployStatus
from queuepool.system import procstat
from tests.support.daemon import Queuepool
from tests.support.laravel import PHP
from tests.support.redis import RedisServer
from tests.support.releases import LaravelSite
from tests.support.started import Started
from tests.support.wait import eventually

pytestmark = pytest.mark.php


def config(connection: str = "redis", deploy: str = "observe: 0.1s, canary: true", more: str = "") -> str:
    return f"""
app: current
php: {" ".join(PHP)}
programs:
  w: {{connection: {connection}, numprocs: 2, tries: 3, sleep: 0.1, startsecs: 0.3}}
{more}
deploy: {{{deploy}}}
"""


def release(site: LaravelSite, name: str, code: str = "") -> None:
    """Switch to a release that runs this in every worker before each of its jobs."""
    kernel = site.make(name) / "app/Console/Kernel.php"
    text = kernel.read_text()
    at = text.rindex("}")
    hook = f"$this->app->booted(function () {{ $this->app['queue']->before(function ($event) {{ {code} }}); }});"
    boot = f"public function bootstrap() {{ parent::bootstrap(); {hook} }}"
    kernel.write_text(text[:at] + boot + text[at:])
    site.switch(name)


def deploy(qp: Queuepool, *args: str, code: int) -> dict[str, Any]:
    done = qp.try_("deploy", "--json", *args, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr + qp.story()
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def releases_of(qp: Queuepool) -> set[str]:
    return {os.path.basename(p["release"]) for p in qp.processes("w") if p["state"] == "RUNNING" and not p["retiring"]}


def left_over(site: LaravelSite, server: RedisServer) -> list[str]:
    """What canaries left behind: processes, keys, and rows of jobs and of failed jobs."""
    pids = [str(pid) for pid in canaries(site)]
    with Redis(port=server.port) as redis:
        keys = [str(key) for key in redis.keys(f"{server.prefix}*queuepool-canary*")]
    with contextlib.closing(sqlite3.connect(site.root / "shared/storage/app/database.sqlite")) as database:
        rows = [
            str(row)
            for table in ("jobs", "failed_jobs")
            for row in database.execute(f"select * from {table} where queue like '%canary%'")
        ]
    return [*pids, *keys, *rows]


def test_a_release_whose_workers_do_their_job_is_deployed(tmp_path: Path, redis_server: RedisServer) -> None:
    """On Redis and on a database, also in maintenance mode; a command has no canary."""
    site = LaravelSite(tmp_path / "site", redis_server)
    more = "  d: {connection: database, sleep: 0.1, startsecs: 0.3}\n  c: {command: sleep 300, directory: current}\n"
    with Queuepool(site.root, config(more=more)) as qp:
        qp.up()
        before = qp.running("w", 2)
        site.make("2")
        site.switch("2")
        plan = qp.try_("deploy", "--plan")
        assert plan.stdout.count("a canary does a job before any worker is replaced") == 2
        site.app.artisan("down")
        with Started(qp, "deploy", "--output", "ndjson") as command:
            assert command.end() == 0, command.text() + qp.story()
        events = [json.loads(line) for line in command.lines]
        phases = [event["phase"] for event in events if event["event"] == "phase"]
        assert phases[:2] == ["canary", "first"]
        canary = [event for event in events if event.get("hook") == "canary"]
        assert {event["program"] for event in canary} == {"w", "d"}
        done = [
            event
            for event in canary
            if (event["event"] == "output" and "Processed" in event["message"]) or "DONE" in event["message"]
        ]
        assert len(done) == 2, canary
        qp.running("w", 2)
        assert releases_of(qp) == {"2"}
        assert not set(before.values()) & set(qp.pids("w").values())
        assert left_over(site, redis_server) == []

        site.switch("1")
        assert deploy(qp, "--no-canary", code=0)["programs"][0]["canary"] is False
        assert deploy(qp, code=0)["restarted"] == [], "where nothing is to be done there is no canary"


def test_a_release_whose_workers_cannot_do_a_job_is_stopped_before_any_worker_is_touched(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    site = LaravelSite(tmp_path / "site", redis_server)
    with Queuepool(site.root, config(deploy="observe: 0.1s")) as qp:
        qp.up()
        before = qp.running("w", 2)

        def stopped(*args: str) -> dict[str, Any]:
            report = deploy(qp, "--canary", *args, code=1)
            assert (report["result"], report["rolled_back"], report["restarted"]) == ("rolled_back", True, [])
            assert report["failure"]["gate"] == "canary"
            assert qp.running("w", 2) == before
            assert left_over(site, redis_server) == []
            return report["failure"]  # type: ignore[no-any-return]

        release(site, "dies", "echo 'oh no'; exit(3);")
        failure = stopped()
        assert (failure["process"], failure["exit_code"]) == ("w:canary", 3)
        assert failure["message"].startswith("the canary of w ended: exit 3: oh no")
        assert failure["last_lines"] == ["oh no"]

        release(site, "fails", "throw new \\RuntimeException('this release is broken');")
        assert "this release is broken" in stopped()["message"]

        site.make("parse")
        (site.root / "releases/parse/app/Console/Kernel.php").write_text("<?php this is no PHP")
        site.switch("parse")
        assert "syntax error" in stopped()["message"]

        release(site, "slow", "sleep(60);")
        qp.write(config(deploy="observe: 0.1s, canary: 1.5s"))
        assert stopped()["message"] == "the canary of w did not begin its job within 1.5 s"

        site.switch("1")
        qp.write(config("sync"))
        assert "no worker ever gets a job from it" in stopped()["message"]
        done = qp.try_("deploy")
        assert done.returncode == 1
        assert "canary" in done.stdout + done.stderr


def test_a_killed_daemon_leaves_no_canary_and_the_next_one_sends_another(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    site = LaravelSite(tmp_path / "site", redis_server)
    with Queuepool(site.root, config()) as qp:
        qp.up()
        before = qp.running("w", 2)
        mark = tmp_path / "hang"
        mark.touch()
        code = f"pcntl_signal(SIGTERM, SIG_DFL); while (file_exists('{mark}')) {{ usleep(10000); }}"
        release(site, "2", code)
        Client(qp.run.socket).ask(Deploy(wait=False))
        eventually(lambda: canaries(site), 60, "the canary does its job", show=qp.story)
        (first,) = canaries(site)
        qp.kill()
        assert os.path.exists(f"/proc/{first}"), "nobody was there to end it"
        qp.up()
        eventually(lambda: canaries(site) not in ([], [first]), 60, "the next one", show=qp.story)
        assert len(canaries(site)) == 1, "the former one was ended"
        assert qp.running("w", 2) == before
        mark.unlink()
        eventually(lambda: last(qp)["result"] == "done", 60, "the deploy ends", show=qp.story)
        qp.running("w", 2)
        assert releases_of(qp) == {"2"}
        assert left_over(site, redis_server) == []

        mark.touch()
        site.switch("1")
        release(site, "3", code)
        now = qp.pids("w")
        Client(qp.run.socket).ask(Deploy(wait=False))
        eventually(lambda: canaries(site), 60, "the canary does its job", show=qp.story)
        qp("down")
        assert qp.process is not None
        qp.process.wait(60)
        assert left_over(site, redis_server) == [], "a daemon that ends takes it along"
        qp.up()
        eventually(lambda: canaries(site), 60, "the next one", show=qp.story)
        now = qp.running("w", 2)
        qp("deploy", "--abort")
        assert last(qp)["result"] == "aborted"
        assert qp.running("w", 2) == now
        eventually(lambda: left_over(site, redis_server) == [], 60, "all is cleared", show=qp.story)


def test_a_canary_waits_for_redis(tmp_path: Path, redis_server: RedisServer) -> None:
    """That Redis is away is no fault of the new release."""
    site = LaravelSite(tmp_path / "site", redis_server)
    with Queuepool(site.root, config()) as qp:
        qp.up()
        before = qp.running("w", 2)
        site.make("2")
        site.switch("2")
        redis_server.stop()
        with Started(qp, "deploy", "--output", "ndjson") as command:
            command.until("waiting: the canary of w: redis")
            redis_server.start()
            assert command.end() == 0, command.text() + qp.story()
        qp.running("w", 2)
        assert releases_of(qp) == {"2"}
        assert not set(before.values()) & set(qp.pids("w").values())
        assert left_over(site, redis_server) == []


def canaries(site: LaravelSite) -> list[int]:
    """Pids of the canaries of this site. What they start looks like them until it has exec'd."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            mine = os.readlink(f"/proc/{pid}/cwd").startswith(str(site.root))
            if mine and any(word.startswith("--queue=queuepool-canary") for word in words):
                found.append(pid)
    return [pid for pid in found if procstat.parent(pid) not in found]


def last(qp: Queuepool) -> dict[str, Any]:
    return Client(qp.run.socket).ask(DeployStatus())
