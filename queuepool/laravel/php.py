"""Starting the PHP of a program so that it becomes `artisan` and runs a script of ours too. The script reaches it on
standard input, so no file has to be readable for the workers' user, inside their chroot or under their open_basedir.
What the scripts ask is probe.py's and sizes.py's matter."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import pwd
import re
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from queuepool.domain.command import NO_TERMINAL
from queuepool.errors import QueuepoolError

_LOADER = "eval(stream_get_contents(STDIN, (int) fgets(STDIN)));"
"""The whole of what `ps` shows behind `php -r`: the length and the script itself come on standard input."""

_BOOTED = Path(__file__).with_name("booted.php")
_FAREWELL_SECONDS = 5.0

_BECOME_ARTISAN = r"""
$argv = $_SERVER['argv'] = ['artisan', '--version', '--no-ansi'];
$argc = $_SERVER['argc'] = 3;
$_SERVER['PHP_SELF'] = $_SERVER['SCRIPT_NAME'] = $_SERVER['SCRIPT_FILENAME'] = $_SERVER['PATH_TRANSLATED'] = 'artisan';
if (ini_get('auto_prepend_file')) {
    require ini_get('auto_prepend_file');
}
require getcwd().'/artisan';
"""


def script(file: Path, options: Mapping[str, str | bool]) -> bytes:
    """What PHP is to read from standard input: `file` with `options` as its $queuepool, then artisan."""
    given = "".join(f"'{key}' => {json.dumps(value)}, " for key, value in options.items())
    booted, source = (path.read_text(encoding="utf-8").removeprefix("<?php") for path in (_BOOTED, file))
    code = f"$queuepool = [{given}];\n{booted}\n{source}\n{_BECOME_ARTISAN}".encode()
    return b"%d\n%s" % (len(code), code)


def spawn(
    php: tuple[str, ...],
    app: str,
    *,
    user: str | None,
    group: str | None,
    environment: Mapping[str, str],
    stdin: IO[bytes] | int,
    stderr: int = subprocess.PIPE,
    args: tuple[str, ...] = ("-r", _LOADER),
) -> subprocess.Popen[bytes]:
    """PHP in the directory `app`, in a session of its own, with pipes for its outputs; it reads script()'s bytes from
    `stdin`. user, group: names or numbers; needs root unless they are our own. Raises QueuepoolError."""
    if not os.path.isfile(os.path.join(app, "artisan")):
        raise QueuepoolError(f"cannot ask the application in {app}: there is no artisan", "set `app:` to its directory")
    identity = _identity(user, group)
    _left.difference_update([process for process in _left if process.poll() is not None])
    try:
        return subprocess.Popen(
            [*php, *args],
            cwd=app,
            env={**NO_TERMINAL, **environment},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            **identity,
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise QueuepoolError(
            f"cannot run {php[0]} in {app}: {why}", "set `php:` to the PHP of the command line"
        ) from None


def _identity(user: str | None, group: str | None) -> dict[str, Any]:
    """The arguments of Popen that make the process this user's; none when nothing changes."""
    if user is None and group is None:
        return {}
    try:
        entry = _entry(user)
        gid = entry.pw_gid if group is None else int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise QueuepoolError(
            f"cannot run as {user or group}: there is no such user or group", "set `user:` to one of `getent passwd`"
        ) from None
    if os.geteuid() != 0:
        if entry.pw_uid == os.geteuid() and gid == os.getegid():
            return {}
        raise QueuepoolError(f"cannot run as {user or group}: only root may", "use sudo")
    return {"user": entry.pw_uid, "group": gid, "extra_groups": os.getgrouplist(entry.pw_name, gid)}


def _entry(user: str | None) -> pwd.struct_passwd:
    if user is None or user.isdecimal():
        uid = os.geteuid() if user is None else int(user)
        try:
            return pwd.getpwuid(uid)
        except KeyError:  # a number without an entry, as containers have
            return pwd.struct_passwd((str(uid), "x", uid, uid, "", "/", "/bin/sh"))
    return pwd.getpwnam(user)


@contextlib.asynccontextmanager
async def reader(pipe: IO[bytes], limit: int = 1 << 16) -> AsyncIterator[asyncio.StreamReader]:
    """A pipe as a stream of asyncio; closed at the end. limit: of a line, in bytes."""
    # asyncio's own subprocesses would do, but on Python 3.11 they start a thread for each.
    stream = asyncio.StreamReader(limit=limit)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), pipe
    )
    try:
        yield stream
    finally:
        transport.close()


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended. It is not collected: so its pid, which is its session's too, stays its own."""
    return _seen(process) != "runs"


def _seen(process: subprocess.Popen[bytes]) -> Literal["runs", "ended", "collected"]:
    """Whoever reaps orphans, the daemon itself, also collects a child that has been dead for a second."""
    if process.returncode is not None:
        return "collected"
    try:
        found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return "collected"
    return "runs" if found is None else "ended"


async def put_down(process: subprocess.Popen[bytes]) -> None:
    """End the process with its whole session, children that it forked included, and collect it. One that the kernel
    does not let go within some seconds, as a dead network drive makes them, is left behind."""
    if _seen(process) != "collected":  # from then on its number may be another's
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    try:
        async with asyncio.timeout(_FAREWELL_SECONDS):
            while not ended(process):  # noqa: ASYNC110 - nothing tells where there is no pidfd
                await asyncio.sleep(0.002)
    except TimeoutError:
        pass
    finally:  # also when cancelled: then it is collected before the next one is started
        if process.poll() is None:
            _left.add(process)


_left: set[subprocess.Popen[bytes]] = set()
"""Processes that were killed and have not ended yet."""


def answer(out: bytes, mark: str) -> dict[str, Any]:
    """The last object behind the mark; empty when there is none."""
    _, found, line = out.rpartition(mark.encode())
    if not found:
        return {}
    try:
        facts = json.loads(line.split(b"\n", 1)[0])
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def failure(facts: Mapping[str, Any], said: bytes, code: int | None, php: tuple[str, ...], app: str) -> QueuepoolError:
    """Why the application did not boot, in one line. facts: what a script said of it. said: both outputs without that.
    code: exit status, None when it still ran."""
    hint = f"see all of it: cd {shlex.quote(app)} && {shlex.join(php)} artisan --version"
    found = facts.get("failure")
    if found:
        message, file = str(found["message"]), str(found["file"])
        first = next(iter(message.strip().splitlines()), "") or str(found["class"])
        first = re.sub(r"^(PHP )?(Uncaught )", "", first)
        first = re.sub(r" \(include_path='.*'\)$", "", first.removesuffix(f" in {file}:{found['line']}"))
        where = f"{_inside(file, app)}:{found['line']}"
        return QueuepoolError(f"cannot boot the application in {app}: {first} ({where})", _remedy(message, app) or hint)
    # Its first line alone: the second of "The environment file is invalid!" may quote a password.
    lines = (line.strip() for line in said.decode(errors="replace").splitlines())
    first = next((line for line in lines if line and not line.startswith("#!")), "")
    end = f"exit code {code}" if code is None or code >= 0 else f"killed by signal {-code}"
    if facts.get("last_file") and not first:
        last = _inside(str(facts["last_file"]), app)
        first = f"it ended PHP by itself; the last of its files that was loaded is {last}"
    return QueuepoolError(f"cannot boot the application in {app}: {first or 'it said nothing'} ({end})", hint)


def _inside(file: str, app: str) -> str:
    inside = os.path.relpath(file, os.path.realpath(app)) if file else ""
    return file if not inside or inside.startswith("..") else inside


def _remedy(message: str, app: str) -> str | None:
    here = shlex.quote(app)
    if "vendor/autoload.php" in message:
        return f"install what it needs: cd {here} && composer install --no-dev"
    if "must be present and writable" in message:
        return (
            f"give it to the user of the workers: mkdir -p {here}/bootstrap/cache && chown USER {here}/bootstrap/cache"
        )
    return None
