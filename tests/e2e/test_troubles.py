"""What can be wrong, one after the other: each gets a sentence that says what and what to do, the right exit code, and
harms nobody else. Never a traceback."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Queuepool, calm
from tests.support.wait import LIMIT, eventually
from tests.support.worker import Report, control_fifo, order, worker_argv

GOOD = "  good: {type: command, command: sleep 100, startsecs: 0}\n"

# What is wrong, words that say why, and what to do about it. HERE: the directory of the test.
CANNOT_RUN = {
    "missing directory": (
        "command: sleep 100, directory: /no/such/place", ("/no/such/place", "does not exist"), "check `directory:`"),
    "directory that is a file": (
        "command: sleep 100, directory: /etc/passwd", ("/etc/passwd", "not a directory"), "check `directory:`"),
    "command that is not there": ("command: /no/such/thing", ("/no/such/thing", "no such file"), "check `command:`"),
    "command not in PATH": (
        "command: no-such-thing-at-all", ("no-such-thing-at-all", "PATH"), "check `command:`"),
    "command not executable": (
        "command: /etc/passwd", ("/etc/passwd", "cannot execute"), "chmod a+rx /etc/passwd"),
    "script without interpreter": (
        "command: HERE/script", ("HERE/script", "interpreter", "does not exist"), "`head -n 1 HERE/script`"),
    "neither program nor script": (
        "command: HERE/text", ("HERE/text", "neither a program nor a script"), "`command: sh script`"),
    "exits at once": (
        "command: [sh, -c, 'echo the reason for it; exit 7'], startsecs: 1",
        ("exit 7", "the reason for it"),
        "queuepool logs bad",
    ),
}  # fmt: skip
ONLY_ROOT = {
    "unknown user": (
        "command: sleep 100, user: no-such-user", ("no-such-user", "no such user"), "useradd --system no-such-user"),
    "unknown group": (
        "command: sleep 100, user: www-data, group: no-such-group",
        ("no-such-group", "no such group"),
        "groupadd --system no-such-group",
    ),
    "directory closed to the user": (
        "command: sleep 100, user: www-data, directory: HERE/closed",
        ("HERE/closed", "www-data", "no permission"),
        "chmod o+x /",
    ),
}  # fmt: skip


def program(command: str, log: Path, *keys: str) -> str:
    """A file with one program `w` that counts as running at once."""
    more = "".join(f", {key}" for key in keys)
    return f"programs:\n  w: {{type: command, command: {command!r}, startsecs: 0, stdout_logfile: {log}{more}}}\n"


def unharmed(qp: Queuepool, before: dict[str, int]) -> bool:
    """Whether what ran before does so still, as the same processes; none has been started again."""
    views = {view["name"]: view for view in qp.processes("good")}
    return qp.pids("good") == before and all(views[name]["restarts"] == 0 for name in before)


def test_programs_that_cannot_run_say_why_and_what_to_do_and_leave_the_others_alone(tmp_path: Path) -> None:
    for name, text in (("script", "#!/no/such/interpreter\n"), ("text", "no script\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "closed").mkdir(mode=0o700)
    cases = list({**CANNOT_RUN, **(ONLY_ROOT if os.geteuid() == 0 else {})}.items())
    bad = [f"  bad{number}: {{type: command, {keys}}}\n" for number, (_, (keys, *_)) in enumerate(cases)]
    with Queuepool(tmp_path, f"programs:\n{GOOD}{''.join(bad)}".replace("HERE", str(tmp_path))) as qp:
        qp.up()
        before = qp.running("good", 1)
        for number, (case, (_, why, remedy)) in enumerate(cases):
            name, words = f"bad{number}", [word.replace("HERE", str(tmp_path)) for word in (*why, remedy)]
            view = eventually(lambda name=name: waiting(qp, name), what=f"{case} waits", show=qp.story)  # type: ignore[misc]
            assert all(word in view["reason"] for word in words[:-1]), view
            status = qp.try_("status", name)
            assert status.returncode == 3, case
            assert all(word in calm(status.stdout) for word in words), (case, status.stdout)
            started = qp.try_("start", name)
            assert started.returncode == 1, case
            said = calm(started.stdout + started.stderr)
            assert all(word in said for word in words[: -1 if case == "exits at once" else None]), (case, said)
            assert f"`queuepool status {name}` shows why" in started.stderr
            assert unharmed(qp, before), case


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


def waiting(qp: Queuepool, name: str) -> dict[str, Any] | None:
    [view] = qp.processes(name)
    return view if view["state"] in ("BACKOFF", "FATAL") else None


def test_a_missing_log_directory_is_made(tmp_path: Path) -> None:
    log = tmp_path / "not" / "there" / "yet" / "w.log"
    text = program("echo hello", log, "autorestart: false")
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        eventually(lambda: log.exists() and log.read_text() == "hello\n", what="hello in the log")


@contextlib.contextmanager
def open_to_all() -> Iterator[Path]:
    """A directory that every user may look into; those of pytest are private."""
    with tempfile.TemporaryDirectory(prefix="qp-open-", dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def as_somebody_else() -> tuple[str, ...]:
    """The beginning of a command that is run by a user without rights."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    under = ("setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups")
    done = subprocess.run([*under, sys.executable, "-c", "import queuepool.cli"], cwd="/", capture_output=True)
    if done.returncode:
        pytest.skip("www-data may not run this checkout")
    return under


@contextlib.contextmanager
def log_trouble(trouble: str, root: Path) -> Iterator[tuple[Path, tuple[str, ...], Callable[[str], None]]]:
    """A log that cannot be written: where, what is to be said of it, and what mends it, given the hint."""
    log = root / "w.log"
    if trouble == "a directory":
        log.mkdir()
        yield log, ("Is a directory", "another stdout_logfile", "`queuepool update`"), lambda hint: log.rmdir()
    elif trouble == "below a file":
        log.write_text("")
        words = (f"{log} is not a directory", "another stdout_logfile", "`queuepool update`")
        yield log / "w.log", words, lambda hint: log.unlink()
    elif trouble == "a directory of somebody else":
        shut = root / "shut"
        shut.mkdir()
        log = shut / "new" / "w.log"

        def obey(hint: str) -> None:
            subprocess.run(["sh", "-c", hint], check=True)

        yield log, ("Permission denied (as www-data)", f"`mkdir -p {log.parent} && chown www-data {log.parent}`"), obey
    else:
        if os.geteuid() != 0:
            pytest.skip("only root makes a disk to fill")
        small = root / "small"
        small.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("no mounts here")

        def enlarge(hint: str) -> None:
            subprocess.run(["mount", "-o", "remount,size=16m", str(small)], check=True)

        try:
            yield small / "w.log", ("No space left on device", f"`df -h {small}`"), enlarge
        finally:
            subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.mark.parametrize("trouble", ["a directory", "below a file", "a full disk", "a directory of somebody else"])
def test_a_log_that_cannot_be_written_stops_no_worker_and_is_written_again_once_it_can_be(trouble: str) -> None:
    under = as_somebody_else() if trouble == "a directory of somebody else" else ()
    with open_to_all() as root, log_trouble(trouble, root) as (log, words, mend):
        report, control = Report(root / "report"), control_fifo(root / "control")
        argv = shlex.join(worker_argv(report=report, control=control, width=200, life=200))
        text = f"programs:\n  w: {{type: command, command: {argv!r}, startsecs: 0, stdout_logfile: {log}}}\n{GOOD}"
        with Queuepool(root / "qp", text) as qp:
            if under:
                shutil.chown(qp.directory, "www-data", "www-data")  # for the log of `good`
                shutil.chown(qp.runtime, "www-data", "www-data")
            qp.up(under=under)
            running, good = qp.running("w", 1), qp.running("good", 1)
            order(control, "say 20000")  # 4 MB: far more than any pipe holds
            report.wait("said", seconds=60)
            eventually(lambda: qp.status()["daemon"]["problems"], what="the trouble is told")
            status = qp.try_("status", under=under)
            assert status.returncode == 3
            [told] = [line for line in calm(status.stdout).splitlines() if line.startswith("!")]
            assert told.startswith(f"! cannot write {log}: "), told
            assert told.count("cannot write") == 1, told
            assert all(word in told for word in words), told
            mend(told.split("`")[1])
            order(control, "say 1")
            eventually(lambda: not qp.status()["daemon"]["problems"], what="it is written again", show=qp.story)
            assert qp.try_("status", under=under).returncode == 0
            assert log.read_text().endswith("x\n")
            events = [e for e in qp.events() if e["event"] in ("log_trouble", "log_well")]
            assert [e["event"] for e in events] == ["log_trouble", "log_well"], "once, not once a second"
            assert f"event=log_well file={log} dropped=" in qp.journal()
            assert qp.running("w", 1) == running
            assert unharmed(qp, good)
            qp("stop", "w")


ONE = "programs:\n  w: {type: command, command: 'true'"
BROKEN_FILES: dict[str, tuple[str | bytes, str]] = {
    "syntax error": ("programs:\n  w: [unclosed\n", "queuepool.yml:3: this is not valid YAML: did not find expected"),
    "unknown key": (
        f"{ONE}, numproc: 3}}\n", "queuepool.yml:2: programs.w.numproc: unknown key (did you mean numprocs?)"),
    "duplicate program": (
        f"{ONE}}}\n  w: {{type: command, command: 'true'}}\n",
        "queuepool.yml:3: programs.w: is given twice, first in line 2",
    ),
    "unknown group member": (
        f"{ONE}}}\ngroups:\n  g: [nobody]\n", "queuepool.yml:4: groups.g: names 'nobody', which is no program"),
    "bad signal": (
        f"{ONE}, stopsignal: TREM}}\n",
        "queuepool.yml:2: programs.w.stopsignal: `TREM` is not a signal of this system, such as TERM",
    ),
    "two contradicting options": (
        f"{ONE}, stopasgroup: true, killasgroup: false}}\n",
        "queuepool.yml:2: programs.w.killasgroup: is false while stopasgroup is true",
    ),
    "not a number": (
        f"{ONE}, numprocs: many}}\n", "queuepool.yml:2: programs.w.numprocs: `many` is not a whole number"),
    "unbalanced quote": (
        "programs:\n  w: {type: command, command: 'sh -c \"x'}\n",
        "queuepool.yml:2: programs.w.command: has an unclosed quote",
    ),
    "empty": ("", "queuepool.yml:1: is empty (`queuepool init` writes a file to begin with)"),
    "binary": (b"\x00\xff\xfe\x01", "queuepool.yml:1: is not UTF-8: line 1 holds the byte 0xff"),
    "a list": ("- 1\n- 2\n", "queuepool.yml:1: holds no `key: value` lines (`queuepool init` writes"),
}  # fmt: skip


def test_a_file_that_does_not_validate_starts_nothing_and_changes_nothing(tmp_path: Path) -> None:
    with Queuepool(tmp_path, "programs:\n" + GOOD) as qp:
        good = qp.file.read_bytes()

        def refused(command: list[str]) -> None:
            for case, (text, sentence) in BROKEN_FILES.items():
                qp.file.write_bytes(text if isinstance(text, bytes) else text.encode())
                done = qp.try_(*command)
                assert done.returncode == 2, (case, done)
                assert sentence in calm(done.stdout + done.stderr), (case, done)
                assert "hint: `queuepool config check` checks it again" in done.stderr, (case, done)

        refused(["up", "-d"])
        refused(["config", "check"])
        assert qp.run.pid() is None
        qp.file.write_bytes(good)
        qp.up()
        before = qp.running("good", 1)
        refused(["reread"])
        refused(["update"])
        assert unharmed(qp, before)


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


NO_FILE: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "a directory": (lambda file: file.mkdir(), ("cannot find", "which -c names", "`queuepool init`")),
    "missing": (lambda file: None, ("cannot find", "which -c names", "`queuepool init`")),
    "for somebody else": (
        lambda file: (file.touch(), file.chmod(0)),
        (":1: cannot be read: permission denied", "`namei -l ", "run queuepool as such a user"),
    ),
}


@pytest.mark.parametrize("case", NO_FILE)
def test_a_file_that_cannot_be_read_is_named_and_changes_nothing_that_runs(case: str) -> None:
    make, words = NO_FILE[case]
    under = as_somebody_else() if case == "for somebody else" else ()
    with open_to_all() as root, Queuepool(root / "qp", "programs:\n" + GOOD) as qp:
        if under:
            shutil.chown(qp.directory, "www-data", "www-data")
            shutil.chown(qp.runtime, "www-data", "www-data")

        def refused(*command: str, words: tuple[str, ...] = words) -> None:
            done = qp.try_(*command, under=under)
            assert done.returncode == 2, done
            said = calm(done.stdout + done.stderr)
            assert all(word in said for word in ("queuepool.yml", *words)), said

        qp.up(under=under)
        before = qp.running("good", 1)
        qp.file.unlink()
        make(qp.file)
        refused("update", words=(":1: cannot be read: no such file",) if case == "missing" else words)
        told = qp.journal().count(" event=config_refused ")
        os.kill(qp.run.pid() or 0, signal.SIGHUP)  # what the daemon itself makes of it, and not only the command
        eventually(lambda: qp.journal().count(" event=config_refused ") > told, what="it is refused", show=qp.story)
        assert unharmed(qp, before)
        if case == "a directory":
            qp.kill(signal.SIGTERM)
        else:  # the daemon can be asked, and ended, all the same
            assert "1 of 1 running" in qp.try_("status", under=under).stdout
            assert qp.try_("down", under=under).returncode == 0
        refused("up", "-d")
        refused("config", "check")
        assert qp.run.pid() is None


def test_a_socket_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with Queuepool(tmp_path, "programs:\n" + GOOD) as qp:
        qp.environment["QUEUEPOOL_RUNTIME_DIR"] = str(tmp_path / ("long" * 40))
        done = qp.try_("up", "-d")
        assert done.returncode == 1
        assert "107 bytes" in calm(done.stderr)
        assert "QUEUEPOOL_RUNTIME_DIR" in done.stderr


def shown(qp: Queuepool, *args: str) -> bytes:
    """What a command that succeeds prints, byte for byte."""
    done = subprocess.run(qp.command(*args), env=qp.environment, cwd=qp.directory, capture_output=True, timeout=LIMIT)
    assert done.returncode == 0, (args, done.returncode, done.stderr)
    calm(done.stderr.decode())
    return done.stdout


def test_a_line_of_100_kilobytes_stays_whole_in_every_kind_of_log(tmp_path: Path) -> None:
    line = "".join(f"{number:>9}," for number in range(10_000)).encode()  # each piece is told from the others
    (tmp_path / "line").write_bytes(line + b"\n")
    for slot, letter in enumerate((b"a", b"b")):
        (tmp_path / f"both{slot}").write_bytes((letter * 100_000 + b"\n") * 20)
    say = "type: command, startsecs: 0, command: [sh, -c, 'cat line; exec sleep 100']"
    text = f"""programs:
  plain: {{{say}}}
  json: {{{say}, log_format: json}}
  prefixed: {{{say}, log_prefix: [time, slot]}}
  both: {{type: command, startsecs: 0, numprocs: 2, command: [sh, -c, 'cat both$QUEUEPOOL_SLOT; exec sleep 100']}}
"""
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        logs = {name: tmp_path / "logs" / f"{name}.log" for name in ("plain", "json", "prefixed", "both")}
        sizes = {"plain": 100_001, "json": 100_001, "prefixed": 100_001, "both": 40 * 100_001}
        eventually(
            lambda: all(logs[name].stat().st_size >= size for name, size in sizes.items()), what="all is written"
        )
        found = {name: log.read_bytes() for name, log in logs.items()}
        assert found["plain"] == line + b"\n"
        told = json.loads(found["json"])
        assert (told["line"].encode(), told["process"], "partial" in told) == (line, "json:0", False)
        assert re.fullmatch(rb"\S+ \[prefixed:0\] ( +\d+,){10000}\n", found["prefixed"])
        assert found["prefixed"].endswith(line + b"\n")
        assert sorted(found["both"].splitlines()) == [b"a" * 100_000] * 20 + [b"b" * 100_000] * 20
        for name, data in found.items():
            assert shown(qp, "logs", "-n", "1", name) == data.splitlines(keepends=True)[-1]
            assert shown(qp, "tail", "both:0" if name == "both" else name) == data[-1600:]
        assert json.loads(shown(qp, "logs", "--json", "plain"))["line"].encode() == line
        assert b" 2 of 2 running" in shown(qp, "status")
        assert b"RUNNING" in shown(qp, "status", "plain")
        eventually(lambda: qp.printed().count("     9999,\n") == 3, what="`up` shows them to the end")


def test_binary_output_arrives_as_it_is_and_acts_on_no_screen(tmp_path: Path) -> None:
    data = bytes(range(256)) * 400 + b"\n"
    (tmp_path / "data").write_bytes(data)
    text = """programs:
  w: {type: command, startsecs: 0, command: [sh, -c, 'cat data; exec sleep 100']}
  dies: {type: command, startsecs: 1, startretries: 0, command: [sh, -c, 'cat data; exit 1']}
"""
    with Queuepool(tmp_path, text) as qp:
        qp.up()
        log = tmp_path / "logs" / "w.log"
        eventually(lambda: log.stat().st_size == len(data), what="it is written")
        assert log.read_bytes() == data
        lines = data.split(b"\n")[-21:-1]
        assert shown(qp, "logs", "w") == b"".join(line + b"\n" for line in lines)
        assert shown(qp, "tail", "w") == data[-1600:]
        told = [json.loads(line)["line"] for line in shown(qp, "logs", "--json", "w").splitlines()]
        assert told == [line.decode("utf-8", "backslashreplace") for line in lines], "\\r ends no line"
        for args in (["logs", "all"], ["status", "w"]):
            shown(qp, *args)
        qp.state("dies:0", "FATAL")
        view = json.loads(qp.try_("status", "dies", "--json").stdout)["processes"][0]
        assert view["exit_code"] == 1
        assert view["last_lines"], view
        for args in (["status"], ["status", "dies"], ["-v", "status"]):
            done = qp.try_(*args)
            assert done.returncode == 3
            assert quiet(done.stdout), done.stdout
        echoed = eventually(lambda: (text := qp.printed()).count("w:0 ") > 400 and text, what="`up` shows the lines")
        assert quiet(str(echoed))


def quiet(text: str) -> bool:
    """Whether a terminal would print this and do nothing else."""
    return all(character.isprintable() or character in "\n\t" for character in text)


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
