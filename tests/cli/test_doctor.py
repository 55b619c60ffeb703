"""`doctor` as it is called: its options, its exit codes, and what it says where it cannot do what it is asked."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from queuepool.doctor import examine
from queuepool.doctor.checks import CHECKS
from queuepool.doctor.checks.file import valid
from queuepool.doctor.report import named
from queuepool.errors import ExitCode

from .calling import Place, Terminal, call

PROGRAM = "programs:\n  sleep: {type: command, command: sleep 100}\n"
FILE = ("--only", "file")


@pytest.fixture
def well(place: Place) -> Place:
    """A file in which nothing is wrong."""
    place.config.write_text(PROGRAM)
    place.config.chmod(0o644)
    return place


def open_to_all(place: Place) -> None:
    place.config.chmod(0o666)


def test_a_healthy_file_is_one_line_and_exit_0(well: Place) -> None:
    done = call("doctor", *FILE)
    count = sum(check.group == "file" for check in CHECKS) + 1
    assert (done.returncode, done.stdout, done.stderr) == (0, f"healthy: {count} checks found nothing wrong\n", "")


def test_an_error_is_exit_1_with_what_proves_and_mends_it(well: Place) -> None:
    open_to_all(well)
    done = call("doctor", *FILE)
    assert done.returncode == ExitCode.FAILED
    lines = done.stdout.replace("\n    |   ", " ").splitlines()  # the directory of a test has a long name
    assert lines == [
        str(well.config),
        "  error: may be changed by everybody on this machine",
        f"    | {well.config}: mode 0666, owned by uid {well.config.stat().st_uid}",
        f"    -> chmod o-w {well.config}",
        "    (file.mode)",
        "",
        "1 error: sleep suffers",
        "`queuepool doctor --fix` mends one of these, after asking",
    ]


def test_warnings_are_exit_0_and_exit_3_when_asked_to_be_strict(well: Place) -> None:
    log = "{command: sleep 100, stdout_logfile: one.log"
    well.config.write_text(PROGRAM + f"  a: {log}}}\n  b: {log}, stdout_logfile_backups: 1}}\n")
    assert call("doctor", *FILE).returncode == 0
    done = call("doctor", *FILE, "--strict")
    assert done.returncode == ExitCode.NOT_AS_WANTED
    assert done.stdout.endswith("\n1 warning\n")


def test_the_json_is_one_object(well: Place) -> None:
    open_to_all(well)
    done = call("doctor", "--json", *FILE)
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert (found["verdict"], [finding["id"] for finding in found["findings"]]) == ("error", ["file.mode"])
    assert found["findings"][0]["fix"] == f"chmod 664 {well.config}"
    assert "file.valid" in found["passed"]


def test_junit_is_written_whatever_else_is_printed(well: Place, tmp_path: Path) -> None:
    open_to_all(well)
    done = call("doctor", *FILE, "--junit", str(tmp_path / "report.xml"))
    assert done.returncode == 1
    root = ElementTree.parse(tmp_path / "report.xml").getroot()
    assert [case.get("name") for case in root.iter("testcase") if len(case)] == ["file.mode"]


def test_a_junit_file_that_cannot_be_written_is_an_error_with_its_name(well: Place) -> None:
    done = call("doctor", *FILE, "--junit", "/no/such/place/report.xml")
    assert done.returncode == ExitCode.FAILED
    assert "cannot write /no/such/place/report.xml: no such file or directory" in done.stderr


def test_a_broken_file_is_a_report_and_no_file_is_an_error_that_says_what_to_do(well: Place) -> None:
    well.config.write_text("programs: [\n")
    done = call("doctor")
    assert done.returncode == ExitCode.FAILED
    assert "(file.valid)" in done.stdout
    assert "queuepool.yml:2" in done.stdout
    done = call("doctor", "-c", "/no/such/queuepool.yml")
    assert done.returncode == ExitCode.USAGE
    assert "cannot find /no/such/queuepool.yml" in done.stderr
    assert "queuepool init" in done.stderr


def test_a_program_that_is_not_there_is_answered_with_the_nearest(well: Place) -> None:
    done = call("doctor", *FILE, "slep")
    assert done.returncode == ExitCode.USAGE
    assert "cannot find slep" in done.stderr
    assert "did you mean sleep?" in done.stderr


@pytest.mark.parametrize("name", ["sleep", "sle*", "sleep:0", "sleep:*", "all", "g"])
def test_programs_are_named_as_for_other_commands(well: Place, name: str) -> None:
    well.config.write_text(PROGRAM + "  other: {type: command, command: sleep 1}\ngroups: {g: [sleep]}\n")
    done = call("doctor", *FILE, name)
    assert done.returncode == 0, done.stderr


# --- which checks -----------------------------------------------------------------------------------------------------


def test_checks_are_listed_and_explained_where_there_is_no_file(place: Place) -> None:
    place.config.unlink()
    listed = call("doctor", "--list")
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [check.id for check in CHECKS]
    assert len(json.loads(call("doctor", "--list", "--json").stdout)["checks"]) == len(CHECKS)
    told = call("doctor", "--explain", "file.valid")
    assert told.returncode == 0
    assert told.stdout.startswith("file.valid  error\n")
    assert named("file.valid").title in told.stdout
    assert " ".join(str(valid.__doc__).split()) in " ".join(told.stdout.split())
    assert all(len(line) <= 80 for line in told.stdout.splitlines())


@pytest.mark.parametrize("args", [("--explain", "file.vald"), ("--only", "file.vald"), ("--skip", "file.vald")])
def test_a_check_that_does_not_exist_is_answered_with_the_nearest(well: Place, args: tuple[str, str]) -> None:
    done = call("doctor", *args)
    assert done.returncode == ExitCode.USAGE
    assert "no such check: file.vald" in done.stderr
    assert "did you mean file.valid?" in done.stderr


def test_checks_are_chosen_by_commas_and_several_times(well: Place) -> None:
    done = call("doctor", "--only", "file.mode, file.valid", "--only", "file.empty", "--skip", "doctor", "--json")
    assert json.loads(done.stdout)["passed"] == ["file.valid", "file.empty", "file.mode"]


def test_where_only_the_file_matters_nothing_else_is_looked_at(well: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "_scene", lambda *_: pytest.fail("something was looked at"))
    facts = examine.examine(str(well.config), {}, (), ())
    assert [program.name for program in facts.programs] == ["sleep"]


# --- looks that fail --------------------------------------------------------------------------------------------------


def looks(monkeypatch: pytest.MonkeyPatch, body: str, tmp_path: Path) -> None:
    """Let one look be of this code, and have a quarter of a second."""
    head = "import asyncio, threading\nover = threading.Event()\n"
    (tmp_path / "bad_look.py").write_text(f"{head}async def look(scene):\n    {body}\n")
    monkeypatch.syspath_prepend(tmp_path)
    real = examine.import_module
    monkeypatch.setattr(examine, "import_module", lambda name: real("bad_look" if name.endswith(".bad") else name))
    monkeypatch.setattr(examine, "LOOKS", {"host": examine.Look("this machine", "bad", 0.25)})
    sys.modules.pop("bad_look", None)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("await asyncio.sleep(100)", "it took longer than 0.25 s"),
        ("await asyncio.to_thread(over.wait, 100)", "it took longer than 0.25 s"),
        ("raise ValueError('hunter2')", "ValueError, by a defect of queuepool"),
        ("import no_such_module", "the Python module no_such_module is missing"),
        ("open('/no/such/file')", "/no/such/file: No such file or directory"),
    ],
)
def test_a_look_that_fails_is_told_and_the_others_go_on(
    well: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, why: str
) -> None:
    looks(monkeypatch, body, tmp_path)
    began = time.monotonic()
    facts = examine.examine(str(well.config), {}, (), ("host",))
    assert time.monotonic() - began < 50  # threads are not waited for
    if seen := sys.modules.get("bad_look"):
        seen.over.set()
    assert [(unseen.what, unseen.why) for unseen in facts.unseen] == [("this machine", why)]
    assert facts.host is None
    assert [program.name for program in facts.programs] == ["sleep"]


def test_what_takes_long_is_named_meanwhile(well: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch, "await asyncio.sleep(100)", tmp_path)
    monkeypatch.setattr(examine, "PROGRESS_SECONDS", 0.01)
    said: list[list[str]] = []
    examine.examine(str(well.config), {}, (), ("host",), lambda what: said.append(list(what)))
    assert said[0] == ["this machine"]


# --- fixing -----------------------------------------------------------------------------------------------------------


def test_without_a_terminal_nothing_is_fixed_unless_told_to(well: Place) -> None:
    open_to_all(well)
    done = call("doctor", *FILE, "--fix")
    assert done.returncode == ExitCode.USAGE
    assert "--fix --yes" in done.stderr
    assert well.config.stat().st_mode & 0o777 == 0o666


def test_a_dry_run_shows_the_commands_and_does_nothing(well: Place) -> None:
    open_to_all(well)
    done = call("doctor", *FILE, "--fix", "--dry-run")
    assert f"$ chmod 664 {well.config}" in done.stdout
    assert well.config.stat().st_mode & 0o777 == 0o666


def test_what_was_fixed_is_told_and_looked_at_again(well: Place) -> None:
    open_to_all(well)
    done = call("doctor", *FILE, "--fix", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"done: chmod 664 {well.config}" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("healthy: ")
    assert well.config.stat().st_mode & 0o777 == 0o664
    again = call("doctor", *FILE, "--fix", "--yes", "--json")
    assert json.loads(again.stdout)["fixed"] == []


@pytest.mark.parametrize(("answer", "mode"), [(b"y\n", 0o664), (b"n\n", 0o666), (b"\n", 0o666), (b"q\n", 0o666)])
def test_at_a_terminal_it_asks(well: Place, answer: bytes, mode: int) -> None:
    open_to_all(well)
    terminal = Terminal("doctor", *FILE, "--fix")
    terminal.until(lambda seen: b"do it?" in seen)
    terminal.type(answer)
    assert terminal.end() == (0 if mode == 0o664 else 1)
    assert well.config.stat().st_mode & 0o777 == mode


def test_ctrl_c_at_the_question_does_nothing(well: Place) -> None:
    open_to_all(well)
    terminal = Terminal("doctor", *FILE, "--fix")
    terminal.until(lambda seen: b"do it?" in seen)
    assert terminal.end(b"\x03") == ExitCode.INTERRUPTED
    assert well.config.stat().st_mode & 0o777 == 0o666


@pytest.mark.parametrize("option", ["--yes", "--dry-run"])
def test_options_of_fix_need_fix(well: Place, option: str) -> None:
    done = call("doctor", option)
    assert done.returncode == ExitCode.USAGE
    assert f"{option} goes with --fix" in done.stderr


def test_a_terminal_gets_colours_and_a_pipe_does_not(well: Place) -> None:
    open_to_all(well)
    assert "\x1b" not in call("doctor", *FILE).stdout
    terminal = Terminal("doctor", *FILE)
    assert terminal.end() == 1
    assert b"\x1b[31m" in terminal.shown
