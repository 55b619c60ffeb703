"""What a tap takes out of a stream is not in its log, and everything else is, line by line."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from queuepool.domain.capture import BEGIN, END, Tap
from queuepool.domain.pool import LogPolicy
from queuepool.domain.supervisor_events import Notice, Who
from queuepool.engines.tapping import Tapped
from queuepool.logs.pipes import can_splice
from queuepool.logs.pump import Pump
from queuepool.logs.rotating import Trouble
from queuepool.logs.spool import Spool
from tests.support.turns import until


def tapped(notices: list[Notice], tap: Tap) -> Tapped:
    return Tapped(tap, "stdout", lambda: (Who("w", "w"), 7), lambda name: True, notices.append)


@pytest.mark.parametrize("splice", [True, False] if can_splice() else [False])
@pytest.mark.parametrize("policy", [{}, {"slot": True}, {"maxbytes": 4000, "backups": 200}, {"path": None}], ids=str)
def test_a_communication_is_told_and_not_logged(tmp_path: Path, policy: dict[str, object], splice: bool) -> None:
    async def run() -> None:
        pump = Pump(lambda trouble: None, spool_directory=str(tmp_path / "spool"), splice=splice)
        notices: list[Notice] = []
        made = LogPolicy(**{"path": str(tmp_path / "log"), **policy})  # type: ignore[arg-type]
        fds = []
        for number, tap in enumerate((tapped(notices, Tap(capture=100)), None)):
            path = tmp_path / f"fifo{number}"
            os.mkfifo(path)
            fds.append(os.open(path, os.O_RDWR))
            pump.attach(number, f"w:{number}", fds[number], made, tap=tap)
        for number in range(200):
            for piece in (b"line %d of " % number, BEGIN[:9], BEGIN[9:], b"message %d" % number, END, b"the one\n"):
                os.write(fds[0], piece)
            os.write(fds[1], b"line %d of another\n" % number)
            if not number % 20:
                await asyncio.sleep(0)
                pump.flush()
        await until(lambda: len(notices) == 200)
        os.write(fds[0], b"last words" + BEGIN[:5])
        for number in range(2):
            pump.detach(number)
        pump.close()
        for fd in fds:
            os.close(fd)
        assert [notice.body for notice in notices] == [
            f"processname:w groupname:w pid:7\nmessage {number}" for number in range(200)
        ]
        if made.path is not None:
            check(tmp_path)

    def check(folder: Path) -> None:
        files = sorted(folder.glob("log*"), key=lambda file: -int(file.suffix[1:] or 0))
        lines = [line for file in files for line in file.read_text().splitlines()]
        lines = [line.removeprefix("[w:0] ").removeprefix("[w:1] ") for line in lines]
        assert [line for line in lines if line.endswith("the one")] == [f"line {n} of the one" for n in range(200)]
        assert [line for line in lines if line.endswith("another")] == [f"line {n} of another" for n in range(200)]
        assert [line for line in lines if line.startswith("last")] == ["last words<!--X"]
        assert len(lines) == 401

    asyncio.run(run())


def test_what_a_killed_daemon_had_taken_is_in_the_log_of_the_next(tmp_path: Path) -> None:
    """The log cannot be written, so that lines wait in the spool; the process ends while no daemon is there."""

    async def run() -> None:
        (tmp_path / "log").mkdir()
        spool, policy = str(tmp_path / "spool"), LogPolicy(str(tmp_path / "log"))
        os.mkfifo(tmp_path / "fifo")
        fd = os.open(tmp_path / "fifo", os.O_RDWR)
        pump = Pump(lambda trouble: None, spool_directory=spool)
        notices: list[Notice] = []
        pump.attach(0, "w:0", fd, policy, tap=tapped(notices, Tap(capture=100)))
        os.write(fd, BEGIN + b"told at once" + END + b"kept\n")
        await until(lambda: any(file.stat().st_size > 4096 for file in Path(spool).iterdir()))
        assert len(notices) == 1
        pump.close()
        os.close(fd)
        (tmp_path / "log").rmdir()
        other = Pump(lambda trouble: None, spool_directory=spool)
        assert other.finish_leftovers() == 1
        other.close()
        assert (tmp_path / "log").read_text() == "kept\n"

    asyncio.run(run())


def test_a_tap_can_be_put_in_and_taken_out_while_the_process_prints(tmp_path: Path) -> None:
    async def run() -> None:
        pump, policy = (
            Pump(lambda trouble: None, spool_directory=str(tmp_path / "spool")),
            LogPolicy(str(tmp_path / "log")),
        )
        os.mkfifo(tmp_path / "fifo")
        fd = os.open(tmp_path / "fifo", os.O_RDWR)
        notices: list[Notice] = []
        message = BEGIN + b"message" + END + b" printed\n"
        pump.attach(0, "w:0", fd, policy)
        for tap in (None, tapped(notices, Tap(capture=100)), None):
            pump.repolicy(0, policy, tap)
            os.write(fd, message)
            pump.flush()
        pump.detach(0)
        pump.close()
        os.close(fd)
        assert (tmp_path / "log").read_bytes() == message + b" printed\n" + message
        assert len(notices) == 1

    asyncio.run(run())


def test_all_that_is_printed_is_told_of_where_that_is_asked_for() -> None:
    notices: list[Notice] = []
    tap = tapped(notices, Tap(capture=100, events=True))
    assert tap(b"a" + BEGIN + b"b" + END + b"c") + tap.finish() == b"ac"
    assert [(notice.name, notice.body.partition("\n")[2]) for notice in notices] == [
        ("PROCESS_LOG_STDOUT", "a"), ("PROCESS_LOG_STDOUT", "b"), ("PROCESS_COMMUNICATION_STDOUT", "b"),
        ("PROCESS_LOG_STDOUT", "c"),
    ]  # fmt: skip


class Answers:
    """A tap that counts lines."""

    def __init__(self) -> None:
        self.heard = 0

    def __call__(self, data: bytes) -> bytes:
        self.heard += data.count(b"\n")
        return data

    def finish(self) -> bytes:
        return b""


@pytest.mark.parametrize("splice", [True, False] if can_splice() else [False])
def test_a_prompt_stream_is_read_while_the_pump_looks_away_from_others(
    tmp_path: Path, splice: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queuepool.logs.pump.PROMPT_PAUSE", 3600.0)
    monkeypatch.setattr("queuepool.logs.pump.LONGEST_PAUSE", 3600.0)

    async def run() -> None:
        pump = Pump(lambda trouble: None, splice=splice)
        fds, taps = [], [Answers(), Answers(), Answers()]
        for number, tap in enumerate(taps):
            os.mkfifo(tmp_path / f"fifo{number}")
            fds.append(os.open(tmp_path / f"fifo{number}", os.O_RDWR))
            pump.attach(number, f"w:{number}", fds[number], LogPolicy(None), tap=tap, prompt=bool(number))
        os.write(fds[0], b"one\n")
        await until(lambda: taps[0].heard == 1)  # from here on the pump looks away for an hour
        for count in range(1, 4):
            os.write(fds[1], b"answer\n")
            await until(lambda count=count: taps[1].heard == count)  # type: ignore[misc]
        pump.calm(1)
        os.write(fds[1], b"garbage\n")
        os.write(fds[2], b"answer\n")  # written later, and of the kind that is read: who looked would see both
        await until(lambda: taps[2].heard == 1)
        assert taps[1].heard == 3
        for number, fd in enumerate(fds):
            pump.detach(number)
            os.close(fd)
        assert [tap.heard for tap in taps] == [1, 4, 1]
        pump.close()

    asyncio.run(run())


def test_where_the_spool_has_no_room_its_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(spool: Spool, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def run() -> None:
        monkeypatch.setattr(Spool, "put", full)
        troubles: list[Trouble] = []
        pump = Pump(troubles.append, spool_directory=str(tmp_path / "spool"))
        os.mkfifo(tmp_path / "fifo")
        fd = os.open(tmp_path / "fifo", os.O_RDWR)
        pump.attach(0, "w:0", fd, LogPolicy(str(tmp_path / "log")), tap=tapped([], Tap(capture=100)))
        os.write(fd, b"printed\n")
        pump.flush()
        [trouble] = troubles
        assert f"No space left on device for {tmp_path / 'spool'}" in trouble.what
        assert trouble.hint == f"make room: `df -h {tmp_path / 'spool'}`"
        pump.close()
        os.close(fd)

    asyncio.run(run())
