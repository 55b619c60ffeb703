"""The protocol of event listeners, and the buffer of a pool."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain.listener import (
    LONGEST_LINE,
    Buffer,
    Hearing,
    Listener,
    Said,
    Told,
    envelope,
    hear,
    pause,
)
from queuepool.domain.supervisor_events import Notice

BUSY = Listener(Hearing.BUSY)


def said(listener: Listener, *chunks: bytes) -> tuple[Hearing, list[Said]]:
    found = []
    for chunk in chunks:
        listener, more = hear(listener, chunk)
        found += more
    return listener.state, found


@pytest.mark.parametrize(
    ("before", "data", "state", "meaning"),
    [
        (Listener(), b"READY\n", Hearing.READY, [Said.READY]),
        (Listener(), b"READ", Hearing.ACKNOWLEDGED, []),
        (Listener(), b"hello\n", Hearing.UNKNOWN, [Said.GARBAGE]),
        (Listener(), b"x", Hearing.UNKNOWN, [Said.GARBAGE]),
        (Listener(), b"READY\nREADY\n", Hearing.UNKNOWN, [Said.READY, Said.GARBAGE]),
        (Listener(Hearing.READY), b"x", Hearing.UNKNOWN, [Said.GARBAGE]),
        (BUSY, b"RESULT 2\nOK", Hearing.ACKNOWLEDGED, [Said.OK]),
        (BUSY, b"RESULT 2\nOKREADY\n", Hearing.READY, [Said.OK, Said.READY]),
        (BUSY, b"RESULT 4\nFAIL", Hearing.ACKNOWLEDGED, [Said.FAIL]),
        (BUSY, b"RESULT 0\n", Hearing.ACKNOWLEDGED, [Said.FAIL]),
        (BUSY, b"RESULT 3\nOK!", Hearing.ACKNOWLEDGED, [Said.FAIL]),
        (BUSY, b"RESULT 2\nO", Hearing.BUSY, []),
        (BUSY, b"READY\n", Hearing.UNKNOWN, [Said.FAIL, Said.GARBAGE]),
        (BUSY, b"RESULT -2\nOK", Hearing.UNKNOWN, [Said.FAIL, Said.GARBAGE]),
        (BUSY, b"RESULT two\nOK", Hearing.UNKNOWN, [Said.FAIL, Said.GARBAGE]),
        (BUSY, b"x" * (LONGEST_LINE + 1), Hearing.UNKNOWN, [Said.FAIL, Said.GARBAGE]),
        (Listener(Hearing.UNKNOWN), b"READY\n", Hearing.UNKNOWN, []),
    ],
)
def test_what_a_listener_prints_means(before: Listener, data: bytes, state: Hearing, meaning: list[Said]) -> None:
    assert said(before, data) == (state, meaning)


WORD = st.sampled_from([b"READY\n", b"RESULT 2\nOK", b"RESULT 4\nFAIL", b"RESULT 0\n", b"RESULT 99\n", b"x", b"\n"])
PROTOCOL = st.lists(WORD, max_size=8).map(b"".join) | st.binary(max_size=40)


@given(st.sampled_from(list(Hearing)), PROTOCOL, st.lists(st.integers(0, 60), max_size=6))
def test_it_is_the_same_in_whatever_chunks_it_comes(state: Hearing, data: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(data)) for cut in cuts})
    chunks = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    whole, meaning = hear(Listener(state), data)
    listener, found = Listener(state), []
    for chunk in chunks:
        listener, more = hear(listener, chunk)
        found += more
        assert len(listener.begun) <= LONGEST_LINE
        assert len(listener.result) <= 3
    assert found == meaning
    if whole.state is not Hearing.UNKNOWN:
        assert listener == whole


@given(PROTOCOL)
def test_what_is_noted_of_a_listener_is_read_back(data: bytes) -> None:
    listener, _ = hear(BUSY, data)
    assert Listener.parse(listener.plain()) == listener


def test_a_result_of_any_length_is_not_kept() -> None:
    listener, _ = hear(BUSY, b"RESULT 1000000000\n")
    for _ in range(10):
        listener, _ = hear(listener, b"x" * 1_000_000)
    assert listener.missing == 990_000_000
    assert len(listener.result) == 3


def notice(number: int) -> Notice:
    return Notice("TICK_5", f"when:{number}")


def test_the_oldest_event_goes_when_there_is_no_room() -> None:
    buffer = Buffer(2)
    for number in range(2):
        buffer, gone = buffer.add(notice(number), number)
        assert gone is None
    buffer, gone = buffer.add(notice(2), 7)
    assert gone is not None
    assert gone.notice == notice(0)
    assert [(told.notice, told.serial, told.pool_serial) for told in buffer.waiting] == [
        (notice(1), 1, 1),
        (notice(2), 7, 2),
    ]


def test_a_refused_event_is_the_next_one_again() -> None:
    buffer, _ = Buffer(2).add(notice(0), 0)
    buffer, _ = buffer.add(notice(1), 1)
    buffer, event = buffer.take()
    buffer, _ = buffer.add(notice(2), 2)
    buffer, gone = buffer.again(event.refused())
    assert gone is not None
    assert gone.notice == notice(1)  # as in Supervisor, the oldest of those that wait
    assert [told.notice for told in buffer.waiting] == [notice(0), notice(2)]
    assert buffer.waiting[0].refusals == 1


@given(st.lists(st.sampled_from(["add", "take", "again"]), max_size=60), st.integers(1, 5))
def test_a_buffer_never_holds_more_than_it_may(does: list[str], size: int) -> None:
    buffer, out = Buffer(size), list[Told]()
    for number, act in enumerate(does):
        if act == "add":
            buffer, _ = buffer.add(notice(number), number)
        elif act == "take" and buffer.waiting:
            buffer, event = buffer.take()
            out.append(event)
        elif act == "again" and out:
            buffer, _ = buffer.again(out.pop())
        assert len(buffer.waiting) <= size
    assert len({told.pool_serial for told in buffer.waiting}) == len(buffer.waiting)


def test_a_smaller_buffer_keeps_the_newest() -> None:
    buffer = Buffer(3)
    for number in range(3):
        buffer, _ = buffer.add(notice(number), number)
    assert [told.notice for told in buffer.sized(1).waiting] == [notice(2)]
    assert buffer.sized(3) is buffer


def test_the_pause_after_refusals_grows_to_a_limit() -> None:
    pauses = [pause(refusals) for refusals in range(40)]
    assert pauses[:3] == [0.0, 0.0, 0.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 5.0


def test_the_envelope_counts_characters() -> None:
    told = Told(Notice("REMOTE_COMMUNICATION", "type:x\né"), 3, 1)
    assert envelope(told, "p", "s") == (
        b"ver:3.0 server:s serial:3 pool:p poolserial:1 eventname:REMOTE_COMMUNICATION len:8\ntype:x\n\xc3\xa9"
    )
