"""Making a process, hearing of its end, and reaching its whole tree. What is made, when and how often is the engine's
matter (engines/local.py); this file knows nothing of pools."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import grp
import os
import pwd
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from queuepool.domain.pool import Launch
from queuepool.errors import SpawnError

LINUX = sys.platform == "linux"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HAS_PIDFD = hasattr(os, "pidfd_open")

_PIDFD_GET_INFO = 0xC040FF0B
"""_IOWR(0xFF, 11, struct pidfd_info of 64 bytes), linux/pidfd.h since Linux 6.13; PIDFD_INFO_EXIT since 6.15."""
_PIDFD_INFO_EXIT = 1 << 3


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a process runs as. uid, gid and groups are None where nothing has to be changed."""

    uid: int | None
    gid: int | None
    groups: tuple[int, ...] | None
    name: str
    home: str
    shell: str


def identity(user: str | None, group: str | None, groups: tuple[str, ...] | None) -> Identity:
    """The ids behind names (or numbers as text). Raises SpawnError for an unknown one, or for one that this process
    may not become."""
    return _identity(user, group, groups, int(time.monotonic() / 5))


@lru_cache(maxsize=256)
def _identity(user: str | None, group: str | None, groups: tuple[str, ...] | None, _age: int) -> Identity:
    entry = _user(user)
    gid = _group(group) if group is not None else entry.pw_gid
    if groups is not None:
        extra: tuple[int, ...] = tuple(sorted({gid, *(_group(g) for g in groups)}))
    else:
        extra = tuple(sorted(set(os.getgrouplist(entry.pw_name, gid))))
    name, home, shell = entry.pw_name, entry.pw_dir or "/", entry.pw_shell or "/bin/sh"
    if user is None and group is None and groups is None:
        return Identity(None, None, None, name, home, shell)
    if os.geteuid() != 0:
        if entry.pw_uid == os.geteuid() and (group is None or gid == os.getegid()) and groups is None:
            return Identity(None, None, None, name, home, shell)
        raise SpawnError(
            f"cannot run as {user or group}: only root may start processes of other users or groups",
            "run queuepool as root (`sudo queuepool up`), or remove `user:` and `group:` from the file",
        )
    if entry.pw_uid == 0 and gid == os.getegid() and set(extra) == set(os.getgroups()) | {gid}:
        return Identity(None, None, None, name, home, shell)  # nothing changes: keeps the cheap vfork
    return Identity(entry.pw_uid, gid, extra, name, home, shell)


def _user(user: str | None) -> pwd.struct_passwd:
    try:
        if user is None:
            return pwd.getpwuid(os.geteuid())
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        if user is None or user.isdecimal():  # a number without an entry, as containers have
            uid = os.geteuid() if user is None else int(user)
            return pwd.struct_passwd((str(uid), "x", uid, uid, "", "/", "/bin/sh"))
        raise SpawnError(
            f"cannot run as {user}: there is no such user on this machine",
            f"create it (`useradd --system {user}`) or change `user:` in the file",
        ) from None


def _group(group: str) -> int:
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise SpawnError(
            f"cannot run with group {group}: there is no such group on this machine",
            f"create it (`groupadd --system {group}`) or change `group:` in the file",
        ) from None


_OURS = ("QUEUEPOOL_", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "INVOCATION_ID", "PYDANTIC_DISABLE_PLUGINS")


def environment(launch: Launch, who: Identity, names: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: that of its user, what the file gives, and `names` (QUEUEPOOL_*, SUPERVISOR_*).
    The daemon's own is kept out unless clear_env is off; a child of the daemon's own user keeps its PATH."""
    base: dict[str, str] = {} if launch.clear_env else dict(os.environ)
    for key in [key for key in base if key.startswith(_OURS)]:
        del base[key]
    base |= {"HOME": who.home, "USER": who.name, "LOGNAME": who.name, "SHELL": who.shell}
    base["PATH"] = os.environ.get("PATH", DEFAULT_PATH) if who.uid is None else DEFAULT_PATH
    base["LANG"] = os.environ.get("LANG", "C.UTF-8")
    return base | dict(launch.environment) | dict(names)


def spawn(launch: Launch, names: Mapping[str, str], stdout: int, stderr: int | None, stdin: int | None = None) -> int:
    """Start the process in a session of its own and return its pid; it has been executed when this returns.

    stdout, stderr, stdin: descriptors it gets as 1, 2 and 0; stderr None: the same as stdout, stdin None: /dev/null.
    Takes about 0.1 ms, with another user about 1 ms (a fork instead of a vfork, see Modules/_posixsubprocess.c). Raises
    SpawnError that says which step failed: the user, the directory, the command, or a limit of the system.
    """
    who = identity(launch.user, launch.group, launch.groups)
    env = environment(launch, who, names)
    if who.uid is not None and (closed := _closed_to(who, launch.directory)):
        raise SpawnError(
            f"cannot enter the directory {launch.directory} as {who.name}: no permission for {closed}",
            f"let {who.name} in: `chmod o+x {closed}`, or chown it",
        )
    try:
        child = subprocess.Popen(
            launch.argv,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=stdout,
            stderr=subprocess.STDOUT if stderr is None else stderr,
            cwd=launch.directory,
            env=env,
            user=who.uid,
            group=who.gid,
            extra_groups=who.groups,
            umask=-1 if launch.umask is None else launch.umask,
            start_new_session=True,
            close_fds=False,  # every descriptor of the daemon is close-on-exec (PEP 446)
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise _explained(error, launch, who, env) from None
    child.returncode = 0  # the end is heard of by pidfd or SIGCHLD; Popen is not to look for it
    if launch.nice is not None or launch.rlimits:
        _limit(child.pid, launch)
    return child.pid


def _closed_to(who: Identity, directory: str) -> str | None:
    """The first directory on the way that the user may not enter. Popen changes the directory before the user, so the
    kernel would let root in and the process could open nothing there. Where ACLs rule, the kernel is left to decide."""
    path = os.path.realpath(directory)
    steps = [path]
    while steps[-1] != os.path.dirname(steps[-1]):
        steps.append(os.path.dirname(steps[-1]))
    for step in reversed(steps):
        try:
            found = os.stat(step)
            if LINUX and "system.posix_acl_access" in os.listxattr(step):
                return None
        except OSError:
            return None
        owner, group = found.st_uid == who.uid, found.st_gid == who.gid or found.st_gid in (who.groups or ())
        bit = 0o100 if owner else 0o010 if group else 0o001
        if who.uid != 0 and not found.st_mode & bit:
            return step
    return None


def _limit(pid: int, launch: Launch) -> None:
    """nice and rlimits are set from outside, right after the start: preexec_fn would cost a fork of the daemon."""
    try:
        if launch.nice is not None:
            os.setpriority(os.PRIO_PROCESS, pid, launch.nice)
        for name, soft, hard in launch.rlimits:
            number = getattr(resource, "RLIMIT_" + name.upper(), None)
            if number is None or not hasattr(resource, "prlimit"):
                raise SpawnError(f"cannot set rlimit {name}: this system does not know it", "remove it from `rlimits:`")
            resource.prlimit(pid, number, (soft, hard))
    except (OSError, ValueError) as error:
        os.kill(pid, signal.SIGKILL)
        raise SpawnError(
            f"cannot set nice or rlimits of {launch.argv[0]}: {error}",
            "only root may raise them above the daemon's own limits",
        ) from None
    except SpawnError:
        os.kill(pid, signal.SIGKILL)
        raise


def _explained(error: Exception, launch: Launch, who: Identity, env: Mapping[str, str]) -> SpawnError:
    """Which step failed. Popen tells the errno but not always the step, so the steps are looked at once more."""
    if not isinstance(error, OSError):
        return SpawnError(f"cannot start {launch.argv[0]}: {error}", "check `command:` and `environment:` in the file")
    command, directory, number = launch.argv[0], launch.directory, error.errno
    as_whom = f" as {who.name}" if who.uid is not None else ""
    if number in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.E2BIG):
        return SpawnError(f"cannot start {command}: {error.strerror}", "look at `ulimit -a` and at free memory")
    if not os.path.isdir(directory):
        what = "is not a directory" if os.path.exists(directory) else "does not exist"
        return SpawnError(f"cannot enter the directory {directory}: it {what}", "check `directory:` or `app:`")
    if error.filename == directory:
        return SpawnError(
            f"cannot enter the directory {directory}{as_whom}: {error.strerror}",
            f"give {who.name} the permission: `chmod o+x` on each directory of the path, or chown",
        )
    if number == errno.ENOENT:
        if os.sep in command and os.path.exists(os.path.join(directory, command)):
            return SpawnError(
                f"cannot start {command}: the interpreter in its first line does not exist",
                f"install what `head -n 1 {command}` names, or change that line",
            )
        where = "there is no such file" if os.sep in command else f"it is not in PATH ({env['PATH']})"
        return SpawnError(f"cannot find the command {command}: {where}", "check `command:` or `php:` in the file")
    if number == errno.EACCES:
        return SpawnError(f"cannot execute {command}{as_whom}: permission denied", f"try `chmod a+rx {command}`")
    if number == errno.ENOEXEC:
        return SpawnError(
            f"cannot execute {command}: it is neither a program nor a script with #! in its first line",
            "name the interpreter in `command:`, as in `command: sh script`",
        )
    return SpawnError(f"cannot start {command}{as_whom}: {error.strerror}", "check `command:` and `user:` in the file")


def pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when `pid` ends; None where the system has none (macOS) or it is gone."""
    if not HAS_PIDFD:
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def reap(pid: int) -> int | None:
    """Exit status of an own child that has ended (minus the signal), taking it off the process table. Raises
    ChildProcessError when it is not our child; returns None when it still runs."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
    return None if found is None else _code(found)


def _code(found: os.waitid_result) -> int:
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def exit_of_stranger(fd: int) -> int | None:
    """Exit status behind a pidfd of a process that was not our child and has been reaped by its parent; None where
    the kernel does not tell (before Linux 6.15) or not yet."""
    if not LINUX:
        return None
    import fcntl

    request = bytearray(64)
    struct.pack_into("Q", request, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(fd, _PIDFD_GET_INFO, request)
    except OSError:
        return None
    (mask,) = struct.unpack_from("Q", request, 0)
    if not mask & _PIDFD_INFO_EXIT:
        return None
    (status,) = struct.unpack_from("i", request, 60)
    return os.waitstatus_to_exitcode(status)


def signal_one(pid: int, number: int) -> bool:
    """Send a signal to one process; whether it was still there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def signal_tree(leader: int, number: int) -> bool:
    """Send a signal to the process group that `leader` leads; whether anything of it was there. 0 only asks."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # macOS says EPERM of a group with nothing but a zombie
        return False
    return True


def keep_descriptors_in() -> None:
    """Let no child inherit what this process inherited: a worker is not to hold the lock of `flock 9 queuepool up`."""
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def become_subreaper() -> bool:
    """Make orphans of our descendants our own children (prctl PR_SET_CHILD_SUBREAPER, Linux)."""
    if not LINUX:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(36, 1, 0, 0, 0) == 0)
