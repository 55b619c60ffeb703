"""What can be wrong, one after the other: each gets a sentence that says what and what to do, the right exit code, and
harms nobody else. Never a traceback."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.daemon import Queuepool
from tests.support.wait import eventually
from tests.support.worker import Report, control_fifo, order, worker_argv

GOOD = "  good: {type: command, command: sleep 100, startsecs: 0}\n"

CANNOT_RUN = {
    "missing directory": ("command: sleep 100, directory: /no/such/place", "/no/such/place", "does not exist"),
    "directory that is a file": ("command: sleep 100, directory: /etc/passwd", "/etc/passwd", "not a directory"),
    "command that is not there": ("command: /no/such/thing", "/no/such/thing", "no such file"),
    "command not in PATH": ("command: no-such-thing-at-all", "no-such-thing-at-all", "PATH"),
    "command not executable": ("command: /etc/passwd", "/etc/passwd", "cannot execute"),
    "exits at once": (
        "command: [sh, -c, 'echo the reason for it; exit 7'], startsecs: 1",
        "exit 7",
        "the reason for it",
    ),
}
ONLY_ROOT = {
    "unknown user": ("command: sleep 100, user: no-such-user", "no-such-user", "no such user"),
    "unknown group": ("command: sleep 100, user: www-data, group: no-such-group", "no-such-group", "no such group"),
}


def program(command: str, log: Path, *keys: str) -> str:
    """A file with one program `w` that counts as running at once."""
    more = "".join(f", {key}" for key in keys)
    return f"programs:\n  w: {{type: command, command: {command!r}, startsecs: 0, stdout_logfile: {log}{more}}}\n"


def calm(text: str) -> str:
    """The output of a command, which never has a traceback."""
    assert "Traceback" not in text, text
    assert 'File "' not in text, text
    return text


@pytest.mark.parametrize("case", [*CANNOT_RUN, *ONLY_ROOT])
def test_a_program_that_cannot_run_says_why_and_leaves_the_others_alone(tmp_path: Path, case: str) -> None:
    if case in ONLY_ROOT and os.geteuid() != 0:
        pytest.skip("only root starts processes of other users")
    keys, *words = (CANNOT_RUN | ONLY_ROOT)[case]
    with Queuepool(tmp_path, f"programs:\n{GOOD}  bad: {{type: command, {keys}}}\n") as qp:
        qp.up()
        qp.running("good", 1)
        view = eventually(lambda: waiting(qp), 20, "bad waits", show=qp.story)
        assert all(word in view["reason"] for word in words), view
        status = qp.try_("status")
        assert status.returncode == 3
        assert words[0] in calm(status.stdout + status.stderr)
        started = qp.try_("start", "bad")
        assert started.returncode == 1
        assert words[0] in calm(started.stdout + started.stderr)
        qp.running("good", 1)


@pytest.mark.parametrize("how", [["up", "-d"], ["up"]])
def test_before_anything_starts_up_says_which_programs_cannot_run(tmp_path: Path, how: list[str]) -> None:
    bad = "  bad: {type: command, command: /no/such/thing}\n"
    with Queuepool(tmp_path, f"programs:\n{GOOD}{bad}") as qp:
        if how == ["up"]:
            qp.up()
            said = eventually(lambda: "cannot run" in (text := qp.output.read_text()) and text, what="it is said")
        else:
            done = qp.try_(*how)
            assert done.returncode == 0
            said = done.stderr
        assert "bad cannot run: the program /no/such/thing is not there" in calm(str(said))
        assert f"{qp.file.name}:3" in str(said)
        qp.running("good", 1)
        qp.write(f"programs:\n{bad}")
        qp("down")
        done = qp.try_(*how)
        assert done.returncode == 1
        assert "no program of" in calm(done.stderr)
        assert "queuepool doctor" in done.stderr
        assert qp.run.pid() is None


def waiting(qp: Queuepool) -> dict[str, object] | None:
    [view] = qp.processes("bad")
    return view if view["state"] in ("BACKOFF", "FATAL") else None


def test_a_missing_log_directory_is_made(tmp_path: Path) -> None:
    log = tmp_path / "not" / "there" / "yet" / "w.log"
    text = program("echo hello", log, "autorestart: false")
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        eventually(lambda: log.exists() and log.read_text() == "hello\n", what="hello in the log")


@pytest.mark.parametrize("trouble", ["a directory", "below a file", "a full disk"])
def test_a_log_that_cannot_be_written_never_stops_a_worker(tmp_path: Path, trouble: str) -> None:
    report, control = Report(tmp_path / "report"), control_fifo(tmp_path / "control")
    log, mounted = tmp_path / "w.log", False
    if trouble == "a directory":
        log.mkdir()
    elif trouble == "below a file":
        log.write_text("")
        log = log / "w.log"
    else:
        if os.geteuid() != 0:
            pytest.skip("only root makes a disk to fill")
        small = tmp_path / "small"
        small.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True)
        if done.returncode:
            pytest.skip("no mounts here")
        log, mounted = small / "w.log", True
    argv = worker_argv(report=report, control=control, width=200, life=200)
    text = (
        f"programs:\n  w: {{type: command, command: {shlex.join(argv)!r}, startsecs: 0, stdout_logfile: {log}}}\n{GOOD}"
    )
    try:
        with Queuepool(tmp_path, text) as qp:
            qp.up()
            [pid] = qp.running("w", 1).values()
            order(control, "say 20000")  # 4 MB: far more than any pipe holds
            report.wait("said", seconds=60)
            assert qp.running("w", 1) == {"w:0": pid}
            problems = eventually(lambda: qp.status()["daemon"]["problems"], what="the trouble is told")
            assert str(log) in problems[0]
            assert str(log) in calm(qp.try_("status").stdout)
            assert len([e for e in qp.events() if e["event"] == "log_trouble"]) == 1, "once, not once a second"
            qp("stop", "w")
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(log.parent)], check=True)


BROKEN_FILES: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "syntax error": ("programs:\n  w: [unclosed\n", ("queuepool.yml:",)),
    "unknown key": (
        "programs:\n  w: {type: command, command: 'true', numproc: 3}\n", ("queuepool.yml:2", "numproc", "numprocs")),
    "duplicate program": (
        "programs:\n  w: {type: command, command: 'true'}\n  w: {type: command, command: 'true'}\n",
        ("queuepool.yml:3", "w"),
    ),
    "unknown group member": (
        "programs:\n  w: {type: command, command: 'true'}\ngroups:\n  g: [nobody]\n", ("queuepool.yml:4", "nobody")),
    "bad signal": ("programs:\n  w: {type: command, command: 'true', stopsignal: TREM}\n", ("queuepool.yml:2", "TREM")),
    "two contradicting options": (
        "programs:\n  w: {type: command, command: 'true', stopasgroup: true, killasgroup: false}\n",
        ("queuepool.yml:2", "stopasgroup"),
    ),
    "not a number": (
        "programs:\n  w: {type: command, command: 'true', numprocs: many}\n", ("queuepool.yml:2", "numprocs")),
    "unbalanced quote": ("programs:\n  w: {type: command, command: 'sh -c \"x'}\n", ("queuepool.yml:2", "command")),
    "empty": ("", ("queuepool.yml:1", "empty", "queuepool init")),
    "binary": (b"\x00\xff\xfe\x01", ("queuepool.yml",)),
    "a list": ("- 1\n- 2\n", ("queuepool.yml",)),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_a_file_that_does_not_validate_starts_nothing_and_changes_nothing(tmp_path: Path, case: str) -> None:
    text, words = BROKEN_FILES[case]
    data = text if isinstance(text, bytes) else text.encode()
    with Queuepool(tmp_path, "programs:\n" + GOOD) as qp:
        good = qp.file.read_bytes()
        qp.file.write_bytes(data)
        for command in (["up", "-d"], ["config", "check"]):
            done = qp.try_(*command)
            assert done.returncode == 2, done
            assert all(word in calm(done.stdout + done.stderr) for word in words), done
        assert qp.run.pid() is None
        qp.file.write_bytes(good)
        qp.up()
        before = qp.running("good", 1)
        qp.file.write_bytes(data)
        for command in ("reread", "update"):
            done = qp.try_(command)
            assert done.returncode == 2
            assert all(word in calm(done.stdout + done.stderr) for word in words), done
        assert qp.running("good", 1) == before


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = "programs:\n  a: {type: command, command: 'true', numproc: 3}\n  b: {type: nonsense}\n  c: {type: command}\n"
    with Queuepool(tmp_path, text) as qp:
        done = qp.try_("config", "check")
        assert done.returncode == 2
        assert all(f"queuepool.yml:{line}" in done.stdout + done.stderr for line in (2, 3, 4))


def test_a_bad_included_file_takes_down_only_itself(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "one.yml").write_text(
        "programs:\n  one: {type: command, command: sleep 100, startsecs: 0}\n"
    )
    two = tmp_path / "conf.d" / "two.yml"
    two.write_text("programs:\n  two: {type: command, comand: sleep 100}\n")
    with Queuepool(tmp_path, f"include: [conf.d/*.yml]\nprograms:\n{GOOD}") as qp:
        up = qp.try_("up", "--wait")
        assert up.returncode == 3
        assert f"warning: {two}:2: programs.two.comand: unknown key" in calm(up.stderr)
        qp.running("good", 1)
        qp.running("one", 1)
        status = qp.try_("status")
        assert status.returncode == 3
        assert "two.yml:2" in calm(status.stdout + status.stderr)
        assert qp.try_("update").returncode == 3
        two.write_text("programs:\n  two: {type: command, command: sleep 100, startsecs: 0}\n")
        qp("update")
        before = qp.running("two", 1)
        two.write_text("programs: [")
        qp.try_("update")
        assert qp.running("two", 1) == before, "what ran goes on with its former settings"


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: None], ids=["a directory", "missing"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    with Queuepool(tmp_path / "x", "programs:\n" + GOOD) as qp:
        qp.file.unlink()
        make(qp.file)
        done = qp.try_("up", "-d")
        assert done.returncode == 2
        assert "queuepool.yml" in calm(done.stdout + done.stderr)


def test_a_socket_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with Queuepool(tmp_path, "programs:\n" + GOOD) as qp:
        qp.environment["QUEUEPOOL_RUNTIME_DIR"] = str(tmp_path / ("long" * 40))
        done = qp.try_("up", "-d")
        assert done.returncode == 1
        assert "107 bytes" in calm(done.stderr)
        assert "QUEUEPOOL_RUNTIME_DIR" in done.stderr


def test_long_lines_and_binary_output_arrive_as_they_are(tmp_path: Path) -> None:
    data = bytes(range(256)) * 400 + b"\n"
    (tmp_path / "data").write_bytes(data)
    log = tmp_path / "w.log"
    text = program(f"cat {tmp_path}/data", log, "autorestart: false")
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        qp.state("w:0", "EXITED")
        assert log.read_bytes() == data


def test_ten_thousand_programs_are_read_and_held(tmp_path: Path) -> None:
    text = "defaults: {autostart: false, startsecs: 0}\nprograms:\n"
    text += "".join(f"  p{n}: {{type: command, command: sleep 100}}\n" for n in range(10_000))
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        qp("start", "p7777")
        qp.running("p7777", 1)
        assert len(qp.status()["programs"]) == 10_000


def test_an_unknown_command_option_and_name_are_usage_errors(tmp_path: Path) -> None:
    with Queuepool(tmp_path, "programs:\n" + GOOD) as qp:
        qp.up()
        for args, word in ((["statsu"], "status"), (["status", "--nope"], "--nope"), (["stop", "goood"], "good")):
            done = qp.try_(*args)
            assert done.returncode == 2, args
            assert word in calm(done.stdout + done.stderr)


def test_without_a_daemon_every_command_says_how_to_start_it(tmp_path: Path) -> None:
    with Queuepool(tmp_path, "programs:\n" + GOOD) as qp:
        for args in (["status"], ["stop", "good"], ["scale", "good", "2"], ["events"], ["update"], ["pid"], ["down"]):
            done = qp.try_(*args)
            assert done.returncode == 5, args
            assert "queuepool up" in calm(done.stderr)
