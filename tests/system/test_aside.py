"""What another process works out, and what becomes of it when that process does not end well."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from queuepool.controller import versions
from queuepool.daemon import reading
from queuepool.errors import ConfigError
from queuepool.system import aside
from queuepool.system.aside import Aside
from tests.support.wait import eventually


def test_the_work_is_done_by_another_process_which_is_gone_afterwards() -> None:
    pid = Aside(os.getpid).result()
    assert pid != os.getpid()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_there_is_time_for_something_else_while_another_process_works(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    found = Aside(lambda: (tmp_path / "gate").read_text())
    assert found.working
    (tmp_path / "gate").write_text("done")
    eventually(lambda: not found.working, 60, "it has said something")
    assert found.result() == "done"
    assert not found.working
    assert not Aside(os.getpid, elsewhere=False).working


def test_more_than_a_pipe_holds_is_told() -> None:
    assert Aside(lambda: list(range(200_000))).result() == list(range(200_000))


def test_an_error_for_a_person_is_raised_here() -> None:
    def fail() -> None:
        raise ConfigError("cannot use x", ("x:1: what", "x:2: else"), "type this")

    with pytest.raises(ConfigError) as caught:
        Aside(fail).result()
    assert (caught.value.message, caught.value.problems, caught.value.hint) == (
        "cannot use x", ("x:1: what", "x:2: else"), "type this",
    )  # fmt: skip


@pytest.mark.parametrize("how", ["killed", "leaves", "has a defect", "says what cannot be sent"])
def test_work_that_the_other_process_does_not_end_is_done_here(how: str) -> None:
    here = os.getpid()

    def work() -> object:
        if os.getpid() != here:
            {"killed": lambda: os.kill(os.getpid(), signal.SIGKILL), "leaves": lambda: os._exit(0)}.get(
                how, lambda: None
            )()
            if how == "has a defect":
                raise KeyError(how)
            return lambda: how
        return how

    assert Aside(work).result() == how


def test_without_a_process_to_be_had_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    before = len(os.listdir("/dev/fd"))
    monkeypatch.setattr(aside.os, "fork", refuse)
    assert Aside(os.getpid).result() == os.getpid()
    assert len(os.listdir("/dev/fd")) == before


def test_ctrl_c_while_waiting_ends_the_other_process(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    found = Aside(lambda: (tmp_path / "gate").read_text())
    pid = found._pid

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            found.result()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


@pytest.mark.parametrize(
    ("cores", "size", "elsewhere"),
    [(2, 10, True), (1, 10, False), (2, reading.LARGEST_ASIDE + 1, False)],
    ids=["a small file", "one processor", "a file of thousands of programs"],
)
def test_the_file_is_read_aside_where_that_is_sooner(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cores: int, size: int, elsewhere: bool
) -> None:
    reader: Callable[[str], object] = lambda path: os.getpid()  # noqa: E731
    monkeypatch.setattr(versions, "read", reader)
    monkeypatch.setattr(reading, "cores", lambda: cores)
    (tmp_path / "queuepool.yml").write_text("#" * size)
    found = reading.begin_to_read(str(tmp_path / "queuepool.yml"))
    assert (found.result() != os.getpid()) is elsewhere
