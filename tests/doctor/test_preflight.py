"""What `up` sees before it starts anything."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from queuepool.cli.approval import Approval
from queuepool.config.load import load
from queuepool.doctor.preflight import Preflight, preflight
from queuepool.domain.pool import Loaded
from queuepool.errors import ExitCode, QueuepoolError
from queuepool.system.rundir import RunDirectory

GOOD = "  good: {type: command, command: sleep 100}\n"
BAD = {
    "directory": ("command: sleep 1, directory: /no/such/place", "the directory /no/such/place does not exist here"),
    "a file": ("command: sleep 1, directory: /etc/passwd", "/etc/passwd is not a directory"),
    "below a file": ("command: sleep 1, directory: /etc/passwd/a", "/etc/passwd is not a directory"),
    "program": ("command: /no/such/thing", "the program /no/such/thing is not there, or not executable"),
    "no program": ("command: /etc/passwd", "the program /etc/passwd is not there, or not executable"),
    "user": ("command: sleep 1, user: nobody-here", "the user nobody-here does not exist here"),
    "group": ("command: sleep 1, group: nobodies", "the group nobodies does not exist here"),
}


def read(directory: Path, programs: str, top: str = "") -> Loaded:
    (directory / "queuepool.yml").write_text(f"{top}programs:\n{programs}")
    return load(str(directory / "queuepool.yml"), {"PATH": os.environ["PATH"]})


def looked(directory: Path, programs: str, top: str = "") -> Preflight:
    return preflight(read(directory, programs, top).pools.values())


@pytest.mark.parametrize("case", BAD)
def test_a_program_that_cannot_run_is_seen_with_what_it_lacks(tmp_path: Path, case: str) -> None:
    keys, what = BAD[case]
    seen = looked(tmp_path, GOOD + f"  bad: {{type: command, {keys}}}\n")
    assert [(lack.programs, lack.what, lack.fatal) for lack in seen.lacks] == [(("bad",), what, True)]
    assert seen.lacks[0].remedy
    assert not seen.hopeless


def test_a_link_to_a_directory_that_is_gone_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("releases/7")
    seen = looked(tmp_path, f"  a: {{type: command, command: sleep 1, directory: {tmp_path}/current}}\n")
    assert [lack.what for lack in seen.lacks] == [
        f"the directory {tmp_path}/current is a link to releases/7, which does not exist"
    ]


def test_what_several_lack_is_said_once_and_where_all_do_there_is_no_hope(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    seen = looked(tmp_path, "  a: {queue: a}\n  b: {queue: b}\n", f"app: {tmp_path}/app\nphp: sh\n")
    assert [(lack.programs, lack.what) for lack in seen.lacks] == [
        (("a", "b"), f"there is no artisan in {tmp_path}/app")
    ]
    assert seen.hopeless


def test_a_log_that_cannot_be_made_keeps_nothing_from_running(tmp_path: Path) -> None:
    seen = looked(tmp_path, "  a: {type: command, command: sleep 1, stdout_logfile: /etc/passwd/a.log}\n")
    assert "/etc/passwd is not a directory" in seen.lacks[0].what
    assert not seen.lacks[0].fatal
    assert not seen.hopeless


def test_there_is_hope_when_a_later_slot_may_run(tmp_path: Path) -> None:
    (tmp_path / "01").mkdir()
    keys = "{type: command, command: sleep 1, directory: '%(here)s/%(process_num)02d', numprocs: "
    assert not looked(tmp_path, f"  a: {keys}2}}\n").hopeless
    assert looked(tmp_path, f"  a: {keys}3}}\n").hopeless


def test_nothing_is_said_where_all_is_there(tmp_path: Path) -> None:
    assert looked(tmp_path, GOOD) == Preflight()
    assert preflight(()) == Preflight()


def test_five_hundred_programs_cost_next_to_nothing(tmp_path: Path) -> None:
    loaded = read(tmp_path, "".join(f"  p{n}: {{type: command, command: sleep 100}}\n" for n in range(500)))
    best = min(_cpu_seconds(loaded) for _ in range(3))
    assert best < 0.1  # measured: 0.008


def _cpu_seconds(loaded: Loaded) -> float:
    began = time.process_time()
    preflight(loaded.pools.values())
    return time.process_time() - began


# --- whether anything is started --------------------------------------------------------------------------------------


@pytest.fixture
def hopeless(tmp_path: Path) -> Loaded:
    return read(tmp_path, "  bad: {type: command, command: /no/such/thing}\n")


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"QUEUEPOOL_RUNTIME_DIR": str(tmp_path / "run"), **more}


def test_nothing_is_started_when_no_program_can_run(tmp_path: Path, hopeless: Loaded) -> None:
    told: list[str] = []
    with pytest.raises(QueuepoolError) as caught:
        Approval(told.append, environ(tmp_path))(hopeless)
    assert caught.value.exit_code is ExitCode.FAILED
    assert "queuepool doctor" in caught.value.hint
    assert any("bad cannot run: the program /no/such/thing" in line for line in told)


@pytest.mark.parametrize("variable", ["NOTIFY_SOCKET", "INVOCATION_ID"])
def test_below_systemd_a_refusal_would_be_a_restart_loop(tmp_path: Path, hopeless: Loaded, variable: str) -> None:
    told: list[str] = []
    Approval(told.append, environ(tmp_path, **{variable: "x"}))(hopeless)
    assert told


def test_in_a_container_too(tmp_path: Path, hopeless: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)
    Approval([].append, environ(tmp_path))(hopeless)


def test_workers_of_a_former_daemon_are_never_left_alone(tmp_path: Path, hopeless: Loaded) -> None:
    pipes = Path(RunDirectory(hopeless.path, environ(tmp_path)).pipes)
    pipes.mkdir(parents=True)
    os.mkfifo(pipes / "bad.0.1.out")
    Approval([].append, environ(tmp_path))(hopeless)
