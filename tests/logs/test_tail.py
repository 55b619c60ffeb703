from __future__ import annotations

import gzip
import os
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.logs import tail
from queuepool.logs.tail import files_of, last, since


def spread(home: Path, lines: list[bytes], cuts: list[int], packed: int) -> str:
    """Write lines into worker.log and kept files, cut at `cuts`; the `packed` oldest are gzipped."""
    log = str(home / "worker.log")
    edges = [0, *sorted(min(cut, len(lines)) for cut in cuts), len(lines)]
    parts = [lines[a:b] for a, b in pairwise(edges)]
    for index, part in enumerate(parts):
        number = len(parts) - 1 - index
        data = b"".join(part)
        if number == 0:
            Path(log).write_bytes(data)
        elif index < packed:
            Path(f"{log}.{number}.gz").write_bytes(gzip.compress(data))
        else:
            Path(f"{log}.{number}").write_bytes(data)
    return log


LINES = st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"") + b"\n"), max_size=40)


@settings(deadline=None)
@given(lines=LINES, cuts=st.lists(st.integers(0, 40), max_size=4), packed=st.integers(0, 3), count=st.integers(0, 50),
       size=st.integers(0, 300), block=st.sampled_from([1, 2, 7, 64, 1 << 16]))  # fmt: skip
def test_the_end_of_a_log_is_the_same_however_it_is_cut_into_files(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes], cuts: list[int], packed: int, count: int, size: int, block: int,
) -> None:  # fmt: skip
    log = spread(tmp_path_factory.mktemp("tail"), lines, cuts, packed)
    before, tail.BLOCK = tail.BLOCK, block
    try:
        assert last(log, lines=count) == b"".join(lines[len(lines) - count :] if count < len(lines) else lines)
        everything = b"".join(lines)
        assert last(log, size=size) == (everything[-size:] if size else b"")
    finally:
        tail.BLOCK = before


def test_an_unfinished_line_at_the_end_counts(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_bytes(b"one\ntwo\nthr")
    assert last(str(log), lines=1) == b"thr"
    assert last(str(log), lines=2) == b"two\nthr"
    assert last(str(log), lines=9) == b"one\ntwo\nthr"


def test_a_log_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert last(str(tmp_path / "none"), lines=5) == b""
    assert files_of(str(tmp_path / "none")) == []


def test_only_the_end_of_a_large_file_is_read(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        file.seek(1 << 40)  # a terabyte with nothing in it
        file.write(b"\nlast but one\nlast\n")
    assert last(str(log), lines=2) == b"last but one\nlast\n"


def stamp(second: int) -> bytes:
    return datetime.fromtimestamp(second).strftime("[%Y-%m-%d %H:%M:%S] ").encode()


@pytest.mark.parametrize("packed", [0, 2])
@pytest.mark.parametrize("moment", [999, 1000, 1500, 4321, 5999, 6000])
def test_since_begins_with_the_first_line_of_that_time(tmp_path: Path, packed: int, moment: int) -> None:
    lines = [stamp(second) + b"x" * 200 + b"\n    at stack trace\n" for second in range(1000, 6000)]
    log = spread(tmp_path, lines, [1000, 2000], packed)
    found = since(log, moment)
    wanted = b"".join(lines[max(0, moment - 1000) :])
    assert b"".join(found.chunks) == wanted
    assert found.dated


def test_files_older_than_that_are_not_looked_at(tmp_path: Path) -> None:
    log = spread(tmp_path, [b"a\n", b"b\n", b"c\n"], [1, 2], 0)
    for name, at in ((f"{log}.2", 1000), (f"{log}.1", 2000), (log, 3000)):
        os.utime(name, (at, at))
    found = since(log, 1500)
    assert (b"".join(found.chunks), found.dated) == (b"b\nc\n", False)
    assert b"".join(since(log, 3500).chunks) == b""
