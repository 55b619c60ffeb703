"""`startup`: what it prints, writes and asks systemd for. systemd itself is stood in for by a script that notes how it
was called, since tests also run where it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from queuepool.cli import main, startup, trouble
from queuepool.errors import ExitCode
from tests.control.fake import FakeDaemon

from .calling import Place, call


@pytest.fixture
def systemctl(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which every call of systemctl and loginctl is noted."""
    notes = tmp_path / "calls"
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("systemctl", "loginctl"):
        script = programs / name
        script.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {notes}\n'
            f'case "$*" in *${{FAILS:-nothing}}*) echo "Job failed: see it" >&2; exit 1;; esac\n'
        )
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(startup, "RUNS", str(tmp_path))
    return notes


def run(*args: str) -> Result:
    return CliRunner().invoke(main.cli, ["startup", *args], prog_name="queuepool")


def units(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "config/systemd/user").glob("*"))


def test_the_unit_is_printed_also_where_no_systemd_runs(place: Place) -> None:
    done = call("startup", "--print", PATH="/none")
    assert (done.returncode, done.stderr) == (0, "")
    assert f" -c {place.config} up\n" in done.stdout
    assert f"QUEUEPOOL_RUNTIME_DIR={os.environ['QUEUEPOOL_RUNTIME_DIR']}" in done.stdout
    executable = (
        next(line for line in done.stdout.splitlines() if line.startswith("ExecStart=")).split("=")[1].split()[0]
    )
    assert os.access(executable, os.X_OK)


def test_the_unit_waits_for_the_longest_stopwaitsecs(place: Place) -> None:
    place.config.write_text(
        "programs:\n"
        "  a: {type: command, command: sleep 1, stopwaitsecs: 300}\n"
        "  b: {type: command, command: sleep 1, stopwaitsecs: 5}\n"
    )
    assert "TimeoutStopSec=315\n" in call("startup", "--print").stdout
    with place.config.open("a") as file:
        file.write("  c: {type: command, command: sleep 1, stopwaitsecs: 20, priority: 1}\n")  # stops after the others
    assert "TimeoutStopSec=335\n" in call("startup", "--print").stdout


def test_where_no_systemd_runs_it_says_so_and_what_to_do(place: Place) -> None:
    done = call("startup", PATH="/none")
    assert done.returncode == ExitCode.FAILED
    assert "systemd does not run" in done.stderr
    assert "`queuepool startup --print`" in done.stderr


def test_a_file_that_does_not_validate_is_refused_before_anything_is_written(
    systemctl: Path, place: Place, tmp_path: Path
) -> None:
    place.config.write_text("programs: [")
    result = run("--user")
    assert result.exception is not None
    assert trouble.show(result.exception, color=False) == ExitCode.USAGE
    assert units(tmp_path) == []


def test_it_is_written_enabled_and_started(systemctl: Path, place: Place, tmp_path: Path) -> None:
    result = run("--user")
    assert result.exit_code == 0, result.output
    (unit,) = units(tmp_path)
    assert f" -c {place.config} up\n" in unit.read_text()
    assert unit.stat().st_mode & 0o777 == 0o644
    assert systemctl.read_text().splitlines() == [
        "systemctl --user show-environment",
        "systemctl --user daemon-reload",
        f"systemctl --user enable --now {unit.name}",
        "loginctl enable-linger",
    ]


def test_the_unit_of_the_machine_is_written_enabled_started_and_removed(
    systemctl: Path, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "etc/systemd/system"
    assert startup.UNITS == "/etc/systemd/system"
    monkeypatch.setattr(startup, "UNITS", str(directory))
    before = os.umask(0o077)  # nobody but root could read it, and systemd's own tools complain
    try:
        result = run()
    finally:
        os.umask(before)
    assert result.exit_code == 0, result.output
    (unit,) = directory.iterdir()
    assert result.stdout == f"{unit.name}: written, enabled and started ({unit})\n"
    assert unit.stat().st_mode & 0o777 == 0o644
    assert f" -c {place.config} up\n" in unit.read_text()
    assert "WantedBy=multi-user.target\n" in unit.read_text()
    assert systemctl.read_text().splitlines() == [
        "systemctl daemon-reload",
        f"systemctl enable --now {unit.name}",
    ]
    assert units(tmp_path) == [], "no unit of a user"

    systemctl.write_text("")
    result = run("--remove")
    assert result.exit_code == 0, result.output
    assert list(directory.iterdir()) == []
    assert systemctl.read_text().splitlines() == [f"systemctl disable --now {unit.name}", "systemctl daemon-reload"]
    assert f"there is none in {directory}" in str(run("--remove").exception)


def test_it_can_be_written_anew_while_its_daemon_runs(systemctl: Path, place: Place, tmp_path: Path) -> None:
    assert run("--user").exit_code == 0
    assert "written anew" in run("--user").output
    assert len(units(tmp_path)) == 1


def test_it_is_removed(systemctl: Path, place: Place, tmp_path: Path) -> None:
    run("--user")
    (unit,) = units(tmp_path)
    systemctl.write_text("")
    result = run("--user", "--remove")
    assert result.exit_code == 0, result.output
    assert units(tmp_path) == []
    assert f"systemctl --user disable --now {unit.name}" in systemctl.read_text().splitlines()
    again = run("--user", "--remove")
    assert "there is none" in str(again.exception)


def test_two_files_have_two_units_even_with_the_same_directory_name(
    systemctl: Path, place: Place, tmp_path: Path
) -> None:
    for parent in ("one", "two"):
        (tmp_path / parent / "app").mkdir(parents=True)
        file = tmp_path / parent / "app" / "queuepool.yml"
        file.write_text("programs: {}\n")
        assert run("--user", "-c", str(file)).exit_code == 0
    assert len({unit.name for unit in units(tmp_path)}) == 2
    assert all(unit.name.startswith("queuepool-app") for unit in units(tmp_path))


def test_what_systemd_says_when_it_fails_is_shown(
    systemctl: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "enable --now")
    error = run("--user").exception
    assert "Job failed: see it" in str(error)
    assert "journalctl --user -u queuepool" in getattr(error, "hint", "")


def test_beside_a_daemon_started_by_hand_it_is_refused(systemctl: Path, daemon: FakeDaemon, tmp_path: Path) -> None:
    error = run("--user").exception
    assert error is not None
    assert trouble.show(error, color=False) == ExitCode.LOCKED
    assert units(tmp_path) == []


def test_printing_and_removing_exclude_each_other(place: Place) -> None:
    assert call("startup", "--print", "--remove").returncode == ExitCode.USAGE
