"""`engine: supervisord` by the real command, with a real supervisord: deploys, a daemon beside it, what is refused."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queuepool.control.messages import Deploy, Restart, Scale, Update
from tests.support.redis import RedisServer
from tests.support.releases import LaravelSite, Releases
from tests.support.started import Started
from tests.support.supervised import OTHER, Supervised
from tests.support.supervisord import bin_of
from tests.support.wait import eventually

pytestmark = pytest.mark.skipif(bin_of("debian") is None, reason="Supervisor is not installed")


def config(numprocs: int = 3, observe: str = "0.3s") -> str:
    return f"""
app: current
programs:
  w:
    command: [./work]
    directory: current
    numprocs: {numprocs}
    startsecs: 1
    stopwaitsecs: 60
    stdout_logfile: logs/w.log
deploy: {{observe: {observe}}}
"""


def deploy(site: Supervised, *args: str) -> tuple[int, dict[str, Any], str]:
    done = site.qp.try_("deploy", "--json", *args, timeout=120)
    assert done.stdout, done.stderr + site.story()
    return done.returncode, json.loads(done.stdout), done.stderr


def releases_of(site: Supervised) -> dict[str, str]:
    return {p["display"]: os.path.basename(p["release"]) for p in site.status()["processes"] if p["pid"]}


def in_the_middle(site: Supervised, before: dict[str, int]) -> None:
    """Wait until a deploy has replaced some processes, and not all."""
    eventually(
        lambda: len(site.pids("w")) == 3 and 0 < len(site.pids("w").items() - before.items()) < 3,
        30, "it is in the middle", show=site.story,
    )  # fmt: skip


@pytest.fixture(params=["debian", "4.3.0"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Supervised]:
    """Release 1 runs, in three processes."""
    if bin_of(request.param) is None:
        pytest.skip("this Supervisor is not installed")
    releases = Releases(tmp_path)
    releases.to("1")
    with Supervised(tmp_path, config(), request.param) as site:
        site.qp("up")
        site.running("w", 3)
        yield site


def test_a_deploy_replaces_each_process_once_and_a_broken_release_is_rolled_back(site: Supervised) -> None:
    other = site.pids("other")
    before = site.running("w", 3)
    assert "w  3 of 3 running\n  w:w_00   RUNNING   pid " in site.qp("status")
    assert set(releases_of(site).values()) == {"1"}
    releases = Releases(site.root)
    (site.root / "logs/w_00.log").write_text("cannot do anything\n")
    releases.to("2")
    assert {p["stale"] for p in site.status()["processes"]} == {True}
    code, report, _ = deploy(site)
    assert (code, report["result"], len(report["restarted"])) == (0, "done", 3), report
    after = site.running("w", 3)
    assert not set(after.values()) & set(before.values())
    assert set(releases_of(site).values()) == {"2"}
    assert deploy(site)[1]["restarted"] == [], "fresh ones are not touched"
    assert site.running("w", 3) == after

    releases.to("3", script="echo it is broken; exit 3")
    code, report, _ = deploy(site)
    assert (code, report["result"]) == (1, "rolled_back"), report
    assert report["failure"]["exit_code"] == 3
    assert report["failure"]["last_lines"] == ["it is broken"], "and nothing of the process before it"
    assert set(releases_of(site).values()) == {"2"}
    pids = site.running("w", 3)
    assert len(set(pids.values()) & set(after.values())) == 2, "only the one that was tried was replaced"
    os.kill(pids["w_02"], signal.SIGKILL)
    eventually(lambda: site.running("w", 3)["w_02"] != pids["w_02"], what="Supervisor starts it anew")
    release = os.readlink(f"/proc/{site.pids('w')['w_02']}/cwd")
    assert os.path.basename(release) == "2", "what Supervisor starts anew is of the release that is held"
    site.qp("scale", "w", "4")
    assert set(releases_of(site).values()) == {"2"}, "what is new is of the release that is held"
    assert site.pids("other") == other
    assert site.qp("logs", "w") == "w:0 | cannot do anything\nw:0 | it is broken\n", "each has a log of its own"


def test_a_deploy_that_was_killed_is_found_again(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    releases.to("1")
    with Supervised(tmp_path, config(observe="3s")) as site:
        site.qp("up")
        before = site.running("w", 3)
        releases.to("2")
        for ending, release in (("follow", "2"), ("abort", "2")):
            running = site.running("w", 3)
            with Started(site.qp, "deploy") as command:
                in_the_middle(site, running)
                assert site.qp.try_("scale", "w", "4").returncode == 4, "no two change something at a time"
                command.process.send_signal(signal.SIGKILL)
                command.end()
            said = "a deploy was interrupted: `queuepool deploy --follow` goes on with it"
            assert said in site.qp.try_("status").stdout
            done = site.qp.try_("deploy", f"--{ending}", timeout=120)
            assert done.returncode == 0, done.stdout + done.stderr
            assert set(releases_of(site).values()) == {release}, done.stdout
            assert not set(site.running("w", 3).values()) & set(before.values())
            releases.to("3" if ending == "follow" else "4")
        running = site.running("w", 3)
        with Started(site.qp, "deploy") as command:
            in_the_middle(site, running)
            command.process.send_signal(signal.SIGINT)
            assert command.end() == 130
        assert "the deploy stands still: `queuepool deploy --follow` goes on with it" in command.text()
        said = site.qp.try_("scale", "w", "2", timeout=120)
        assert said.returncode == 0, said.stdout + said.stderr
        assert "was interrupted; going on with it first" in said.stderr
        assert releases_of(site) == {"w:w_00": "4", "w:w_01": "4"}


def test_a_daemon_beside_it_takes_over_and_leaves_them_running(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    releases.to("1")
    with Supervised(tmp_path, config(2)) as site:
        site.qp("up")
        before = site.running("w", 2)
        site.qp("up", "-d")
        assert site.qp("scale", "w", "3") == "w:w_02: started\nw: 2 -> 3 (the file says 2)\n"
        assert before.items() < site.running("w", 3).items()
        assert site.qp.status()["daemon"]["engine"] == "supervisord"
        [view] = [p for p in site.qp.processes("w") if p["slot"] == 0]
        assert (view["pid"], os.path.basename(view["release"])) == (before["w_00"], "1")
        os.kill(before["w_00"], signal.SIGKILL)
        site.qp.state("w:0", "RUNNING")
        eventually(
            lambda: any(e["event"] == "exited" and e["fields"]["code"] == -9 for e in site.qp.events()),
            30, "the journal has the death", show=site.story,
        )  # fmt: skip
        former = site.sv.process
        former.kill()
        former.wait()
        said = f"! cannot ask supervisord at {site.sv.url}: Connection refused; all is shown as it was at "
        eventually(lambda: said in site.qp.try_("status").stdout, 30, "status says it", show=site.story)
        site.restart()
        eventually(
            lambda: [e["event"] for e in site.qp.events() if e["event"].startswith("supervisord_")]
            == ["supervisord_trouble", "supervisord_well"],
            30, "the journal has it", show=site.story,
        )  # fmt: skip
        site.qp.state("w:0", "RUNNING")
        releases.to("2")
        code, report, _ = deploy(site)
        assert (code, len(report["restarted"])) == (0, 3), report
        pids = site.running("w", 3)
        site.qp.kill()
        assert site.qp("scale", "w", "2") == "w:w_02: stopped\nw: 3 -> 2\n"
        site.qp("up", "-d")
        site.qp.kill(signal.SIGTERM)
        assert site.running("w", 2).items() < pids.items()
        site.qp("up", "-d")
        assert site.qp("down").endswith("down\n")
        assert site.states().keys() == {"other"}
        assert not list(site.conf.iterdir())


def test_an_engine_that_is_changed_while_the_other_one_has_processes_is_refused(tmp_path: Path) -> None:
    """Each of them would be there twice."""
    Releases(tmp_path).to("1")
    with Supervised(tmp_path, config(2)) as site:
        site.qp("up")
        before = site.running("w", 2)
        site.qp.write(config(2))
        done = site.qp.try_("up", "-d")
        assert done.returncode == 2
        assert "error: cannot run the programs here: supervisord has w_00, w_01 of " in done.stderr
        assert "hint: put that `engine` back, `queuepool down`, then change it; where" in done.stderr
        assert site.running("w", 2) == before
        site.write(config(2))
        site.qp("down")
        site.qp.write(config(2))
        site.qp("up", "-d")
        site.qp.kill()
        site.write(config(2))
        for command in ("up",), ("up", "-d"):
            done = site.qp.try_(*command)
            assert done.returncode == 2
            assert "error: cannot hand the programs over: w:0, w:1 of " in done.stderr
        assert site.states().keys() == {"other"}
        site.qp.write(config(2))
        site.qp("up", "-d")
        site.qp("down")
        site.write(config(2))
        site.qp("up")
        site.running("w", 2)


def test_what_cannot_be_is_said_with_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    sections = "[include]\nfiles = nowhere/*.ini\n"
    with Supervised(tmp_path, config(), sections=sections, more=OTHER, engine=f", directory: {elsewhere}") as site:
        done = site.qp.try_("up")
        assert done.returncode == 2
        assert f"error: supervisord does not read {elsewhere}/queuepool-" in done.stderr
        assert f"[include] of {site.sv.file} names {tmp_path}/sv/nowhere/*.ini\nhint: add {elsewhere}/*" in done.stderr
        assert not list(elsewhere.iterdir())
        site.head = (
            f"engine: {{type: supervisord, config: {site.sv.file}, url: 'unix:///tmp/none', directory: {site.conf}}}\n"
        )
        site.write(config())
        done = site.qp.try_("status")
        assert done.returncode == 5
        assert "error: cannot ask supervisord at unix:///tmp/none: No such file or directory" in done.stderr
        assert "hint: it does not run, or listens elsewhere: `systemctl start supervisor` starts it" in done.stderr
        site.head = "engine: {type: supervisord, config: /none/supervisord.conf}\n"
        site.write(config())
        assert "error: cannot read /none/supervisord.conf: No such file" in site.qp.try_("status").stderr
        site.head = "engine: supervisord\n"
        site.write(config().replace("stopwaitsecs: 60", "nice: 5\n    strategy: {max_surge: 1}\n    log_prefix: slot"))
        done = site.qp.try_("status")
        assert done.returncode == 2
        for words in (
            "queuepool.yml:10: programs.w.nice: cannot be had with `engine: supervisord`: Supervisor has no option",
            "programs.w.strategy: wants max_surge, which cannot be had with `engine: supervisord`",
            "programs.w.log_prefix: cannot be had with `engine: supervisord`: Supervisor writes the lines as they come",
        ):
            assert words in done.stderr, done.stderr


@pytest.mark.php
def test_a_worker_that_blocks_in_redis_gets_that_time_to_end_and_keeps_it(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    """Supervisor would have to end a process to be told of another stopwaitsecs: those that follow get it."""
    laravel = LaravelSite(tmp_path / "site", redis_server, REDIS_QUEUE_BLOCK_FOR="5")
    text = "app: current\nprograms:\n  w: {connection: redis, startsecs: 0}\n  own: {stopwaitsecs: 70, startsecs: 0}\n"
    with Supervised(laravel.root, text) as site:

        def waits() -> dict[str, int]:
            sections = re.split(r"^\[program:(\w+)\]$", site.file.read_text(), flags=re.M)[1:]
            found = zip(sections[::2], sections[1::2], strict=True)
            return {name: int(re.findall(r"^stopwaitsecs=(\d+)$", text, re.M)[0]) for name, text in found}

        site.ask(Update())
        assert waits() == {"own_00": 70, "w_00": 83}, "60 s of a job, 3 s of sleep, 15 s to spare, and 5 s in Redis"
        before = site.running("w", 1)
        with open(laravel.root / "shared/.env", "a") as env:
            env.write("REDIS_QUEUE_BLOCK_FOR=25\n")
        site.ask(Scale("w", 2))
        assert before.items() < site.running("w", 2).items(), "nothing is restarted for it"
        assert waits() == {"own_00": 70, "w_00": 83, "w_01": 103}
        site.ask(Restart(("w",)))
        assert waits() == {"own_00": 70, "w_00": 103, "w_01": 103}


@pytest.mark.php
def test_ten_deploys_in_a_row_under_load_do_each_job_once(tmp_path: Path, redis_server: RedisServer) -> None:
    laravel = LaravelSite(tmp_path / "site", redis_server)
    laravel.make("2")
    app = laravel.app
    text = """
app: current
programs:
  w: {connection: redis, numprocs: 3, tries: 3, sleep: 0.1, startsecs: 0}
deploy: {observe: 0.1s}
"""
    with Supervised(laravel.root, text) as site:
        site.qp("up")
        site.running("w", 3)
        for turn in range(10):
            if turn % 5 == 0:
                app.dispatch("Ledger", 100, ms=50)
                app.dispatch("Ledger", 3, ms=1000)
            wanted = "2" if turn % 2 == 0 else "1"
            laravel.switch(wanted)
            report = site.ask(Deploy(max_unavailable="2" if turn % 3 else None))
            assert (report["result"], len(report["restarted"])) == ("done", 3), report
            assert set(releases_of(site).values()) == {wanted}
        eventually(lambda: app.ledger().done == app.ledger().sent, 120, "all jobs are done", show=site.story)
        ledger = app.ledger()
        assert ledger.exactly_once, ledger
        assert ledger.done == 206
