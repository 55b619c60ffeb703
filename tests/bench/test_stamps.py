"""What the worker in C stamps is what stamps.py reads, and check.c finds what is missing of its lines."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.bench import tools
from tests.bench.stamps import Kind, Overdue, Stamps

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")


@pytest.fixture
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stamps:
    monkeypatch.setenv("QUEUEPOOL_BENCH_CACHE", str(tmp_path / "cache"))
    return Stamps(tmp_path / "stamps")


def test_a_worker_stamps_its_start_the_stop_signal_and_its_end(stamps: Stamps) -> None:
    before = time.monotonic_ns()
    worker = subprocess.Popen([tools.program("worker"), stamps.path, "slot=7", "stop=0.05"])
    try:
        [start] = stamps.wait(1, 20)
        worker.send_signal(signal.SIGTERM)
        [end] = stamps.wait(1, 20, kind=Kind.END)
        assert worker.wait(20) == 0
    finally:
        worker.kill()
        worker.wait()
    assert (start.kind, start.pid, start.slot) == (Kind.START, worker.pid, 7)
    assert [stamp.kind for stamp in stamps.since()] == [Kind.START, Kind.TERM, Kind.END]
    assert before < start.ns < end.ns - 50_000_000
    with pytest.raises(Overdue):
        stamps.wait(2, 0.01)
    stamps.close()


def test_lines_that_are_missing_torn_or_there_twice_are_counted(stamps: Stamps, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with open(log, "wb") as out:
        worker = subprocess.Popen([tools.program("worker"), stamps.path, "burst=1000,200"], stdout=out)
        try:
            stamps.go()
            stamps.wait(1, 20, kind=Kind.DONE)
        finally:
            worker.kill()
            worker.wait()
    stamps.close()

    def check() -> list[str]:
        return subprocess.check_output([tools.program("check"), "200", log], text=True).splitlines()

    assert check() == [f"{worker.pid} 1000", "torn 0", "twice 0"]
    lines = log.read_bytes().split(b"\n")
    log.write_bytes(b"\n".join([*lines[:10], lines[11], lines[11], lines[12][:50], *lines[13:]]))
    assert check() == [f"{worker.pid} 998", "torn 1", "twice 1"]
