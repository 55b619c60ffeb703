"""Deploys of releases switched by a link: what runs afterwards, what is said, and what a killed daemon makes of it."""

from __future__ import annotations

import json
import os
import pwd
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from queuepool.control.client import Client
from queuepool.control.messages import Deploy, DeployStatus
from queuepool.errors import QueuepoolError
from queuepool.system.procstat import birth
from tests.support.daemon import Queuepool
from tests.support.releases import Releases, Sampler, config, program
from tests.support.started import Started
from tests.support.wait import eventually


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    found = Releases(tmp_path / "srv")
    found.to("1")
    return found


@pytest.fixture
def qp(releases: Releases) -> Iterator[Queuepool]:
    with Queuepool(releases.root, config()) as queuepool:
        queuepool.up()
        queuepool.running("w", 4)
        yield queuepool


SLOW_TO_RUN = program(startsecs=30)
"""With it a process that dies at once is seen to die before it counts as running, however busy the machine is."""


@pytest.fixture
def gate(releases: Releases, qp: Queuepool) -> Path:
    """A deploy of `qp` stands still in its check, after the first batch, until this file is there."""
    file = releases.root / "gate"
    qp.write(config(deploy=f"check: [sh, -c, 'until test -e {file}; do sleep 0.05; done'], observe: 0.1s"))
    return file


def running(qp: Queuepool, program: str = "w") -> set[str]:
    """Names of the releases that run."""
    views = [p for p in qp.processes(program) if p["state"] == "RUNNING" and not p["retiring"]]
    return {os.path.basename(str(p["release"])) for p in views}


def deploy(qp: Queuepool, *args: str, code: int = 0) -> dict[str, Any]:
    """Deploy with --json; the report."""
    done = qp.try_("deploy", "--json", *args)
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}\n{qp.story()}"
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_a_deploy_replaces_every_worker_once_and_then_has_nothing_to_do(qp: Queuepool, releases: Releases) -> None:
    before = qp.pids("w")
    new = releases.to("2")
    plan = qp.try_("deploy", "--plan", "--detailed-exitcode")
    assert plan.returncode == 2
    assert "w:w_00 is restarted: release 1 -> 2" in plan.stdout
    assert qp.pids("w") == before, "a plan changes nothing"
    report = deploy(qp)
    assert report["result"] == "done"
    assert len(report["restarted"]) == 4
    assert report["programs"][0]["release"] == {"from": str(releases.path("1")), "to": new}
    after = qp.running("w", 4)
    assert not set(before.values()) & set(after.values())
    assert running(qp) == {"2"}
    assert len(releases.report.said("ready", text="2")) == 4, "none was restarted twice"
    again = deploy(qp)
    assert (again["result"], len(again["kept"])) == ("done", 4)
    assert qp.pids("w") == after
    assert qp.try_("deploy", "--dry-run", "--detailed-exitcode").returncode == 0


def test_a_release_that_dies_at_boot_is_rolled_back_and_the_old_one_is_held(qp: Queuepool, releases: Releases) -> None:
    before = qp.pids("w")
    qp.write(config(SLOW_TO_RUN))
    releases.to("2", script="echo 'PHP Fatal error: oh no in /srv/app/x.php on line 7' >&2; exit 255")
    report = deploy(qp, code=1)
    assert (report["result"], report["rolled_back"]) == ("rolled_back", True)
    failure = report["failure"]
    assert (failure["gate"], failure["process"], failure["exit_code"]) == ("start", "w:w_00", 255)
    assert "PHP fatal error" in failure["meaning"]
    assert any("oh no" in line for line in failure["last_lines"])
    assert qp.running("w", 4) == before, "nobody else was touched"
    status = qp.status()["programs"][0]
    assert status["reason"] == "held at release 1: a deploy was rolled back"
    os.kill(before["w:3"], signal.SIGKILL)
    eventually(lambda: qp.running("w", 4)["w:3"] != before["w:3"], what="the killed one is back")
    assert running(qp) == {"1"}, "it starts from the old release although the link leads to the new one"
    qp("scale", "w", "5")
    qp.running("w", 5)
    qp.kill()
    qp.up()
    qp.running("w", 5)
    assert running(qp) == {"1"}
    qp.kill(signal.SIGTERM)
    qp.up()
    qp.running("w", 5)
    assert running(qp) == {"1"}, "it is held over a clean restart as well"
    qp.write(config())
    releases.to("3")
    assert deploy(qp)["result"] == "done"
    assert running(qp) == {"3"}
    assert "held" not in qp.status()["programs"][0]["reason"]
    last, failed, *_ = json.loads(qp("deploy", "--history", "--json"))["deploys"]
    assert (last["result"], last["restarted"], last["failure"]) == ("done", 5, None)
    assert [os.path.basename(last["release"][key]) for key in ("from", "to")] == ["1", "3"]
    assert (failed["id"], failed["result"], failed["gate"]) == (report["id"], "rolled_back", "start")
    assert failed["who"] == pwd.getpwuid(os.getuid()).pw_name
    first, why = qp("deploy", "--history").splitlines()[1:3]
    assert "rolled back" in first
    assert "by " in first
    assert why == f"  start: {failure['message']}"


def test_one_that_dies_while_it_is_observed_is_rolled_back(qp: Queuepool, releases: Releases) -> None:
    releases.to("2", exit=3, after=0.4)
    report = deploy(qp, "--observe", "5s", code=1)
    assert (report["failure"]["gate"], report["failure"]["exit_code"]) == ("crash", 3)
    qp.running("w", 4)
    assert running(qp) == {"1"}
    releases.switch("1")
    assert deploy(qp)["restarted"] == []
    assert qp.status()["programs"][0]["reason"] == "numprocs", "the link leads there again, so nothing is held"


def test_a_file_that_does_not_validate_changes_nothing(qp: Queuepool, releases: Releases) -> None:
    before = qp.pids("w")
    releases.to("2")
    qp.write(config().replace("numprocs: 4", "numprocz: 4"))
    done = qp.try_("deploy")
    assert done.returncode == 2
    assert "did you mean numprocs" in done.stderr
    assert qp.pids("w") == before


def test_settings_go_back_with_the_release_and_stay_until_they_are_wanted(qp: Queuepool, releases: Releases) -> None:
    releases.to("2", exit=1)
    qp.write(config(program(numprocs=6, startsecs=30), program("new", 1, startsecs=30)))
    assert deploy(qp, code=1)["result"] == "rolled_back"
    qp.running("w", 4)
    assert [p["name"] for p in qp.status()["programs"]] == ["w"]
    qp.kill()
    qp.up()
    qp.running("w", 4)
    assert [p["name"] for p in qp.status()["programs"]] == ["w"], "a start does not apply what a deploy refused"
    releases.to("3")
    qp.write(config(program(numprocs=6), program("new", 1)))
    report = deploy(qp)
    assert set(report["started"]) == {"w:w_04", "w:w_05", "new"}
    qp.running("w", 6)
    qp("stop", "new")
    for programs in ([program(numprocs=6)], [program(numprocs=6), program("new", 1)]):
        qp.write(config(*programs))
        deploy(qp)
    assert qp.running("new", 1), "it was gone, and nobody stopped the one that came back"


def test_only_what_is_named_is_touched(releases: Releases) -> None:
    with Queuepool(releases.root, config(program("a", 1), program("b", 1), more="groups: {g: [a]}\n")) as qp:
        qp.up()
        before = qp.running("b", 1)
        qp.running("a", 1)
        releases.to("2")
        assert deploy(qp, "g")["restarted"] == ["a"]
        assert (running(qp, "a"), running(qp, "b")) == ({"2"}, {"1"})
        assert qp.pids("b") == before
        done = qp.try_("deploy", "b:0")
        assert (done.returncode, "whole programs" in done.stderr) == (2, True)
        assert deploy(qp, "--force", "a")["restarted"] == ["a"]
        assert deploy(qp, "a")["restarted"] == [], "a forced restart is not made again"


def test_a_program_that_is_held_stays_so_while_others_are_deployed(releases: Releases) -> None:
    with Queuepool(releases.root, config(program("a", 1), program("b", 1))) as qp:
        qp.up()
        qp.running("a", 1)
        qp.running("b", 1)
        releases.to("2", exit=1)
        qp.write(config(program("a", 1, startsecs=30), program("b", 1)))
        assert deploy(qp, "a", code=1)["result"] == "rolled_back"
        qp.write(config(program("a", 1), program("b", 1)))
        releases.to("3")
        assert deploy(qp, "b")["result"] == "done"
        for _ in range(2):
            qp("restart", "a")
            qp.running("a", 1)
            assert (running(qp, "a"), running(qp, "b")) == ({"1"}, {"3"})
            qp.kill()
            qp.up()
            qp.running("a", 1)
            qp.running("b", 1)
        assert deploy(qp)["restarted"] == ["a"]
        assert running(qp, "a") == {"3"}


def test_no_fewer_workers_take_jobs_than_promised_and_long_jobs_do_not_hold_it_up(releases: Releases) -> None:
    releases.to("slow", ignore="TERM")
    with Queuepool(releases.root, config()) as qp:
        qp.up()
        before = qp.running("w", 4)
        releases.report.wait("ready", count=4)
        releases.to("2")
        with Sampler(qp, "w") as sampler:
            report = deploy(qp)
        assert report["result"] == "done"
        assert len(report["draining"]) == 4, "they finish what they do"
        assert sampler.fewest == 4
        releases.report.wait("signal", count=4, text="TERM")
        assert len(releases.report.said("leaving")) == 0
        for pid in before.values():
            os.kill(pid, signal.SIGINT)  # the job is done
        qp.running("w", 4)
        releases.report.wait("leaving", count=4, text="0")


def test_a_daemon_that_stops_in_the_middle_leaves_the_deploy_to_the_next_one(
    qp: Queuepool, releases: Releases, gate: Path
) -> None:
    releases.to("2")
    with Started(qp, "deploy") as command:
        eventually(lambda: running(qp) == {"1", "2"}, what="the first batch runs")
        assert qp.try_("upgrade").returncode == 4
        qp("down")
        assert command.end() in (1, 5)
    assert qp.process is not None
    qp.process.wait(60)
    gate.touch()
    qp.up()
    eventually(lambda: last(qp)["result"] == "done", what="it ends", show=qp.story)
    qp.running("w", 4)
    assert running(qp) == {"2"}


def test_wait_drained_waits(releases: Releases) -> None:
    releases.to("slow", stop=1)
    with Queuepool(releases.root, config(program(numprocs=1))) as qp:
        qp.up()
        qp.running("w", 1)
        releases.to("2")
        assert deploy(qp, "--wait-drained")["draining"] == []
        assert len(releases.report.said("leaving", text="0")) == 1


def test_hooks_run_in_the_new_release_and_a_failing_one_before_changes_nothing(releases: Releases) -> None:
    log = releases.root / "hooks"
    hook = f"[sh, -c, 'echo $QUEUEPOOL_HOOK $QUEUEPOOL_RELEASE $PWD >> {log}; test ! -e broken']"
    text = config(deploy=f"before: [{hook}], after: [{hook}], check: {hook}, on_failure: [{hook}], observe: 0.1s")
    with Queuepool(releases.root, text) as qp:
        qp.up()
        before = qp.running("w", 4)
        new = releases.to("2")
        assert deploy(qp)["result"] == "done"
        said = [line.split() for line in log.read_text().splitlines()]
        assert [words[0] for words in said] == ["before", "check", "check", "after"]
        assert {tuple(words[1:]) for words in said} == {(new, new)}
        assert set(before.values()).isdisjoint(qp.pids("w").values())
        before = qp.pids("w")
        (releases.make("3") / "broken").touch()
        releases.switch("3")
        report = deploy(qp, code=1)
        assert (report["failure"]["gate"], report["failure"]["exit_code"]) == ("before", 1)
        assert qp.pids("w") == before
        assert log.read_text().splitlines()[-1].split() == ["on_failure", str(releases.path("3")), new]


def test_a_hook_is_ended_when_its_deploy_is_aborted(releases: Releases) -> None:
    mark = releases.root / "pid"
    with Queuepool(releases.root, config(deploy=f"before: [[sh, -c, 'echo $$ > {mark}; exec sleep 300']]")) as qp:
        qp.up()
        before = qp.running("w", 4)
        releases.to("2")
        with Started(qp, "deploy", "--json") as command:
            eventually(lambda: mark.exists() and mark.read_text().strip(), what="the hook runs", show=qp.story)
            qp("deploy", "--abort")
            assert command.end() == 1
        eventually(lambda: birth(int(mark.read_text())) is None, what="the hook has ended", show=qp.story)
        assert qp.running("w", 4) == before


def test_a_second_deploy_is_refused_or_waits_and_the_first_can_be_followed_and_aborted(
    qp: Queuepool, releases: Releases
) -> None:
    releases.to("2")
    with Started(qp, "deploy", "--observe", "60s", "--output", "ndjson") as first:
        first.until("first batch")
        second = qp.try_("deploy")
        assert second.returncode == 4
        assert "a deploy is under way" in second.stderr
        assert qp.try_("update").returncode == 4
        with (
            Started(qp, "deploy", "--lock-wait", "60s", "--observe", "0.1s") as patient,
            Started(qp, "deploy", "--follow") as follower,
        ):
            patient.until("under way")
            follower.until("begins")
            assert json.loads(qp("deploy", "--status", "--json"))["result"] == "running"
            assert qp.try_("deploy", "--abort").returncode == 0
            assert first.end() == 1
            assert follower.end() == 1
            assert json.loads(first.lines[-1])["report"]["result"] == "aborted"
            assert patient.end() == 0
    qp.running("w", 4)
    assert running(qp) == {"2"}
    assert qp.try_("deploy", "--abort").returncode == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_deploy_goes_on_when_its_command_is_ended(qp: Queuepool, releases: Releases, gate: Path, number: int) -> None:
    releases.to("2")
    with Started(qp, "deploy") as command:
        command.until("first batch")
        command.process.send_signal(number)
        assert command.end() == (130 if number == signal.SIGINT else -9)
        if number == signal.SIGINT:
            assert "the deploy goes on in the daemon" in command.text()
    assert last(qp)["result"] == "running"
    gate.touch()
    qp("deploy", "--follow")
    assert json.loads(qp("deploy", "--status", "--json"))["result"] == "done"
    assert running(qp) == {"2"}


def test_a_deploy_that_takes_too_long_is_rolled_back(releases: Releases) -> None:
    with Queuepool(releases.root, config(program(numprocs=2, startsecs=1))) as qp:
        qp.up()
        before = qp.running("w", 2)
        releases.to("2")
        report = deploy(qp, "--observe", "60s", "--timeout", "2s", code=3)
        assert (report["result"], report["rolled_back"], report["failure"]["gate"]) == ("timed_out", True, "timeout")
        assert qp.running("w", 2)["w:1"] == before["w:1"]
        assert running(qp) == {"1"}


def test_a_roll_back_waits_until_the_old_release_runs_again(releases: Releases) -> None:
    """In place, and the old release breaks while the new one is tried."""
    text = config(program(numprocs=1, keys="").replace("max_surge: 25%, max_unavailable: 0", "max_surge: 0"))
    with Queuepool(releases.root, text) as qp:
        qp.up()
        qp.running("w", 1)
        releases.to("2")
        with Started(qp, "deploy", "--observe", "60s", "--json") as command:
            [new] = releases.report.wait("ready", text="2")
            (releases.path("1") / "work").unlink()
            os.kill(new.pid, signal.SIGKILL)
            eventually(lambda: qp.state("w:0", "BACKOFF"), what="neither runs", show=qp.story)
            releases.make("unused")
            (releases.path("unused") / "work").rename(releases.path("1") / "work")
            assert command.end() == 1
        assert json.loads(command.text())["result"] == "rolled_back", "it came back in time"
        qp.running("w", 1)
        assert running(qp) == {"1"}


def test_ci_systems_get_their_groups_annotations_and_summary(qp: Queuepool, releases: Releases) -> None:
    place = releases.path("2") / "app/Jobs/Mail.php"
    qp.write(config(SLOW_TO_RUN))
    releases.to("2", script=f"echo 'PHP Parse error: oh in {place} on line 7'; exit 255")
    summary = releases.root / "summary.md"
    qp.environment |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    done = qp.try_("deploy")
    assert done.returncode == 1
    assert "::group::the first batch" in done.stdout
    assert "::endgroup::" in done.stdout
    assert "::error file=app/Jobs/Mail.php,line=7,title=" in done.stdout
    assert "❌ queuepool deploy: rolled back" in summary.read_text()
    qp.environment["GITHUB_ACTIONS"] = "false"
    qp.environment["GITLAB_CI"] = "true"
    qp.write(config())
    releases.to("3")
    assert "section_start:" in qp("deploy")


@pytest.mark.parametrize("fails", [False, True], ids=["good", "bad"])
def test_sigkill_of_the_daemon_at_every_step(releases: Releases, fails: bool) -> None:
    """It is killed at each saved state in turn; whatever the step, the next daemon ends the deploy: with the new
    release, or with the old one."""
    hooks = "before: 'true', check: 'true', after: 'true', on_failure: 'true'"
    text = config(program(numprocs=2, startsecs=0.05), deploy=f"{hooks}, observe: 0.1s")
    (releases.root / "sitecustomize.py").write_text(DIES)
    kills = 0
    with Queuepool(releases.root, text, PYTHONPATH=str(releases.root)) as qp:
        qp.up()
        qp.running("w", 2)
        for step in range(40):
            name = f"n{step}"
            old = running(qp)
            releases.to(name, exit=1 if fails else None)
            if not killed_at(qp, step):
                break
            kills += 1
            qp.up()
            eventually(lambda: last(qp)["result"] != "running", 60, f"step {step}: it ends", show=qp.story)
            qp.running("w", 2)
            ended = last(qp)
            assert running(qp) == (old if ended["rolled_back"] else {name}), f"step {step}: {ended}"
            assert not fails or ended["result"] != "done"
            assert ended["result"] != "failed" or "while the commands" in ended["failure"]["message"]
            assert len(qp.processes("w")) == 2
    assert kills >= (8 if fails else 15), "each state was met"


def last(qp: Queuepool) -> dict[str, Any]:
    """The report of the last deploy, straight from the socket."""
    return Client(qp.run.socket).ask(DeployStatus())


DIES = """
import os, signal
def replace(old, new, *, replace=os.replace, left="saves-left"):
    replace(old, new)
    if os.fspath(new).endswith("/deploy.json") and os.path.exists(left):
        with open(left) as file:
            saves = int(file.read())
        if not saves:
            os.unlink(left)
            os.kill(os.getpid(), signal.SIGKILL)
        with open(left, "w") as file:
            file.write(str(saves - 1))
os.replace = replace
"""
"""Python of a daemon that is killed in the moment in which it has saved the state of its deploy."""


def killed_at(qp: Queuepool, step: int) -> bool:
    """Begin a deploy whose daemon is killed at the step-th state that it saves; False when it ended before."""
    (qp.directory / "saves-left").write_text(str(step))
    with suppress(QueuepoolError, OSError):  # killed before it answers
        Client(qp.run.socket).ask(Deploy(wait=False))
    process = qp.process
    assert process is not None

    def over() -> bool:
        with suppress(QueuepoolError):
            return process.poll() is not None or last(qp)["result"] != "running"
        return False

    eventually(over, what="it dies or is done", show=qp.story)
    return process.poll() is not None
