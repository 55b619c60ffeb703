"""The kept files of a log: worker.log.1, the newest, to worker.log.N, each perhaps gzipped (.1.gz). Their names, moving
them along, and gzipping them without holding up the loop. When a log is rotated is rotating.py's matter."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from queuepool.logs.opening import Owner, acting_as

CHUNK = 64 * 1024
CHUNK_PAUSE = 0.02


def backup(path: str, number: int) -> str | None:
    """The kept file with this number; None when there is none."""
    plain = f"{path}.{number}"
    if os.path.lexists(plain):
        return plain
    return f"{plain}.gz" if os.path.lexists(f"{plain}.gz") else None


def shift(path: str, keep: int) -> None:
    """Make `path` the newest kept file; with keep 0, remove it. What is more than `keep` is removed, and files move
    only as far as there is no gap. Killed at any point, no file is lost that would have been kept."""
    if keep < 1:
        os.unlink(path)
        return
    for number in range(1, keep + 1):
        _drop_gzipped_original(path, number)
    gap = next((number for number in range(1, keep) if backup(path, number) is None), keep)
    for number in range(gap, 1, -1):
        source = backup(path, number - 1)
        if source is not None:
            suffix = ".gz" if source.endswith(".gz") else ""
            os.rename(source, f"{path}.{number}{suffix}")
            _unlink(f"{path}.{number}{'' if suffix else '.gz'}")
    os.rename(path, f"{path}.1")
    _unlink(f"{path}.1.gz")
    surplus = keep + 1
    while (name := backup(path, surplus)) is not None:
        _unlink(name)
        surplus += 1


def _drop_gzipped_original(path: str, number: int) -> None:
    # Both are there when the daemon was killed between finishing the .gz and removing what it was made of.
    if os.path.lexists(f"{path}.{number}.gz"):
        _unlink(f"{path}.{number}")


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


@dataclass(slots=True)
class _Job:
    path: str
    owner: Owner | None
    source: IO[bytes]
    part: IO[bytes]
    process: subprocess.Popen[bytes] | None = None
    pidfd: int | None = None
    packer: Any = None


class Compressor:
    """Gzips kept files, one at a time: by `gzip` in a process of its own, or else little by little in the loop.

    The .gz is written as worker.log.gz.part and takes its name only when it is complete; the original goes after that.
    A file that was left uncompressed, by a kill or a failure, is taken up with the next rotation or opening.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        failed: Callable[[str, str], None],
        gzip: str | None = "gzip",
        mended: Callable[[str, str], None] = lambda path, what: None,
    ) -> None:
        """failed: told path and reason. gzip: the program; None, or one that is not there: do without. mended: told the
        same once it can be done again."""
        self._loop = loop
        self._tell_failed = failed
        self._mended = mended
        self._troubled: dict[str, str] = {}
        self._gzip = shutil.which(gzip) if gzip else None
        self._wanted: dict[str, tuple[int, Owner | None]] = {}
        self._job: _Job | None = None
        self._timer: asyncio.Handle | None = None

    def want(self, path: str, keep: int, owner: Owner | None) -> None:
        """Gzip the kept files of `path` that are not yet."""
        self._wanted[path] = (keep, owner)
        self._next()

    def _failed(self, path: str, error: OSError) -> None:
        self._troubled[path] = error.strerror or str(error)
        self._tell_failed(path, self._troubled[path])

    def close(self) -> None:
        """Give up what is under way; it is begun again another time."""
        self._wanted.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._job is not None:
            self._give_up(self._job)

    def _next(self) -> None:
        while self._job is None and self._wanted:
            path, (keep, owner) = next(iter(self._wanted.items()))
            try:
                if not self._begin(path, keep, owner):
                    del self._wanted[path]
            except OSError as error:
                del self._wanted[path]
                self._failed(path, error)

    def _begin(self, path: str, keep: int, owner: Owner | None) -> bool:
        with acting_as(owner):
            for number in range(keep, 0, -1):
                _drop_gzipped_original(path, number)
                name = backup(path, number)
                if name is None or name.endswith(".gz"):
                    continue
                source = os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0)
                try:
                    part = self._new_part(path, source)
                except BaseException:
                    source.close()
                    raise
                self._job = _Job(path, owner, source, part)
                break
            else:
                return False
        self._start(self._job)
        return True

    def _new_part(self, path: str, source: IO[bytes]) -> IO[bytes]:
        # A new file each time: a gzip that outlived its daemon may still be writing to the one before.
        name, seen = f"{path}.gz.part", os.fstat(source.fileno())
        _unlink(name)
        part = os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
        os.fchmod(part.fileno(), seen.st_mode & 0o777)
        if os.geteuid() == 0:
            os.fchown(part.fileno(), seen.st_uid, seen.st_gid)
        return part

    def _start(self, job: _Job) -> None:
        if self._gzip is not None:
            nice = ["nice", "-n", "10"] if shutil.which("nice") else []
            # A group of its own: Ctrl-C at the terminal of the daemon is not meant for it.
            job.process = subprocess.Popen(
                [*nice, self._gzip, "-c"],
                stdin=job.source,
                stdout=job.part,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                job.pidfd = os.pidfd_open(job.process.pid)
            except (AttributeError, OSError):
                self._timer = self._loop.call_later(CHUNK_PAUSE, self._poll)
            else:
                self._loop.add_reader(job.pidfd, self._poll)
        else:
            job.packer = zlib.compressobj(6, zlib.DEFLATED, 31)
            self._timer = self._loop.call_later(CHUNK_PAUSE, self._pack)

    def _poll(self) -> None:
        job = self._job
        assert job is not None
        assert job.process is not None
        if job.process.poll() is None:
            self._timer = self._loop.call_later(CHUNK_PAUSE, self._poll)
        else:
            self._end(job)

    def _pack(self) -> None:
        job = self._job
        assert job is not None
        try:
            data = job.source.read(CHUNK)
            job.part.write(job.packer.compress(data) if data else job.packer.flush())
        except OSError:
            data = b""
        if data:
            self._timer = self._loop.call_later(CHUNK_PAUSE, self._pack)
        else:
            self._end(job)

    def _end(self, job: _Job) -> None:
        try:
            with acting_as(job.owner):
                self._finish(job)
        except OSError as error:
            self._wanted.pop(job.path, None)
            self._give_up(job)
            self._failed(job.path, error)
        else:
            self._release(job)
            if what := self._troubled.pop(job.path, ""):
                self._mended(job.path, what)
        self._next()

    def _finish(self, job: _Job) -> None:
        """Give the .gz its name, when it is whole, and remove what it was made of, wherever that moved meanwhile."""
        job.part.flush()
        seen, name = os.fstat(job.source.fileno()), f"{job.path}.gz.part"
        # The exit status may have been collected by somebody else; the end of the file (RFC 1952: size) tells as well.
        if _gzipped_size(name) != seen.st_size & 0xFFFFFFFF or (job.process is not None and job.process.returncode):
            raise OSError(0, "gzip did not finish")
        for number in range(1, self._wanted.get(job.path, (0, None))[0] + 2):
            original = f"{job.path}.{number}"
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.lstat(original), seen):
                    os.utime(name, ns=(seen.st_atime_ns, seen.st_mtime_ns))
                    os.rename(name, f"{original}.gz")
                    os.unlink(original)
                    return
        _unlink(name)  # it was removed as too old while it was being gzipped

    def _give_up(self, job: _Job) -> None:
        if job.process is not None and job.process.returncode is None:
            job.process.kill()
            job.process.wait()
        with contextlib.suppress(OSError), acting_as(job.owner):
            _unlink(f"{job.path}.gz.part")
        self._release(job)

    def _release(self, job: _Job) -> None:
        if job.pidfd is not None:
            self._loop.remove_reader(job.pidfd)
            os.close(job.pidfd)
        job.source.close()
        job.part.close()
        self._job = None


def _gzipped_size(path: str) -> int:
    """The length of what a gzip file holds, modulo 2**32 (RFC 1952, ISIZE); -1 when it is too short to be one."""
    with open(path, "rb") as file:
        if file.seek(0, os.SEEK_END) < 18:
            return -1
        file.seek(-4, os.SEEK_END)
        size: int = struct.unpack("<I", file.read(4))[0]
        return size
