"""A pump with pipes that a test fills by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from queuepool.domain.pool import LogPolicy
from queuepool.logs.pump import Pump
from queuepool.logs.rotating import Trouble


class Bench:
    """A pump, its troubles, and its pipes by key."""

    def __init__(self, home: Path, **options: Any) -> None:
        self.home = home
        self.troubles: list[Trouble] = []
        self.pump = Pump(self.troubles.append, **options)
        self.fds: dict[Any, int] = {}

    def log(self, name: str = "worker.log") -> str:
        return str(self.home / "logs" / name)

    def attach(self, key: Any = "a", policy: LogPolicy | None = None, **options: Any) -> int:
        """Make a pipe and have it read; its descriptor. The policy: plain lines into worker.log."""
        if key not in self.fds:
            fifo = self.home / f"{key}.fifo"
            if not fifo.exists():
                os.mkfifo(fifo)
            self.fds[key] = os.open(fifo, os.O_RDWR)
        self.pump.attach(key, f"default:{key}", self.fds[key], policy or LogPolicy(self.log()), **options)
        return self.fds[key]

    def say(self, key: Any, data: bytes) -> None:
        """Print as the process does: it blocks when the pipe is full, so a test must not."""
        assert os.write(self.fds[key], data) == len(data)

    def text(self, name: str = "worker.log") -> bytes:
        path = Path(self.log(name))
        return path.read_bytes() if path.exists() else b""

    def all_text(self, name: str = "worker.log") -> bytes:
        """The log with its kept files before it, oldest first."""
        paths = sorted((self.home / "logs").glob(f"{name}.*"), key=lambda path: -int(path.suffix[1:]))
        return b"".join(path.read_bytes() for path in paths) + self.text(name)

    def close(self) -> None:
        self.pump.close()
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


@contextmanager
def bench(home: Path, **options: Any) -> Iterator[Bench]:
    """To be used inside a running loop."""
    made = Bench(home, **options)
    try:
        yield made
    finally:
        made.close()


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
