"""The unit of the daemon: its text, and what systemd says of it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.formats.systemd import DaemonUnit, config_of, daemon_unit, quote

UNIT = DaemonUnit(("/opt/venv/bin/queuepool",), "/srv/app/queuepool.yml", stop_seconds=90.5)


def lines(unit: DaemonUnit) -> list[str]:
    return daemon_unit(unit).splitlines()


def test_the_daemon_is_started_by_its_absolute_path_with_its_file() -> None:
    assert "ExecStart=/opt/venv/bin/queuepool -c /srv/app/queuepool.yml up" in lines(UNIT)


def test_stopping_may_take_as_long_as_the_longest_job_and_a_margin() -> None:
    assert "TimeoutStopSec=106" in lines(UNIT)


def test_a_crash_of_the_daemon_leaves_the_workers_and_is_mended_at_once() -> None:
    text = lines(UNIT)
    assert {"KillMode=process", "Restart=always", "StartLimitIntervalSec=0", "OOMPolicy=continue"} <= set(text)
    assert "RestartPreventExitStatus=0 2 4" in text


def test_a_supervisord_whose_processes_it_drives_comes_first() -> None:
    assert "After=supervisor.service supervisord.service" in lines(UNIT)


def test_it_says_when_it_is_ready_and_that_it_lives() -> None:
    assert {"Type=notify", "NotifyAccess=main", "WatchdogSec=30"} <= set(lines(UNIT))


def test_nothing_that_the_workers_would_inherit_takes_sudo_from_their_jobs() -> None:
    for unit in (UNIT, replace(UNIT, user=True)):
        active = [line for line in lines(unit) if not line.startswith("#")]
        for option in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "User=", "SystemCallFilter", "RuntimeDirectory"):
            assert not [line for line in active if line.startswith(option)]


def test_a_user_unit_has_no_option_that_implies_no_new_privileges() -> None:
    active = [line for line in lines(replace(UNIT, user=True)) if not line.startswith("#")]
    assert not [line for line in active if line.startswith(("Protect", "Restrict", "Lock", "Capability"))]
    assert "WantedBy=default.target" in active
    assert "WantedBy=multi-user.target" in lines(UNIT)


def test_the_directories_of_the_commands_are_those_of_the_daemon() -> None:
    unit = replace(UNIT, environment=(("QUEUEPOOL_RUNTIME_DIR", "/run/my qp/100%"),))
    assert 'Environment="QUEUEPOOL_RUNTIME_DIR=/run/my qp/100%%"' in lines(unit)


def test_the_file_of_a_unit_is_known_again() -> None:
    assert config_of(daemon_unit(UNIT)) == UNIT.config
    assert config_of(daemon_unit(replace(UNIT, config="/srv/100% & more/queuepool.yml"))) is not None
    assert config_of("[Unit]\nDescription=something else\n") is None


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("/srv/app", "/srv/app"),
        ("/srv/my app", '"/srv/my app"'),
        ("50%", "50%%"),
        ("$HOME", "$$HOME"),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("a'b", '"a\'b"'),
        ("", '""'),
    ],
)
def test_words_are_quoted_as_systemd_reads_them(word: str, quoted: str) -> None:
    assert quote(word) == quoted


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"])))
def test_a_quoted_word_is_read_as_one_word_again(word: str) -> None:
    """systemd's quotes are the shell's, once its own `%%` and `$$` are undone."""
    assert shlex.split(quote(word).replace("%%", "%").replace("$$", "$")) == [word]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("user", [False, True])
def test_systemd_finds_no_fault_with_it(tmp_path: Path, user: bool) -> None:
    unit = DaemonUnit(
        (sys.executable, "-m", "queuepool"),
        str(tmp_path / "my app" / "100%" / "queuepool.yml"),
        60.0,
        (("QUEUEPOOL_RUNTIME_DIR", "/tmp/a b"),),
        user,
    )
    assert faults(tmp_path, daemon_unit(unit), user) == []
    assert faults(tmp_path, daemon_unit(replace(unit, command=("/none/queuepool",))), user) != []


def faults(tmp_path: Path, text: str, user: bool) -> list[str]:
    """What systemd says of a unit."""
    file = tmp_path / "queuepool-test.service"
    file.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "--user" if user else "--system", "--man=no", "verify", str(file)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
        check=False,
    )
    return [line for line in done.stderr.splitlines() if "queuepool-test" in line]
