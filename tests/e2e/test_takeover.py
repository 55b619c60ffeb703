"""`import supervisor --take-over` from a real supervisord with real processes."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path

import pytest

from tests.support.daemon import Queuepool
from tests.support.laravel import PHP, LaravelApp
from tests.support.ports import free_port
from tests.support.started import Started
from tests.support.supervisord import Supervisord, bin_of, proxy
from tests.support.wait import eventually
from tests.support.worker import Report, worker_argv

pytestmark = pytest.mark.skipif(bin_of("debian") is None, reason="Supervisor is not installed")

ONLY_THERE = "QP_TEST_ONLY_THERE"


def program(name: str, command: list[str], root: Path, **options: object) -> str:
    """A section. root: where it runs, the directory of supervisord, so that it is killed with that."""
    given = {
        "command": shlex.join(command), "directory": root, "startsecs": 0, "redirect_stderr": "true",
        "stdout_logfile": f"{root}/{name}.log", **options,
    }  # fmt: skip
    return f"[program:{name}]\n" + "".join(f"{key}={value}\n" for key, value in given.items())


def numbered(count: int) -> dict[str, object]:
    return {"numprocs": count, "process_name": "%(program_name)s_%(process_num)02d"}


def empty(directory: Path) -> Queuepool:
    """A place for a queuepool.yml that is to be written."""
    qp = Queuepool(directory, "")
    qp.file.unlink()
    return qp


def take_over(supervisord: Supervisord, *more: str) -> list[str]:
    return ["import", "supervisor", str(supervisord.file), "--take-over", *more]


def states(supervisord: Supervisord) -> dict[str, tuple[str, int]]:
    """Full name -> state and pid there."""
    with proxy(supervisord.url) as server:
        found: list[dict[str, object]] = server.supervisor.getAllProcessInfo()  # type: ignore[assignment]
    return {f"{one['group']}:{one['name']}": (str(one["statename"]), int(str(one["pid"]))) for one in found}


def stop_there(supervisord: Supervisord, name: str) -> None:
    with proxy(supervisord.url) as server:
        server.supervisor.stopProcess(name)


def are(supervisord: Supervisord, state: str, *names: str) -> None:
    def all_are() -> bool:
        seen = states(supervisord)
        return all(seen[name][0] == state for name in names)

    eventually(all_are, what=f"{names} are {state} there", show=lambda: states(supervisord))


def test_neither_a_plan_nor_a_program_that_cannot_run_here_changes_anything(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    artisan = tmp_path / "app" / "artisan"
    artisan.write_text("<?php\n")
    worker = ["sh", "-c", "exec sleep 600"]
    text = program("mail", [*PHP, str(artisan), "queue:work"], tmp_path / "sv", startretries=0, autostart="false")
    text += program("cron", worker, tmp_path / "sv") + program("off", worker, tmp_path / "sv", autostart="false")
    with Supervisord(tmp_path / "sv", "debian", text) as supervisord, empty(tmp_path / "qp") as qp:
        are(supervisord, "RUNNING", "cron:cron")
        before = states(supervisord)
        said = qp(*take_over(supervisord, "--plan"))
        assert f"to take over from supervisord 4.2.5 at {supervisord.url}\n" in said
        assert f"  1. write {qp.file}\n  2. start the daemon, and hold these programs until their turn\n" in said
        assert "  3. cron: stop 1 process there, start 1 process here\n" in said
        assert "  not moved: off does not run there; stays stopped here\n" in said
        assert said.endswith("nothing was changed; without --plan it is done\n")
        assert not qp.file.exists()
        qp.write(f"programs:\n  cron:\n    command: {tmp_path}/not-here\n")
        done = qp.try_(*take_over(supervisord))
        assert done.returncode == 1, done.stdout + done.stderr
        assert "cannot take over: cron cannot run here; everything is as before\n" in done.stderr
        assert states(supervisord) == before
        assert qp.run.pid() is None


def test_a_group_that_does_not_start_here_runs_there_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ONLY_THERE, "yes")  # queuepool gives its programs a clean environment
    script = tmp_path / "picky"
    script.write_text(f'#!/bin/sh\ntest "${ONLY_THERE}" || exit 3\nexec sleep 600\n')
    script.chmod(0o755)
    text = program("a", worker_argv(), tmp_path / "sv") + program(
        "b", [str(script)], tmp_path / "sv", startsecs=1, **numbered(2)
    )
    with Supervisord(tmp_path / "sv", "debian", text) as supervisord, empty(tmp_path / "qp") as qp:
        are(supervisord, "RUNNING", "a:a", "b:b_00", "b:b_01")
        stop_there(supervisord, "b:b_01")
        done = qp.try_(*take_over(supervisord))
        assert done.returncode == 1, done.stdout + done.stderr
        assert "cannot move b: b:b_00 does not start here: " in done.stderr
        assert "it runs in Supervisor as before; moved before: a\n" in done.stderr
        assert "b: 1 process there again\n" in done.stdout
        seen = states(supervisord)
        assert {name: state for name, (state, _) in seen.items()} == {
            "a:a": "STOPPED", "b:b_00": "RUNNING", "b:b_01": "STOPPED",
        }  # fmt: skip
        qp.running("a", 1)
        qp.running("b", 0)
        script.write_text("#!/bin/sh\nexec sleep 600\n")
        assert "moved: a, b\n" in qp(*take_over(supervisord))
        qp.running("b", 1)
        qp.running("a", 1)


def test_what_a_stop_does_not_reach_is_told(tmp_path: Path) -> None:
    """A shell that waits for its command: the signal ends the shell alone."""
    text = program("sh", ["sh", "-c", "sleep 611 & echo $! > left; wait"], tmp_path / "sv")
    text += program("all", ["sh", "-c", "sleep 612; true"], tmp_path / "sv", stopasgroup="true")
    with Supervisord(tmp_path / "sv", "debian", text) as supervisord, empty(tmp_path / "qp") as qp:
        are(supervisord, "RUNNING", "sh:sh", "all:all")
        pid = int(eventually(lambda: (tmp_path / "sv" / "left").read_text().strip(), what="it has started it"))
        try:
            said = qp(*take_over(supervisord))
            assert said.count("warning: ") == 2
            assert "warning: sh: a stop there may end its shell alone" in said
            assert "warning: sh: the stop there did not reach what the program had started, and it runs on:\n" in said
            assert f"  pid {pid}: sleep 611\n  a worker ends its job, and then itself: `kill {pid}`\n" in said
            assert "\nmoved: " in said
        finally:
            os.kill(pid, signal.SIGKILL)


def test_when_nothing_could_be_moved_the_daemon_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ONLY_THERE, "yes")
    script = tmp_path / "picky"
    script.write_text(f'#!/bin/sh\ntest "${ONLY_THERE}" || exit 3\nexec sleep 600\n')
    script.chmod(0o755)
    text = program("b", [str(script)], tmp_path / "sv", startsecs=1)
    with Supervisord(tmp_path / "sv", "debian", text) as supervisord, empty(tmp_path / "qp") as qp:
        are(supervisord, "RUNNING", "b:b")
        done = qp.try_(*take_over(supervisord))
        assert done.returncode == 1, done.stdout + done.stderr
        assert "it runs in Supervisor as before\n" in done.stderr
        assert states(supervisord)["b:b"][0] == "RUNNING"
        assert qp.run.pid() is None


def test_after_a_sigkill_of_the_command_a_second_call_goes_on(tmp_path: Path) -> None:
    """The one that ran is started here, the one that was stopped by hand is not."""
    report = Report(tmp_path / "report")
    slow = {"startsecs": 2, **numbered(2)}  # and so there is time to kill it while one starts here
    text = program("pool", worker_argv(report=report, name="w", stop=2), tmp_path / "sv", **slow)
    with Supervisord(tmp_path / "sv", "debian", text) as supervisord, empty(tmp_path / "qp") as qp:
        are(supervisord, "RUNNING", "pool:pool_00", "pool:pool_01")
        stop_there(supervisord, "pool:pool_01")
        for at, number, code in (("pool: stopping", signal.SIGINT, 130), ("stopped there", signal.SIGKILL, -9)):
            with Started(qp, *take_over(supervisord)) as command:
                command.until(at)
                command.process.send_signal(number)
                assert command.end() == code, command.text()
            if code == 130:
                words = (
                    f"interrupted; this goes on with it: queuepool -c {qp.file} import supervisor {supervisord.file}"
                )
                assert f"{words} --take-over\n" in command.text()
        said = qp(*take_over(supervisord))
        assert "pool: all are stopped there already\npool: 1 process here\n\nmoved: pool\n" in said
        assert f"  supervisorctl remove pool\n  take [program:pool] out of {supervisord.file}\n" in said
        assert {state for state, _ in states(supervisord).values()} == {"STOPPED"}
        pids = qp.running("pool", 1)
        assert set(pids) == {"pool:0"}
        again = qp(*take_over(supervisord))
        assert "  moved already: pool\n" in again
        assert again.endswith("\nnothing is left to be moved\n")
        assert qp.running("pool", 1) == pids
        assert len(report.said("ready")) == 3, "two there, one here"


def test_neither_a_killed_daemon_nor_a_hangup_leaves_a_group_stopped(tmp_path: Path) -> None:
    text = program("a", worker_argv(), tmp_path / "sv") + program("b", worker_argv(stop=3), tmp_path / "sv")
    with Supervisord(tmp_path / "sv", "debian", text) as supervisord, empty(tmp_path / "qp") as qp:
        are(supervisord, "RUNNING", "a:a", "b:b")
        with Started(qp, *take_over(supervisord)) as command:
            command.until("b: stopping")
            command.process.send_signal(signal.SIGKILL)
            command.end()
        moved = qp.running("a", 1)
        qp.kill()
        with Started(qp, *take_over(supervisord)) as command:
            command.until("up: the daemon")
            command.process.send_signal(signal.SIGHUP)
            assert command.end() == 0, command.text()
        assert "moved: a, b\n" in command.text()
        assert qp.running("a", 1) == moved, "what was moved before goes on"
        qp.running("b", 1)


def test_a_supervisord_that_dies_in_the_middle_is_said(tmp_path: Path) -> None:
    text = program("pool", worker_argv(stop=5), tmp_path / "sv", stopwaitsecs=60)
    with Supervisord(tmp_path / "sv", "debian", text) as supervisord, empty(tmp_path / "qp") as qp:
        are(supervisord, "RUNNING", "pool:pool")
        with Started(qp, *take_over(supervisord)) as command:
            command.until("pool: stopping")
            supervisord.process.kill()
            assert command.end() == 6, command.text()
        assert "; and it cannot be put back: cannot ask supervisord at unix://" in command.text()
        assert "hint: start it by hand: `supervisorctl start pool:*`" in command.text()
        qp.running("pool", 0)


def test_tcp_with_a_password_and_a_group_that_stays_in_part(tmp_path: Path) -> None:
    server = (
        f"[inet_http_server]\nport=127.0.0.1:{free_port()}\nusername=u\n"
        "password={SHA}2aae6c35c94fcfb415dbe95f408b9ce91ee846ed\n"
    )
    listener = "[eventlistener:ear]\nevents=TICK_3600\ncommand=sleep 600\n"
    text = (
        program("a", worker_argv(), tmp_path / "sv")
        + "[fcgi-program:php]\nsocket=unix://%(here)s/fcgi\ncommand=sleep 600\n"
    )
    text += "[group:both]\nprograms=a,php\n" + listener
    with Supervisord(tmp_path / "sv", "debian", text + server) as supervisord, empty(tmp_path / "qp") as qp:
        are(supervisord, "RUNNING", "both:a", "both:php", "ear:ear")
        kept = {name: seen for name, seen in states(supervisord).items() if name not in ("both:a", "ear:ear")}
        client = "[supervisorctl]\nserverurl=http://127.0.0.1\nusername=u\npassword=hello world\n"
        (tmp_path / "sv" / "tcp.conf").write_text(text + server + client)
        done = qp.try_("import", "supervisor", str(tmp_path / "sv" / "tcp.conf"), "--take-over")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "not moved: both:php runs there, and queuepool.yml has no program for it\n" in done.stdout
        assert "hello world" not in done.stdout + done.stderr
        now = states(supervisord)
        assert now.pop("both:a")[0] == now.pop("ear:ear")[0] == "STOPPED"
        assert now == kept
        qp.running("a", 1)
        qp.running("ear", 1)


def test_a_supervisord_that_does_not_answer_is_said(tmp_path: Path) -> None:
    conf = tmp_path / "supervisord.conf"
    conf.write_text(f"[unix_http_server]\nfile={tmp_path}/none\n" + program("a", worker_argv(), tmp_path / "sv"))
    with empty(tmp_path / "qp") as qp:
        done = qp.try_("import", "supervisor", str(conf), "--take-over")
        assert done.returncode == 1
        assert f"cannot ask supervisord at unix://{tmp_path}/none: No such file or directory" in done.stderr
        assert not qp.file.exists()
        assert qp.try_("import", "supervisor", str(conf), "--plan").returncode == 2


@pytest.mark.php
def test_no_job_is_lost_or_done_twice_on_the_move(tmp_path: Path, laravel_app: LaravelApp) -> None:
    command = [*PHP, str(laravel_app.artisan_file), "queue:work", "redis", "--sleep=0.1", "--tries=1", "--timeout=30"]
    root, held = tmp_path / "sv", laravel_app.hold()
    held.unlink()
    text = program("laravel-worker", command, root, startsecs=1, stopwaitsecs=60, **numbered(3))
    text += program("second", command, root, startsecs=1, stopwaitsecs=5)
    names = [*(f"laravel-worker:laravel-worker_0{slot}" for slot in range(3)), "second:second"]
    with Supervisord(tmp_path / "sv", "debian", text) as supervisord, empty(tmp_path / "qp") as qp:
        are(supervisord, "RUNNING", *names)
        laravel_app.dispatch("Ledger", 240, ms=100)
        eventually(lambda: laravel_app.ledger().done > 5, what="the workers there are busy")
        held.touch()
        with Started(qp, *take_over(supervisord)) as move:
            move.until("laravel-worker: stopping 3 processes there")
            assert laravel_app.ledger().done < 240, "it is moved under load"
            held.unlink()
            assert move.end() == 0, move.text()
        warning = "second: Supervisor kills what does not stop within 5 s (stopwaitsecs), and a job may take 30 s"
        assert warning in move.text()
        qp.running("laravel-worker", 3)
        qp.running("second", 1)
        laravel_app.dispatch("Ledger", 20)
        eventually(lambda: laravel_app.ledger().done == 260, 60, "every job is done", show=laravel_app.ledger)
        assert laravel_app.ledger().exactly_once, laravel_app.ledger()
        assert {state for state, _ in states(supervisord).values()} == {"STOPPED"}
