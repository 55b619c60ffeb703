from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.domain.pool import LogPolicy
from queuepool.logs.lines import decorate, is_of, time_of

TEXT = st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), min_size=1)


@settings(deadline=None)
@given(lines=TEXT, slot=st.booleans(), timestamp=st.booleans())
def test_each_line_gets_what_was_asked_for_and_keeps_its_bytes(lines: list[bytes], slot: bool, timestamp: bool) -> None:
    data = b"".join(line + b"\n" for line in lines)
    text = decorate(data, LogPolicy("/l", slot=slot, timestamp=timestamp), "default:3", 1_789_000_000.25)
    found = text.split(b"\n")[:-1]
    assert len(found) == len(lines)
    for line, original in zip(found, lines, strict=True):
        if timestamp:
            assert time_of(line) == 1_789_000_000.25
            line = line.partition(b" ")[2]
        assert line == (b"[default:3] " if slot else b"") + original


@settings(deadline=None)
@given(lines=TEXT)
def test_a_json_log_is_one_object_a_line_whatever_is_printed(lines: list[bytes]) -> None:
    text = decorate(b"".join(line + b"\n" for line in lines), LogPolicy("/l", json=True), "a:0", 1000.0)
    values = [json.loads(line) for line in text.split(b"\n")[:-1]]
    assert [value["line"] for value in values] == [line.decode("utf-8", "backslashreplace") for line in lines]
    assert time_of(text) == 1000.0
    assert json.loads(decorate(b"piece", LogPolicy("/l", json=True), "a:0", 1000.0))["partial"] is True


@pytest.mark.parametrize(
    ("line", "time"),
    [
        (b"[2026-01-31 10:00:00+00:00] production.ERROR: x", 1769853600.0),
        (b"2026-01-31T10:00:00.250Z [default:1] x", 1769853600.25),
        (b'{"time": "2026-01-31T11:00:00.000+01:00", "process": "a:0"}', 1769853600.0),
        (b"[2026-01-31T10:00:00.123456+0000] local.INFO: x", 1769853600.123456),
        (b"no time 2026-01-31 10:00:00", None),
        (b"[2026-13-31 10:00:00] nonsense", None),
        (b"", None),
    ],
)
def test_the_time_of_a_line_is_read_where_it_begins_with_one(line: bytes, time: float | None) -> None:
    assert time_of(line) == (pytest.approx(time) if time is not None else None)


def test_the_formats_of_laravel_are_taken_as_local_time() -> None:
    wanted = time_of(b"2026-01-31 10:00:00 x")
    assert wanted is not None
    assert time_of(b"[2026-01-31 10:00:00][7] Processing: App\\Jobs\\Quick") == wanted
    assert time_of(b"  2026-01-31 10:00:00 App\\Jobs\\Quick ........ RUNNING") == wanted
    assert time_of(b"[2026-01-31 10:00:00] production.INFO: x") == wanted


def test_a_line_says_whose_it_is_when_it_does() -> None:
    for policy in (LogPolicy("/l", slot=True), LogPolicy("/l", slot=True, timestamp=True), LogPolicy("/l", json=True)):
        line = decorate(b"x\n", policy, "laravel-worker:3", 1000.0)
        assert is_of(line, "laravel-worker:3") is True
        assert is_of(line, "laravel-worker:31") is False
    assert is_of(b"[2026-01-31 10:00:00] x", "laravel-worker:3") is None
    assert is_of(b'{"time": "broken', "laravel-worker:3") is None
