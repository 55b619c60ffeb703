"""`deploy` against a daemon whose answers the test decides; and what CI systems are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from queuepool.cli.ci import Ci, markdown, where
from queuepool.control.messages import AbortDeploy, Deploy, DeployStatus, FollowDeploy, PlanDeploy
from queuepool.errors import ConfigError, Locked
from tests.control.fake import FakeDaemon

from .calling import Place, Terminal, call

PROGRAM = {
    "name": "w", "added": False, "removed": False, "changed": ["numprocs 2 -> 3"],
    "release": {"from": "/srv/releases/1", "to": "/srv/releases/2"}, "started": ["w:w_02"],
    "restarted": [{"process": "w:w_00", "why": "release 1 -> 2"}], "stopped": [], "kept": ["w:w_01"],
    "canary": True,
}  # fmt: skip
FAILURE = {
    "gate": "crash", "message": "w:w_00 ended: 255: PHP fatal error", "process": "w:w_00", "exit_code": 255,
    "meaning": "255: PHP fatal error", "last_lines": ["PHP Fatal error: no in /srv/releases/2/app/X.php on line 7"],
}  # fmt: skip


def report(result: str = "done", code: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "id": "20260101-000000-000", "result": result, "exit_code": code, "phase": "ended", "begun_at": 1.0,
        "seconds": 1.5, "started": [], "restarted": ["w:w_00"], "stopped": [], "kept": [], "draining": [],
        "rolled_back": False, "failure": None, "trouble": None, "programs": [PROGRAM], **more,
    }  # fmt: skip


def test_what_was_typed_is_asked(daemon: FakeDaemon) -> None:
    for name in ("deploy", "followdeploy", "abortdeploy", "deploystatus"):
        daemon.replies[name] = report()
    daemon.replies["plandeploy"] = {"changes": False, "programs": [], "problems": []}
    call("deploy", "w", "g", "--force", "--batch", "25%", "--observe", "1m", "--timeout", "90", "--wait-drained")
    call("deploy", "--follow")
    call("deploy", "--abort")
    call("deploy", "--status")
    call("deploy", "--dry-run", "--stale", "w", "--canary")
    call("deploy", "--no-canary")
    assert daemon.asked == [
        Deploy(("w", "g"), force=True, batch="25%", observe=60.0, timeout=90.0, wait_drained=True),
        FollowDeploy(),
        AbortDeploy(),
        DeployStatus(),
        PlanDeploy(("w",), stale=True, canary=True),
        Deploy(canary=False),
    ]


@pytest.mark.parametrize(
    ("result", "code"), [("done", 0), ("rolled_back", 1), ("aborted", 1), ("timed_out", 3), ("failed", 6)]
)
def test_the_exit_code_says_how_it_ended(daemon: FakeDaemon, result: str, code: int) -> None:
    daemon.replies["deploy"] = report(result, code, failure=FAILURE if code else None, rolled_back=code in (1, 3))
    done = call("deploy", "--json")
    assert (done.returncode, json.loads(done.stdout)["result"]) == (code, result)
    text = call("deploy").stdout
    assert result.replace("_", " ") in text
    if code:
        assert "crash: w:w_00 ended: 255: PHP fatal error" in text
        assert "| PHP Fatal error: no in" in text


def test_a_plan_says_what_and_why_and_its_exit_code_tells_changes(daemon: FakeDaemon) -> None:
    daemon.replies["plandeploy"] = {"changes": True, "programs": [PROGRAM], "problems": ["f:1: x"]}
    done = call("deploy", "--plan", "--detailed-exitcode")
    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        "w  release /srv/releases/1 -> /srv/releases/2",
        "  ~ numprocs 2 -> 3",
        "  ? a canary does a job before any worker is replaced",
        "  + w:w_02 is started",
        "  r w:w_00 is restarted: release 1 -> 2",
        "  = 1 is kept",
        "! f:1: x",
    ]
    assert call("deploy", "--plan").returncode == 0


def test_who_has_nothing_to_deploy_is_told_of_code_that_was_changed_in_its_place(daemon: FakeDaemon) -> None:
    daemon.replies["plandeploy"] = {"programs": [], "problems": []}
    daemon.replies["deploy"] = report(id=None)
    for args in (["--plan"], []):
        done = call("deploy", *args)
        assert (done.returncode, done.stdout.splitlines()[0][:13]) == (0, "nothing to do")
        assert "`queuepool deploy --force`" in done.stdout


@pytest.mark.parametrize(
    "args",
    [
        ["--plan", "--status"],
        ["--detailed-exitcode"],
        ["--follow", "w"],
        ["--timeout", "soon"],
        ["--output", "xml"],
    ],
)
def test_what_makes_no_sense_is_refused(daemon: FakeDaemon, args: list[str]) -> None:
    done = call("deploy", *args)
    assert done.returncode == 2
    assert daemon.asked == []


def test_a_lock_is_told_with_4(daemon: FakeDaemon) -> None:
    daemon.replies["deploy"] = Locked("cannot deploy: a deploy is under way", "wait")
    assert call("deploy").returncode == 4


def test_a_missing_daemon_is_told_with_5(place: Place) -> None:
    assert call("deploy").returncode == 5


def test_ndjson_is_every_event_and_the_report_in_the_end(daemon: FakeDaemon) -> None:
    events = [{"event": "phase", "time": 1.0, "message": "the first batch", "phase": "first"}]
    events.append({"event": "ended", "time": 2.0, "message": "done", "report": report()})
    daemon.progress = events
    daemon.replies["deploy"] = report()
    done = call("deploy", "--output", "ndjson")
    assert [json.loads(line) for line in done.stdout.splitlines()] == events


def test_a_terminal_gets_a_bar_for_each_program(daemon: FakeDaemon) -> None:
    daemon.progress = [
        {"event": "pool", "time": 1.0, "message": "", "program": "w", "done": 2, "total": 4, "draining": 1},
        {"event": "waiting", "time": 1.0, "message": "waiting: w:2 not running yet"},
        {"event": "phase", "time": 1.0, "message": "verifying", "phase": "verify"},
    ]
    daemon.replies["deploy"] = report()
    terminal = Terminal("deploy")
    assert terminal.end() == 0
    shown = terminal.shown.decode()
    assert "2/4 new, 1 draining" in shown
    assert "verifying" in shown
    assert shown.rstrip().splitlines()[-1].endswith("(1 restarted)")


def test_a_refused_file_is_annotated_at_its_line(daemon: FakeDaemon) -> None:
    daemon.replies["deploy"] = ConfigError("cannot use queuepool.yml: 1 problem", ("queuepool.yml:12: a.b: is wrong",))
    done = call("deploy", GITHUB_ACTIONS="true")
    assert done.returncode == 2
    assert "::error file=queuepool.yml,line=12::a.b: is wrong" in done.stdout


def test_a_failure_is_annotated_where_php_says_and_summed_up(tmp_path: Path) -> None:
    lines: list[str] = []
    summary = tmp_path / "summary"
    ci = Ci({"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}, lines.append)
    failed = report("rolled_back", 1, failure=FAILURE)
    ci.begin("50% done\nnow", 1.0)
    ci.failed(failed)
    ci.end(1.0)
    ci.summary(failed)
    assert lines[0] == "::group::50%25 done%0Anow"
    assert lines[1].startswith("::error file=app/X.php,line=7,title=queuepool deploy%3A rolled back::w:w_00 ended")
    assert lines[2] == "::endgroup::"
    assert "| w | 1 → 2 | 1 | 1 | 0 | 1 |" in summary.read_text()
    assert markdown(report()).startswith("### ✅ queuepool deploy: done")


def test_outside_a_ci_nothing_is_said() -> None:
    lines: list[str] = []
    ci = Ci({}, lines.append)
    ci.begin("x", 1.0)
    ci.failed(report("failed", 6, failure=FAILURE))
    ci.refused(["a:1: b"])
    ci.end(1.0)
    assert lines == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("PHP Parse error:  x in /r/2/app/A.php on line 3", ("app/A.php", 3)),
        ("  at /r/2/app/A.php:31", ("app/A.php", 31)),
        ("#0 /r/2/vendor/x/B.php(12): f()", ("/r/2/vendor/x/B.php", 12)),
        ("Connection refused", None),
    ],
)
def test_php_says_file_and_line_in_several_ways(line: str, found: tuple[str, int] | None) -> None:
    assert where([line], ["/r/2"]) == found
