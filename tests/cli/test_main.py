"""The command as a whole: help, global options, errors and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from queuepool import __version__
from queuepool.cli import main, trouble
from queuepool.errors import ConfigError, ExitCode, QueuepoolError
from tests.control.fake import FakeDaemon

from .calling import Place, call

EVERY = [(name, entry) for section in main.COMMANDS.values() for name, entry in section.items()]


@pytest.mark.parametrize(("name", "entry"), EVERY, ids=[name for name, _ in EVERY])
def test_every_command_of_the_table_can_be_loaded_and_has_the_help_of_the_table(
    name: str, entry: tuple[str, str]
) -> None:
    command = main.cli.get_command(click.Context(main.cli), name)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help
    assert " ".join(command.help.split()).startswith(entry[1].rstrip("."))
    assert call_runner(name, "--help").startswith("Usage: queuepool")


def call_runner(*args: str) -> str:
    from click.testing import CliRunner

    result = CliRunner().invoke(main.cli, args, prog_name="queuepool")
    assert result.exit_code == 0, result.output
    return result.output


def test_the_help_lists_every_command_and_imports_none(place: Place) -> None:
    done = call("--help")
    assert done.returncode == 0
    for name, _ in EVERY:
        assert f"  {name} " in done.stdout


def test_without_a_command_the_help_is_shown_and_the_exit_code_is_that_of_a_usage_error(place: Place) -> None:
    done = call()
    assert done.returncode == ExitCode.USAGE
    assert "Usage: queuepool" in done.stdout


@pytest.mark.parametrize("group", ["config", "import", "export"])
def test_so_it_is_for_a_command_that_needs_another(place: Place, group: str) -> None:
    done = call(group)
    assert done.returncode == ExitCode.USAGE
    assert f"Usage: queuepool {group}" in done.stdout
    assert "\nCommands:\n" in done.stdout
    assert done.stderr == ""


def test_the_version_is_printed() -> None:
    assert call("--version").stdout == f"queuepool {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "meant"), [("stat", "status"), ("strat", "start"), ("restrat", "restart"), ("continu", "continue")]
)
def test_an_unknown_command_is_answered_with_the_nearest(place: Place, typed: str, meant: str) -> None:
    done = call(typed)
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == f"error: no such command: {typed}\nhint: did you mean `queuepool {meant}`?\n"
    assert done.stdout == ""


@pytest.mark.parametrize("typed", ["restart", "logs -f", "signal HUP"])
def test_who_names_nothing_is_told_how_all_are_named(place: Place, typed: str) -> None:
    done = call(*typed.split())
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.endswith(f"or all: `queuepool {typed.removesuffix(' -f')} all`\n")


@pytest.mark.parametrize(
    ("typed", "meant"), [("import supervisr", "import supervisor"), ("config chek", "config check"),
                         ("export -x", "export --help"), ("config what", "config --help")]
)  # fmt: skip
def test_an_unknown_command_below_another_is_answered_likewise(place: Place, typed: str, meant: str) -> None:
    done = call(*typed.split())
    assert done.returncode == ExitCode.USAGE
    assert f"`queuepool {meant}`" in done.stderr.splitlines()[-1]


def test_a_command_that_resembles_none_is_pointed_to_the_help(place: Place) -> None:
    assert "queuepool --help" in call("zzzzzz").stderr


@pytest.mark.parametrize("args", [["status", "--jsno"], ["start"], ["scale"], ["scale", "x", "many"], ["--color", "x"]])
def test_a_wrong_command_line_is_one_line_and_one_hint_with_exit_code_2(place: Place, args: list[str]) -> None:
    done = call(*args)
    assert done.returncode == ExitCode.USAGE
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("hint: ")


def test_a_number_below_zero_is_refused_in_words(place: Place) -> None:
    said = call("logs", "-n", "-1", "w").stderr
    assert said.startswith("error: invalid value for '-n' / '--lines': -1 is below 0\n")
    assert "x>=0" not in call("logs", "--help").stdout


def test_only_an_option_that_is_meant_is_suggested(place: Place) -> None:
    assert call("status", "--jsno").stderr == "error: no such option '--jsno'\nhint: did you mean `--json`?\n"
    assert "token" not in call("update", "--json").stderr


def test_no_daemon_has_an_exit_code_of_its_own_and_says_how_to_start_it(place: Place) -> None:
    for command in (["status"], ["start", "all"], ["down"], ["pid"], ["events"], ["reread"], ["scale", "x", "1"]):
        done = call(*command)
        assert done.returncode == ExitCode.NO_DAEMON, command
        assert "`queuepool up`" in done.stderr
        assert len(done.stderr.splitlines()) == 2


def test_no_file_is_a_usage_error_that_points_to_init(place: Place) -> None:
    os.unlink(place.config)
    done = call("-c", "none.yml", "status")
    assert done.returncode == ExitCode.USAGE
    assert "none.yml" in done.stderr
    assert "queuepool init" in done.stderr


def test_the_file_may_be_named_before_and_after_the_command(daemon: FakeDaemon, place: Place) -> None:
    os.chdir("/")
    for args in (
        ["-c", str(place.config), "pid"],
        ["pid", "-c", str(place.config)],
        ["pid", f"--config={place.config}"],
    ):
        done = call(*args)
        assert (done.returncode, done.stdout) == (0, f"{place.daemon_pid}\n"), done.stderr
    assert call("pid", QUEUEPOOL_CONFIG=str(place.config)).stdout == f"{place.daemon_pid}\n"


def test_the_file_of_the_subcommand_wins(daemon: FakeDaemon, place: Place) -> None:
    assert call("-c", "/none/queuepool.yml", "pid", "-c", str(place.config)).returncode == 0


def test_a_working_directory_that_was_deleted_is_no_defect(place: Place, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]); os.execv(sys.executable, sys.argv[2:])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(gone), sys.executable, "-P", "-m", "queuepool", "status"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "defect" not in done.stderr
    assert done.returncode in (ExitCode.USAGE, ExitCode.NO_DAEMON)


def test_every_problem_of_a_file_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code = trouble.show(
        ConfigError("cannot use a.yml", ("a.yml:1: x: wrong", "a.yml:2: y: wrong"), "mend it"), color=False
    )
    assert code == ExitCode.USAGE
    assert capsys.readouterr().err == (
        "error: cannot use a.yml\n  a.yml:1: x: wrong\n  a.yml:2: y: wrong\nhint: mend it\n"
    )


def test_what_nobody_foresaw_is_called_a_defect_and_its_traceback_is_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("no such\nluck")
    assert trouble.show(caught.value, color=False) == ExitCode.FAILED
    said = capsys.readouterr().err
    assert "defect of queuepool: RuntimeError: no such luck" in said
    assert "Traceback" not in said
    (file,) = tmp_path.glob("queuepool-defect-*")
    assert str(file) in said
    assert "Traceback" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_a_message_cannot_play_with_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    trouble.show(QueuepoolError("bad \x1b[2J name\n\udcff", "do\x07"), color=False)
    said = capsys.readouterr().err
    assert said == "error: bad \\x1b[2J name\\x0a\\xdcff\nhint: do\\x07\n"


def test_colours_are_for_terminals_unless_asked_for(daemon: FakeDaemon, place: Place) -> None:
    assert "\x1b[" not in call("status").stdout
    assert "\x1b[" in call("--color", "always", "status").stdout
    assert "\x1b[" in call("status", "--color=always").stdout
    assert "\x1b[" not in call("--color", "never", "status").stdout
    assert "\x1b[" in call("--color", "always", "zzz").stderr
    assert "\x1b[" not in call("zzz").stderr


def test_a_reader_that_goes_away_is_no_error_to_speak_of(daemon: FakeDaemon, place: Place) -> None:
    from tests.control.fake import process, snapshot

    daemon.shown = snapshot(*(process(slot) for slot in range(3000)))
    command = f"{sys.executable} -m queuepool status | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_the_modules_of_status_are_few(daemon: FakeDaemon, place: Place) -> None:
    """`status` is a command that people run all day: what takes long to import has no place on its way."""
    code = (
        "import sys, json; from queuepool.cli.main import run; code = run(['status']);"
        "print(json.dumps([code, *sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    code_, *modules = json.loads(done.stderr)
    assert code_ == 0
    heavy = {
        "rich", "pydantic", "pydantic_core", "asyncio", "yaml", "redis", "uvicorn", "starlette", "psutil", "dotenv",
        "http.client", "urllib.request", "urllib.parse", "logging", "subprocess", "email", "ssl", "tempfile", "difflib",
        "importlib.metadata", "queuepool.daemon", "queuepool.control.messages", "queuepool.domain.pool",
        "queuepool.config.load",
    }  # fmt: skip
    assert not heavy & set(modules)


def test_ctrl_c_ends_with_130(daemon: FakeDaemon, place: Place) -> None:
    from .calling import Terminal

    daemon.replies["restart"] = "wait"
    terminal = Terminal("restart", "all", PWD=str(place.config.parent))
    while not daemon.asked:
        pass
    terminal.type(b"\x03")
    assert terminal.end() == ExitCode.INTERRUPTED
    assert b"Traceback" not in terminal.shown


def test_python_dash_m_is_the_same_command() -> None:
    assert import_module("queuepool.__main__").main is main.main
