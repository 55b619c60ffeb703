"""What stands between the marks of a communication."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain.capture import BEGIN, END, Capture, Part, feed, finish

PIECE = st.sampled_from([BEGIN, END, b"<!--XSUPER", b"VISOR:BEGIN-->", b"<", b"hello\n"]) | st.binary(max_size=5)
PIECES = st.lists(PIECE, max_size=10).map(b"".join)


def run(chunks: list[bytes], most: int = 1000) -> tuple[bytes, list[bytes], bytes]:
    """What goes to the log, the communications, and what was inside of them as it came."""
    capture, found = Capture(), []
    for chunk in chunks:
        capture, pieces = feed(capture, chunk, most)
        assert len(capture.held) <= most
        assert len(capture.begun) < len(BEGIN)
        found += pieces
    found += finish(capture)
    kinds = {part: [data for kind, data in found if kind is part] for part in Part}
    return b"".join(kinds[Part.PLAIN]), kinds[Part.WHOLE], b"".join(kinds[Part.INSIDE])


def test_a_communication_is_taken_out_of_what_is_printed() -> None:
    assert run([b"a" + BEGIN + b"x\ny" + END + b"b\n"]) == (b"ab\n", [b"x\ny"], b"x\ny")


def test_of_a_long_communication_the_end_is_kept() -> None:
    assert run([BEGIN + b"0123456789" + END], most=4)[1] == [b"6789"]


def test_a_communication_without_an_end_is_nobodys() -> None:
    assert run([b"a" + BEGIN + b"lost"]) == (b"a", [], b"lost")


@given(PIECES, st.lists(st.integers(0, 200), max_size=8))
def test_it_is_the_same_in_whatever_chunks_it_comes(data: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(data)) for cut in cuts})
    chunks = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    assert run(chunks)[:2] == run([data])[:2]


@given(PIECES)
def test_nothing_is_lost_but_marks(data: bytes) -> None:
    plain, wholes, _ = run([data], most=10_000)
    expected, rest = b"", data
    inside = []
    while True:
        before, mark, rest = rest.partition(BEGIN)
        expected += before
        if not mark:
            break
        held, mark, after = rest.partition(END)
        if not mark:
            break
        inside.append(held)
        rest = after
    assert (plain, wholes) == (expected, inside)
