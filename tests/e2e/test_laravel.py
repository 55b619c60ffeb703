"""The real thing: `php artisan queue:work` on a real Redis, with jobs that write down each time they are done."""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from queuepool.system import procstat
from tests.support import laravel
from tests.support.daemon import Queuepool
from tests.support.laravel import PHP, LaravelApp
from tests.support.redis import RedisServer
from tests.support.started import Started
from tests.support.wait import eventually

pytestmark = pytest.mark.php


def workers(app: LaravelApp, numprocs: int = 4, keys: str = "") -> str:
    return f"""
app: {app.root}
php: {json.dumps(PHP)}
programs:
  laravel-worker:
    connection: redis
    queue: [high, default]
    numprocs: {numprocs}
    tries: 3
    timeout: 60
    sleep: 0.1
{keys}"""


def ledger_ends(app: LaravelApp) -> list[str]:
    """The lines of jobs that were done (see LedgerFile.php)."""
    return [line for line in (app.root / "storage/app/ledger.log").read_text().splitlines() if line.startswith("end ")]


def held_at_boot(directory: Path) -> tuple[Path, list[str]]:
    """A PHP that is busy before it boots anything, until the file is there."""
    gate, prepended = directory / "gate", directory / "wait.php"
    prepended.write_text(f"<?php while (!file_exists('{gate}')) clearstatcache();")
    return gate, [*PHP, "-d", f"auto_prepend_file={prepended}"]


def test_a_thousand_jobs_are_done_exactly_once_through_kills_and_scaling(
    tmp_path: Path, laravel_app: LaravelApp
) -> None:
    """A worker is killed between jobs every second while the pool goes 4 -> 10 -> 2. (Killed in mid-job, the
    job would have to wait for retry_after.)"""
    sent, ms = 1000, 40
    with Queuepool(tmp_path / "qp", workers(laravel_app, 4, "    startsecs: 0.1\n")) as qp:
        qp.up()
        qp.running("laravel-worker", 4)
        laravel_app.dispatch("Ledger", sent, ms=ms)
        killer = Killer(laravel_app)

        def until(what: str, true: Callable[[], object]) -> None:
            """Wait, and go on killing as long as there is work for twenty jobs of the others."""

            def step() -> object:
                nonlocal sent
                killer.look()
                if sent - killer.done < 60 and len(killer.kills) < 5:  # they work faster than one is killed each second
                    laravel_app.dispatch("Ledger", 100, ms=ms)
                    sent += 100
                if sent - killer.done >= 60:
                    killer.turn(qp)
                return true()

            eventually(step, 180, what, show=lambda: (killer.kills, laravel_app.ledger().missing, qp.story()))

        until("the four work", lambda: killer.done >= 100)
        four = qp.pids("laravel-worker")
        qp("scale", "laravel-worker", "10", "--no-wait")
        until("ten run", lambda: len(qp.pids("laravel-worker")) == 10)
        ten = qp.pids("laravel-worker")
        assert set(four.values()) - killer.killed <= set(ten.values()), "the old ones run on, but for the killed"
        until("all ten work", lambda: set(ten.values()) - killer.killed <= killer.signed)
        until("most is done", lambda: killer.done >= 800)
        before = qp.pids("laravel-worker")
        seen = len(qp.events())
        qp("scale", "laravel-worker", "2", "--no-wait")
        until("all jobs are done", lambda: killer.done >= sent)
        two = qp.running("laravel-worker", 2)
        kept = {name: pid for name, pid in before.items() if name in two and pid not in killer.killed}
        assert kept.items() <= two.items(), "these two were not drained"
        later = [event for event in qp.events()[seen:] if event["event"] in ("stopping", "stopped", "exited")]
        drained = {f"laravel-worker:{slot}" for slot in range(2, 10)}
        assert {event["process"] for event in later if event["event"] == "stopped"} == drained
        assert {event["process"] for event in later if event["event"] == "stopping"} <= drained
        exits = [event for event in qp.events() if event["event"] == "exited"]
        assert {event["fields"]["pid"] for event in exits} <= killer.killed, "nobody died but the killed"

        ledger = laravel_app.ledger()
        assert ledger.exactly_once, ledger
        assert ledger.sent == ledger.done == sent
        assert len(killer.kills) >= 5
        assert 0.9 <= median(killer.gaps()) <= 3, killer.gaps()


class Killer:
    """Kills a worker each second, and never one that holds a job.

    The chosen one is told to pause (SIGUSR2): it finishes the job it has, and perhaps one that it was about to take. It
    holds none when it has begun nothing more while the others finished twenty jobs.

    kills: (when, pid). done: jobs that were finished. signed: workers that have finished one.
    """

    def __init__(self, app: LaravelApp) -> None:
        self.file = app.root / "storage/app/ledger.log"
        self.kills: list[tuple[float, int]] = []
        self.done = 0
        self._read = 0
        self._begun: Counter[int] = Counter()
        self._ended: Counter[int] = Counter()
        self._victim: int | None = None
        self._held = self._others = 0
        self._last = time.monotonic()

    @property
    def killed(self) -> set[int]:
        return {pid for _, pid in self.kills}

    @property
    def signed(self) -> set[int]:
        return set(self._ended)

    def gaps(self) -> list[float]:
        """Seconds from each kill to the next."""
        return [later - earlier for (earlier, _), (later, _) in pairwise(self.kills)]

    def turn(self, qp: Queuepool) -> None:
        """Choose, wait for, or kill; called again and again, after look()."""
        since = time.monotonic() - self._last
        if self._victim is None:
            # One that has done something has booted: before, SIGUSR2 would end it.
            pids = [pid for pid in qp.pids("laravel-worker").values() if pid in self._ended] if since >= 0.3 else []
            if pids:
                self._victim = pids[len(self.kills) % len(pids)]
                os.kill(self._victim, signal.SIGUSR2)
                self._held = -1
            return
        if procstat.birth(self._victim) is None:  # scaled down meanwhile
            self._victim = None
            return
        begun, ended, others = (
            self._begun[self._victim],
            self._ended[self._victim],
            self.done - self._ended[self._victim],
        )
        if begun != self._held or begun != ended:
            self._held, self._others = begun, others
        elif others - self._others >= 20 and since >= 1:
            os.kill(self._victim, signal.SIGKILL)
            self._last = time.monotonic()
            self.kills.append((self._last, self._victim))
            self._victim = None

    def look(self) -> None:
        """Read what was written to the ledger since."""
        with open(self.file, "rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole + newline)
        for line in whole.splitlines():
            mark, _, who, *_ = line.split()
            if mark == b"begin":
                self._begun[int(who)] += 1
            elif mark == b"end":
                self._ended[int(who)] += 1
                self.done += 1


def test_redis_away_for_twenty_seconds_makes_nobody_fatal(
    tmp_path: Path, laravel_app: LaravelApp, redis_server: RedisServer
) -> None:
    """With its cache on Redis a worker exits with 1 when Redis is gone, and dies again at each start.
    Three seconds after Redis answers again, all run."""
    laravel_app.set_env(CACHE_DRIVER="redis", CACHE_STORE="redis")

    def outage(qp: Queuepool, seconds: float) -> float:
        """Redis is away for so long; how long after its first answer the last worker was RUNNING."""
        seen = len(qp.events())
        redis_server.stop()
        stopped = time.monotonic()
        eventually(
            lambda: all("waiting for redis" in p["reason"] for p in qp.processes("laravel-worker")),
            what="all wait for Redis",
            show=lambda: (qp.processes("laravel-worker"), qp.story()),
        )
        views = qp.processes("laravel-worker")
        assert {p["state"] for p in views} == {"BACKOFF"}
        assert f"127.0.0.1:{redis_server.port}" in views[0]["reason"]
        starts = sum(p["restarts"] for p in views)
        eventually(lambda: time.monotonic() - stopped >= seconds, what="Redis was away for long enough")
        views = qp.processes("laravel-worker")
        assert sum(p["restarts"] for p in views) == starts, "nobody was started in vain meanwhile"
        assert qp.try_("status").returncode == 3
        redis_server.start()
        answered = time.time()
        qp.running("laravel-worker", 4)
        events = qp.events()[seen:]
        kinds = [e["event"] for e in events]
        assert "fatal" not in kinds
        since = [kind for kind in kinds[kinds.index("resumed") :] if kind != "resumed"]
        assert sorted(since) == ["running"] * 4 + ["started"] * 4, "none had to try again"
        return float(max(e["time"] for e in events if e["event"] == "running")) - answered

    with Queuepool(tmp_path / "qp", workers(laravel_app, 4)) as qp:
        qp.up()
        qp.running("laravel-worker", 4)
        took = [outage(qp, 20)]
        while min(took) > 3 and len(took) < 3:  # the machine may have had other things to do
            took.append(outage(qp, 0))
        assert min(took) <= 3, took
        laravel_app.dispatch("Ledger", 20)
        eventually(lambda: laravel_app.ledger().done == 20, what="they work again")


@pytest.mark.parametrize("kind", ["shell", "listen"])
def test_a_stop_lets_the_job_finish_and_leaves_nothing_of_the_tree(
    tmp_path: Path, laravel_app: LaravelApp, kind: str
) -> None:
    """`sh -c "php artisan queue:work; true"` dies of TERM at once, as does queue:listen: their child has the job."""
    shell = f"[sh, -c, '{shlex.join(PHP)} artisan queue:work; true']"
    command = "type: listen" if kind == "listen" else f"type: command\n    command: {shell}"
    text = f"""
app: {laravel_app.root}
php: {json.dumps(PHP)}
programs:
  w:
    {command}
    directory: {laravel_app.root}
    stopwaitsecs: 100
"""
    held = laravel_app.hold()
    with Queuepool(tmp_path / "qp", text) as qp:
        qp.up()
        [leader] = qp.running("w", 1).values()
        laravel_app.dispatch("Ledger", 1, ms=10)
        eventually(lambda: laravel_app.ledger().unfinished, what="the job has begun")
        assert len(procstat.session_members(leader)) > 1
        with Started(qp, "stop", "w") as command:
            eventually(lambda: qp.processes("w")[0]["state"] == "STOPPING", what="it is told to end")
            assert command.process.poll() is None, "it waits for the job"
            held.unlink()
            assert command.end() == 0, command.text()
        assert procstat.session_members(leader) == []
        ledger = laravel_app.ledger()
        assert (ledger.done, ledger.unfinished, ledger.doubled) == (1, (), ())


def test_scaling_down_lets_a_running_job_finish(tmp_path: Path, laravel_app: LaravelApp) -> None:
    held = laravel_app.hold()
    with Queuepool(tmp_path / "qp", workers(laravel_app, 3)) as qp:
        qp.up()
        before = qp.running("laravel-worker", 3)
        laravel_app.dispatch("Ledger", 3, ms=10)
        eventually(lambda: len(laravel_app.ledger().unfinished) == 3, what="all are busy")
        with Started(qp, "scale", "laravel-worker", "1") as command:
            eventually(lambda: sum(p["state"] == "STOPPING" for p in qp.processes()) == 2, what="two are told to end")
            assert command.process.poll() is None, "it waits for their jobs"
            held.unlink()
            assert command.end() == 0, command.text()
        assert qp.running("laravel-worker", 1) == {"laravel-worker:0": before["laravel-worker:0"]}
        eventually(lambda: laravel_app.ledger().done == 3, what="all are done")
        assert laravel_app.ledger().exactly_once


def test_twenty_sigkills_of_the_daemon_lose_no_job(tmp_path: Path, laravel_app: LaravelApp) -> None:
    """Each time in the midst of work: jobs are left, and some were done under the daemon that is killed."""
    with Queuepool(tmp_path / "qp", workers(laravel_app, 2)) as qp:
        qp.up()
        before = qp.running("laravel-worker", 2)
        sent = 200
        laravel_app.dispatch("Ledger", sent, ms=100)
        for round_ in range(20):
            ledger = laravel_app.ledger()
            if len(ledger.missing) < 30:
                laravel_app.dispatch("Ledger", 60, ms=100)
                sent += 60
            eventually(lambda done=ledger.done: laravel_app.ledger().done > done, what="they work")
            qp.kill()
            assert laravel_app.ledger().missing, f"jobs are left in round {round_}"
            qp.up()
            assert qp.running("laravel-worker", 2) == before, f"round {round_}"
        eventually(lambda: laravel_app.ledger().done == sent, 60, "all are done")
        assert laravel_app.ledger().exactly_once


def test_a_recycled_worker_is_back_without_penalty(tmp_path: Path, laravel_app: LaravelApp) -> None:
    """--max-jobs ends a worker with 0 after each ten jobs."""
    with Queuepool(tmp_path / "qp", workers(laravel_app, 2, "    max_jobs: 10\n")) as qp:
        qp.up()
        qp.running("laravel-worker", 2)
        laravel_app.dispatch("Ledger", 100)
        eventually(lambda: laravel_app.ledger().done == 100, 60, "all are done", show=qp.story)
        events = {e["event"] for e in qp.events()}
        assert "recycled" in events
        assert "fatal" not in events
        assert laravel_app.ledger().exactly_once


def test_paused_workers_take_no_job_until_they_continue(tmp_path: Path, laravel_app: LaravelApp) -> None:
    held = laravel_app.hold()
    with Queuepool(tmp_path / "qp", workers(laravel_app, 2)) as qp:
        qp.up()
        qp.running("laravel-worker", 2)
        laravel_app.dispatch("Ledger", 2)
        eventually(lambda: len(laravel_app.ledger().unfinished) == 2, what="both have booted: before, the signal kills")
        held.unlink()
        eventually(lambda: laravel_app.ledger().done == 2, what="they work")
        said = qp("pause", "laravel-worker"), qp("pause", "laravel-worker")
        assert all(p["paused"] for p in qp.processes("laravel-worker"))
        assert "_00: paused\n" in said[0]
        assert "_00: unchanged (already paused)\n" in said[1]
        assert "_00: continued\n" in qp("continue", "laravel-worker")
        assert "_00: unchanged (not paused)\n" in qp("continue", "laravel-worker")
        told = [e["fields"]["asked"] for e in qp.events() if e["event"] == "operation"]
        assert told == ["pause", "continue"], "of what changed nothing the journal says nothing"
        laravel_app.dispatch("Ledger", 5)
        eventually(lambda: laravel_app.ledger().done == 7, what="they go on")


def test_a_worker_that_boots_is_paused_when_it_has(tmp_path: Path, laravel_app: LaravelApp) -> None:
    """Before, it has no handler of the signal, which would end it. The other worker does the jobs."""
    gate, php = held_at_boot(tmp_path)
    file = workers(laravel_app, 2).replace(json.dumps(PHP), json.dumps(php))
    with Queuepool(tmp_path / "qp", file) as qp:
        qp.up()
        eventually(lambda: all(p["pid"] for p in qp.processes()), what="both boot")
        pids = {p["name"]: p["pid"] for p in qp.processes()}
        assert "_00: paused\n" in qp("pause", "laravel-worker:0")
        gate.touch()
        laravel_app.dispatch("Ledger", 2)
        eventually(lambda: laravel_app.ledger().done == 2, what="they have booted", show=qp.story)
        laravel_app.dispatch("Ledger", 40, ms=10)
        eventually(lambda: laravel_app.ledger().done == 42, what="all is done", show=qp.story)
        by_paused = sum(line.split()[2] == str(pids["laravel-worker:0"]) for line in ledger_ends(laravel_app))
        assert by_paused <= 3, "those that it had taken when the signal came"
        assert [p["paused"] for p in qp.processes()] == [True, False]
        qp("continue", "laravel-worker:0")
        qp.running("laravel-worker", 2)  # a fast machine is here before startsecs
        assert qp.pids() == pids, "none was ended by the signal"


def test_fifty_workers_are_not_booted_at_once(tmp_path: Path, laravel_app: LaravelApp) -> None:
    """Twice the cores boot at a time; the others wait for their turn and say so. Here PHP is busy until a gate opens,
    so that no worker has booted before."""
    gate, php = held_at_boot(tmp_path)
    file = workers(laravel_app, 50).replace(json.dumps(PHP), json.dumps(php))
    with Queuepool(tmp_path / "qp", file) as qp:
        qp.up()

        def booting() -> int:
            views = qp.processes("laravel-worker")
            waiting = [p for p in views if p["reason"] == "waiting for its turn to boot"]
            assert len(waiting) == sum(p["pid"] is None for p in views), "who has no process says why"
            return len(views) - len(waiting)

        at_once = max(2, 2 * procstat.cores())
        eventually(lambda: booting() == at_once, what="as many boot as may", show=qp.story)
        assert booting() == at_once
        gate.touch()
        qp.running("laravel-worker", 50, timeout=60)


def test_workers_do_not_ask_for_the_size_of_a_terminal_that_is_not_there(
    tmp_path: Path, laravel_app: LaravelApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Artisan starts a shell, stty and grep for it at every boot, unless it is told, as queuepool does."""
    programs, asked = tmp_path / "programs", tmp_path / "asked"
    programs.mkdir()
    stty = programs / "stty"
    stty.write_text(f"#!/bin/sh\necho asked $* >> {asked}\n")
    stty.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    with Queuepool(tmp_path / "qp", workers(laravel_app, 2), PATH=path) as qp:
        qp.up()
        qp.running("laravel-worker", 2)
        laravel_app.dispatch("Ledger", 4)
        eventually(lambda: laravel_app.ledger().done == 4, 60, "they work", show=qp.story)
        assert not asked.exists() or "-a" not in asked.read_text()
    monkeypatch.setenv("PATH", path)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(laravel, "NO_TERMINAL", {})
    laravel_app.artisan("queue:work", "redis", "--stop-when-empty")
    assert "asked -a" in asked.read_text(), "this artisan would ask"
