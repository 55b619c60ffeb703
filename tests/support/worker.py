"""A real child that obeys orders and says when it is ready, for tests that need processes. The child itself is
obedient.c, compiled once per user and version of its source, or obedient.py where there is no compiler.

    report = Report(tmp_path / "report")
    argv = worker_argv(report=report, name="a", stop=0.5, ignore="INT", children=["deaf"])
    ...
    [ready] = report.wait("ready")            # a Said; ready.pid, ready.text == "a"
    report.wait("signal", text="TERM")        # the stop signal came
    report.wait("leaving", text="0", pid=ready.pid)

What it reports, one line each: `ready NAME` (signals are handled, its children live; the time is that of its first
instruction), `child KIND` (by the child itself), `said TOTAL` (numbered lines written so far: after each order to say
some, and before it leaves in the midst of one), `ate MEGABYTES`, `signal NAME`, `leaving CODE` (not when it is killed),
`broken ERRNO` (its output could not be written; it then leaves with 74).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
LIMIT = 60.0
"""Seconds that a wait takes at most, unless told otherwise: far more than needed, so that load makes no test fail."""


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a report. monotonic: seconds on the clock of time.monotonic()."""

    what: str
    pid: int
    monotonic: float
    text: str


class Report:
    """The file in which workers report. Several may share one: each line is one append."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """path: is made at once, writable for everybody, since a worker may run as another user."""
        self.path = str(path)
        os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666))
        os.chmod(self.path, 0o666)

    def __fspath__(self) -> str:
        return self.path

    def said(self, what: str | None = None, *, text: str | None = None, pid: int | None = None) -> list[Said]:
        """All that was reported so far, or what fits."""
        lines = Path(self.path).read_text(encoding="utf-8").split("\n")[:-1]  # the last has no newline yet
        found = [Said(w, int(p), int(t) / 1e9, rest) for w, p, t, rest in (line.split(" ", 3) for line in lines)]
        return [
            s for s in found if what in (None, s.what) and text in (None, s.text) and pid in (None, s.pid)
        ]  # fmt: skip

    def wait(
        self, what: str, *, count: int = 1, text: str | None = None, pid: int | None = None, seconds: float = LIMIT
    ) -> list[Said]:
        """What fits, as soon as there are `count` of it. AssertionError with the whole report after `seconds`."""
        end = time.monotonic() + seconds
        while len(found := self.said(what, text=text, pid=pid)) < count:
            assert time.monotonic() < end, f"{len(found)} of {count} x {what!r} {text or ''} in {self.said()}"
            time.sleep(0.002)
        return found


def worker_argv(
    *,
    report: str | os.PathLike[str] | None = None,
    name: str = "",
    text: str | None = None,
    lines: int = 0,
    errors: int = 0,
    width: int = 0,
    every: float = 0,
    exit: int | None = None,
    die: int | None = None,
    after: float = 0,
    stop: float = 0,
    stop_code: int = 0,
    ignore: str | Iterable[str] = (),
    children: Iterable[str] = (),
    eat: float = 0,
    control: str | os.PathLike[str] | None = None,
    life: int = 600,
    python: bool = False,
) -> list[str]:
    """The command line of a worker that waits for TERM, INT or QUIT, and before that does the following, in this order.

    report, name: where it reports, as whom. eat: megabytes to allocate and touch. children: processes it forks, which
    do not end by themselves: `plain` (in its group, TERM ends it), `deaf` (ignores TERM), `session` (in a session
    of its own). text: printed on stdout with a newline. lines, errors: numbered lines on stdout, stderr: `PID N xxx`,
    the numbers going on from one stream and order to the next; width: bytes of each at least, newline included; every:
    seconds after each. exit: code to leave with, die: signal to send itself, after: seconds before that.
    stop: seconds from the stop signal to its end; stop_code: its exit code then. ignore: signals (TERM, "TERM,INT") it
    only reports; USR1, USR2, HUP and CONT are only reported anyway. control: a FIFO to be told more by `order`. life:
    seconds after which it and its children die of SIGALRM, so that a failed test leaves nothing behind.
    python: use the slow one without a compiler (for the test that both are alike). An unknown order: exit code 64.
    """
    orders = {
        "report": report and os.fspath(report), "name": name, "text": text, "lines": lines, "errors": errors,
        "width": width, "every": every, "exit": exit, "die": die, "after": after, "stop": stop, "stop_code": stop_code,
        "ignore": ignore if isinstance(ignore, str) else ",".join(ignore), "eat": eat,
        "control": control and os.fspath(control), "life": life,
    }  # fmt: skip
    always = {"exit", "die"}  # 0 means something
    given = [f"{k}={v}" for k, v in orders.items() if v is not None and (k in always or v not in ("", 0))]
    return [*_program(python), *given, *(f"child={kind}" for kind in children)]


def order(control: str | os.PathLike[str], *orders: str) -> None:
    """Tell a worker what to do: `say N`, `err N`, `eat MEGABYTES`, `exit CODE`, `die SIGNAL` (a number)."""
    fd = os.open(control, os.O_RDWR)
    try:
        os.write(fd, "".join(text + "\n" for text in orders).encode())
    finally:
        os.close(fd)


def control_fifo(path: str | os.PathLike[str]) -> str:
    """Make a FIFO for `control`, usable by every user."""
    os.mkfifo(path)
    os.chmod(path, 0o666)
    return os.fspath(path)


@cache
def _program(python: bool) -> list[str]:
    slow = [sys.executable, "-I", "-S", str(HERE / "obedient.py")]
    return slow if python else [compiled] if (compiled := compile_c(HERE / "obedient.c")) else slow


def compile_c(source: Path) -> str | None:
    """The program made from a C source, static where possible; None without a working compiler. Every user may run it.

    It is kept in the temporary directory for the next time, under a name that changes with the source.
    """
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    directory = Path(tempfile.gettempdir()) / f"queuepool-tests-{os.getuid()}"
    try:
        directory.mkdir(mode=0o755, exist_ok=True)
        if directory.is_symlink() or directory.stat().st_uid != os.getuid():
            return None  # somebody else's: what lies there is not to be run
        target = directory / f"{source.stem}-{digest}"
        if target.exists():
            return str(target)
        made = directory / f"{target.name}.{os.getpid()}"
        for flags in (["-static"], []):
            command = ["cc", "-O2", *flags, "-o", str(made), str(source)]
            if subprocess.run(command, capture_output=True, timeout=120).returncode == 0:
                made.chmod(0o755)
                made.rename(target)  # whole or not at all: tests may run side by side
                return str(target)
    except (OSError, subprocess.SubprocessError):
        pass
    return None
