"""Lines that come in pieces, for somebody who looks on."""

from __future__ import annotations

import asyncio

from queuepool.logs.joining import LONGEST_LINE, PAUSE_SECONDS, Joiner
from tests.support.turns import leaping, passes


class Seen:
    """What a Joiner showed, made in the running loop."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bytes]] = []
        self.join = Joiner(lambda label, line: self.lines.append((label, line)), asyncio.get_running_loop())


def test_a_line_in_pieces_is_one_line_though_others_print_meanwhile() -> None:
    async def look() -> None:
        seen = Seen()
        seen.join("a", "w:0", b"one\ntw")
        seen.join("b", "w:1", b"other\n")
        seen.join("a", "w:0", b"")
        seen.join("a", "w:0", b"o\nthree\r\n")
        assert seen.lines == [("w:0", b"one"), ("w:1", b"other"), ("w:0", b"two"), ("w:0", b"three")]
        await passes(PAUSE_SECONDS * 2)
        assert len(seen.lines) == 4

    leaping(look())


def test_a_line_that_does_not_go_on_is_shown_after_a_moment() -> None:
    async def look() -> None:
        seen = Seen()
        seen.join("a", "w:0", b"Working")
        await passes(PAUSE_SECONDS * 0.8)
        seen.join("a", "w:0", b"... ")
        await passes(PAUSE_SECONDS * 0.8)
        assert seen.lines == []
        await passes(PAUSE_SECONDS * 0.4)
        assert seen.lines == [("w:0", b"Working... ")]

    leaping(look())


def test_the_end_of_a_process_shows_its_unfinished_line_and_no_other() -> None:
    async def look() -> None:
        seen = Seen()
        seen.join("a", "w:0", b"first")
        seen.join("b", "w:1", b"second")
        seen.join.finish("w:0")
        assert seen.lines == [("w:0", b"first")]
        seen.join.finish()
        assert seen.lines == [("w:0", b"first"), ("w:1", b"second")]
        await passes(PAUSE_SECONDS * 2)
        assert len(seen.lines) == 2

    leaping(look())


def test_an_endless_line_is_not_kept_for_ever() -> None:
    async def look() -> None:
        seen = Seen()
        for _ in range(LONGEST_LINE // 65536 + 1):
            seen.join("a", "w:0", b"x" * 65536)
        assert [len(line) for _, line in seen.lines] == [LONGEST_LINE + 65536]

    leaping(look())
