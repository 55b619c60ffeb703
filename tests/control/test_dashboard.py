"""The page's face: one look for all pages, frames that a slow reader cannot pile up, logs, the doctor's process."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from queuepool.control import dashboard
from queuepool.control.dashboard import EventStream, Meter, _held, _language
from queuepool.control.dashboard_doctor import Examination
from queuepool.control.dashboard_hub import LOOK_SECONDS, Hub
from queuepool.control.dashboard_log import LINES, LogTail
from queuepool.control.feed import State
from queuepool.control.server import Peer
from queuepool.control.shares import Shares
from queuepool.controller.journal import Journal
from queuepool.domain.events import Kind
from queuepool.domain.pool import LogPolicy
from queuepool.errors import QueuepoolError
from tests.support.turns import leaping, passes
from tests.support.wait import LIMIT


class World:
    """What the hub looks at: one row that counts the looks, unless it stands still."""

    def __init__(self) -> None:
        self.looks = 0
        self.still = False
        self.defects: list[BaseException] = []
        self.broken = False
        self.journal = Journal()
        self.hub = Hub(self.look, self.journal, "birth", on_defect=self.defects.append)

    def look(self) -> State:
        self.looks += 1
        if self.broken:
            raise KeyError("a defect")
        row = {"n": 0 if self.still else self.looks}
        tables: dict[str, Any] = {"programs": {"w": row}, "processes": {}, "queues": {}, "redis": {}}
        return State(tables, {"daemon": {}, "deploy": None})


def parsed(frame: bytes) -> tuple[str, str, Any]:
    fields = dict(line.split(": ", 1) for line in frame.decode().strip().splitlines())
    return fields.get("event", ""), fields.get("id", ""), json.loads(fields.get("data", "null"))


async def take(frames: AsyncIterator[bytes], count: int) -> list[bytes]:
    return [await anext(frames) for _ in range(count)]


def run(test: Callable[[World], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with asyncio.timeout(LIMIT):
            await test(World())

    asyncio.run(inside())


def quickly(test: Callable[[World], Awaitable[None]]) -> None:
    """The same for what waits for nobody but the hub: its second passes at once."""

    async def inside() -> None:
        await test(World())

    leaping(inside())


def test_a_page_is_told_the_past_then_everything_then_what_changes() -> None:
    async def test(world: World) -> None:
        world.journal.add(Kind.RUNNING, "w:0")
        async with aclosing(world.hub.frames()) as frames:
            told = [parsed(frame) for frame in await take(frames, 6)]
        assert [event for event, _, _ in told] == ["", "history", "whole", "events", "changes", "changes"]
        assert told[2][2]["state"]["programs"] == [["w", {"n": 1}]]
        assert [event["sentence"] for event in told[3][2]["events"]] == ["w:0 is running"]
        assert told[4][2]["changes"] == {"programs": {"set": [["w", {"n": 2}]]}}

    quickly(test)


def test_a_hundred_pages_cost_one_look_and_get_the_same_bytes() -> None:
    async def test(world: World) -> None:
        pages = [world.hub.frames() for _ in range(100)]
        for page in pages:
            await take(page, 3)
        before = world.looks
        told = await asyncio.gather(*(take(page, 3) for page in pages))
        assert world.looks - before <= 4
        assert all(one is other for page in told[1:] for one, other in zip(told[0], page, strict=True))
        assert len({id(frame) for page in told for frame in page}) == 3
        for page in pages:
            await page.aclose()  # type: ignore[attr-defined]

    quickly(test)


def test_nothing_is_looked_at_while_no_page_is_open() -> None:
    async def test(world: World) -> None:
        await passes(3 * LOOK_SECONDS)
        assert world.looks == 0
        async with aclosing(world.hub.frames()) as frames:
            await take(frames, 4)
        assert world.hub.pages == 0
        looks = world.looks
        await passes(5 * LOOK_SECONDS)
        assert world.looks == looks
        async with aclosing(world.hub.frames()) as frames:
            told = [parsed(frame) for frame in await take(frames, 3)]
        assert told[2][2]["state"]["programs"] == [["w", {"n": looks + 1}]], "what is told is of now"

    quickly(test)


def test_a_slow_page_gets_the_newest_and_no_backlog() -> None:
    async def test(world: World) -> None:
        async with aclosing(world.hub.frames()) as quick, aclosing(world.hub.frames()) as slow:
            await take(slow, 3)
            world.journal.add(Kind.RUNNING, "w:1")
            await take(quick, 20)
            told = [parsed(frame) for frame in await take(slow, 2)]
            assert [event for event, _, _ in told] == ["whole", "events"]
            assert told[0][2]["state"]["programs"] == [["w", {"n": world.looks}]]
            assert [event["sentence"] for event in told[1][2]["events"]] == ["w:1 is running"]

    quickly(test)


def test_a_page_that_comes_back_is_told_the_events_it_missed_and_no_other() -> None:
    async def test(world: World) -> None:
        world.still = True
        for slot in range(3):
            world.journal.add(Kind.RUNNING, f"w:{slot}")
        async with aclosing(world.hub.frames("birth-2")) as frames:
            event, last, data = parsed((await take(frames, 4))[3])
            assert (event, last) == ("events", "birth-3")
            assert [event["process"] for event in data["events"]] == ["w:2"]
        async with aclosing(world.hub.frames("another-2")) as frames:
            assert len(parsed((await take(frames, 4))[3])[2]["events"]) == 3

    quickly(test)


@pytest.mark.parametrize("last", ["birth-", "birth-x", "-", "birth-²", "birth-" + "9" * 40, "\x00"])
def test_a_last_event_id_of_anybody_does_no_harm(last: str) -> None:
    async def test(world: World) -> None:
        world.journal.add(Kind.RUNNING, "w:0")
        async with aclosing(world.hub.frames(last)) as frames:
            assert len(parsed((await take(frames, 4))[3])[2]["events"]) == 1

    quickly(test)


def test_a_defect_is_reported_and_the_pages_go_on() -> None:
    async def test(world: World) -> None:
        async with aclosing(world.hub.frames()) as frames:
            await take(frames, 4)
            world.broken = True
            await passes(LOOK_SECONDS + 0.1)
            assert [type(defect) for defect in world.defects] == [KeyError]
            world.broken = False
            assert parsed(await anext(frames))[0] == "changes"

    quickly(test)


def test_the_end_of_the_daemon_ends_the_streams_and_the_looking() -> None:
    async def test(world: World) -> None:
        frames = world.hub.frames()
        await take(frames, 4)
        rest = asyncio.ensure_future(take(frames, 1000))
        await passes(LOOK_SECONDS)
        world.hub.end()
        with pytest.raises(StopAsyncIteration):
            await rest
        assert world.hub.pages == 0

    quickly(test)


def test_nobody_has_more_pages_than_there_may_be_nor_all_of_them() -> None:
    async def test(world: World) -> None:
        shares = Shares(most=5, each=3)
        eves = [_held(shares, "eve", world.hub.frames()) for _ in range(3)]
        for page in eves:
            assert shares.refusal("eve") == ""
            await take(page, 1)
        assert "3 already" in shares.refusal("eve")
        anns = [_held(shares, "ann", world.hub.frames()) for _ in range(2)]
        for page in anns:
            assert shares.refusal("ann") == ""
            await take(page, 1)
        assert "too many" in shares.refusal("ann")
        assert "too many" in shares.refusal("bob")
        await eves[0].aclose()  # type: ignore[attr-defined]
        assert shares.refusal("bob") == ""
        assert world.hub.pages == 4
        for page in [*eves, *anns]:
            await page.aclose()  # type: ignore[attr-defined]
        assert (world.hub.pages, shares.taken) == (0, {})

    quickly(test)


def test_a_page_that_takes_nothing_is_dropped() -> None:
    async def test(world: World) -> None:
        sent = []

        async def send(message: Any) -> None:
            sent.append(message["type"])
            if len(sent) > 3:
                await asyncio.Event().wait()  # its buffers are full, for ever

        async def receive() -> Any:
            await asyncio.Event().wait()

        peer = Peer(cut=lambda: sent.append("cut"))
        scope = {"type": "http", "asgi": {"spec_version": "2.4"}, "state": {"peer": peer}}
        await EventStream(world.hub.frames())(scope, receive, send)
        assert world.hub.pages == 0
        assert sent == ["http.response.start", *["http.response.body"] * 3, "cut"]

    quickly(test)


# --- logs -------------------------------------------------------------------------------------------------------------

Hear = Callable[[Hashable, str, bytes], None]


class Pump:
    """What subscribers are told is what the test says."""

    def __init__(self) -> None:
        self.hearing: list[Hear] = []

    def subscribe(self, hear: Hear) -> Callable[[], None]:
        self.hearing.append(hear)
        return lambda: self.hearing.remove(hear)

    def say(self, label: str, chunk: bytes, key: str = "out") -> None:
        for hear in self.hearing:
            hear((label, key), label, chunk)


def log(pump: Pump, path: Path | None, label: str = "w:1") -> LogTail:
    return LogTail(pump.subscribe, LogPolicy(str(path) if path else None), label)


def test_a_log_is_followed_from_its_end_on_with_the_process_s_own_lines(tmp_path: Path) -> None:
    path = tmp_path / "w.log"
    path.write_bytes(b"[w:0] its neighbour's\n[w:1] before\n[w:10] another's\n")

    async def test(world: World) -> None:
        pump, ended = Pump(), asyncio.Event()
        frames = log(pump, path).frames(ended)
        assert parsed(await anext(frames)) == (
            "log", "", {"file": str(path), "lines": ["[w:1] before"], "shared": False}
        )  # fmt: skip
        pump.say("w:0", b"its neighbour's\n")
        pump.say("w:1", b"one\ntw")
        pump.say("w:1", b"an error\n", key="err")
        pump.say("w:1", b"o\n\xff\n")
        assert parsed(await anext(frames))[2] == {"lines": ["one", "an error", "two", "�"], "skipped": 0}
        ended.set()
        with pytest.raises(StopAsyncIteration):
            await anext(frames)
        assert pump.hearing == []

    run(test)


def test_lines_that_do_not_say_whose_they_are_are_shown_as_such(tmp_path: Path) -> None:
    path = tmp_path / "w.log"
    path.write_bytes(b"anybody's\n" * 1000)

    async def test(world: World) -> None:
        frames = log(Pump(), path).frames(asyncio.Event())
        data = parsed(await anext(frames))[2]
        assert (data["shared"], len(data["lines"])) == (True, LINES)
        await frames.aclose()  # type: ignore[attr-defined]

    run(test)


def test_a_process_that_prints_more_than_anybody_reads_costs_no_memory() -> None:
    async def test(world: World) -> None:
        pump = Pump()
        frames = log(pump, None).frames(asyncio.Event())
        assert parsed(await anext(frames))[2] == {"file": "", "lines": [], "shared": False}
        for _ in range(100):
            pump.say("w:1", b"x" * 100_000)
            pump.say("w:1", b"y\n" * 1000)
        data = parsed(await anext(frames))[2]
        assert len(data["lines"]) == LINES
        assert data["skipped"] >= 100_000 - LINES
        assert max(map(len, data["lines"])) < 5000
        await frames.aclose()  # type: ignore[attr-defined]

    run(test)


def test_a_log_that_somebody_else_writes_is_followed_as_a_file(tmp_path: Path) -> None:
    """As Supervisor does with `engine: supervisord`: a file for each process, rotated by a rename."""
    path = tmp_path / "w_01.log"
    path.write_bytes(b"before\n")

    async def test(world: World) -> None:
        ended = asyncio.Event()
        frames = LogTail(None, LogPolicy(str(path)), "w:1").frames(ended)
        assert parsed(await anext(frames))[2] == {"file": str(path), "lines": ["before"], "shared": False}
        with path.open("ab") as file:
            file.write(b"one\ntwo\n")
        assert parsed(await anext(frames))[2] == {"lines": ["one", "two"], "skipped": 0}
        path.rename(f"{path}.1")
        path.write_bytes(b"three\n")
        assert parsed(await anext(frames))[2] == {"lines": ["three"], "skipped": 0}
        ended.set()
        with pytest.raises(StopAsyncIteration):
            await anext(frames)

    run(test)


def test_a_log_that_cannot_be_read_is_an_error_before_anything_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "w.log"
    path.mkdir()
    pump = Pump()

    async def test(world: World) -> None:
        assert log(pump, path) is not None  # a directory is no log: nothing to show yet
        assert log(pump, tmp_path / "not/yet.log") is not None
        with pytest.raises(QueuepoolError, match=r"cannot read .*: there is no user nobody"):
            LogTail(pump.subscribe, LogPolicy(str(tmp_path / "x"), user="nobody-of-that-name"), "w:1")

    (tmp_path / "x").write_text("")
    run(test)
    assert pump.hearing == []


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_many_processes_are_measured_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "MEASURED", 2)
    monkeypatch.setattr(dashboard.procstat, "usage", lambda pid: dashboard.procstat.Usage(pid * 10, now[0] * 0.5))
    now = [0.0]
    meter = Meter(lambda: now[0])
    assert meter.measure([1, 2, 3]) == {1: (10, None), 2: (20, None)}
    now[0] = 1.0
    assert meter.measure([1, 2, 3]) == {1: (10, 0.5), 2: (20, None), 3: (30, None)}
    now[0] = 2.0
    assert meter.measure([2]) == {2: (20, 0.5)}


def test_our_own_processor_time_is_a_share_of_a_core() -> None:
    meter = Meter()
    memory, share = meter.measure([os.getpid()])[os.getpid()]
    assert memory > 1_000_000
    assert share is None


def test_the_doctor_runs_beside_and_whoever_asks_meanwhile_gets_the_same(tmp_path: Path) -> None:
    file = tmp_path / "queuepool.yml"
    file.write_text("programs: {w: {type: command, command: sleep 1, user: nobody-of-that-name}}\n")

    async def test(world: World) -> None:
        examination = Examination(str(file))
        one, other = await asyncio.gather(examination.report(), examination.report())
        assert one is other
        assert "permissions.user" in {finding["id"] for finding in one["findings"]}

    run(test)


def test_a_doctor_that_cannot_look_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queuepool.control.dashboard_doctor.sys.executable", "/bin/false")

    async def test(world: World) -> None:
        with pytest.raises(QueuepoolError, match="ended without a report: exit code 1"):
            await Examination(str(tmp_path / "queuepool.yml")).report()

    run(test)


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("de-DE, en;q=0.5, zh;q=0.7", "zh"), ("fr", "en"),
        ("zh;q=0, en;q=0.1", "en"), ("en-GB,zh", "en"), (";q=x,,,", "en"), ("zh;q=nan", "en"), ("ZH-hant-TW", "zh"),
    ],
)  # fmt: skip
def test_the_language_is_the_one_that_the_browser_prefers(accepted: str, language: str) -> None:
    assert _language(accepted) == language
