from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from queuepool.controller.journal import Journal, LogFile
from queuepool.domain.events import Event, Kind


def test_an_event_is_one_line_with_quoted_values() -> None:
    event = Event(0.0, Kind.EXITED, "w:0", {"code": 1, "reason": 'said "no"\nand left', "none": None})
    assert event.line() == r'event=exited process=w:0 code=1 reason="said \"no\"\nand left"'


def test_the_ring_keeps_the_last_ones_and_numbers_go_on() -> None:
    async def main() -> list[int]:
        journal = Journal(kept=3)
        for number in range(5):
            journal.add(Kind.STARTED, f"w:{number}")
        return [event["seq"] async for event in journal.stream()]

    assert asyncio.run(main()) == [3, 4, 5]


def test_a_follower_gets_what_was_and_what_comes_each_once() -> None:
    async def main() -> list[int]:
        journal = Journal()
        seen: list[int] = []

        async def follow() -> None:
            async for event in journal.stream(since=1, follow=True):
                seen.append(event["seq"])

        for _ in range(3):
            journal.add(Kind.STARTED)
        task = asyncio.ensure_future(follow())
        for _ in range(20):
            journal.add(Kind.STARTED)
            await asyncio.sleep(0)
        await journal.saw(lambda event: event.seq == 23, 5)
        while len(seen) < 22:  # noqa: ASYNC110 - the loop turns, no time passes
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return seen

    assert asyncio.run(main()) == list(range(2, 24))


def test_awaiting_an_event_ends_in_time() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await Journal().saw(lambda event: True, 0.01)

    asyncio.run(main())


def test_the_log_file_has_a_line_per_event_and_survives_its_removal(tmp_path: Path) -> None:
    async def main() -> None:
        log = LogFile(str(tmp_path / "log"))
        log(Event(1700000000.25, Kind.STARTED, "w:0"))
        log(Event(1700000000.5, Kind.STARTED, "w:1"))
        log.close()
        assert [line.split(" ", 2)[2] for line in (tmp_path / "log").read_text().splitlines()] == [
            "event=started process=w:0",
            "event=started process=w:1",
        ]
        (tmp_path / "log").unlink()
        log(Event(1700000001.0, Kind.STARTED, "w:2"))
        log.close()
        assert ",000 event=started process=w:2\n" in (tmp_path / "log").read_text()

    asyncio.run(main())


def test_nothing_in_a_line_acts_on_the_terminal_that_shows_the_file(tmp_path: Path) -> None:
    async def main() -> None:
        log = LogFile(str(tmp_path / "log"))
        log(Event(1.0, Kind.JOB_LEFT, "w:0", {"job": "Ev\x1b]0;x\x07il\x9b", "reason": "中\udc80"}))
        log.close()

    asyncio.run(main())
    assert r"job=Ev\x1b]0;x\x07il\x9b reason=中\xdc80" in (tmp_path / "log").read_text()


def test_a_log_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        log = LogFile(str(tmp_path / "no" / "log"))
        log(Event(1.0, Kind.STARTED))
        log.close()

    asyncio.run(main())
