"""A command of queuepool that runs beside the test."""

from __future__ import annotations

import subprocess
import threading

from tests.support.daemon import Queuepool
from tests.support.wait import LIMIT, eventually


class Started:
    """A command that runs beside the test, and what it prints."""

    def __init__(self, qp: Queuepool, *args: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            qp.command(*args), env=qp.environment | {"PYTHONUNBUFFERED": "1"}, cwd=qp.directory, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def text(self) -> str:
        return "".join(self.lines)

    def until(self, words: str) -> None:
        eventually(lambda: words in self.text(), what=f"it says {words!r}", show=self.text)

    def end(self) -> int:
        code = self.process.wait(2 * LIMIT)
        self._thread.join()
        return code
