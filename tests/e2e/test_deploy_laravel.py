"""Deploys of the real application under load: two releases behind a link, with storage and .env shared, as Deployer
does. No job is lost, killed or done twice; what cannot work is rolled back."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Queuepool
from tests.support.redis import RedisServer
from tests.support.releases import LaravelSite, Sampler
from tests.support.started import Started
from tests.support.wait import eventually

pytestmark = pytest.mark.php


def config(deploy: str = "observe: 0.1s", numprocs: int = 4, startsecs: float = 0.3) -> str:
    return f"""
app: current
programs:
  w:
    connection: redis
    numprocs: {numprocs}
    tries: 3
    sleep: 0.1
    startsecs: {startsecs}
    strategy: {{max_surge: 50%}}
deploy: {{{deploy}}}
"""


def deploy(qp: Queuepool, *args: str) -> tuple[int, dict[str, Any]]:
    done = qp.try_("deploy", "--json", *args, timeout=120)
    assert done.stdout, done.stderr + qp.story()
    return done.returncode, json.loads(done.stdout)


def releases_of(qp: Queuepool) -> set[str]:
    return {os.path.basename(p["release"]) for p in qp.processes("w") if p["state"] == "RUNNING" and not p["retiring"]}


def test_twenty_deploys_in_a_row_under_load_lose_and_kill_no_job(tmp_path: Path, redis_server: RedisServer) -> None:
    site = LaravelSite(tmp_path / "site", redis_server)
    site.make("2")
    app = site.app
    with Queuepool(site.root, config()) as qp:
        qp.up()
        qp.running("w", 4)
        with Sampler(qp, "w") as sampler:
            for turn in range(20):
                if turn % 5 == 0:
                    app.dispatch("Ledger", 150, ms=50)
                    app.dispatch("Ledger", 6, ms=500)
                    app.dispatch("Ledger", 3, ms=2000)
                site.switch("2" if turn % 2 == 0 else "1")
                code, report = deploy(qp, *(["--max-surge", "100%"] if turn % 4 else []))
                assert (code, len(report["restarted"])) == (0, 4), report
                assert releases_of(qp) == {"2" if turn % 2 == 0 else "1"}
            eventually(lambda: app.ledger().done == app.ledger().sent, 120, "all jobs are done", show=qp.story)
        ledger = app.ledger()
        assert ledger.exactly_once, ledger
        assert ledger.done == 4 * 159
        assert sampler.fewest == 4, "never fewer than promised"
        assert sampler.samples > 100
        assert not any(e["event"] == "killed" for e in qp.events())


def test_releases_that_cannot_work_are_rolled_back(tmp_path: Path, redis_server: RedisServer) -> None:
    site = LaravelSite(tmp_path / "site", redis_server)
    with Queuepool(site.root, config(numprocs=2)) as qp:
        qp.up()
        before = qp.running("w", 2)
        (site.make("parse") / "app/Console/Kernel.php").write_text("<?php this is no PHP")
        site.switch("parse")
        qp.write(config(numprocs=2, startsecs=30))  # PHP has that long to boot and die
        code, report = deploy(qp)
        assert code == 1
        assert report["failure"]["exit_code"] == 255
        assert "syntax error" in json.dumps(report["failure"]), report["failure"]
        assert qp.running("w", 2) == before

        qp.write(config(numprocs=2))
        job = site.make("job") / "app/Jobs/Sleeping.php"
        job.write_text(job.read_text().replace("Pause::for($this->ms);", "exit(3);"))
        site.switch("job")
        with Started(qp, "deploy", "--json", "--observe", "60s") as command:
            eventually(lambda: "job" in releases_of(qp), 60, "one of the new release works", show=qp.story)
            site.app.dispatch("Sleeping", 200, ms=200)
            assert command.end() == 1
        report = json.loads(command.text())
        assert (report["failure"]["gate"], report["failure"]["exit_code"]) == ("crash", 3), report
        qp.running("w", 2, timeout=60)
        assert releases_of(qp) == {"1"}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start workers of another user")
def test_a_release_that_its_user_may_not_read_is_rolled_back(tmp_path: Path, redis_server: RedisServer) -> None:
    for parent in [tmp_path, *tmp_path.parents]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    site = LaravelSite(tmp_path / "site", redis_server)
    shutil.chown(site.root, "nobody")
    for path in site.root.rglob("*"):
        if not path.is_symlink():
            shutil.chown(path, "nobody")
    with Queuepool(site.root, "user: nobody\n" + config(numprocs=1)) as qp:
        qp.up()
        before = qp.running("w", 1)
        site.make("closed").chmod(0o700)
        site.switch("closed")
        code, report = deploy(qp)
        assert code == 1
        assert "no permission for" in report["failure"]["message"], report["failure"]
        assert qp.running("w", 1) == before


def test_a_deploy_waits_for_redis_and_then_goes_on(tmp_path: Path, redis_server: RedisServer) -> None:
    """With its cache on Redis, a worker of whichever release dies when Redis is away: that is no fault of the new
    one."""
    site = LaravelSite(tmp_path / "site", redis_server, CACHE_DRIVER="redis", CACHE_STORE="redis")
    site.make("2")
    site.switch("1")
    with Queuepool(site.root, config(numprocs=2)) as qp:
        qp.up()
        qp.running("w", 2)
        site.switch("2")
        with Started(qp, "deploy", "--observe", "3s", "--json") as command:
            eventually(lambda: "2" in releases_of(qp), 60, "the first new one runs", show=qp.story)
            redis_server.stop()
            eventually(
                lambda: all("waiting for redis" in p["reason"] for p in qp.processes("w") if not p["retiring"]),
                60,
                "all wait for Redis",
                show=qp.story,
            )
            assert command.process.poll() is None, command.text() + qp.story()
            redis_server.start()
            assert command.end() == 0, command.text() + qp.story()
        qp.running("w", 2)
        assert releases_of(qp) == {"2"}

        site.switch("1")
        with Started(qp, "deploy", "--observe", "60s", "--timeout", "10s", "--json") as command:
            eventually(lambda: "1" in releases_of(qp), 60, "the first new one runs", show=qp.story)
            redis_server.stop()
            code = command.end()
        report = json.loads(command.text())
        assert (code, report["result"]) == (3, "timed_out"), report
        redis_server.start()
        qp.running("w", 2, timeout=60)
        assert releases_of(qp) == {"2"}
