"""The promise of the pump: its process may be killed at any moment, and no line is lost, doubled or torn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queuepool.logs.pipes import can_splice

WRITER = """
import os, sys
name, stop, n = sys.argv[1].encode(), sys.argv[2], 0
while n % 64 or not os.path.exists(stop):
    line = b"%s %08d " % (name, n) + b"x" * (9000 if n % 100 == 99 else n * 37 % 700) + b" end\\n"
    while line:
        line = line[os.write(1, line):]
    n += 1
sys.stderr.write(str(n))
"""
KILLS = 35


@pytest.fixture
def pipes(tmp_path: Path) -> Iterator[dict[str, int]]:
    """Named pipes, held open as the worker at their other end holds them."""
    held: dict[str, int] = {}
    for number in range(10):
        path = str(tmp_path / f"{number}.out")
        os.mkfifo(path)
        held[path] = os.open(path, os.O_RDWR)
    yield held
    for fd in held.values():
        os.close(fd)


@pytest.mark.skipif(not can_splice(), reason="what is read into memory cannot outlive the process")
def test_the_pump_is_killed_again_and_again_and_every_line_is_there_once(tmp_path: Path, pipes: dict[str, int]) -> None:
    logs, stop, done = tmp_path / "logs", tmp_path / "stop", tmp_path / "done"
    rotated: dict[str, Any] = {"maxbytes": 60_000, "backups": 2000}
    policies = [
        *[{"path": f"{logs}/shared", **rotated}] * 4,
        {"path": f"{logs}/alone", **rotated},
        *[{"path": f"{logs}/slots", "slot": True, "timestamp": True, **rotated}] * 4,
        {"path": f"{logs}/json", "json": True, **rotated},
    ]
    order = {
        "streams": [{"fifo": path, "policy": policy} for path, policy in zip(pipes, policies, strict=True)],
        "spool": str(tmp_path / "spool"),
        "stop": str(done),
        "logs": str(logs),
        "kills": KILLS,
        "seed": 7,
        "splice": True,
    }
    command = [sys.executable, "-c", WRITER]
    writers = [
        subprocess.Popen([*command, f"w{n}", str(stop)], stdout=fd, stderr=subprocess.PIPE, text=True)
        for n, fd in enumerate(pipes.values())
    ]
    killer = subprocess.Popen([sys.executable, "-m", "tests.logs.pumped", json.dumps(order)], stdout=subprocess.PIPE)
    assert killer.stdout is not None
    assert killer.stdout.readline() == b"final\n"
    stop.touch()
    counts = []
    for writer in writers:
        said = writer.communicate(timeout=60)[1]
        counts.append(int(said))
    done.touch()
    assert killer.wait(60) == 0
    killer.stdout.close()

    assert min(counts) > 0
    for number, (policy, count) in enumerate(zip(policies, counts, strict=True)):
        lines = [line for line in _lines(logs, Path(policy["path"]).name) if line.startswith(b"w%d " % number)]
        assert [int(line.split(b" ")[1]) for line in lines] == list(range(count))
        for n, line in enumerate(lines):
            assert line == b"w%d %08d " % (number, n) + b"x" * (9000 if n % 100 == 99 else n * 37 % 700) + b" end"
    for name in ("shared", "alone", "slots", "json"):
        assert all(line.endswith(b" end") for line in _lines(logs, name)), "nothing else is in the files"
    assert len(list(logs.glob("*.*"))) > 10, "they were rotated"


def _lines(logs: Path, name: str) -> list[bytes]:
    """The lines of a log and its kept files, oldest first, without what was put around them."""
    found = []
    for path in sorted(logs.glob(f"{name}*"), key=lambda path: -int(path.suffix[1:] or 0)):
        for line in path.read_bytes().splitlines():
            if name == "json":
                line = json.loads(line)["line"].encode()
            elif name == "slots":
                line = line.split(b"] ", 1)[1]
            found.append(line)
    return found
