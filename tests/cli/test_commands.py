"""Each command against a daemon whose answers the test decides: what it asks, prints and ends with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from queuepool.control.messages import (
    Continue,
    Pause,
    Reopen,
    Reread,
    Restart,
    Scale,
    Signal,
    Start,
    Stop,
    Update,
    Upgrade,
)
from queuepool.errors import ConfigError, ExitCode, UsageError
from tests.control.fake import FakeDaemon, process, snapshot

from .calling import Place, Terminal, call


def result(word: str, slot: int = 0, message: str = "") -> dict[str, Any]:
    view = process(slot)
    return {"name": view.name, "display": view.display, "result": word, "message": message}


NAMES = ("laravel-worker:*", "mail")


@pytest.mark.parametrize(
    ("args", "request_"),
    [
        (["start", *NAMES], Start(NAMES)),
        (["start", "--no-wait", "all"], Start(("all",), wait=False)),
        (["stop", *NAMES], Stop(NAMES)),
        (["stop", "--kill", "all"], Stop(("all",), kill=True)),
        (["restart", *NAMES], Restart(NAMES)),
        (["restart", "--stale", "all", "--no-wait"], Restart(("all",), wait=False, stale=True)),
        (["signal", "USR2", *NAMES], Signal(NAMES, "USR2")),
        (["pause", *NAMES], Pause(NAMES)),
        (["continue", *NAMES], Continue(NAMES)),
    ],
)
def test_a_verb_asks_for_what_was_typed_and_prints_what_became_of_each(
    daemon: FakeDaemon, args: list[str], request_: object
) -> None:
    daemon.replies[args[0]] = {"results": [result("started"), result("unchanged", 1, "already running")]}
    done = call(*args)
    assert daemon.asked == [request_]
    assert done.stdout == (
        "laravel-worker:laravel-worker_00: started\nlaravel-worker:laravel-worker_01: unchanged (already running)\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_was_told_on_the_way_is_not_told_again(daemon: FakeDaemon) -> None:
    daemon.progress = [{"display": process(1).display, "state": "started", "message": ""}]
    daemon.replies["start"] = {"results": [result("started", 0), result("started", 1)]}
    assert call("start", "all").stdout.splitlines() == [
        "laravel-worker:laravel-worker_01: started",
        "laravel-worker:laravel-worker_00: started",
    ]


def test_a_failure_is_named_has_exit_code_1_and_says_where_to_look(daemon: FakeDaemon) -> None:
    daemon.replies["start"] = {"results": [result("started"), result("failed", 1, "exit code 1")]}
    done = call("start", "all")
    assert done.returncode == ExitCode.FAILED
    assert "laravel-worker:laravel-worker_01: failed (exit code 1)" in done.stdout
    assert done.stderr == (
        "error: failed: laravel-worker:laravel-worker_01\n"
        "hint: `queuepool status laravel-worker:laravel-worker_01` shows why\n"
    )


def test_an_unknown_name_has_exit_code_2(daemon: FakeDaemon) -> None:
    daemon.replies["stop"] = UsageError("there is no mali", "did you mean `mail`?")
    done = call("stop", "mali")
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == "error: there is no mali\nhint: did you mean `mail`?\n"


def test_status_shows_the_table_and_ends_with_0_when_all_is_well(daemon: FakeDaemon) -> None:
    done = call("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1] == "  laravel-worker:laravel-worker_00   RUNNING   pid 100, uptime 0:00:12"


def test_status_ends_with_3_when_something_that_should_run_does_not(daemon: FakeDaemon) -> None:
    daemon.shown = snapshot(process(0), process(1, "BACKOFF", reason="exit code 1", last_lines=("boom",)))
    assert call("status").returncode == ExitCode.NOT_AS_WANTED
    assert call("status", "laravel-worker:0").returncode == 0
    named = call("status", "laravel-worker:1")
    assert named.returncode == ExitCode.NOT_AS_WANTED
    assert "      | boom\n" in named.stdout


def test_status_of_an_unknown_name_names_the_nearest(daemon: FakeDaemon) -> None:
    done = call("status", "laravel-worke")
    assert done.returncode == ExitCode.USAGE
    assert "did you mean `laravel-worker`?" in done.stderr


def test_status_as_json_is_the_snapshot(daemon: FakeDaemon) -> None:
    daemon.shown = snapshot(process(0), process(1, "FATAL", last_lines=("caf\udce9",)))
    done = call("status", "--json")
    assert json.loads(done.stdout) == json.loads(json.dumps(daemon.shown.to_json()))
    assert done.returncode == ExitCode.NOT_AS_WANTED


def test_status_is_watched_until_ctrl_c(daemon: FakeDaemon, place: Place) -> None:
    terminal = Terminal("status", "--watch")
    terminal.until(lambda seen: b"RUNNING" in seen)
    daemon.shown = snapshot(process(0, "FATAL", reason="boom"))
    terminal.until(lambda seen: b"boom" in seen)
    terminal.type(b"\x03")
    assert terminal.end() == ExitCode.INTERRUPTED


def test_watching_needs_a_terminal(daemon: FakeDaemon) -> None:
    assert call("status", "--watch").returncode == ExitCode.USAGE


def test_a_terminal_gets_colours_unless_no_color_is_set(daemon: FakeDaemon) -> None:
    coloured, plain = Terminal("status"), Terminal("status", NO_COLOR="1")
    assert coloured.end() == plain.end() == 0
    assert b"\x1b[32mRUNNING" in coloured.shown
    assert b"\x1b[" not in plain.shown
    assert b"RUNNING" in plain.shown


def test_at_a_terminal_it_is_shown_what_is_waited_for(daemon: FakeDaemon) -> None:
    daemon.replies["stop"] = "wait"
    daemon.shown = snapshot(process(0), process(3, "STOPPING", job={"class": "App\\Jobs\\Long"}))
    terminal = Terminal("stop", "laravel-worker")
    terminal.until(
        lambda seen: rb"waiting for laravel-worker:laravel-worker_03 (STOPPING: running App\Jobs\Long)" in seen
    )
    terminal.type(b"\x03")
    assert terminal.end() == ExitCode.INTERRUPTED


SCALED = {"name": "mail", "was": 2, "wanted": 4, "numprocs": 2, "started": [], "stopped": []}


def test_scale_prints_what_changed_and_what_the_file_says(daemon: FakeDaemon) -> None:
    daemon.progress = [{"display": f"mail:mail_0{n}", "state": "started", "message": ""} for n in (2, 3)]
    daemon.replies["scale"] = SCALED | {"started": ["mail:2", "mail:3"], "message": "mail: 2 -> 4 (the file says 2)"}
    done = call("scale", "mail", "4")
    assert daemon.asked == [Scale("mail", 4)]
    assert done.stdout == "mail:mail_02: started\nmail:mail_03: started\nmail: 2 -> 4 (the file says 2)\n"


def test_scale_to_what_it_is_says_so(daemon: FakeDaemon) -> None:
    daemon.replies["scale"] = SCALED | {"was": 2, "wanted": 2, "message": "mail is already 2"}
    assert call("scale", "mail", "--reset").stdout == "mail is already 2\n"
    assert daemon.asked == [Scale("mail", reset=True)]


def test_scale_that_fails_has_exit_code_1(daemon: FakeDaemon) -> None:
    daemon.replies["scale"] = SCALED | {"failed": [result("failed", 3, "exit code 1")], "message": "mail: 2 -> 4"}
    done = call("scale", "mail", "4")
    assert done.returncode == ExitCode.FAILED
    assert "exit code 1" in done.stdout


@pytest.mark.parametrize("args", [["mail"], ["mail", "4", "--reset"], ["mail", "-1"], ["mail", "1.5"]])
def test_scale_needs_a_number_or_reset(daemon: FakeDaemon, args: list[str]) -> None:
    assert call("scale", *args).returncode == ExitCode.USAGE
    assert not daemon.asked


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["mail", "+2"], "`queuepool status mail` shows how many run now"),
        (["mail=4"], "`queuepool scale mail 4`"),
        (["4", "mail"], "`queuepool scale mail 4`"),
    ],
)
def test_scale_said_as_another_tool_would_have_it_changes_nothing_and_says_how(
    daemon: FakeDaemon, args: list[str], hint: str
) -> None:
    done = call("scale", *args)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (ExitCode.USAGE, f"hint: {hint}")
    assert not daemon.asked


CHANGES = {
    "added": ["mail"],
    "changed": [{"name": "laravel-worker", "what": ["numprocs: 2 -> 4"]}],
    "removed": ["old"],
    "sections": ["http"],
    "problems": ["a.yml:3: x: odd"],
}


def test_reread_says_what_would_change_in_supervisors_words(daemon: FakeDaemon) -> None:
    daemon.replies["reread"] = CHANGES
    assert call("reread").stdout == (
        "mail: available\nlaravel-worker: changed (numprocs: 2 -> 4)\nold: disappeared\nhttp: changed\n"
        "! a.yml:3: x: odd\n"
    )
    assert json.loads(call("reread", "--json").stdout) == CHANGES
    assert daemon.asked == [Reread(), Reread()]


def test_nothing_changed_is_said(daemon: FakeDaemon) -> None:
    nothing = {"added": [], "changed": [], "removed": [], "sections": [], "problems": []}
    daemon.replies |= {"reread": nothing, "update": nothing | {"results": []}}
    assert call("reread").stdout == call("update").stdout == "No config updates to processes\n"


def test_update_says_what_it_did(daemon: FakeDaemon) -> None:
    daemon.replies["update"] = CHANGES | {"results": [result("started", 2), result("unchanged", 0)]}
    done = call("update", "mail", "--no-wait")
    assert daemon.asked == [Update(("mail",), wait=False)]
    assert done.stdout.splitlines()[:3] == [
        "mail: added",
        "laravel-worker: updated (numprocs: 2 -> 4)",
        "old: removed",
    ]
    assert "laravel-worker:laravel-worker_02: started" in done.stdout
    assert "unchanged" not in done.stdout


def test_an_update_that_left_something_out_exits_with_3(daemon: FakeDaemon) -> None:
    daemon.replies["update"] = CHANGES | {"results": []}
    done = call("update")
    assert done.returncode == ExitCode.NOT_AS_WANTED
    assert done.stdout.endswith("! a.yml:3: x: odd\n")
    assert done.stderr.startswith("error: not all of the file is in force: 1 problem is told above\n")


def test_what_concerns_no_process_says_so(daemon: FakeDaemon) -> None:
    daemon.replies |= {"restart": {"results": []}, "start": {"results": []}}
    assert call("restart", "--stale", "all").stdout == "all: nothing is stale\n"
    assert call("start", "mail").stdout == "mail: no process is there now\n"


def test_a_file_that_does_not_validate_shows_every_problem(daemon: FakeDaemon) -> None:
    daemon.replies["update"] = ConfigError("cannot use q.yml", ("q.yml:1: a: b", "q.yml:2: c: d"), "mend it")
    done = call("update")
    assert done.returncode == ExitCode.USAGE
    assert "  q.yml:1: a: b\n  q.yml:2: c: d\n" in done.stderr


def test_reopen_and_upgrade_say_what_was_done(daemon: FakeDaemon) -> None:
    daemon.replies |= {"reopen": {"reopened": 3}, "upgrade": {"pid": 41, "version": "9.9"}}
    assert call("reopen").stdout == "3 log files reopened\n"
    assert call("upgrade").stdout == "daemon 41 now runs version 9.9\n"
    assert daemon.asked == [Reopen(), Upgrade()]


def test_events_are_the_last_ones_with_their_time(daemon: FakeDaemon) -> None:
    for number in range(5):
        daemon.happens(f"event=running n={number}")
    done = call("events", "-n", "2", TZ="UTC")
    assert done.stdout == "1970-01-01 00:16:40 EVENT=RUNNING N=3\n1970-01-01 00:16:40 EVENT=RUNNING N=4\n"
    assert call("events", "-n1", "-v", TZ="UTC").stdout == "1970-01-01 00:16:40 event=running n=4\n"
    assert call("events", "-n", "0").stdout == ""
    assert len(call("events").stdout.splitlines()) == 5
    assert json.loads(call("events", "-n1", "--json").stdout)["seq"] == 5


def test_events_are_followed(daemon: FakeDaemon) -> None:
    daemon.happens("event=old")
    daemon.happens("event=first")
    terminal = Terminal("events", "-f", "-n", "1")
    terminal.until(lambda seen: b"EVENT=FIRST" in seen)
    daemon.happens("event=second")
    terminal.until(lambda seen: b"EVENT=SECOND" in seen)
    assert terminal.shown.count(b"EVENT=") == 2
    terminal.type(b"\x03")
    assert terminal.end() == ExitCode.INTERRUPTED


def test_pids_are_of_the_daemon_or_of_processes(daemon: FakeDaemon, place: Place) -> None:
    daemon.shown = snapshot(process(0), process(1, "STOPPED", wanted=False))
    assert call("pid").stdout == f"{place.daemon_pid}\n"
    assert json.loads(call("pid", "--json").stdout) == {"daemon": place.daemon_pid}
    both = call("pid", "laravel-worker")
    assert (both.returncode, both.stdout) == (ExitCode.NOT_AS_WANTED, "100\n0\n")
    assert json.loads(call("pid", "laravel-worker:0", "--json").stdout) == {"laravel-worker:0": 100}


def test_the_version_is_known_with_and_without_a_daemon(daemon: FakeDaemon, place: Place) -> None:
    assert json.loads(call("version", "--json").stdout) == {"version": "0.1.0", "daemon": "0.1.0"}
    assert json.loads(call("-c", "/none", "version", "--json").stdout) == {"version": "0.1.0", "daemon": None}
    assert call("version").stdout == "0.1.0\n"


def test_names_are_completed_from_what_runs(daemon: FakeDaemon) -> None:
    daemon.shown = snapshot(process(0), process(0, program="mail"))

    def complete(*words: str) -> list[str]:
        environment = {"COMP_WORDS": " ".join(["queuepool", *words]), "COMP_CWORD": str(len(words))}
        done = call(_QUEUEPOOL_COMPLETE="bash_complete", **environment)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("restart", "m") == ["mail"]
    assert complete("restart", "mail:") == ["mail:0", "mail:mail_00"]
    assert complete("scale", "la") == ["laravel-worker"]
    assert complete("st") == ["status", "start", "stop", "startup"]


def test_completion_is_silent_without_a_daemon(place: Place) -> None:
    done = call(_QUEUEPOOL_COMPLETE="bash_complete", COMP_WORDS="queuepool restart m", COMP_CWORD="2")
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_completion_script(place: Place, shell: str) -> None:
    done = call("completion", shell)
    assert done.returncode == 0
    assert "_QUEUEPOOL_COMPLETE" in done.stdout
    if shell == "zsh":
        assert done.stdout.startswith("#compdef queuepool\n")
