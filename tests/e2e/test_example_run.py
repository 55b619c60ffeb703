"""examples/laravel/run, which shows queuepool to people: in a copy of this checkout."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuepool.system.procstat import pids
from tests.support.wait import LIMIT, eventually

pytestmark = pytest.mark.php

CHECKOUT = Path(__file__).parents[2]
NOT_COPIED = (".env", ".run", "vendor", "*.sqlite", "*.log", "packages.php", "services.php")


class Example:
    """The copy, and where the example puts what it makes. The queuepool that it runs is this venv's."""

    def __init__(self, directory: Path) -> None:
        self.copy, self.made = directory / "copy", directory / "made"
        self.made.mkdir()
        self.out = directory / "out"
        example = self.copy / "examples/laravel"
        shutil.copytree(CHECKOUT / "examples/laravel", example, ignore=shutil.ignore_patterns(*NOT_COPIED))
        (self.copy / "tests/support").mkdir(parents=True)
        for name in ("tests/support/install.sh", "pyproject.toml"):
            shutil.copy(CHECKOUT / name, self.copy / name)
        if (vendor := CHECKOUT / "examples/laravel/vendor").is_dir():
            (example / "vendor").symlink_to(vendor)

    def start(self, jobs: int) -> subprocess.Popen[bytes]:
        """As a job of a shell, in a process group of its own."""
        environment = {
            **os.environ,
            "TMPDIR": str(self.made),
            "QUEUEPOOL_EXAMPLE_BIN": str(Path(sys.executable).parent),
        }
        with self.out.open("wb") as out:
            return subprocess.Popen(
                [self.copy / "examples/laravel/run", str(jobs)], cwd="/", env=environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, process_group=0,
            )  # fmt: skip

    def said(self) -> str:
        return self.out.read_text(errors="replace")

    def alive(self) -> list[str]:
        """The command lines of what has to do with this example: its directory is in them, or in what they were given,
        as that of the shell, redis-server, the daemon, the workers and the scheduler is."""
        found, mark = [], os.fsencode(self.made)
        for pid in pids():
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
                if line and (mark in line or mark in Path(f"/proc/{pid}/environ").read_bytes()):
                    found.append(f"{pid} {line.decode(errors='replace')}")
        return found

    def left(self) -> list[str]:
        """What it has not cleaned up."""
        return [*self.alive(), *map(str, self.made.iterdir()), *map(str, self.copy.glob("examples/laravel/.run"))]


@pytest.fixture
def example() -> Iterator[Example]:
    with tempfile.TemporaryDirectory(prefix="qp-", dir="/tmp") as directory:  # short, for the path of a socket
        found = Example(Path(directory))
        yield found
        for line in found.alive():  # of a test that failed
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)


def test_the_example_does_each_job_once_and_leaves_nothing(example: Example) -> None:
    assert example.start(20).wait(3 * LIMIT) == 0, example.said()
    assert example.said().endswith("every job was done exactly once\n"), example.said()
    assert example.left() == []


def test_ctrl_c_in_the_middle_of_the_example_leaves_nothing(example: Example) -> None:
    process = example.start(5000)  # minutes of work
    eventually(lambda: " of 5020 done" in example.said(), what="jobs are being done", show=example.said)
    assert len(example.alive()) > 6
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(LIMIT) == 130, example.said()
    assert example.left() == []
