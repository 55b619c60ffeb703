"""Starts the daemon as a process of its own and waits until it is ready, or until it has said why it is not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from queuepool.cli.approval import Approval
from queuepool.control.client import error_from, error_to
from queuepool.errors import ExitCode, QueuepoolError
from queuepool.system.rundir import RunDirectory


def start(config_path: str, tell: Callable[[str], None]) -> int:
    """Start the daemon of `config_path`; its pid, once it answers on its socket. Raises what kept it from starting.
    tell: called with each line about programs that cannot run.

    The child is a fork, not a new interpreter: what this command has loaded it need not load again.
    """
    log = RunDirectory(config_path).log
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _be_the_daemon(config_path, log, writer)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    if not said:
        _, status = os.waitpid(pid, 0)
        raise QueuepoolError(
            f"cannot start the daemon: it ended before it was ready ({_how(status)})",
            f"`queuepool up` shows what it says; its log is {log}",
        )
    message: dict[str, Any] = json.loads(said)
    for line in message["notes"]:
        tell(line)
    if "error" in message:
        os.waitpid(pid, 0)
        raise error_from(message["error"])
    return pid


def _be_the_daemon(config_path: str, log: str, writer: int) -> None:
    """Leave the terminal, run the daemon, never return."""
    code: int = ExitCode.FAILED
    notes: list[str] = []
    report = _Report(writer, notes)

    def ready() -> None:
        _point_standard_streams_at(log)  # its directory may not have been there before
        report.ready()

    try:
        os.setsid()
        os.chdir("/")
        os.umask(0o022)
        _point_standard_streams_at(os.devnull)
        # What the caller left open is not ours: `flock 9 queuepool up -d` would hold that lock for ever.
        os.closerange(3, writer)
        os.closerange(writer + 1, min(os.sysconf("SC_OPEN_MAX"), 1 << 16))
        from queuepool import daemon

        reading = daemon.begin_to_read(config_path)
        code = daemon.run(config_path, reading, foreground=False, ready=ready, approve=Approval(notes.append))
    except QueuepoolError as error:
        code = error.exit_code
        report.failed(error)
    except BaseException as error:  # noqa: BLE001 - the last one that can tell of it
        from queuepool.cli.trouble import keep_traceback

        path = keep_traceback(error)
        report.failed(
            QueuepoolError(
                f"the daemon has a defect: {type(error).__name__}: {error}",
                f"the traceback is in {path}; please report it" if path else "please report it",
            )
        )
    finally:
        os._exit(code)  # without the caller's exit handlers and buffers


class _Report:
    """The way of one message from the child to the command that started it. notes: lines that go with it."""

    def __init__(self, fd: int, notes: list[str]) -> None:
        self._fd: int | None = fd
        self._notes = notes

    def ready(self) -> None:
        self._say({"ready": True})

    def failed(self, error: QueuepoolError) -> None:
        self._say({"error": error_to(error)})

    def _say(self, message: dict[str, Any]) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            try:
                rest = json.dumps(message | {"notes": self._notes}).encode()
                while rest:
                    rest = rest[os.write(fd, rest) :]
            except BrokenPipeError:
                pass  # Ctrl-C ended the command that waited; the daemon goes on
            finally:
                os.close(fd)


def _point_standard_streams_at(log: str) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        out = os.dup(null)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    for fd in (null, out):
        if fd > 2:
            os.close(fd)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
