from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from queuepool.cli.logs import parse_since
from queuepool.cli.logsources import sources_of
from queuepool.errors import UsageError
from tests.control.fake import FakeDaemon, process, snapshot
from tests.support.wait import eventually

from .calling import Place, Terminal, call


@pytest.fixture
def logs(place: Place, daemon: FakeDaemon) -> Path:
    """Two programs: `mail` with one log for its two processes, `import` with one."""
    home = place.config.parent
    daemon.shown = snapshot(
        process(0, program="mail", log=f"{home}/mail.log"),
        process(1, program="mail", log=f"{home}/mail.log"),
        process(0, program="import", log=f"{home}/import.log"),
    )
    (home / "mail.log").write_bytes(b"".join(b"mail %d\n" % n for n in range(50)))
    (home / "import.log").write_bytes(b"import\n")
    return home


def test_one_program_is_shown_as_it_was_printed(logs: Path) -> None:
    done = call("logs", "-n", "2", "mail")
    assert (done.returncode, done.stdout, done.stderr) == (0, "mail 48\nmail 49\n", "")
    assert call("logs", "mail").stdout.count("\n") == 20


def test_lines_of_several_programs_stand_behind_their_names(logs: Path) -> None:
    assert call("logs", "-n1", "all").stdout == "mail   | mail 49\nimport | import\n"


def test_names_have_colours_where_colours_are_wanted(logs: Path) -> None:
    shown = call("logs", "-n1", "mail", "import", "--color", "always").stdout
    assert "\x1b[" in shown
    assert shown.replace("\x1b[0m", "").endswith("| import\n")


def test_at_a_terminal_a_line_keeps_its_colours_and_does_nothing_else(logs: Path) -> None:
    acts = b"\x1b]52;c;cHc=\x07 \x1b[2J \x1bPq\x1b\\ \xc2\x9b2J over\rwritten \x08\x7f"
    (logs / "import.log").write_bytes(b"\x1b[31mred\x1b[0m \xe4\xb8\xad " + acts + b"\r\n")
    for command in ("logs", "tail"):
        terminal = Terminal(command, "import" if command == "logs" else "import:0")
        assert terminal.end() == 0
        assert b"\x1b[31mred\x1b[0m \xe4\xb8\xad \\x1b]52;c;cHc=\\x07 \\x1b[2J" in terminal.shown
        assert b"\\x9b2J over\\x0dwritten \\x08\\x7f" in terminal.shown
        assert not [left for left in (b"\x1b]", b"\x1b[2J", b"\x1bP", b"\xc2\x9b", b"\x08") if left in terminal.shown]
    piped = subprocess.run([sys.executable, "-m", "queuepool", "logs", "import"], capture_output=True, check=True)
    assert acts in piped.stdout, "a file or a pipe gets what was printed"


def test_json_is_an_object_a_line(logs: Path) -> None:
    (logs / "import.log").write_text(
        '{"time": "2026-01-31T10:00:00.000+00:00", "process": "import:0", "line": "hello"}\n[2026-01-31 10:00:00] x\n'
    )
    values = [json.loads(line) for line in call("logs", "--json", "import").stdout.splitlines()]
    assert values[0] == {
        "program": "import",
        "file": f"{logs}/import.log",
        "time": 1769853600.0,
        "line": "hello",
        "process": "import:0",
    }
    assert values[1]["line"] == "[2026-01-31 10:00:00] x"


def test_one_process_of_a_shared_file_is_told_apart_where_its_lines_say_so(logs: Path) -> None:
    (logs / "mail.log").write_text("[mail:0] a\n[mail:1] b\n[mail:0] c\n")
    done = call("logs", "mail:1")
    assert (done.stdout, done.stderr) == ("[mail:1] b\n", "")
    (logs / "mail.log").write_text("a\nb\n")
    done = call("logs", "mail:1")
    assert done.stdout == "a\nb\n"
    assert "do not say which process" in done.stderr


def test_since_shows_what_was_printed_since(logs: Path) -> None:
    now = datetime.now().replace(microsecond=0)
    lines = [
        datetime.fromtimestamp(now.timestamp() - age).strftime("[%Y-%m-%d %H:%M:%S] ") + f"{age}\n"
        for age in (7200, 1800, 60)
    ]
    (logs / "import.log").write_text("".join(lines))
    assert call("logs", "--since", "1h", "import").stdout == "".join(lines[1:])
    done = call("logs", "--since", "1h", "mail")
    assert done.stdout.count("\n") == 50
    assert "tell no time" in done.stderr


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("90s", 999_910.0),
        ("1.5h", 994_600.0),
        ("2d", 827_200.0),
        ("1970-01-12T13:46:40+00:00", 1_000_000.0),
        ("1970-01-12", datetime(1970, 1, 12).timestamp()),
        ("1970-01-12 13:46", datetime(1970, 1, 12, 13, 46).timestamp()),
        ("9:05", datetime.fromtimestamp(1_000_000.0).replace(hour=9, minute=5, second=0).timestamp()),
    ],
)
def test_a_time_may_be_written_in_many_ways(text: str, time: float) -> None:
    assert parse_since(text, 1_000_000.0) == time


def test_a_time_that_is_none_is_refused_with_an_example(logs: Path) -> None:
    done = call("logs", "--since", "yesterdayish", "mail")
    assert done.returncode == 2
    assert "yesterdayish" in done.stderr
    assert "--since 10m" in done.stderr


def test_a_name_that_does_not_exist_and_a_log_that_does_not(logs: Path) -> None:
    assert call("logs", "nosuch").returncode == 2
    (logs / "import.log").unlink()
    done = call("logs", "import")
    assert (done.returncode, done.stdout) == (0, "")
    assert "printed nothing yet" in done.stderr


def test_a_program_without_a_log_says_so() -> None:
    with pytest.raises(UsageError, match="a keeps no log"):
        sources_of([{"name": "a:0", "program": "a", "log": None}], [])


def test_an_unreadable_log_is_an_error_with_its_name(logs: Path) -> None:
    (logs / "import.log").unlink()
    (logs / "import.log").mkdir()
    done = call("logs", "import")
    assert done.returncode == 1
    assert f"cannot read {logs}/import.log" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_daemon_the_file_says_where_the_logs_are(place: Place) -> None:
    home = place.config.parent
    place.config.write_text(
        "programs:\n"
        f"  a: {{type: command, command: 'true', stdout_logfile: {home}/a.log, redirect_stderr: false,"
        f" stderr_logfile: {home}/a.err}}\n"
        f"  b: {{type: command, command: 'true', stdout_logfile: {home}/b.log}}\n"
        "groups: {both: [a, b]}\n"
    )
    for name in ("a.log", "b.log", "a.err"):
        (home / name).write_text(f"in {name}\n")
    assert call("logs", "both").stdout == "a | in a.log\nb | in b.log\n"
    assert call("tail", "a", "stderr").stdout == "in a.err\n"
    done = call("tail", "b", "stderr")
    assert done.returncode == 2
    assert "redirect_stderr" in done.stderr
    done = call("logs", "c")
    assert (done.returncode, "no such program" in done.stderr) == (2, True)


def test_tail_shows_bytes_as_supervisors_does(logs: Path) -> None:
    assert call("tail", "-8", "mail").stdout == "mail 49\n"
    assert call("tail", "mail:1", "stdout").stdout == (logs / "mail.log").read_text()[-1600:]
    for wrong in (("mail", "stdin"), ("-x", "mail"), ("-8", "-9", "mail")):
        assert call("tail", *wrong).returncode == 2


@contextmanager
def running(*args: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-m", "queuepool", *args], stdout=subprocess.PIPE) as command:
        try:
            yield command
        finally:
            command.kill()


def read_until(command: subprocess.Popen[bytes], text: bytes) -> bytes:
    """What a command prints up to `text`; the test as a whole has the time limit of its runner."""
    assert command.stdout is not None
    got = b""
    while not got.endswith(text):
        line = command.stdout.readline()
        assert line, got
        got += line
    return got


def test_following_goes_on_across_rotation_and_the_end_of_the_daemon(logs: Path, daemon: FakeDaemon) -> None:
    with running("logs", "-f", "-n1", "all") as command:
        assert read_until(command, b"| import\n") == b"mail   | mail 49\nimport | import\n"
        daemon.stop(0.0)
        log = logs / "mail.log"
        with log.open("ab") as file:
            file.write(b"before\n")
        log.rename(f"{log}.1")
        log.write_bytes(b"after\n")
        assert read_until(command, b"after\n") == b"mail   | before\nmail   | after\n"


def test_tail_f_begins_with_the_last_bytes_and_shows_unfinished_lines(logs: Path) -> None:
    with running("tail", "-f", "-8", "mail") as command:
        assert read_until(command, b"mail 49\n") == b"mail 49\n"
        assert command.stdout is not None
        with (logs / "mail.log").open("ab") as file:
            file.write(b"50")
            file.flush()
        assert os.read(command.stdout.fileno(), 100) == b"50"


def test_ctrl_c_and_a_reader_that_goes_away_end_it_quietly(logs: Path) -> None:
    terminal = Terminal("logs", "-f", "mail")
    terminal.until(lambda shown: b"mail 49" in shown)
    terminal.type(b"\x03")
    assert terminal.end() == 130
    assert b"Traceback" not in terminal.shown
    with subprocess.Popen(
        [sys.executable, "-m", "queuepool", "logs", "-f", "mail"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as command:
        read_until(command, b"mail 49\n")
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        eventually(lambda: command.poll() is not None, what="the end of a command that nobody reads")
        assert command.stderr.read() == b""
