"""What the doctor finds, for a page: `queuepool doctor --json` in a process of its own, one at a time. What it looks at
is queuepool.doctor's matter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

from queuepool.errors import QueuepoolError

LONGEST_SECONDS = 120.0


class Examination:
    """config: path of the file. Whoever asks while one goes on gets the result of that one."""

    def __init__(self, config: str) -> None:
        self._config = config
        self._running: asyncio.Task[dict[str, Any]] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def report(self) -> dict[str, Any]:
        """The object of `queuepool doctor --json`. Raises QueuepoolError."""
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._examine(), name="doctor")
        return await asyncio.shield(self._running)

    def end(self) -> None:
        """End one that goes on."""
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)

    async def _examine(self) -> dict[str, Any]:
        hint = "see for yourself: `queuepool doctor`"
        try:
            code, out, said = await asyncio.to_thread(self._run)
        except OSError as error:
            raise QueuepoolError(f"cannot start the doctor: {error.strerror or error}", hint) from None
        except subprocess.TimeoutExpired:
            raise QueuepoolError(f"the doctor was not done in {LONGEST_SECONDS:.0f} seconds", hint) from None
        try:
            found = json.loads(out)
        except ValueError:
            last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit code {code}"]
            raise QueuepoolError(f"the doctor ended without a report: {last[0][:300]}", hint) from None
        if not isinstance(found, dict) or "findings" not in found:
            raise QueuepoolError(f"the doctor ended without a report: {str(found)[:300]}", hint)
        return found

    def _run(self) -> tuple[int, bytes, bytes]:
        """In a thread: it takes seconds, and much of them is PHP's."""
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "queuepool", "-c", self._config, "doctor", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, said = process.communicate(timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        finally:
            self._process = None
        return process.returncode, out, said
