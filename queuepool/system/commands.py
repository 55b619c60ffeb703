"""Running a command to its end beside the loop: as its user, in its directory, with what it prints line by line. What
is run, and when, is the caller's matter."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from queuepool.domain.pool import Launch
from queuepool.system import children

KEPT_LINES = 50
LONGEST_LINE = 4096
LOOK_SECONDS = 0.05
"""How often the end is looked for where nothing announces it (no pidfd)."""
END_SECONDS = 5.0
"""From TERM to KILL for a command that is not wanted any more."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended. code: exit status, or minus the signal; None where it cannot be known. late: it was ended
    since it took too long. lines: the last it printed, on either stream."""

    code: int | None
    late: bool = False
    lines: tuple[str, ...] = ()


async def run(
    launch: Launch,
    names: Mapping[str, str],
    *,
    seconds: float,
    on_line: Callable[[str], None] = lambda line: None,
    given: bytes = b"",
) -> Done:
    """Run a command; its end. names: variables beside those of the launch. seconds: after that it is ended, with its
    whole process tree, and so when this is cancelled. given: what it finds on its standard input. Raises SpawnError
    when it cannot be started."""
    loop = asyncio.get_running_loop()
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    try:
        with _file_of(given) as stdin:
            pid = children.spawn(launch, names, writer, None, stdin)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    lines = _Lines(on_line)
    loop.add_reader(reader, lines.read, reader)
    late = False
    try:
        try:
            async with asyncio.timeout(seconds):
                code = await _ended(pid)
        except TimeoutError:
            late = True
            code = await _end(pid)
        except asyncio.CancelledError:
            await asyncio.shield(_end(pid))
            raise
        lines.read(reader)  # what it wrote last; children that it left behind may hold the pipe open
    finally:
        loop.remove_reader(reader)
        os.close(reader)
    return Done(code, late, lines.last())


@contextlib.contextmanager
def _file_of(given: bytes) -> Iterator[int | None]:
    """A nameless file to read from: unlike a pipe it never waits for the reader."""
    if not given:
        yield None
        return
    import tempfile

    with tempfile.TemporaryFile() as file:
        file.write(given)
        file.seek(0)
        yield file.fileno()


async def _ended(pid: int) -> int | None:
    """The exit status of our child, when it has ended."""
    fd = children.pidfd(pid)
    try:
        while True:
            try:
                code = children.reap(pid)
            except ChildProcessError:
                return None
            if code is not None:
                return code
            await (_readable(fd) if fd is not None else asyncio.sleep(LOOK_SECONDS))
    finally:
        if fd is not None:
            os.close(fd)


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(fd, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(fd)


async def _end(pid: int) -> int | None:
    children.signal_tree(pid, 15)
    try:
        async with asyncio.timeout(END_SECONDS):
            code = await _ended(pid)
    except TimeoutError:
        children.signal_tree(pid, 9)
        return await _ended(pid)
    children.signal_tree(pid, 9)
    return code


class _Lines:
    """What a command prints, as text."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._last: deque[str] = deque(maxlen=KEPT_LINES)
        self._rest = b""

    def read(self, fd: int) -> None:
        """Take what is there."""
        while True:
            try:
                piece = os.read(fd, 1 << 16)
            except OSError:
                return
            if not piece:
                with contextlib.suppress(OSError, ValueError):
                    asyncio.get_running_loop().remove_reader(fd)  # its end would be readable for ever
                return
            *whole, self._rest = (self._rest + piece).split(b"\n")
            for line in whole:
                self._add(line)
            if len(self._rest) > LONGEST_LINE:
                self._add(self._rest)
                self._rest = b""

    def last(self) -> tuple[str, ...]:
        """The last lines, with one that has no end."""
        if self._rest:
            self._add(self._rest)
            self._rest = b""
        return tuple(self._last)

    def _add(self, line: bytes) -> None:
        text = line[:LONGEST_LINE].decode("utf-8", "replace").rstrip("\r")
        self._last.append(text)
        self._tell(text)
