"""Asks an application how deep its queues are, whatever their driver: one PHP that boots it once and then answers
(sizes.php). Queues in Redis are read without PHP, in depth.py."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import secrets
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from queuepool.domain.backoff import delay
from queuepool.domain.queues import QueueDepth, QueueName
from queuepool.errors import QueuepoolError
from queuepool.laravel import php as running

SIZES = Path(__file__).with_name("sizes.php")
NICE = 10
_MOST_BYTES_OF_LINE = 4 * 1024 * 1024
_SETTINGS = (".env", "bootstrap/cache/config.php", "config/queue.php", "config/database.php")
_BOOT_SECONDS = 30.0
_GOODBYE_SECONDS = 0.5
"""PHP ends at once with its input, unless it waits for a server; then it is killed."""
_KEPT_BYTES = 4096
"""Of what the application says of itself, for the reason when it ends."""


class SizeProbe:
    """The PHP process that answers for one release of one application. Its first question starts it, and it ends with
    its standard input. It is started anew when the application's settings have changed and, with a growing delay, when
    it ended or did not answer in time.

    php, user, group, environment: as for probe(). app: a `current` symlink is resolved now, so all answers come from
    the same release; after a deploy make another one. timeout: seconds for a question, the boot apart. clock: seconds,
    monotonic.
    """

    def __init__(
        self,
        php: tuple[str, ...],
        app: str,
        *,
        user: str | None = None,
        group: str | None = None,
        environment: Mapping[str, str],
        timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.release = os.path.realpath(app)
        self.timeout = timeout
        self._php, self._environment = php, dict(environment)
        self._whose = {"user": user, "group": group}
        self._clock = clock
        self._running: _Conversation | None = None
        self._booted_with: tuple[int, ...] = ()
        self._turn = asyncio.Lock()
        self._trouble = _Trouble()
        self._slow: dict[str, _Trouble] = {}

    @property
    def pid(self) -> int | None:
        """Of the PHP process, which leads its own session; None while there is none."""
        return self._running.process.pid if self._running else None

    async def sizes(self, asks: Sequence[QueueName]) -> dict[QueueName, QueueDepth | str]:
        """The depth of each queue, or why it is not known, in words without secrets. Never raises but when cancelled.
        Questions are answered one after the other."""
        async with self._turn:
            now, why = self._clock(), self._trouble.why
            if self.pid is None and now < self._trouble.until:
                return dict.fromkeys(asks, why)
            wanted: dict[str, list[str]] = {}
            for ask in asks:
                wanted.setdefault(ask.connection, []).append(ask.queue)
            held_up = [name for name in wanted if name in self._slow]
            # Those that gave no answer are left alone for a while, and then come last: so they hold up no other.
            for name in held_up:
                queues = wanted.pop(name)
                if now >= self._slow[name].until:
                    wanted[name] = queues
            found: dict[QueueName, QueueDepth | str] = {}
            try:
                why = await self._ask(wanted, found)
                self._trouble = _Trouble()
            except QueuepoolError as error:
                why = error.message
                self._trouble = self._trouble.more(why, self._clock())
                await self._end()
            except BaseException:  # cancelled: an answer that is under way must not be taken for the next one's
                await self._end()
                raise
            return {ask: found.get(ask, self._slow.get(ask.connection, self._trouble).why or why) for ask in asks}

    async def close(self) -> None:
        """End the process, if there is one."""
        async with self._turn:
            await self._end()

    async def _ask(self, wanted: Mapping[str, list[str]], found: dict[QueueName, QueueDepth | str]) -> str:
        """Put the answers into `found`; why there are not all of them, "" when there are. Raises QueuepoolError when
        the application does not boot."""
        if not wanted:
            return ""
        written = self._written()
        if self._running is None or not self._running.alive or written != self._booted_with:
            await self._end()
            self._booted_with = written
            self._running = await _Conversation.begin(
                self._php, self.release, self._environment, self._whose, max(_BOOT_SECONDS, self.timeout)
            )
        waiting = list(wanted)
        try:
            async with asyncio.timeout(self.timeout):
                async with contextlib.aclosing(self._running.ask(wanted)) as answers:
                    async for connection, queues in answers:
                        waiting.remove(connection)
                        self._slow.pop(connection, None)
                        found |= {QueueName(connection, name): depth for name, depth in queues.items()}
            return ""
        except TimeoutError:
            which = waiting[0] if waiting else "?"
            why = f"the application did not tell the size of queues of connection {which} within {self.timeout:g} s"
        except QueuepoolError as error:
            why = error.message
        # Whatever was being asked is to blame, even for the end of PHP: the others are asked anew without it.
        if waiting:
            self._slow[waiting[0]] = self._slow.get(waiting[0], _Trouble()).more(why, self._clock())
        await self._end()
        return why

    def _written(self) -> tuple[int, ...]:
        """When the files were written that say where the queues are; PHP read them once, and is old after a change."""

        def written(name: str) -> int:
            try:
                return os.stat(os.path.join(self.release, name)).st_mtime_ns
            except OSError:
                return 0

        return tuple(written(name) for name in _SETTINGS)

    async def _end(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.end()


_Answers = AsyncGenerator[tuple[str, dict[str, QueueDepth | str]], None]


@dataclass(frozen=True, slots=True)
class _Trouble:
    """How often in a row something failed, until when it is left alone (monotonic clock), and why."""

    failures: int = 0
    until: float = 0.0
    why: str = ""

    def more(self, why: str, now: float) -> _Trouble:
        failures = self.failures + 1
        return _Trouble(failures, now + delay(failures, random.random()), why)  # noqa: S311 - spreads the tries


class _Conversation:
    """One life of the PHP process."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str, app: str, php: tuple[str, ...]) -> None:
        self.process = process
        self._over = False
        self._mark, self._app, self._php = mark.encode(), app, php
        self._said = bytearray()
        self._number = 0
        self._stack = contextlib.AsyncExitStack()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.WriteTransport

    @property
    def alive(self) -> bool:
        """Whether it can be asked once more."""
        return not self._over and not running.ended(self.process)

    @classmethod
    async def begin(
        cls,
        php: tuple[str, ...],
        app: str,
        environment: Mapping[str, str],
        whose: Mapping[str, str | None],
        seconds: float,
    ) -> _Conversation:
        """Start PHP and wait until the application is booted. Raises QueuepoolError."""
        mark = f"queuepool-{secrets.token_hex(8)}:"
        # One pipe for both outputs: so their order is kept, and none can fill up unread.
        process = running.spawn(
            php, app, user=whose["user"], group=whose["group"], environment=environment,
            stdin=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self = cls(process, mark, app, php)
        try:
            await self._open()
            self._writer.write(running.script(SIZES, {"mark": mark}))
            async with asyncio.timeout(seconds):
                await self._next()
        except BaseException as error:
            await self.end()
            if isinstance(error, TimeoutError):
                raise QueuepoolError(
                    f"cannot ask the application in {app}: it did not boot within {seconds:g} s"
                ) from None
            raise
        return self

    async def _open(self) -> None:
        process, loop = self.process, asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        assert process.stdout is not None, "made with a pipe"
        self._reader = await self._stack.enter_async_context(running.reader(process.stdout, _MOST_BYTES_OF_LINE))
        self._writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
        self._stack.callback(self._hang_up)

    def _hang_up(self) -> None:
        if not self._writer.is_closing():  # it closes itself when PHP is gone, and asyncio fails when told twice
            self._writer.abort()

    async def ask(self, wanted: Mapping[str, list[str]]) -> _Answers:
        """Yield (connection, depth or reason by queue) as they come. Raises QueuepoolError when PHP ended."""
        self._number += 1
        question = {"id": self._number, "asks": wanted}
        self._writer.write(json.dumps(question).encode() + b"\n")
        while True:
            said = await self._next()
            if said.get("id") != self._number:
                continue
            if said.get("done"):
                self._over = bool(said.get("last"))
                return
            yield str(said["connection"]), {name: _depth(entry) for name, entry in said["queues"].items()}

    async def _next(self) -> dict[str, Any]:
        """The next object that sizes.php says; all else on the way is the application's own talk."""
        while True:
            try:
                line = await self._reader.readline()
            except ValueError:  # a line without end
                continue
            if not line:
                raise await self._failure({})
            if not line.startswith(self._mark):
                self._said = (self._said + line)[:_KEPT_BYTES]
                continue
            said = running.answer(line, self._mark.decode())
            if "failure" in said:
                raise await self._failure(said)
            if said:
                return said

    async def _failure(self, facts: Mapping[str, Any]) -> QueuepoolError:
        if self._number:
            await self.end()
            code = self.process.returncode
            how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            return QueuepoolError(f"the process that asks the application in {self._app} ended ({how})")
        await self.end()
        return running.failure(facts, bytes(self._said), self.process.returncode, self._php, self._app)

    async def end(self) -> None:
        """Close its standard input, and make sure that it is gone with all it started."""
        self._over = True
        try:
            await self._stack.aclose()
            if self.process.returncode is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GOODBYE_SECONDS):
                        while not running.ended(self.process):  # noqa: ASYNC110 - nothing tells without pidfd
                            await asyncio.sleep(0.005)
        finally:  # also when whoever asked does not want to wait for that any more
            await running.put_down(self.process)
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def _depth(entry: Any) -> QueueDepth | str:
    if not isinstance(entry, Mapping):
        return str(entry)
    numbers = {key: int(entry.get(key) or 0) for key in ("ready", "delayed", "due", "reserved", "expired")}
    oldest = entry.get("oldest")
    return QueueDepth(
        **numbers,
        oldest=None if oldest is None else float(oldest),
        paused=bool(entry.get("paused")),
        estimated=bool(entry.get("estimated")),
    )
