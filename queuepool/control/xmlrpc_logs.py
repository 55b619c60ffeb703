"""The XML-RPC methods that read and clear logs, and the log that is followed over HTTP. Offsets are Supervisor's
(supervisor/options.py, readFile and tailFile). A log of the worker's user is opened as that user, for what its path
leads to may be that user's choice."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from queuepool.control.choosing import note
from queuepool.control.xmlrpc_face import Face
from queuepool.control.xmlrpc_faults import Code, RpcFault
from queuepool.control.xmlrpc_names import Member
from queuepool.control.xmlrpc_structs import result
from queuepool.control.xmlrpc_table import Caller, method
from queuepool.domain.pool import LogPolicy
from queuepool.logs.follow import POLL_SECONDS, Follower
from queuepool.logs.opening import Owner, acting_as, find_owner, open_existing, out_of_reach

MAX_READ = 8 * 1024 * 1024
"""Bytes of a log in one answer. Who wants more goes on at the next offset."""

HEAD = 1024
"""Bytes of a log before what is to come, when it is followed."""


@method("supervisor.readLog", "supervisor.readMainLog", returns="string", offset="int", length="int")
async def read_main(face: Face, caller: Caller, offset: int, length: int) -> str:
    """Return length bytes of the daemon's log from offset on; length 0: to the end; offset negative: that many bytes at
    the end."""
    return await _read(_open(LogPolicy(face.main_log)), face.main_log, offset, length)


@method("supervisor.clearLog", returns="boolean")
async def clear_main(face: Face, caller: Caller) -> bool:
    """Empty the daemon's log."""
    fd = _open(LogPolicy(face.main_log))
    if fd is None:
        raise RpcFault(Code.NO_FILE)
    note(face.operator, "clear the daemon's log", ())
    _cut(fd)
    return True


@method(
    "supervisor.readProcessStdoutLog",
    "supervisor.readProcessLog",
    returns="string",
    name="string",
    offset="int",
    length="int",
)
async def read_stdout(face: Face, caller: Caller, name: str, offset: int, length: int) -> str:
    """Return length bytes of a process's stdout log, as readLog does."""
    return await _read_process(face, name, "stdout", offset, length)


@method("supervisor.readProcessStderrLog", returns="string", name="string", offset="int", length="int")
async def read_stderr(face: Face, caller: Caller, name: str, offset: int, length: int) -> str:
    """Return length bytes of a process's stderr log, as readLog does."""
    return await _read_process(face, name, "stderr", offset, length)


@method(
    "supervisor.tailProcessStdoutLog",
    "supervisor.tailProcessLog",
    returns="array",
    name="string",
    offset="int",
    length="int",
)
async def tail_stdout(face: Face, caller: Caller, name: str, offset: int, length: int) -> list[Any]:
    """Return [length bytes of a process's stdout log from offset on, the offset after its end, whether there is more].
    When more was written than length bytes, they are the last ones."""
    return await _tail_process(face, name, "stdout", offset, length)


@method("supervisor.tailProcessStderrLog", returns="array", name="string", offset="int", length="int")
async def tail_stderr(face: Face, caller: Caller, name: str, offset: int, length: int) -> list[Any]:
    """Return the same of a process's stderr log."""
    return await _tail_process(face, name, "stderr", offset, length)


@method("supervisor.clearProcessLogs", "supervisor.clearProcessLog", returns="boolean", name="string")
async def clear_one(face: Face, caller: Caller, name: str) -> bool:
    """Empty the logs of a process. Where the processes of a program share one, it is emptied for all."""
    member = face.roster().process(name)
    note(face.operator, "clear the log", face.selectors([member.slot]))
    _clear(face, member, name)
    return True


@method("supervisor.clearAllProcessLogs", returns="array")
async def clear_all(face: Face, caller: Caller) -> list[dict[str, Any]]:
    """Empty the logs of every process."""
    note(face.operator, "clear the log", ("all",))
    items = []
    for member in face.roster().members:
        try:
            _clear(face, member, member.full)
            items.append(result(member))
        except RpcFault as fault:
            items.append(result(member, fault.code, fault.text))
    return items


def policy_of(face: Face, member: Member, channel: str) -> LogPolicy | None:
    """Where a process prints what it says on `stdout` or `stderr`; None: nowhere of its own."""
    lives, spec = face.control.engine.lives.get(member.slot), face.control.pools.get(member.slot.pool)
    process = lives[-1].spec if lives else spec.process(member.slot.slot) if spec else None
    return None if process is None else process.stdout if channel == "stdout" else process.stderr


class Tail:
    """A log that is being followed across rotation, from its last `head` bytes on."""

    def __init__(self, policy: LogPolicy, head: int = HEAD) -> None:
        """Raises OSError when there is no such file, or it cannot be read."""
        path = policy.path
        if path is None or not is_file(path):
            raise FileNotFoundError
        self._reader = reader_of(path, owner_of(policy))
        self._follower = Follower(whole=False)
        with acting_as(self._reader):
            self._follower.add(path)
            self._head = self._follower.before(path, head) if head else b""

    async def pieces(self, ended: asyncio.Event) -> AsyncIterator[bytes]:
        """What it holds and what comes, until `ended`."""
        try:
            if self._head:
                yield self._head
            while not ended.is_set():
                news = self._follower.poll()
                while (piece := self._next(news)) is not None:
                    yield piece
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await ended.wait()
        finally:
            self._follower.close()

    def _next(self, news: Iterator[tuple[str, bytes]]) -> bytes | None:
        with acting_as(self._reader):
            found = next(news, None)
        return found[1] if found else None


def is_file(path: str) -> bool:
    """Whether it is a file that keeps what is written to it."""
    return not os.path.normpath(path).startswith("/dev/") and os.path.isfile(path)


def reader_of(path: str, owner: Owner | None) -> Owner | None:
    """As whom a log is to be read: its owner where that may, else root where the owner has no say in what it is."""
    try:
        with acting_as(owner):
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY))
    except PermissionError:
        if owner is None or not out_of_reach(os.path.dirname(path), owner):
            raise
        return None
    return owner


def owner_of(policy: LogPolicy) -> Owner | None:
    """Whose a log is. Raises PermissionError for somebody there is not."""
    try:
        return find_owner(policy.user, policy.group)
    except LookupError as error:
        raise PermissionError(str(error)) from None


def _open(policy: LogPolicy | None) -> int | None:
    """A descriptor of a log; None when there is none. Raises FAILED."""
    if policy is None or policy.path is None or not is_file(policy.path):
        return None
    try:
        fd = open_existing(policy.path, owner_of(policy))
    except OSError as error:
        raise RpcFault(Code.FAILED, f"cannot open {policy.path}: {error.strerror or error}") from None
    if fd is not None and not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    return fd


@contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


async def _read_process(face: Face, name: str, channel: str, offset: int, length: int) -> str:
    policy = policy_of(face, face.roster().process(name), channel)
    return await _read(_open(policy), policy.path if policy else None, offset, length)


async def _read(fd: int | None, path: str | None, offset: int, length: int) -> str:
    if fd is None:
        raise RpcFault(Code.NO_FILE, path)
    with _closing(fd):
        if length < 0 or (offset < 0 and length):
            raise RpcFault(Code.BAD_ARGUMENTS)
        count = min(-offset if offset < 0 else length or MAX_READ, MAX_READ)
        at = max(0, os.fstat(fd).st_size - count) if offset < 0 else offset
        return await _text(fd, at, count)


async def _tail_process(face: Face, name: str, channel: str, offset: int, length: int) -> list[Any]:
    fd = _open(policy_of(face, face.roster().process(name), channel))
    if fd is None:
        return ["", 0, False]
    with _closing(fd):
        size = os.fstat(fd).st_size
        at, count, overflow = tail_range(size, offset, length)
        return [await _text(fd, at, min(count, MAX_READ)), size, overflow]


def tail_range(size: int, offset: int, length: int) -> tuple[int, int, bool]:
    """Where in a log of `size` bytes tailProcessLog reads, how much, and whether it says that there is more."""
    overflow = size > offset + length
    if overflow:
        offset = size - 1
    if offset + length > size:
        if offset > size - 1:
            length = 0
        offset = size - length
    return max(0, offset), max(0, length), overflow


async def _text(fd: int, at: int, count: int) -> str:
    data = await asyncio.to_thread(os.pread, fd, count, at)
    return data.decode("utf-8", "replace")


def _clear(face: Face, member: Member, name: str) -> None:
    for channel in ("stdout", "stderr"):
        try:
            fd = _open(policy_of(face, member, channel))
            if fd is not None:
                _cut(fd)
        except (OSError, RpcFault):
            raise RpcFault(Code.FAILED, name) from None


def _cut(fd: int) -> None:
    with _closing(fd):
        os.ftruncate(fd, 0)  # its writer sees that, as it sees logrotate's copytruncate
