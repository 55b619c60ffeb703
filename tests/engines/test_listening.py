"""Handing out events, without any process: a listener here is a FIFO and what it is made to say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from queuepool.domain.desired import Revision
from queuepool.domain.events import Kind
from queuepool.domain.lifecycle import Process
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import Launch, Listening, LogPolicy, Policy, PoolSpec, ProcessSpec
from queuepool.domain.states import State
from queuepool.domain.supervisor_events import Notice
from queuepool.engines.life import Life
from queuepool.engines.listening import Listeners
from tests.support.turns import until

SPEC = ProcessSpec(ProcessName("p", 0), "p", Launch(("x",), "/"), Policy(), LogPolicy(None))


class Bench:
    """Listeners of one pool, and what they told."""

    def __init__(self, directory: Path, *events: str, size: int = 10) -> None:
        self.directory = directory
        self.now = 1000.0
        self.notes: dict[int, str] = {}
        self.told: list[tuple[Kind, dict[str, Any]]] = []
        self.calmed: list[object] = []
        self.listeners = Listeners(
            self.notes.__setitem__,
            lambda kind, subject, facts: self.told.append((kind, dict(facts))),
            self.calmed.append,
            wall=lambda: self.now,
        )
        self.know(*events, size=size)

    def know(self, *events: str, size: int = 10) -> None:
        pool = PoolSpec("p", "eventlistener", 1, lambda slot: SPEC, listening=Listening(events, size))
        self.listeners.know({"p": pool} if events else {})

    def listener(self, number: int) -> tuple[Life, int]:
        """One that is RUNNING and READY, and what it reads from."""
        life = Life(ProcessName("p", number), number, SPEC, Revision(""), Process(State.RUNNING, pid=7))
        life.ear = self.listeners.seat(life, str(self.directory / f"in{number}"))
        assert life.ear is not None
        child = os.dup(life.ear.child)
        os.set_blocking(child, False)
        life.ear.given()
        life.ear.hear(b"READY\n")
        return life, child

    def say(self, life: Life, data: bytes) -> None:
        assert life.ear is not None
        life.ear.hear(data)

    def send(self, *bodies: str) -> None:
        self.listeners.tell(*(Notice("REMOTE_COMMUNICATION", body) for body in bodies))


def run(tmp_path: Path, test: Callable[[Bench], Any], *events: str, **more: int) -> None:
    async def inside() -> None:
        bench = Bench(tmp_path, *(events or ("REMOTE_COMMUNICATION",)), **more)
        await test(bench)
        bench.listeners.close()

    asyncio.run(inside())


async def take(fd: int, length: int) -> bytes:
    """What the listener reads, as it comes."""
    found = b""

    def read() -> bool:
        nonlocal found
        with contextlib.suppress(BlockingIOError):
            found += os.read(fd, 1 << 20)
        return len(found) >= length

    await until(read, f"{length} bytes")
    return found


def test_an_event_larger_than_the_pipe_is_handed_over_bit_by_bit(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        life, fd = bench.listener(0)
        bench.send("y" * 300_000, "next")
        assert '"handing":true' in bench.notes[0]
        bench.say(life, b"RESULT 2\nOKREADY\n")  # before it has read all: the next event has to wait for that
        assert '"handing":true' in bench.notes[0]
        name = b"eventname:REMOTE_COMMUNICATION"
        whole = b"ver:3.0 server:queuepool serial:0 pool:p poolserial:0 %b len:300000\n" % name + b"y" * 300_000
        whole += b"ver:3.0 server:queuepool serial:1 pool:p poolserial:1 %b len:4\nnext" % name
        assert await take(fd, len(whole)) == whole
        assert bench.notes[0] == '{"state":"BUSY","event":1}'

    run(tmp_path, test)


def test_one_that_closes_its_input_in_the_middle_loses_no_event(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        _, fd = bench.listener(0)
        bench.send("y" * 300_000)
        os.close(fd)
        await until(lambda: bool(bench.told))
        assert bench.told[0][1]["reason"].endswith("it has closed its standard input")
        _, other = bench.listener(1)
        assert (await take(other, 300_090)).count(b"y") >= 300_000

    run(tmp_path, test)


def test_only_one_that_runs_and_is_ready_gets_an_event(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        life, fd = bench.listener(0)
        life.process = Process(State.STARTING, pid=7)
        bench.send("one", "two")
        life.process = Process(State.RUNNING, pid=7)
        bench.listeners.look("p")
        assert (await take(fd, 1)).endswith(b"\none")
        bench.say(life, b"RESULT 2\nOK")
        assert bench.notes[0] == '{"state":"ACKNOWLEDGED"}'
        bench.say(life, b"READY\n")
        assert (await take(fd, 1)).endswith(b"\ntwo")

    run(tmp_path, test)


def test_drops_are_told_of_together(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.send(*map(str, range(10)))
        assert bench.told == [(Kind.EVENTS_DROPPED, {"dropped": 1, "buffer_size": 2})]

    run(tmp_path, test, size=2)


def test_the_end_waits_for_what_listeners_work_on_and_not_for_ever(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        life, _ = bench.listener(0)
        bench.send("one")
        began = time.monotonic()
        await bench.listeners.settle(0.05)
        assert time.monotonic() - began >= 0.05
        asyncio.get_running_loop().call_soon(bench.say, life, b"RESULT 2\nOKREADY\n")
        async with asyncio.timeout(10):
            await bench.listeners.settle(60.0)

    run(tmp_path, test)


def test_ticks_begin_when_somebody_hears_of_them(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.now = 1004.99
        bench.know("TICK")
        life, fd = bench.listener(0)
        bench.now = 1005.0
        data = await take(fd, 1)
        assert b"eventname:TICK_5 len:9\nwhen:1005" in data
        bench.say(life, b"RESULT 2\nOKREADY\n")
        assert await take(fd, 0) == b""  # no TICK_60, though a minute had passed since the daemon began

    run(tmp_path, test)


def test_what_waits_is_handed_on_to_the_daemon_that_takes_the_place(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.send("one", "two")
        bench.listeners.hand_on(str(tmp_path / "file"))
        other = Bench(tmp_path, "REMOTE_COMMUNICATION")
        other.listeners.take_up(str(tmp_path / "file"), upgraded=True)
        other.send("three")
        _, fd = other.listener(0)
        assert b"serial:0 pool:p poolserial:0 eventname:REMOTE_COMMUNICATION len:3\none" in await take(fd, 1)
        third = Bench(tmp_path, "REMOTE_COMMUNICATION")
        third.listeners.take_up(str(tmp_path / "file"), upgraded=True)  # it is gone
        _, fd = third.listener(1)
        assert await take(fd, 0) == b""

    run(tmp_path, test)


def test_one_that_prints_garbage_is_no_longer_read_at_once(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        life, _ = bench.listener(0)
        bench.send("one")
        bench.say(life, b"RESULT 2\nOKREADY\n")
        assert bench.calmed == []
        bench.say(life, b"debug: here\n")
        assert bench.calmed == [(life.key, 0)]

    run(tmp_path, test)
