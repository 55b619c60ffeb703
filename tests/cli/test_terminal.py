"""What is sent to a terminal so that it shows other lines than before."""

from __future__ import annotations

import pyte
from hypothesis import given
from hypothesis import strategies as st

from queuepool.cli import cells
from queuepool.cli.terminal import changes

COLUMNS, LINES = 12, 6
LINE = st.text(st.sampled_from("ab 发é…"), max_size=14).map(lambda text: cells.clip(text, COLUMNS))
STYLED = st.tuples(LINE, st.sampled_from([1, 2, 7, 31])).map(lambda both: f"\x1b[{both[1]}m{both[0]}\x1b[0m")
FRAMES = st.lists(st.lists(LINE | STYLED, max_size=LINES), min_size=1, max_size=5)


def shown(*texts: str) -> list[str]:
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.Stream(screen)
    stream.feed("\x1b[?7l")
    for text in texts:
        stream.feed(text)
    return [line.rstrip() for line in screen.display]


@given(FRAMES)
def test_changes_lead_to_the_same_screen_as_drawing_it_anew(frames: list[list[str]]) -> None:
    befores: list[list[str]] = [[], *frames]
    steps = [changes(before, after, COLUMNS) for before, after in zip(befores, frames, strict=False)]
    assert shown(*steps) == shown(changes([], frames[-1], COLUMNS))


def test_a_line_that_is_the_same_is_not_sent() -> None:
    before = ["head 12:00:00", "one", "two"]
    assert changes(before, before, 20) == ""
    assert changes(before, ["head 12:00:01", "one", "two"], 20) == "\x1b[1;1Hhead 12:00:01\x1b[K"
    assert changes(before, ["head 12:00:00"], 20) == "\x1b[2;1H\x1b[J"


def test_the_last_column_is_not_erased_again() -> None:
    assert changes([], ["x" * COLUMNS], COLUMNS) == "\x1b[1;1H" + "x" * COLUMNS
