"""Recorded lines of every Laravel, and everything that is none."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain.work import Said, What
from queuepool.laravel.output import LONGEST_LINE, Reader
from tests.laravel.recording import fact

FILES = sorted((Path(__file__).parent / "lines").glob("*.txt"))
BEGUN = b"  2026-01-31 10:00:00 App\\Jobs\\Mail 17 redis default ..... RUNNING\n"
DONE = b"  2026-01-31 10:00:00 App\\Jobs\\Mail 17 redis default .. 9.81ms 22MB DONE\n"


def blocks() -> Iterator[tuple[str, bytes, list[str]]]:
    """(name, raw output, the facts) of every block of every file."""
    for file in FILES:
        name, raw = "", b""
        facts: list[str] = []
        for line in [*file.read_text().splitlines(keepends=True)[1:], "## end"]:
            if line.startswith("## "):
                if name:
                    yield name, raw, facts
                name, raw, facts = f"{file.stem} {line[3:].strip()}", b"", []
            elif line.startswith("\t=> "):
                facts.append(line[4:].rstrip("\n"))
            else:
                raw += line.replace("\u241b", "\x1b").encode()


BLOCKS = list(blocks())


def read(data: bytes, *cuts: int, reader: Reader | None = None) -> list[Said]:
    """What a reader makes of it, cut into pieces at these places."""
    reader = reader or Reader()
    ends = [0, *sorted(cuts), len(data)]
    return [said for start, end in pairwise(ends) for said in reader.feed(data[start:end])]


@pytest.mark.parametrize(("raw", "facts"), [b[1:] for b in BLOCKS], ids=[b[0] for b in BLOCKS])
def test_recorded_lines_are_understood(raw: bytes, facts: list[str]) -> None:
    assert [fact(said) for said in read(raw)] == facts
    assert [fact(said) for said in read(raw.replace(b"\n", b"\r\n"))] == facts, "with CRLF"


@pytest.mark.parametrize(("name", "raw"), [b[:2] for b in BLOCKS], ids=[b[0] for b in BLOCKS])
def test_every_job_that_was_pushed_is_met(name: str, raw: bytes) -> None:
    """The recorder pushes Quick twice, and among others a job with blanks in its name and one that fails for good."""
    if name.startswith(("6.20", "13.26")):
        return  # not recorded
    said = read(raw)
    done = [one.job for one in said if one.what is What.DONE]
    assert done.count("App\\Jobs\\Quick") == 2
    assert done.count("Send 20 mails to all") == 1
    assert [one.what for one in said if one.job == "App\\Jobs\\Failing"][-1] is What.FAILED
    if "--json" in name or ("-v" in name and not name.startswith("9.30")):
        assert all(one.id for one in said if one.what is not What.STOPPED)


@pytest.mark.parametrize(("name", "raw"), [b[:2] for b in BLOCKS], ids=[b[0] for b in BLOCKS])
def test_lines_may_come_in_any_pieces(name: str, raw: bytes) -> None:
    """Byte by byte, and cut at random. Up to 9.40 an unfinished line tells of a job that begins: that is more, not
    less."""
    whole = read(raw)
    chance = random.Random(name)
    for cuts in [range(len(raw)), *(chance.sample(range(len(raw)), min(20, len(raw))) for _ in range(20))]:
        found = read(raw, *cuts)
        if name.startswith("9.30"):
            found = [one for one in found if one.what is not What.STARTED]
        assert found == whole


def test_a_job_of_laravel_9_30_is_known_while_it_runs() -> None:
    reader = Reader()
    first = b"  2026-01-31 10:00:00 App\\Jobs\\One ............. 9.81ms DONE\n"
    assert [one.what for one in reader.feed(first)] == [What.DONE]
    [begun] = reader.feed(b"  2026-01-31 10:00:00 App\\Jobs\\Two")
    assert (begun.what, begun.job) == (What.STARTED, "App\\Jobs\\Two")
    assert reader.feed(b"") == reader.feed(b" ...........") == []
    [done] = reader.feed(b" 1,250.00ms DONE\n")
    assert (done.what, done.job, done.seconds) == (What.DONE, "App\\Jobs\\Two", 1.25)


def test_a_reader_that_goes_on_knows_the_form() -> None:
    """After a SIGKILL of the daemon the end of a job is no reason to take the worker for one of Laravel 9.30."""
    first = Reader()
    first.feed(BEGUN)
    reader = Reader(first.form)
    assert [one.what for one in reader.feed(DONE)] == [What.DONE]
    assert reader.feed(BEGUN[:40]) == []


def test_the_rest_of_a_line_tells_what_it_can() -> None:
    assert Reader().feed(b" ........ RUNNING\n") == [Said(What.STARTED)]
    assert Reader().feed(b"  2.50ms DONE\n") == [Said(What.DONE, seconds=0.0025)]


@pytest.mark.parametrize(
    ("left", "job", "identity", "connection", "queue"),
    [
        ("App\\Jobs\\X 17 redis high", "App\\Jobs\\X", "17", "redis", "high"),
        ("App\\Jobs\\X 17", "App\\Jobs\\X", "17", None, None),
        ("App\\Jobs\\X", "App\\Jobs\\X", None, None, None),
        ("Send 20 mails", "Send 20 mails", None, None, None),
        ("Send ... mails now 17 sqs mail", "Send ... mails now", "17", "sqs", "mail"),
        ("X 7b3f6c1e-1111-4222-8333-444455556666 sqs q.fifo", "X", "7b3f6c1e-1111-4222-8333-444455556666", "sqs",
         "q.fifo"),
        ("Größe \u4e2d 17", "Größe \u4e2d", "17", None, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dots", ["", "...", "." * 200])
def test_name_id_connection_and_queue_are_told_apart(
    left: str, job: str, identity: str | None, connection: str | None, queue: str | None, dots: str
) -> None:
    for end in ("RUNNING", "1m 12s DONE", "3s 24.5MB FAIL"):
        [said] = read(f"  2026-01-31 10:00:00 {left} {dots} {end}\n".encode())
        assert (said.job, said.id, said.connection, said.queue) == (job, identity, connection, queue)


def test_what_could_be_read_in_two_ways_is_read_as_the_lines_before() -> None:
    reader = Reader()
    for left, expected in [("A 1", "1"), ("Send 20 mails 17", "17")]:
        [said] = reader.feed(f"  2026-01-31 10:00:00 {left} .. RUNNING\n".encode())
        assert said.id == expected
    [said] = Reader(ids=False).feed(b"  2026-01-31 10:00:00 Send 20 mails now .. RUNNING\n")
    assert (said.job, said.id) == ("Send 20 mails now", None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0.20ms", 0.0002), ("1,101.79ms", 1.10179), ("1s", 1.0), ("1m 12s", 72.0), ("1h 2m", 3720.0),
        ("2s 24MB", 2.0), ("12.34ms 22.5MB", 0.01234), ("1 Sek.", None), ("1,1,1..ms", None),
    ],
)  # fmt: skip
def test_runtimes_in_every_way_they_are_written(text: str, seconds: float | None) -> None:
    [said] = read(f"  2026-01-31 10:00:00 App\\X ....... {text} DONE\n".encode())
    assert said.seconds == seconds
    assert said.job == "App\\X"


@pytest.mark.parametrize(
    "line",
    [
        b"[2026-01-31 10:00:00] production.INFO: Processing: the order",
        b"  2014_10_12_000000_create_users_table ............. 32ms DONE",
        b"  2026-01-31 10:00:00 RUNNING",
        b'{"status":"success"}',
        b'{"status":"starting","job":7',
        b'{"message":"x","status":"paused","queue":null}',
        b'["status":{"status":"failed"}]',
        b'{"level":"info","status":["starting"],"job":"X"}',
        b'{"job":"X","status":"STARTING"}',
        b"9" * 5000 + b'"status":' + b"[" * 9000,
        b"We are DONE",
        b"\x1b[90m20\x1b[",
    ],
)
def test_what_only_looks_like_it_is_left_alone(line: bytes) -> None:
    assert read(line + b"\n") == []
    assert read(line) == []


def test_json_behind_something_without_a_newline() -> None:
    record = b'{"level":"info","id":"17","job":"X","status":"starting"}\n'
    [said] = read(b'half a {"line": {' + record)
    assert (said.what, said.id) == (What.STARTED, "17")
    message = b'{"level":"warning","id":"17","job":"X","status":"failed","message":"' + b"m" * 40_000 + b'"}\n'
    assert [one.what for one in read(message, *range(0, 40_000, 4096))] == [What.FAILED]


def test_a_line_of_a_megabyte_is_not_kept() -> None:
    reader = Reader()
    for _ in range(64):
        assert reader.feed(b"x" * 16_384) == []
    assert len(reader._rest) <= LONGEST_LINE
    assert [one.what for one in reader.feed(DONE + BEGUN)] == [What.DONE, What.STARTED]


NOISE = b"".join(b"%05d the quick brown fox\n" % n for n in range(2000))


@pytest.mark.parametrize(("name", "raw", "facts"), BLOCKS, ids=[b[0] for b in BLOCKS])
def test_every_job_line_is_found_in_a_flood(name: str, raw: bytes, facts: list[str]) -> None:
    """Chunks above 4 KB are searched for fewer marks."""
    lines = raw.splitlines(keepends=True)
    flood = NOISE + b"".join(line + NOISE * (n % 3 == 0) for n, line in enumerate(lines))
    reader = Reader()
    assert [fact(said) for said in read(flood, reader=reader)] == facts
    if not name.startswith("13.26"):
        assert [fact(said) for said in read(flood, reader=reader)] == facts, "its form is known now"


ALPHABET = [
    b"  2026-01-31 10:00:00 ", b"[2026-01-31 10:00:00][", b"] Processing: ", b"] Processed:  ", b"] Failed:     ",
    b"\n", b"\r", b" RUNNING", b" DONE", b" FAIL", b" PAUSED", b"Queue ", b" . ", b"....", b"\x1b[33;1m", b"\x1b[90m",
    b"\x1b[39m", b"17", b" ", b"9999-99-99 99:99:99", b'{"status":"', b'success"', b'"job":"X"', b"}", b"App\\Jobs\\X",
    b"\xff\xfe", b"\x00", b"ms", b"1,2",
]  # fmt: skip


@given(st.lists(st.sampled_from(ALPHABET) | st.binary(max_size=8), max_size=60), st.data())
def test_nothing_that_is_printed_is_an_exception(pieces: list[bytes], data: st.DataObject) -> None:
    raw = b"".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=5))
    assert all(isinstance(one, Said) for one in read(raw, *cuts))


@pytest.mark.parametrize("seed", range(10))
def test_a_million_arbitrary_lines_are_no_exception(seed: int) -> None:
    """100,000 lines each: pieces of true lines and binary junk in any order, in chunks of any size."""
    chance = random.Random(seed)
    lines = [b"".join(chance.choices(ALPHABET, k=chance.randint(0, 12))) for _ in range(5000)]
    lines += [chance.randbytes(chance.randint(0, 200)).replace(b"\n", b" ") for _ in range(5000)]
    raw = b"\n".join(chance.choices(lines, k=100_000))
    reader, at = Reader(chance.choice(["", "brackets", "dots", "coloured", "headed", "json"])), 0
    while at < len(raw):
        size = chance.choice((100, 1000, 10_000, 100_000))
        reader.feed(raw[at : at + size])
        at += size
