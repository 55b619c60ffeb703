from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.domain.pool import LogPolicy
from queuepool.logs import backups
from queuepool.logs.backups import Compressor, shift
from tests.support.turns import until

from .piping import bench


@settings(deadline=None)
@given(names=st.sets(st.sampled_from([f"{n}{z}" for n in range(1, 7) for z in ("", ".gz")])), keep=st.integers(0, 5))
def test_a_shift_keeps_what_may_be_kept_in_order(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], keep: int
) -> None:
    home = tmp_path_factory.mktemp("shift")
    log = home / "w.log"
    log.write_text("0")
    for name in names:
        (home / f"w.log.{name}").write_text(name.removesuffix(".gz"))
    shift(str(log), keep)
    found = {path.name.removeprefix("w.log."): path.read_text() for path in home.iterdir()}
    numbers = sorted(n for n in (int(name.removesuffix(".gz")) for name in found) if n <= keep)
    assert not log.exists()
    if keep:
        assert len(set(numbers)) == len(numbers), "one file per number"
        assert found["1"] == "0"
        by_number = [found.get(str(n)) or found[f"{n}.gz"] for n in numbers]
        assert [int(text) for text in by_number] == sorted(int(text) for text in by_number), "newest first"
        before = {int(name.removesuffix(".gz")) for name in names if int(name.removesuffix(".gz")) < keep}
        lost = before - {int(text) for text in by_number}
        assert not lost, "only what was the oldest of too many goes"


@pytest.mark.parametrize("gzip_program", ["gzip", None])
def test_kept_files_are_gzipped_and_read_the_same(
    tmp_path: Path, gzip_program: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "CHUNK_PAUSE", 0.001)

    async def run() -> None:
        with bench(tmp_path) as b:
            b.pump._compressor._gzip = gzip_program and b.pump._compressor._gzip
            b.attach("a", LogPolicy(b.log(), maxbytes=20_000, backups=4, compress=True))
            for n in range(8000):
                b.say("a", b"%d %s\n" % (n, os.urandom(10).hex().encode()))
                if n % 20 == 0:
                    b.pump.flush()
                    await asyncio.sleep(0)
            b.pump.flush()
            logs = tmp_path / "logs"
            wanted = ["worker.log", *(f"worker.log.{n}.gz" for n in range(1, 5))]
            await until(lambda: sorted(path.name for path in logs.iterdir()) == wanted)
            text = b"".join(gzip.decompress((logs / f"worker.log.{n}.gz").read_bytes()) for n in range(4, 0, -1))
            numbers = [int(line.split()[0]) for line in (text + b.text()).splitlines()]
            assert numbers == list(range(numbers[0], 8000))
            assert not b.troubles

    asyncio.run(run())


def _compress(tmp_path: Path, act: Callable[[Compressor], None]) -> list[str]:
    failed: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        compressor = Compressor(
            loop, lambda path, what: failed.append(what), mended=lambda path, what: failed.remove(what)
        )
        try:
            act(compressor)
            await until(lambda: compressor._job is None and not compressor._wanted)
        finally:
            compressor.close()

    asyncio.run(run())
    return failed


def test_a_killed_compression_is_begun_again_and_a_finished_one_cleaned_up(tmp_path: Path) -> None:
    log = str(tmp_path / "w.log")
    Path(f"{log}.1").write_bytes(b"one\n" * 1000)
    Path(f"{log}.gz.part").write_bytes(b"half of a gz")
    Path(f"{log}.2").write_bytes(b"two\n")
    Path(f"{log}.2.gz").write_bytes(gzip.compress(b"two\n"))
    assert _compress(tmp_path, lambda compressor: compressor.want(log, 5, None)) == []
    assert sorted(os.listdir(tmp_path)) == ["w.log.1.gz", "w.log.2.gz"]
    assert gzip.decompress(Path(f"{log}.1.gz").read_bytes()) == b"one\n" * 1000
    assert gzip.decompress(Path(f"{log}.2.gz").read_bytes()) == b"two\n"


def test_a_failed_compression_keeps_the_file_and_says_so(tmp_path: Path) -> None:
    log = str(tmp_path / "w.log")
    Path(f"{log}.1").write_bytes(b"one\n")

    def act(compressor: Compressor) -> None:
        compressor._gzip = "/bin/false"
        compressor.want(log, 5, None)

    failed = _compress(tmp_path, act)
    assert len(failed) == 1
    assert os.listdir(tmp_path) == ["w.log.1"]


def test_a_compression_that_works_again_ends_the_complaint(tmp_path: Path) -> None:
    log = str(tmp_path / "w.log")
    Path(f"{log}.1").write_bytes(b"one\n")

    def act(compressor: Compressor) -> None:
        good, compressor._gzip = compressor._gzip, "/bin/false"
        tell = compressor._tell_failed

        def failed(path: str, what: str) -> None:
            tell(path, what)
            compressor._gzip = good
            compressor.want(path, 5, None)

        compressor._tell_failed = failed
        compressor.want(log, 5, None)

    assert _compress(tmp_path, act) == [], "it was told of, and that it is over"
    assert os.listdir(tmp_path) == ["w.log.1.gz"]


def test_a_file_that_rotates_while_it_is_gzipped_is_found_again(tmp_path: Path) -> None:
    log = str(tmp_path / "w.log")
    Path(f"{log}.1").write_bytes(b"old\n")

    def act(compressor: Compressor) -> None:
        compressor.want(log, 5, None)
        Path(log).write_bytes(b"new\n")
        shift(log, 5)

    assert _compress(tmp_path, act) == []
    assert gzip.decompress(Path(f"{log}.2.gz").read_bytes()) == b"old\n"
    assert gzip.decompress(Path(f"{log}.1.gz").read_bytes()) == b"new\n"
