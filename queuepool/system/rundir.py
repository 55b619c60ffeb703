"""Where a daemon keeps its socket, lock, pipes and records, found from the path of its queuepool.yml alone, so that a
command needs to read no file to find its daemon; and how a file there is written. What is in the records is
engines/record.py's and overrides.py's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
import zlib
from collections.abc import Mapping

from queuepool.errors import Locked, QueuepoolError

SOCKET_PATH_LIMIT = 107
"""Bytes of a unix socket's path without the closing NUL (sockaddr_un.sun_path: 108 on Linux, 104 elsewhere)."""

DEPLOY = "deploy.json"
"""Name of the state of the last deploy, in the directory `state`; what is in it is controller/deploystate.py's."""


class RunDirectory:
    """The directories of the daemon of one queuepool.yml.

    path: sockets, lock and pipes; emptied by a reboot. state: overrides and the daemon's log; outlives a reboot.
    Both follow from the canonical path of the file (see `canonical`). QUEUEPOOL_RUNTIME_DIR and QUEUEPOOL_STATE_DIR
    name other places than /run/queuepool and /var/lib/queuepool (root) or the XDG directories (everybody else).
    """

    def __init__(self, config_path: str, environ: Mapping[str, str] = os.environ) -> None:
        self.config = canonical(config_path)
        label = re.sub(r"[^A-Za-z0-9._-]+", "-", _label(self.config))[:24]
        instance = f"{label}-{zlib.crc32(os.fsencode(self.config)):08x}"
        self.base = _runtime_base(environ)
        self.path = os.path.join(self.base, instance)
        self.state = os.path.join(_state_base(environ, self.base), instance)
        self.socket = os.path.join(self.path, "control.sock")
        self.lock = os.path.join(self.path, "lock")
        self.alone = os.path.join(self.path, "alone.lock")
        self.pipes = os.path.join(self.path, "pipes")
        self.spool = os.path.join(self.path, "spool")
        self.record = os.path.join(self.path, "processes.jsonl")
        self.events = os.path.join(self.path, "events.json")
        self.jobs = os.path.join(self.path, "jobs")
        self.overrides = os.path.join(self.state, "overrides.json")
        self.log = os.path.join(self.state, "queuepool.log")
        self.supervised = os.path.join(self.state, "supervisord.json")

    def make(self) -> None:
        """Make the directories, private to their owner. Raises QueuepoolError when they cannot be made or are not
        ours, or when the path of the socket would be too long for the system."""
        if len(os.fsencode(self.socket)) > SOCKET_PATH_LIMIT:
            raise QueuepoolError(
                f"cannot use the socket {self.socket}: the path is longer than {SOCKET_PATH_LIMIT} bytes",
                "set QUEUEPOOL_RUNTIME_DIR to a shorter directory, such as /tmp/qp",
            )
        try:
            for base in (self.base, os.path.dirname(self.state)):
                os.makedirs(base, mode=0o755 if os.geteuid() == 0 else 0o700, exist_ok=True)
            for directory in (self.path, self.state, self.pipes, self.spool):
                os.makedirs(directory, mode=0o700, exist_ok=True)
                _must_be_private(directory)
        except OSError as error:
            raise QueuepoolError(
                f"cannot make the directory {error.filename}: {error.strerror}",
                "set QUEUEPOOL_RUNTIME_DIR (and QUEUEPOOL_STATE_DIR) to directories that you may write",
            ) from None

    def acquire(self) -> int:
        """Take the lock of the daemon; the returned descriptor holds it for as long as it is open, also across exec.
        Raises Locked when another daemon has it."""
        fd, pid = self._try(self.lock)
        if fd is None:
            raise Locked(
                f"a daemon already runs for {self.config}" + (f" (pid {pid})" if pid else ""),
                "see it with `queuepool status`, apply the file with `queuepool update`, end it with `queuepool down`",
            )
        return fd

    def acquire_alone(self) -> int:
        """Take the lock of whoever changes something where another engine keeps the processes alive: the daemon, or a
        command without one. It is held as that of `acquire`. Raises Locked."""
        fd, pid = self._try(self.alone)
        if fd is None:
            raise Locked(
                f"another command{f' (pid {pid})' if pid else ''} works with the programs of {self.config}",
                f"wait for it; `ps -fp {pid}` shows it" if pid else "wait for it",
            )
        return fd

    def _try(self, path: str) -> tuple[int | None, int | None]:
        """The descriptor that holds this lock, or None and the pid of who has it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(10):  # `pid()` of a command that is just looking holds it for some microseconds
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.01)
                continue
            try:
                self.sign(fd)
            except OSError as error:  # a full disk; without a pid there, nobody could tell who has the lock
                os.close(fd)
                raise QueuepoolError(
                    f"cannot write {path}: {error.strerror}",
                    f"make room there (`df {self.path}`), or set QUEUEPOOL_RUNTIME_DIR to a directory elsewhere",
                ) from None
            return fd, None
        pid = _read_pid(fd)
        os.close(fd)
        return None, pid

    def sign(self, fd: int) -> None:
        """Write this process's pid into the lock file `fd`."""
        os.pwrite(fd, b"%-19d\n" % os.getpid(), 0)  # one write of one length: a reader never sees half a number

    def pid(self) -> int | None:
        """The pid of the daemon that holds the lock, or None when none does."""
        return _holder(self.lock)

    def pid_alone(self) -> int | None:
        """The pid of who holds the lock of `acquire_alone`, or None when nobody does."""
        return _holder(self.alone)


def _holder(lock: str) -> int | None:
    """Who holds a lock file."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_pid(fd)
    finally:
        os.close(fd)
    return None


def canonical(path: str) -> str:
    """The one absolute name of a file, by which its daemon is known: symlinks resolved, except a link called `current`
    (the layout of Envoyer and Deployer), so that the name stays the same when the next release is linked. A path
    inside `releases/NAME` becomes the one through `current` when that release is the current one."""
    directory, name = os.path.split(os.path.abspath(path))
    result = _resolve(directory)
    parts = result.split(os.sep)
    for index in range(len(parts) - 1, 1, -1):
        if parts[index - 1] == "releases":
            link = os.sep.join([*parts[: index - 1], "current"])
            release = os.sep.join(parts[: index + 1])
            if os.path.islink(link) and os.path.realpath(link) == os.path.realpath(release):
                result = os.sep.join([link, *parts[index + 1 :]])
                break
    return os.path.join(result, name)


def _resolve(directory: str) -> str:
    done = os.sep
    for part in directory.split(os.sep):
        if part:
            step = os.path.join(done, part)
            done = step if part == "current" else os.path.realpath(step) if os.path.islink(step) else step
    return done


def _label(config: str) -> str:
    directory = os.path.dirname(config)
    name = os.path.basename(directory)
    return os.path.basename(os.path.dirname(directory)) if name == "current" else name or "root"


def replace_file(path: str, content: bytes) -> None:
    """Write a file of the owner's alone whole, in place of what was there, or not at all: raises OSError then."""
    temporary = path + ".new"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _runtime_base(environ: Mapping[str, str]) -> str:
    if explicit := environ.get("QUEUEPOOL_RUNTIME_DIR"):
        return os.path.abspath(explicit)
    if os.geteuid() == 0:
        return "/run/queuepool" if os.path.isdir("/run") else "/var/run/queuepool"
    if xdg := environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(xdg, "queuepool")
    return f"/tmp/queuepool-{os.geteuid()}"  # noqa: S108 - checked below to be ours and private


def _state_base(environ: Mapping[str, str], runtime: str) -> str:
    if explicit := environ.get("QUEUEPOOL_STATE_DIR"):
        return os.path.abspath(explicit)
    if environ.get("QUEUEPOOL_RUNTIME_DIR"):
        return os.path.join(runtime, "state")
    if os.geteuid() == 0:
        return "/var/lib/queuepool"
    home = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "queuepool")


def _must_be_private(directory: str) -> None:
    """Somebody else's directory in /tmp could hold a socket that pretends to be ours."""
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise QueuepoolError(
            f"cannot use {directory}: it does not belong to the user of this process",
            "a daemon of its owner may run there: run this as that user, or set QUEUEPOOL_RUNTIME_DIR",
        )
    if found.st_mode & 0o077:
        os.chmod(directory, 0o700)


def _read_pid(fd: int) -> int | None:
    text = os.pread(fd, 20, 0).strip()
    return int(text) if text.isdigit() else None
