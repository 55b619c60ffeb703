from __future__ import annotations

import asyncio
import gzip
import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from queuepool.domain.pool import LogPolicy
from queuepool.logs.backups import shift
from queuepool.logs.follow import Follower
from tests.support.turns import turns

from .piping import Clock, bench


@contextmanager
def following(*paths: Path, lines: int = 0, whole: bool = True) -> Iterator[Follower]:
    with closing(Follower(whole=whole)) as follower:
        for path in paths:
            follower.add(str(path), lines)
        yield follower


def seen(follower: Follower) -> bytes:
    return b"".join(data for _, data in follower.poll())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "worker.log"


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_it_begins_with_the_last_lines_and_goes_on_without_a_gap(log: Path) -> None:
    (log.parent / "worker.log.1").write_bytes(b"one\ntwo\n")
    log.write_bytes(b"three\nfo")
    with closing(Follower()) as follower:
        assert follower.add(str(log), 2) == b"two\nthree\n"
        assert seen(follower) == b""
        add(log, b"ur\nfi")
        assert seen(follower) == b"four\n"
        add(log, b"ve\n")
        assert seen(follower) == b"five\n"


def test_without_whole_lines_every_byte_comes_at_once(log: Path) -> None:
    log.write_bytes(b"one\nunfin")
    with closing(Follower(whole=False)) as follower:
        assert follower.add(str(log), 1) == b"unfin"
        add(log, b"ished")
        assert seen(follower) == b"ished"


def test_several_logs_are_followed_and_told_apart(tmp_path: Path) -> None:
    a, b = tmp_path / "a.log", tmp_path / "b.log"
    with following(a, b) as follower:
        add(a, b"of a\n")
        add(b, b"of b\n")
        assert sorted(follower.poll()) == [(str(a), b"of a\n"), (str(b), b"of b\n")]


def test_several_rotations_between_two_looks_lose_nothing(log: Path) -> None:
    add(log, b"0\n")
    with following(log) as follower:
        for n in range(1, 8):
            add(log, b"%d\n" % n)
            shift(str(log), 20)
            add(log, b"%d and a half\n" % n)
        assert seen(follower) == b"".join(b"%d\n%d and a half\n" % (n, n) for n in range(1, 8))
        assert seen(follower) == b""


def test_kept_files_that_were_gzipped_meanwhile_are_read(log: Path) -> None:
    add(log, b"old\n")
    with following(log) as follower:
        shift(str(log), 9)
        add(log, b"between\n")
        shift(str(log), 9)
        for number, at in ((2, 1000), (1, 2000)):
            path = Path(f"{log}.{number}")
            os.utime(path, (at, at))
            Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
            shutil.copystat(path, f"{path}.gz")
            path.unlink()
        add(log, b"new\n")
        assert seen(follower) == b"between\nnew\n"


def test_copytruncate_is_followed_by_way_of_the_copy(log: Path) -> None:
    add(log, b"shown\n")
    with following(log) as follower:
        add(log, b"not yet shown\n")
        shutil.copy(log, f"{log}.1")
        os.truncate(log, 0)
        assert seen(follower) == b"not yet shown\n"
        add(log, b"after\n")
        assert seen(follower) == b"after\n"


def test_a_file_that_was_cut_and_grew_beyond_where_it_was_is_noticed(log: Path) -> None:
    add(log, b"a line\n")
    with following(log) as follower:
        log.write_bytes(b"wholly new and longer than what was there\n")
        assert seen(follower) == b"wholly new and longer than what was there\n"


def test_removal_and_a_new_file_are_followed(log: Path) -> None:
    add(log, b"one\n")
    with following(log) as follower:
        add(log, b"two\n")
        with log.open("ab") as writer:
            log.unlink()
            assert seen(follower) == b"two\n"
            writer.write(b"into the removed file\n")
        add(log, b"three\n")
        assert seen(follower) == b"into the removed file\nthree\n"


def test_a_writer_that_goes_on_in_the_moved_file_for_a_while_is_heard(log: Path) -> None:
    clock = Clock()
    add(log, b"one\n")
    with closing(Follower(clock=clock)) as follower:
        follower.add(str(log))
        moved = log.rename(f"{log}.1")
        add(log, b"new\n")
        assert seen(follower) == b"new\n"
        add(moved, b"late\n")
        assert seen(follower) == b"late\n"
        clock.now += 10
        assert seen(follower) == b""
        add(log, b"newer\n")
        assert seen(follower) == b"newer\n"


def test_a_log_that_is_made_later_and_rotated_at_once_is_read_from_its_beginning(log: Path) -> None:
    Path(f"{log}.1").write_bytes(b"long ago\n")
    with following(log) as follower:
        assert seen(follower) == b""
        add(log, b"first\n")
        shift(str(log), 9)
        add(log, b"second\n")
        assert seen(follower) == b"first\nsecond\n"


def test_looking_at_quiet_logs_costs_next_to_nothing(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.log" for n in range(20)]
    for path in paths:
        add(path, b"x\n")
    with following(*paths) as follower:
        began = time.process_time()
        for _ in range(100):
            assert seen(follower) == b""
        assert time.process_time() - began < 0.5  # of the 10 s in which a follower looks 100 times


def test_a_pump_that_rotates_quickly_is_followed_line_by_line(log: Path) -> None:
    script = "import os\nfor n in range(20000): os.write(1, b'%06d %s\\n' % (n, b'x' * (n % 90)))"
    got = bytearray()

    async def run() -> None:
        with bench(log.parent) as b, closing(Follower()) as follower:
            path = b.log()
            follower.add(path)
            chance = random.Random(1)
            fd = b.attach("a", LogPolicy(path, maxbytes=20_000, backups=500))
            writer = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=fd)
            ended = asyncio.ensure_future(writer.wait())
            while not ended.done():
                got.extend(seen(follower))
                await turns(chance.randrange(1000))
            b.pump.detach("a")
            got.extend(seen(follower))
            assert b.pump.stats[0].rotations > 3

    asyncio.run(run())
    assert bytes(got) == b"".join(b"%06d %s\n" % (n, b"x" * (n % 90)) for n in range(20000))
