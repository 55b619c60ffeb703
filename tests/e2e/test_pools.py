"""Pools of real processes, driven by the real command: who is started, who is left alone, who is drained."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from queuepool.system import procstat
from tests.support.daemon import Queuepool
from tests.support.started import Started
from tests.support.wait import eventually
from tests.support.worker import Report, worker_argv


def program(name: str, report: Report, *, numprocs: int = 1, keys: str = "", **orders: object) -> str:
    command = shlex.join(worker_argv(report=report, name=name, life=300, **orders))  # type: ignore[arg-type]
    return f"""
  {name}:
    type: command
    command: {command!r}
    numprocs: {numprocs}
    startsecs: 0
{keys}"""


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path / "report")


def test_scaling_up_keeps_every_running_process(tmp_path: Path, report: Report) -> None:
    with Queuepool(tmp_path, "programs:" + program("w", report, numprocs=2)) as qp:
        qp.up()
        before = qp.running("w", 2)
        out = qp("scale", "w", "4")
        after = qp.running("w", 4)
        assert before.items() <= after.items(), "the two old pids live on"
        assert "w" in out
        assert len(report.said("signal")) == 0


def test_scaling_down_drains_only_the_surplus_and_lets_it_finish(tmp_path: Path, report: Report) -> None:
    with Queuepool(tmp_path, "programs:" + program("w", report, numprocs=4, stop=0.5)) as qp:
        qp.up()
        before = qp.running("w", 4)
        report.wait("ready", count=4)
        qp("scale", "w", "2")
        after = qp.running("w", 2)
        assert after == {name: before[name] for name in ("w:0", "w:1")}
        ended = {said.pid for said in report.said("leaving", text="0")}
        assert ended == {before["w:2"], before["w:3"]}, "both took their half second and left by themselves"
        assert {said.pid for said in report.said("signal")} == ended, "nobody else was told anything"


def test_editing_only_numprocs_and_update_is_the_same_as_scaling(tmp_path: Path, report: Report) -> None:
    text = "programs:" + program("w", report, numprocs=2, stop=0.5) + program("other", report, numprocs=1)
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        before, other = qp.running("w", 2), qp.running("other", 1)
        qp.write(text.replace("numprocs: 2", "numprocs: 4"))
        assert "numprocs 2 -> 4" in qp("reread")
        assert qp.running("w", 2) == before, "reread changes nothing"
        qp("update")
        four = qp.running("w", 4)
        assert before.items() <= four.items()
        report.wait("ready", count=5)
        assert not report.said("signal")
        qp.write(text)
        qp("update")
        assert qp.running("w", 2) == before
        assert qp.running("other", 1) == other
        ended = {said.pid for said in report.said("leaving", text="0")}
        assert ended == {four["w:2"], four["w:3"]}, "both took their half second and left by themselves"
        assert {said.pid for said in report.said("signal")} == ended, "nobody else was told anything"


def test_a_scale_is_kept_by_the_next_daemon_and_reset_on_demand(tmp_path: Path, report: Report) -> None:
    with Queuepool(tmp_path, "programs:" + program("w", report, numprocs=1)) as qp:
        qp.up()
        qp("scale", "w", "3")
        qp.running("w", 3)
        qp.kill(signal.SIGTERM)
        qp.up()
        qp.running("w", 3)
        assert [p["numprocs"] for p in qp.status()["programs"]] == [1], "the file's number is shown beside it"
        qp("scale", "w", "--reset")
        qp.running("w", 1)


def test_what_changes_nothing_says_so_and_is_not_in_the_journal(tmp_path: Path, report: Report) -> None:
    off = program("off", report, keys="    autostart: false\n")
    with Queuepool(tmp_path, "programs:" + program("w", report, numprocs=1) + off) as qp:
        qp.up()
        qp.running("w", 1)
        assert qp("scale", "w", "1") == qp("scale", "w", "--reset") == "w is already 1, as the file says\n"
        assert qp("start", "w") == "w: unchanged (already running)\n"
        assert qp("stop", "off") == qp("stop", "off") == "off: unchanged (not running)\n"
        qp("scale", "w", "2")
        assert qp("scale", "w", "2") == "w is already 2 (the file says 1)\n"
        told = [e["sentence"] for e in qp.events() if e["event"] in ("operation", "scaled")]
        assert [sentence.removeprefix("root asked for ") for sentence in told] == [
            "stop of off", "scale 2 of w", "w is scaled from 1 to 2 (the file says 1)",
        ]  # fmt: skip
        assert json.loads(Path(qp.run.overrides).read_text())["scale"] == {"w": 2}
        assert qp("scale", "w", "1").endswith("w: 2 -> 1\n")
        assert json.loads(Path(qp.run.overrides).read_text())["scale"] == {}, "it follows the file again"


def test_a_name_that_is_nearly_right_is_answered_with_what_there_is(tmp_path: Path, report: Report) -> None:
    text = "programs:" + program("w", report, numprocs=2) + program("x", report) + "groups: {g: [w, x]}\n"
    with Queuepool(tmp_path, text) as qp:
        qp.up()

        def said(*words: str) -> str:
            done = qp.try_(*words)
            assert done.returncode == 2
            return done.stderr

        assert said("stop", "al") == "error: cannot find al: there is no such program, group or process\n" \
            "hint: did you mean all?\n"  # fmt: skip
        assert said("stop", "w:2") == "error: cannot find w:2: w has 2 processes\n" \
            "hint: see them with `queuepool status w`\n"  # fmt: skip
        assert said("scale", "g", "3") == "error: cannot scale g: it is a group, and programs are scaled\n" \
            "hint: the programs of it: w, x\n"  # fmt: skip


def test_a_process_that_is_not_to_run_is_not_waited_for(tmp_path: Path, report: Report) -> None:
    slow = program("slow", report).replace("startsecs: 0", "startsecs: 1000")
    off = program("off", report, keys="    autostart: false\n")
    with Queuepool(tmp_path, "programs:" + slow + off) as qp:
        qp.up()
        said = qp("scale", "off", "2", timeout=30)
        assert said == "off:off_01: unchanged (autostart is off)\noff: 1 -> 2 (the file says 1)\n"
        waiting = subprocess.Popen(qp.command("restart", "slow"), env=qp.environment, stdout=subprocess.PIPE, text=True)
        eventually(lambda: "asked=restart" in qp.journal(), what="it is asked for")
        qp("stop", "slow")
        assert waiting.communicate(timeout=60)[0] == "slow: unchanged (stopped by an operator)\n"


@pytest.mark.parametrize(
    ("ending", "again"),
    [(("stop", "w"), ("start", "--no-wait", "w")), (("scale", "w", "0"), ("scale", "--no-wait", "w", "1"))],
    ids=["stop", "scale"],
)
def test_who_waits_for_an_end_is_told_when_somebody_else_wants_the_process_again(
    tmp_path: Path, report: Report, ending: tuple[str, ...], again: tuple[str, ...]
) -> None:
    keys = "    stopwaitsecs: 3600\n"
    with Queuepool(tmp_path, "programs:" + program("w", report, stop=250, keys=keys)) as qp:
        qp.up()
        qp.running("w", 1)
        report.wait("ready", count=1)
        waiting = subprocess.Popen(qp.command(*ending), env=qp.environment, stdout=subprocess.PIPE, text=True)
        qp.state("w:0", "STOPPING")
        qp(*again)
        assert "failed (told to run again meanwhile)" in waiting.communicate(timeout=60)[0]
        assert waiting.returncode == 1


def test_a_program_that_comes_back_is_neither_stopped_nor_scaled(tmp_path: Path, report: Report) -> None:
    with_more = "programs:" + program("w", report) + program("more", report, numprocs=2)
    with Queuepool(tmp_path, with_more) as qp:
        qp.up()
        qp.running("more", 2)
        qp("scale", "more", "3")
        qp("stop", "more")
        qp.write("programs:" + program("w", report))
        assert "more: removed" in qp("update", "more")
        qp.write(with_more)
        qp("update", "more")
        qp.running("more", 2)
        qp("stop", "more:1")
        qp.write(with_more.replace("numprocs: 2", "numprocs: 1"))
        qp("update")
        qp.write(with_more)
        qp("update")
        qp.running("more", 2)


def test_a_changed_command_restarts_its_program_and_no_other(tmp_path: Path, report: Report) -> None:
    text = "programs:" + program("w", report, numprocs=2) + program("other", report)
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        before, other = qp.running("w", 2), qp.running("other", 1)
        qp.write(text.replace("name=w ", "name=w2 "))
        qp("update")
        after = qp.running("w", 2)
        report.wait("ready", count=5)
        assert not set(before.values()) & set(after.values())
        assert {said.text for said in report.said("ready") if said.pid in after.values()} == {"w2"}
        assert qp.running("other", 1) == other


def test_a_changed_policy_applies_without_a_restart(tmp_path: Path, report: Report) -> None:
    text = "programs:" + program("w", report, keys="    stopwaitsecs: 60\n", ignore="TERM")
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        before = qp.running("w", 1)
        report.wait("ready", count=1)
        qp.write(text.replace("stopwaitsecs: 60", "stopwaitsecs: 3"))
        qp("update")
        assert qp.running("w", 1) == before
        qp("stop", "w")
        assert report.said("signal", text="TERM"), "it was asked first"
        assert procstat.birth(before["w:0"]) is None, "and killed"
        [stopped] = [e for e in qp.events() if e["event"] == "stopped"]
        assert "killed" in stopped["fields"]["reason"]


def test_a_removed_program_is_drained_and_an_added_one_started(tmp_path: Path, report: Report) -> None:
    text = "programs:" + program("old", report, stop=0.2)
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        qp.running("old", 1)
        report.wait("ready", count=1)
        qp.write("programs:" + program("new", report))
        qp("update")
        qp.running("new", 1)
        eventually(lambda: [p["name"] for p in qp.status()["programs"]] == ["new"], what="only new is left")
        assert report.said("leaving", text="0")


def test_a_rolling_restart_with_surge_never_has_fewer_processes(tmp_path: Path, report: Report) -> None:
    keys = "    strategy: {max_surge: 50%, max_unavailable: 0}\n"
    with Queuepool(tmp_path, "programs:" + program("w", report, numprocs=6, keys=keys, stop=0.2)) as qp:
        qp.up()
        before = qp.running("w", 6)
        report.wait("ready", count=6)
        least, most, done = [99], [0], threading.Event()

        def sample() -> None:
            while not done.is_set():
                serving = [p for p in qp.processes("w") if p["state"] == "RUNNING"]
                least[0], most[0] = min(least[0], len(serving)), max(most[0], len(serving))

        thread = threading.Thread(target=sample)
        thread.start()
        qp("restart", "w")
        done.set()
        thread.join()
        after = qp.running("w", 6)
        report.wait("ready", count=12)
        assert not set(before.values()) & set(after.values())
        assert least[0] >= 6
        assert most[0] <= 9
        assert len(report.said("ready")) == 12, "each was restarted once"


def test_a_restart_whose_new_process_dies_keeps_the_old_one(tmp_path: Path, report: Report) -> None:
    text = "programs:" + program("w", report, keys="    strategy: {max_surge: 1}\n    startretries: 0\n")
    text = text.replace("startsecs: 0", "startsecs: 0.3")
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        before = qp.running("w", 1)
        qp.write(text.replace("name=w ", "name=w exit=3 ").replace("startsecs: 0.3", "startsecs: 30"))
        done = qp.try_("update")
        assert done.returncode != 0
        assert "exit 3" in done.stdout + done.stderr
        assert before["w:0"] in {p["pid"] for p in qp.processes("w") if p["state"] == "RUNNING"}


def test_stop_start_and_exit_codes(tmp_path: Path, report: Report) -> None:
    with Queuepool(tmp_path, "programs:" + program("w", report, numprocs=2)) as qp:
        assert qp.try_("status").returncode == 5
        qp.up()
        qp.running("w", 2)
        assert qp.try_("status").returncode == 0
        qp("stop", "w:1")
        qp.running("w", 1)
        assert "STOPPED" in qp.try_("status").stdout
        qp.kill()
        qp.up()
        qp.running("w", 1)
        assert qp.processes("w")[1]["reason"] == "stopped", "not what is true of the others"
        qp("start", "w:1")
        qp.running("w", 2)
        assert qp.try_("stop", "nope").returncode == 2
        assert qp.try_("signal", "NONSENSE", "w").returncode == 2
        assert qp.try_("scale", "w", "-1").returncode == 2
        assert qp.try_("scale", "nope", "1").returncode == 2


def test_signals_reach_the_leaders(tmp_path: Path, report: Report) -> None:
    with Queuepool(tmp_path, "programs:" + program("w", report, numprocs=2)) as qp:
        qp.up()
        pids = qp.running("w", 2)
        report.wait("ready", count=2)
        qp("signal", "USR1", "w:1")
        [said] = report.wait("signal", text="USR1")
        assert said.pid == pids["w:1"]


def test_a_killed_process_is_replaced_at_once(tmp_path: Path, report: Report) -> None:
    with Queuepool(tmp_path, "programs:" + program("w", report)) as qp:
        qp.up()
        [pid] = qp.running("w", 1).values()
        report.wait("ready", count=1)
        os.kill(pid, signal.SIGKILL)
        ready = report.wait("ready", count=2)[1]
        assert qp.running("w", 1)["w:0"] == ready.pid
        events = qp.events()
        at = next(at for at, e in enumerate(events) if e["event"] == "exited")
        exited, started = events[at : at + 2]
        assert "SIGKILL" in exited["line"]
        assert (started["event"], started["fields"]["pid"]) == ("started", ready.pid), "and nothing was waited for"


@pytest.mark.parametrize(
    ("script", "children", "members", "adopted", "python"),
    [
        ("timeout 250 {} & {}; true", ["plain", "deaf", "session"], 8, False, True),
        ("timeout 250 {}; true", ["plain", "session"], 4, True, False),
    ],
    ids=["both", "adopted"],
)
def test_after_a_stop_nothing_of_the_tree_is_left(
    tmp_path: Path, report: Report, script: str, children: list[str], members: int, adopted: bool, python: bool
) -> None:
    """A shell that does not pass signals on, over one that takes its time and has children of its own. The tree is
    the session of the shell: timeout(1) moves what it starts into another process group, and is found. A process that
    calls setsid() has left the tree, as daemons do: it is neither told to end nor waited for."""
    inner = shlex.join(worker_argv(report=report, name="inner", stop=0.3, children=children, python=python))
    text = f"""
programs:
  w:
    type: command
    command: {["sh", "-c", script.replace("{}", inner)]!r}
    startsecs: 0
    stopwaitsecs: 4
"""
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        [leader] = qp.running("w", 1).values()
        inners = report.wait("ready", count=script.count("{}"))
        if adopted:
            qp.kill()
            qp.up()
        departed = [said.pid for said in report.said("child", text="session")]
        assert len(procstat.session_members(leader)) == members
        qp("stop", "w")
        assert procstat.session_members(leader) == []
        left = {said.pid for said in report.said("leaving", text="0")}
        assert left == {said.pid for said in inners}, "they were asked, and finished what they did"
        assert all(map(procstat.birth, departed))
        qp("start", "w")
        report.wait("ready", count=2 * len(inners))
        assert all(map(procstat.birth, departed)), "whoever is started anew is no reason to end them"


@pytest.mark.parametrize("wrapper", ["", "timeout 250 "])
def test_a_killed_leader_is_not_doubled_while_its_children_live(tmp_path: Path, report: Report, wrapper: str) -> None:
    inner = shlex.join(worker_argv(report=report, name="inner", stop=0.3))
    text = f"""
programs:
  w: {{type: command, command: {["sh", "-c", f"{wrapper}{inner}; true"]!r}, startsecs: 0, stopwaitsecs: 60}}
"""
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        [leader] = qp.running("w", 1).values()
        [first] = report.wait("ready")
        os.kill(leader, signal.SIGKILL)
        second = report.wait("ready", count=2)[1]
        [left] = report.said("leaving", pid=first.pid)
        assert left.monotonic < second.monotonic, "the old worker was gone before the new one began"


def test_a_dependent_waits_for_what_it_needs_and_stops_before_it(tmp_path: Path, report: Report) -> None:
    text = "programs:" + program("app", report, keys="    depends_on: [base]\n", stop=0.2)
    text += program("base", report).replace("startsecs: 0", "startsecs: 0.5")
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        qp.running("app", 1)
        report.wait("ready", count=2)
        base, app = report.wait("ready", text="base"), report.wait("ready", text="app")
        order = [(e["event"], e["process"]) for e in qp.events() if e["event"] in ("started", "running")]
        assert order.index(("running", "base:0")) < order.index(("started", "app:0"))
        qp("down")
        left = {said.pid: said.monotonic for said in report.said("leaving")}
        assert left[app[0].pid] < left[base[0].pid]


def test_priorities_order_the_stop_and_equals_stop_side_by_side(tmp_path: Path, report: Report) -> None:
    text = "programs:" + "".join(
        program(name, report, keys=f"    priority: {priority}\n    stopwaitsecs: 100\n", ignore="TERM")
        for name, priority in (("first", 1), ("a", 500), ("b", 500), ("c", 500))
    )
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        for name in ("first", "a", "b", "c"):
            qp.running(name, 1)
        pids = {said.text: said.pid for said in report.wait("ready", count=4)}
        with Started(qp, "down") as command:
            report.wait("signal", text="TERM", count=3)
            for name in ("a", "b", "c"):
                assert report.said("signal", pid=pids[name]), "all are asked before the first has left"
            for name in ("a", "b", "c"):
                assert not report.said("signal", pid=pids["first"])
                os.kill(pids[name], signal.SIGINT)  # it leaves
                report.wait("leaving", pid=pids[name])
            report.wait("signal", pid=pids["first"])
            os.kill(pids["first"], signal.SIGINT)
            assert command.end() == 0, command.text()


def test_autostart_false_starts_on_demand(tmp_path: Path, report: Report) -> None:
    with Queuepool(tmp_path, "programs:" + program("w", report, keys="    autostart: false\n")) as qp:
        qp.up()
        assert qp.try_("status").returncode == 0, "what is not meant to run is no fault"
        qp.running("w", 0)
        qp("start", "w")
        qp.running("w", 1)


def test_exit_codes_and_autorestart_follow_supervisor(tmp_path: Path, report: Report) -> None:
    keys = "    autorestart: unexpected\n    exitcodes: [0, 3]\n"
    text = "programs:" + program("w", report, keys=keys, exit=3, after=0.3).replace("startsecs: 0", "startsecs: 0.1")
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        view = qp.state("w:0", "EXITED")
        assert view["exit_code"] == 3


def test_of_a_pool_that_fails_as_a_whole_only_one_tries_and_its_success_starts_the_others(
    tmp_path: Path, report: Report
) -> None:
    good = shlex.join(worker_argv(report=report, name="w", life=200))
    script = f"echo start >> {tmp_path}/starts; test -e {tmp_path}/mended && exec {good}; exit 3"
    text = f"programs:\n  w: {{type: command, command: {['sh', '-c', script]!r}, numprocs: 20, startretries: 50}}\n"
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        eventually(lambda: sum(p["restarts"] for p in qp.processes("w")) >= 3, 30, "three tries more", show=qp.story)
        starts = (tmp_path / "starts").read_text().count("start")
        assert starts <= 20 + 6, "twenty first tries, and then one process alone"
        (tmp_path / "mended").touch()
        qp.running("w", 20)


def test_memory_limit_recycles_gracefully(tmp_path: Path, report: Report) -> None:
    text = "programs:" + program("w", report, keys="    memory_limit: 30MB\n", eat=60, stop=0.1)
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        report.wait("leaving", text="0")
        events = eventually(lambda: [e for e in qp.events() if e["event"] == "limit"], what="a limit event")
        assert "memory_limit" in events[0]["line"]
