"""Runs the real command, and a command at a real terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Place:
    """Where a test's queuepool.yml is."""

    config: Path
    daemon_pid: int = 0


def call(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `queuepool ARGS` in the current directory, with no terminal."""
    return subprocess.run(
        [sys.executable, "-m", "queuepool", *args],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | environment,
        timeout=60,
        check=False,
    )


class Terminal:
    """`queuepool ARGS` at a terminal of its own."""

    def __init__(self, *args: str, **environment: str) -> None:
        self.shown = b""
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.execve(
                sys.executable,
                [sys.executable, "-m", "queuepool", *args],
                os.environ | {"TERM": "xterm", "COLUMNS": "100"} | environment,
            )

    def until(self, seen: Callable[[bytes], bool], seconds: float = 30.0) -> bytes:
        """Read until what was shown so far is as wanted."""
        while not seen(self.shown):
            ready, _, _ = select.select([self._fd], [], [], seconds)
            assert ready, f"not shown within {seconds} s: {self.shown!r}"
            try:
                piece = os.read(self._fd, 65536)
            except OSError:  # EIO: the other end was closed
                piece = b""
            assert piece, f"it ended: {self.shown!r}"
            self.shown += piece
        return self.shown

    def type(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def end(self, keys: bytes = b"", seconds: float = 60.0) -> int:
        """Read to the end; the exit code. keys: typed, and every five seconds again: a Ctrl-C that comes just before
        Python begins to read is heeded only after the next key."""
        began = time.monotonic()
        typed = 0
        while True:
            waited = time.monotonic() - began
            assert waited < seconds, f"it did not end within {seconds} s: {self.shown!r}"
            if keys and waited >= 5.0 * typed:
                self.type(keys)
                typed += 1
            if not select.select([self._fd], [], [], 1.0)[0]:
                continue
            try:
                piece = os.read(self._fd, 65536)
            except OSError:
                break
            if not piece:
                break
            self.shown += piece
        _, status = os.waitpid(self._pid, 0)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status)
