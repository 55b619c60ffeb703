from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from queuepool.domain.pool import Launch
from queuepool.errors import SpawnError
from queuepool.system import commands, procstat
from queuepool.system.commands import Done, run
from tests.support.turns import until
from tests.support.wait import eventually


def perform(*argv: str, directory: Path, seconds: float = 20.0, lines: list[str] | None = None) -> Done:
    launch = Launch(argv, str(directory), environment=(("A", "1"),))
    told = lines if lines is not None else []
    return asyncio.run(run(launch, {"QUEUEPOOL_HOOK": "before"}, seconds=seconds, on_line=told.append))


def test_a_command_runs_in_its_directory_with_its_variables_and_is_heard_line_by_line(tmp_path: Path) -> None:
    lines: list[str] = []
    script = 'echo "$PWD"; echo "$A $QUEUEPOOL_HOOK" >&2; printf unfinished; exit 3'
    done = perform("sh", "-c", script, directory=tmp_path, lines=lines)
    assert lines == [os.path.realpath(tmp_path), "1 before", "unfinished"]
    assert done == Done(3, False, tuple(lines))


def test_only_the_last_lines_are_kept_and_a_child_left_behind_is_not_waited_for(tmp_path: Path) -> None:
    done = perform("sh", "-c", "sleep 30 & seq 1000", directory=tmp_path)
    assert (done.code, len(done.lines), done.lines[-1]) == (0, 50, "1000")


def test_one_that_takes_too_long_is_ended_with_its_whole_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "END_SECONDS", 0.2)  # it ignores SIGTERM
    script = f"echo $$ > {tmp_path}/pid; trap '' TERM; sleep 100 & wait; sleep 100"
    done = perform("sh", "-c", script, directory=tmp_path, seconds=2.0)
    assert done.late
    leader = int((tmp_path / "pid").read_text())
    eventually(lambda: not procstat.session_members(leader), what="nothing of it lives")


def test_one_that_is_not_wanted_any_more_is_ended(tmp_path: Path) -> None:
    async def cancelled() -> None:
        launch = Launch(("sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 100"), str(tmp_path))
        task = asyncio.ensure_future(run(launch, {}, seconds=60))
        await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert procstat.birth(int((tmp_path / "pid").read_text())) is None


def test_one_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    with pytest.raises(SpawnError, match="cannot find the command"):
        perform("no-such-command", directory=tmp_path)
