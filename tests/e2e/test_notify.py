"""Notifications of a real daemon, driven by the real command: what arrives, what outlives a SIGKILL, and what nobody is
shown."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queuepool.control.client import Client
from queuepool.control.messages import Notify
from tests.support.daemon import Queuepool
from tests.support.laravel import PHP, LaravelApp
from tests.support.receiving import Hook
from tests.support.redis import RedisServer
from tests.support.wait import eventually

PROGRAM = """\
programs:
  {name}:
    type: command
    numprocs: {count}
    startsecs: {startsecs}
    startretries: 0
    fatal_retry: never
    command: [sh, -c, "test -e {good} && exec sleep 1000; echo 'no such table: jobs'; exit 3"]
"""


def program(tmp_path: Path, name: str = "w", count: int = 2, startsecs: float = 1) -> str:
    """Processes that run or fail at once; startsecs: so long a busy machine may take for that."""
    return PROGRAM.format(name=name, count=count, startsecs=startsecs, good=tmp_path / "good")


def notifications(*lines: str, calm: str = "0.5s") -> str:
    return "\n".join(["notifications:", "  gather: 1s", f"  calm: {calm}", *(f"  {line}" for line in lines), ""])


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as found:
        yield found


def everything_shown(qp: Queuepool) -> str:
    """All that anybody could read: logs, journal, records, screens."""
    shown = [qp.journal(), qp.output.read_text()]
    shown += [file.read_text(errors="replace") for file in Path(qp.runtime).rglob("*") if file.is_file()]
    for args in (("status", "-v"), ("status", "--json"), ("config", "show"), ("config", "check"), ("notify",),
                 ("notify", "--json"), ("events", "-n", "5000"), ("notify", "--test")):  # fmt: skip
        done = qp.try_(*args)
        shown += [done.stdout, done.stderr]
    return "\n".join(shown)


def test_a_hundred_workers_that_fail_at_once_are_one_message_and_so_is_their_recovery(
    tmp_path: Path, hook: Hook
) -> None:
    url = hook.url.replace("?", "\\?")
    text = program(tmp_path, count=100, startsecs=4) + notifications(
        "webhook: ${HOOK}", "headers: {Authorization: Bearer SECRET-HEADER}", "secret: SECRET-KEY", calm="2s"
    )
    hook.echo = True
    with Queuepool(tmp_path / "site", text, HOOK=hook.url) as qp:
        qp.up()
        [raised] = hook.wait(key="fatal:w")
        assert raised["title"].endswith("of 100 processes FATAL: exit 3: no such table: jobs"), raised
        assert raised["lines"] == ["no such table: jobs"]
        assert (raised["host"], raised["config"]) == (os.uname().nodename, str(qp.file))
        (tmp_path / "good").touch()
        qp("start", "w")
        over = hook.wait(2, key="fatal:w")[1]
        assert over["title"].startswith("w runs again after ")
        assert (over["text"], over["phase"]) == ("100 of 100 run.", "recovered")
        assert len(hook.received) == 2
        hook.answers = [500, 500]
        assert qp.try_("notify", "--test").returncode == 1
        shown = everything_shown(qp)
        assert "answers 500" in shown
        assert not [
            word for word in ("SECRET-PATH", "SECRET-TOKEN", "SECRET-HEADER", "SECRET-KEY", url) if word in shown
        ]
        assert "notify --test" in qp.journal()


def test_what_a_killed_daemon_could_not_deliver_the_next_one_does_once(tmp_path: Path, hook: Hook) -> None:
    steady = "  steady: {type: command, startsecs: 0, command: sleep 1000}\n"
    hook.stop()
    with Queuepool(tmp_path / "site", program(tmp_path) + steady + notifications(f"webhook: {hook.url}")) as qp:
        qp.up()
        eventually(lambda: "event=notify_trouble" in qp.journal(), 60, "the trouble is told", show=qp.story)
        status = qp.try_("status")
        assert "! cannot deliver notifications to webhook: 127.0.0.1:" in status.stdout
        assert "refuses connections (for " in status.stdout
        qp.kill()
        qp.up()
        hook.start()
        hook.wait(2)
        eventually(lambda: "event=notify_well" in qp.journal(), 60, "the trouble is over", show=qp.story)
        [told] = [one for one in hook.accepted() if one["key"] == "fatal:w"]
        assert told["title"].startswith("w: 2 of 2 processes FATAL")
        [died] = [one for one in hook.accepted() if one["key"] == "daemon:died"]
        assert "1 process went on without it" in died["text"]
        assert "cannot deliver" not in qp.try_("status").stdout
        assert qp.journal().count("event=notify_trouble") <= 2, "once in each daemon's life, not once a try"
        assert qp.kill(signal.SIGTERM) == 0
        before = len(hook.received)
        qp.up()
        assert Client(qp.run.socket).ask(Notify())["targets"], "told of from the first answer on"
        qp.state("w:0", "FATAL")
        qp.state("w:1", "FATAL")
        assert "wrong now, and told:\n  w: 2 of 2 processes FATAL" in qp("notify")
        qp.kill(signal.SIGTERM)
        assert len(hook.received) == before, "what is open is not told again, and a clean end is none to tell"
        (Path(qp.run.state) / "notifications.json").write_text("{")
        qp.up()
        eventually(
            lambda: "notifications.json (it is not of this version)" in qp.try_("status").stdout, 60, "it is said"
        )


PATIENT = """
from queuepool.controller import senders
senders.SECONDS = senders.ALL_SECONDS = 200
"""
"""Python of a daemon that lets a server take its time, so that waiting for it could not be overlooked."""


def test_a_slow_server_keeps_nobody_waiting(tmp_path: Path, hook: Hook) -> None:
    hook.seconds = 200.0
    (tmp_path / "sitecustomize.py").write_text(PATIENT)
    text = program(tmp_path) + notifications(f"slack: {hook.url}")
    with Queuepool(tmp_path / "site", text, PYTHONPATH=str(tmp_path)) as qp:
        qp.up()
        eventually(lambda: hook.received, 60, "the server was asked")
        began = time.monotonic()
        qp.try_("status")
        qp("scale", "w", "3", "--no-wait")
        assert qp.kill(signal.SIGTERM) == 0, "3 s for what is under way"
        assert time.monotonic() - began < 100.0


def test_a_command_and_the_limits_of_a_target_and_what_an_update_brings(tmp_path: Path, hook: Hook) -> None:
    out = tmp_path / "told"
    with Queuepool(tmp_path / "site", program(tmp_path)) as qp:
        qp.up()
        qp.state("w:0", "FATAL")
        assert "nobody is told" in qp("notify")
        refused = qp.try_("notify", "--test")
        assert (refused.returncode, "queuepool update" in refused.stderr) == (2, True)
        text = program(tmp_path) + program(tmp_path, "other").partition("\n")[2]
        lines = (
            "targets:",
            f"  mine: {{command: [sh, -c, 'cat >> {out}'], programs: other}}",
            f"  deploys: {{webhook: '{hook.url}', on: deploy}}",
        )
        qp.write(text + notifications(*lines))
        assert "notifications: updated" in qp("update", "--no-wait").splitlines()
        told = eventually(lambda: out.exists() and out.read_text().endswith("\n") and out.read_text(), 60, "it is told")
        assert isinstance(told, str)
        assert json.loads(told)["key"] == "fatal:other", "w failed before anybody was to be told"
        assert hook.received == []
        reply: dict[str, Any] = json.loads(qp("notify", "--json"))
        assert [(one["name"], one["delivered"]) for one in reply["targets"]] == [("mine", 1), ("deploys", 0)]
        assert [one["key"] for one in reply["open"]] == ["fatal:other"]
        shown = qp("notify")
        assert "wrong now, and told:\n  other: 2 of 2 processes FATAL" in shown
        assert "told of deploy\n" in shown
        tested = qp("notify", "--test", "deploys")
        assert tested.startswith("deploys: delivered in ")
        assert hook.accepted()[0]["key"] == "test"
        wrong = qp.try_("notify", "--test", "nobody")
        assert (wrong.returncode, "there is mine, deploys" in wrong.stderr) == (2, True)


def test_without_a_daemon_a_test_is_sent_by_the_command_itself(tmp_path: Path, hook: Hook) -> None:
    with Queuepool(tmp_path, program(tmp_path) + notifications(f"slack: {hook.url}", "command: 'false'")) as qp:
        done = qp.try_("notify", "--test")
        assert done.returncode == 1
        assert done.stdout.splitlines()[0].startswith("slack: delivered in ")
        assert done.stdout.splitlines()[1] == "command: not delivered: false ended with 1"
        assert "no daemon runs" in done.stderr
        assert len(hook.received) == 1
        assert qp("notify").startswith("slack  slack 127.0.0.1:")
        assert qp.try_("notify", "slack").returncode == 2


def test_a_deploy_that_fails_is_told_and_the_next_that_succeeds(tmp_path: Path, hook: Hook) -> None:
    (tmp_path / "good").touch()
    text = program(tmp_path) + notifications(f"webhook: {hook.url}")
    with Queuepool(tmp_path / "site", text + "deploy: {observe: 0, check: 'false'}\n") as qp:
        qp.up()
        qp.running("w", 2)
        assert qp.try_("deploy", "--force").returncode == 1
        [failed] = hook.wait(1)
        assert failed["title"].startswith(f"deploy {failed['facts']['deploy']} failed and was rolled back: ")
        assert (failed["about"], failed["severity"]) == ("deploy", "error")
        qp.write(text + "deploy: {observe: 0}\n")
        qp("deploy", "--force")
        again = hook.wait(2)[1]
        assert again["title"].endswith(" is done, after one that failed")
        assert (again["about"], again["severity"]) == ("deploy", "info")


@pytest.mark.php
def test_jobs_that_wait_redis_that_is_away_and_a_killed_worker_are_told_and_over_again(
    tmp_path: Path, laravel_app: LaravelApp, redis_server: RedisServer, hook: Hook
) -> None:
    head = f"app: {laravel_app.root}\nphp: {json.dumps(PHP)}\n"
    worker = "programs:\n  w: {connection: redis, numprocs: 1, sleep: 0.1, tries: 3}\n"
    text = head + worker + notifications(f"webhook: {hook.url}", "wait_above: 1s")
    with Queuepool(tmp_path / "site", text) as qp:
        qp.up()
        [pid] = qp.running("w", 1, 60).values()
        os.kill(pid, signal.SIGKILL)
        [killed] = hook.wait(key="memory:w")
        assert killed["title"].startswith("w: 1 process was killed (SIGKILL)")
        qp("stop", "w")
        laravel_app.dispatch("Ledger", 3)
        [waits] = hook.wait(key=f"wait:redis:default@{laravel_app.root}")
        assert waits["title"].startswith("redis:default: jobs wait ")
        assert (waits["programs"], waits["command"]) == (["w"], "queuepool queues redis:default")
        qp("start", "w")
        hook.wait(2, key=waits["key"])
        redis_server.stop()
        where = f"127.0.0.1:{redis_server.port}"
        [away] = hook.wait(key=f"redis:{where}")
        assert away["title"] == f"redis at {where} refuses connections"
        redis_server.start()
        over = hook.wait(2, key=f"redis:{where}")[1]
        assert over["title"].startswith(f"redis at {where} answers again after ")
        assert "crash_loop:w" not in {one["key"] for one in hook.accepted()}
