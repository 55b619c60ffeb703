"""The workers' lines on a terminal or pipe that may be slow, full or gone."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuepool.cli import echo
from queuepool.cli.echo import Echo


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    for fd in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(fd)


def drained(reader: int) -> bytes:
    received = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(reader, 1 << 20):
            received += piece
    return received


def test_a_line_of_a_worker_has_its_name_and_one_of_the_daemon_has_none(pipe: tuple[int, int]) -> None:
    show = Echo(pipe[1], color=False)
    show("mail:3", "out", b"Processing\n")
    show("", "event", b"event=started")
    show("laravel-worker:12", "out", b"caf\xe9 \x1b[2J")
    assert drained(pipe[0]).decode() == ("mail:3 | Processing\nevent=started\nlaravel-worker:12 | caf\ufffd \\x1b[2J\n")


def test_only_a_terminal_is_told_of_ctrl_c(pipe: tuple[int, int]) -> None:
    Echo(pipe[1], color=False)("", "daemon_started", b"queuepool runs")
    assert drained(pipe[0]) == b"queuepool runs\n"
    reader, writer = os.openpty()
    with os.fdopen(reader, "rb", 0) as terminal, os.fdopen(writer):
        show = Echo(writer, color=False)
        show("", "daemon_started", b"queuepool runs")
        show("", "running", b"w:0 is running")
        shown = b""
        while shown.count(b"\n") < 2:  # a terminal hands on what it was given when it comes to it
            shown += terminal.read(1000)
    assert shown.splitlines() == [b"queuepool runs; Ctrl-C ends it when running jobs are done", b"w:0 is running"]


def test_who_sits_at_a_terminal_is_told_of_ctrl_c_aside_where_the_lines_go_elsewhere(pipe: tuple[int, int]) -> None:
    told: list[str] = []
    show = Echo(pipe[1], color=False, aside=told.append)
    show("", "daemon_started", b"queuepool runs")
    show("", "running", b"w:0 is running")
    show("", "daemon_stopping", b"the daemon ends")
    assert told == [
        "queuepool runs; Ctrl-C ends it when running jobs are done", "the daemon ends; Ctrl-C again ends them",
    ]  # fmt: skip
    os.close(pipe[0])
    show("w:1", "out", b"nobody reads this")
    show("w:1", "out", b"nor this")
    assert told[2:] == ["nobody reads its lines any more; the daemon goes on, and Ctrl-C ends it"]


def test_at_a_terminal_nothing_is_said_twice() -> None:
    told: list[str] = []
    reader, writer = os.openpty()
    with os.fdopen(reader, "rb", 0), os.fdopen(writer):
        Echo(writer, color=False, aside=told.append)("", "daemon_started", b"queuepool runs")
    assert told == []


def test_without_workers_only_the_daemon_is_shown(pipe: tuple[int, int]) -> None:
    show = Echo(pipe[1], color=False, workers=False)
    show("mail:3", "out", b"Processing")
    show("", "event", b"event=started")
    assert drained(pipe[0]) == b"event=started\n"


def test_a_reader_that_does_not_read_does_not_hold_up_the_daemon_and_gets_it_all_later(pipe: tuple[int, int]) -> None:
    reader, writer = pipe

    async def daemon() -> bytes:
        show = Echo(writer, color=False)
        for number in range(20_000):  # far more than a pipe holds; a write that blocked would never return
            show("w:1", "out", b"line %d" % number)
        received = b""
        news = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(reader, news.set)
        while received.count(b"\n") < 20_000:
            news.clear()
            async with asyncio.timeout(20):
                await news.wait()
            received += drained(reader)
        loop.remove_reader(reader)
        show.close()
        return received

    lines = asyncio.run(daemon()).splitlines()
    assert lines == [b"w:1 | line %d" % number for number in range(20_000)]


def test_what_is_too_much_is_left_out_and_counted(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo, "MAX_HELD", 10_000)
    reader, writer = pipe
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    show = Echo(writer, color=False)
    for number in range(1000):
        show("w:1", "out", b"x" * 50 + b" %d" % number)
    received = drained(reader)
    while show._held:
        show("", "event", b"go on")
        received += drained(reader)
    show("", "event", b"go on")
    lines = (received + drained(reader)).splitlines()
    (notice,) = [line for line in lines if b"left out" in line]
    shown = sum(line.startswith(b"w:1") for line in lines)
    assert int(notice.split()[1]) == 1000 - shown > 0


def test_a_reader_that_went_away_is_no_error(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    show = Echo(writer, color=False)
    for _ in range(10):
        show("w:1", "out", b"nobody reads this")
    show.close()


def test_a_plain_file_gets_every_line(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        show = Echo(file.fileno(), color=True)
        for _ in range(1000):
            show("w:1", "out", b"\x1b[32mgreen\x1b[0m")
        show.close()
    lines = (tmp_path / "out").read_bytes().splitlines()
    assert len(lines) == 1000
    assert lines[0].endswith(b"\x1b[32mgreen\x1b[0m")


def test_what_is_held_is_written_before_the_end(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo, "CLOSE_MILLISECONDS", 1)
    reader, writer = pipe
    show = Echo(writer, color=False)
    for _ in range(3000):
        show("w:1", "out", b"x" * 60)
    received = drained(reader)
    while received.count(b"\n") != 3000:
        show.close()  # each time as much as the pipe takes; nobody reads meanwhile
        received += drained(reader)
    assert show._held == b""
