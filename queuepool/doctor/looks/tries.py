"""Really tries, as another user, what workers will do. A child with that user's identity opens files and gives them
back unchanged; modes are only read to explain what was refused. Nothing is left behind."""

from __future__ import annotations

import errno
import grp
import json
import os
import pwd
import select
import signal
import stat
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from queuepool.doctor.facts.access import Try
from queuepool.system.children import Identity

SECONDS = 8.0
"""A file system that hangs holds the child, not us."""


def tried(who: Identity, wanted: Sequence[Try]) -> tuple[Try, ...]:
    """Each with what came of it; those that did not come to an end in time are left out. It blocks."""
    name = pwd.getpwuid(os.geteuid()).pw_name if who.uid is None and not who.name else who.name
    real = [os.path.realpath(one.path) for one in wanted]
    outcomes = _in_child(who, [(one.act, one.path, path) for one, path in zip(wanted, real, strict=True)])
    return tuple(
        _explained(who, replace(one, user=name), outcome) for one, outcome in zip(wanted, outcomes, strict=False)
    )


def shown(path: str) -> str:
    """Mode and owner as `ls -l` has them; "" for what is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{stat.filemode(found.st_mode)} {_user_name(found.st_uid)}:{_group_name(found.st_gid)}"


Outcome = tuple[int, str, str]
"""errno or 0; what refused; the directory that cannot be entered, or ""."""


def _in_child(who: Identity, acts: Sequence[tuple[str, str, str]]) -> list[Outcome]:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of fork() beside threads: the child must need no lock that another thread may have held.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:  # so there are only system calls from here on
        try:
            os.close(reader)
            if who.uid is not None and who.gid is not None:
                os.setgroups(list(who.groups or (who.gid,)))
                os.setgid(who.gid)
                os.setuid(who.uid)
            for act in acts:
                os.write(writer, json.dumps(_outcome(*act)).encode() + b"\n")
        finally:
            os._exit(0)
    os.close(writer)
    try:
        return [(int(code), str(where), str(closed)) for code, where, closed in map(json.loads, _lines(reader))]
    finally:
        os.close(reader)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _lines(reader: int) -> Iterator[bytes]:
    deadline, rest = time.monotonic() + SECONDS, b""
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(reader, 1 << 16)
        if not piece:
            return
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole


def _outcome(act: str, path: str, real: str) -> Outcome:
    where = path
    try:
        if act == "write":
            where = _standing(path)
            _write(where, missing=where != path)
        elif act == "read":
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        elif act == "append":
            where = _standing(path)
            if where == path and os.path.isdir(path):
                raise IsADirectoryError(errno.EISDIR, "")
            _write(where, missing=where != path)
        elif act == "inside":
            where = _standing(path)
            os.stat(path)
            _write(path, missing=False)
        elif act == "enter":
            os.stat(os.path.join(path, "."))
        elif not os.access(path, os.X_OK) or not os.path.isfile(path):
            os.stat(path)
            raise PermissionError(errno.EACCES, "")
    except OSError as error:
        return error.errno or errno.EIO, where, _closed(real, path) if error.errno == errno.EACCES else ""
    return 0, where, ""


def _standing(path: str) -> str:
    """The path, or the nearest directory above it that is there. Raises OSError where that cannot be told."""
    while True:
        try:
            os.stat(path)
        except FileNotFoundError:
            above = os.path.dirname(os.path.realpath(path) if os.path.islink(path) else path)
            if above == path:
                raise
            path = above
        else:
            return path


def _write(path: str, *, missing: bool) -> None:
    """Open it for writing. A directory gets a file without a name, which nobody sees and which is gone at once."""
    if not os.path.isdir(path):
        if missing:
            raise NotADirectoryError(errno.ENOTDIR, "")
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            if error.errno != errno.ENXIO:  # a FIFO that nobody reads yet
                raise
        return
    tmpfile = getattr(os, "O_TMPFILE", 0)
    if tmpfile:
        try:
            os.close(os.open(path, tmpfile | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                raise
        else:
            return
    if not os.access(path, os.W_OK | os.X_OK):  # a file system without O_TMPFILE
        raise OSError(errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES, "")


def _closed(*paths: str) -> str:
    """The first directory on the way that cannot be entered."""
    for path in paths:
        steps = [os.path.dirname(path)]
        while steps[-1] != os.path.dirname(steps[-1]):
            steps.append(os.path.dirname(steps[-1]))
        for step in reversed(steps):
            try:
                os.stat(os.path.join(step, "."))
            except PermissionError:
                return step
            except OSError:
                break
    return ""


def _explained(who: Identity, one: Try, outcome: Outcome) -> Try:
    code, where, closed = outcome
    if code == 0:
        return one
    return replace(
        one,
        error=errno.errorcode.get(code, str(code)),
        words=_words(one, code, where),
        where=where,
        shown=shown(where),
        closed=closed,
        closed_shown=shown(closed) if closed else "",
        allowed=code == errno.EACCES and not closed and _modes_allow(who, where, one.act),
    )


def _words(one: Try, code: int, where: str) -> str:
    if one.act == "execute" and code == errno.EACCES:
        with suppress(OSError):
            if os.statvfs(where).f_flag & getattr(os, "ST_NOEXEC", 0):
                return f"{os.strerror(code)}: its file system is mounted noexec"
    return os.strerror(code)


def _modes_allow(who: Identity, path: str, act: str) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    uid = os.geteuid() if who.uid is None else who.uid
    groups = set(os.getgroups()) | {os.getegid()} if who.gid is None else {who.gid, *(who.groups or ())}
    bit = {"read": 4, "execute": 1, "enter": 1}.get(act, 3 if stat.S_ISDIR(found.st_mode) else 2)
    shift = 6 if found.st_uid == uid else 3 if found.st_gid in groups else 0
    return uid == 0 or (found.st_mode >> shift) & bit == bit


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
