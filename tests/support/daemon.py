"""A real daemon of a test's own, driven by the real command, in a run directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from queuepool.system.procstat import birth, holders
from queuepool.system.rundir import RunDirectory
from tests.support.wait import LIMIT, eventually

_DEFECT = re.compile(r"^(?:\S+ \S+ event=defect\b|Traceback \(most recent call last\))", re.M)
"""A defect in what a daemon writes: its journal's line, or a traceback of its own. One that a worker prints does not
begin a line there."""


def calm(text: str) -> str:
    """What a command printed, which never has a traceback, also not one that was put into a file."""
    assert "Traceback" not in text, text
    assert 'File "' not in text, text
    assert "defect of queuepool" not in text, text
    assert "has a defect" not in text, text  # what the daemon answers then
    return text


class Queuepool:
    """with Queuepool(tmp_path, text_of_queuepool_yml) as qp:
            qp.up(); qp.running("w", 4); qp("scale", "w", "8")

    On leaving, the daemon and every process that it or an earlier one of this run directory started are killed; and
    where the test has not failed, no daemon and no command may have had a defect.
    """

    may_have_defects = False
    """Set by a test that provokes one on purpose."""

    def __init__(self, directory: str | os.PathLike[str], text: str, **environment: str) -> None:
        """directory: where queuepool.yml is written, made if missing. environment: more variables for the commands."""
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.file = self.directory / "queuepool.yml"
        self.write(text)
        self.runtime = tempfile.mkdtemp(prefix="qp-", dir="/tmp")  # short: the path of a socket has at most 107 bytes
        os.chmod(self.runtime, 0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("QUEUEPOOL_")}
        self.environment = {**kept, "QUEUEPOOL_RUNTIME_DIR": self.runtime, **environment}
        self.run = RunDirectory(str(self.file), self.environment)
        self.process: subprocess.Popen[bytes] | None = None
        self.output = self.directory / "daemon.out"

    def __enter__(self) -> Queuepool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is not None:
            print(self.story())
        self.close()

    def write(self, text: str) -> None:
        """Write queuepool.yml."""
        self.file.write_text(text)

    def command(self, *args: str) -> list[str]:
        """The command line of `queuepool ARGS` for this file."""
        return [sys.executable, "-m", "queuepool", "-c", str(self.file), *args]

    def try_(
        self, *args: str, timeout: float = 2 * LIMIT, under: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever its exit code. under: a command that runs it, such as setpriv."""
        done = subprocess.run(
            [*under, *self.command(*args)],
            env=self.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if not self.may_have_defects:
            calm(done.stderr)
        return done

    def __call__(self, *args: str, timeout: float = 2 * LIMIT) -> str:
        """Run a command that is to succeed; what it printed."""
        done = self.try_(*args, timeout=timeout)
        assert done.returncode == 0, f"queuepool {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def up(self, *args: str, wait: bool = True, under: Sequence[str] = ()) -> int:
        """Start the daemon in the foreground, beside the test; its pid. wait: until it answers. under: as `try_`."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen(
                [*under, *self.command("up", *args)],
                env=self.environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        if wait:
            process = self.process
            eventually(lambda: process.poll() is not None or self.answers(), what="the daemon answers", show=self.story)
            assert process.poll() is None, f"the daemon ended with {process.returncode}\n{self.story()}"
        return self.process.pid

    def answers(self) -> bool:
        """Whether the daemon answers on its socket."""
        return self.started_at() is not None

    def started_at(self) -> float | None:
        """When the daemon that answers began, in unix seconds; None when none does."""
        from queuepool.errors import QueuepoolError

        try:
            return float(self.status()["daemon"]["started_at"])
        except (QueuepoolError, OSError):
            return None

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Signal the daemon, SIGKILL unless told otherwise, and wait for its end; its exit code."""
        pid = self.run.pid()
        assert pid is not None, "no daemon runs"
        os.kill(pid, number)
        if self.process is not None and self.process.pid == pid:
            return self.process.wait(60)
        eventually(lambda: birth(pid) is None, 60, "the daemon ends")
        return 0

    def status(self) -> dict[str, Any]:
        """The snapshot, straight from the socket."""
        from queuepool.control.client import Client

        return Client(self.run.socket).status()

    def processes(self, program: str | None = None) -> list[dict[str, Any]]:
        """The processes of the snapshot, of one program or of all."""
        return [p for p in self.status()["processes"] if program in (None, p["program"])]

    def pids(self, program: str | None = None) -> dict[str, int]:
        """Name -> pid of what is RUNNING and not retiring."""
        return {p["name"]: p["pid"] for p in self.processes(program) if p["state"] == "RUNNING" and not p["retiring"]}

    def running(self, program: str, count: int, timeout: float = LIMIT) -> dict[str, int]:
        """Wait until exactly `count` processes of the program run and nothing else of it lives; name -> pid."""

        def there() -> dict[str, int]:
            alive = [p for p in self.processes(program) if p["pid"] is not None]
            found = self.pids(program)
            return found if len(found) == count == len(alive) else {}

        if count == 0:
            eventually(lambda: not any(p["pid"] for p in self.processes(program)), timeout, f"{program} is gone")
            return {}
        return eventually(there, timeout, f"{count} of {program} run", show=self.story)

    def state(self, name: str, state: str, timeout: float = LIMIT) -> dict[str, Any]:
        """Wait until a process, by its name such as `w:0`, is in a state; its view."""
        return eventually(
            lambda: next((p for p in self.processes() if p["name"] == name and p["state"] == state), None),
            timeout,
            f"{name} is {state}",
            show=self.story,
        )  # type: ignore[return-value]

    def events(self) -> list[dict[str, Any]]:
        """The journal."""
        return [json.loads(line) for line in self("events", "--json", "-n", "5000").splitlines()]

    def journal(self) -> str:
        """The daemon's log file."""
        log = Path(self.run.log)
        return log.read_text(errors="replace") if log.exists() else ""

    def printed(self) -> str:
        """What the daemon in the foreground printed."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def story(self) -> str:
        """What helps to understand a failure."""
        return f"--- journal\n{self.journal()[-6000:]}\n--- output\n{self.printed()[-3000:]}"

    def close(self) -> None:
        """Kill what is left and remove the run directory. AssertionError when the daemon had a defect, unless that may
        be, or the test is failing already."""
        wrote = f"{self.journal()}\n{self.printed()}"
        self._end()
        found = _DEFECT.search(wrote)
        if found and not self.may_have_defects and sys.exc_info()[0] is None:
            raise AssertionError(f"the daemon had a defect:\n{wrote[found.start() :][:6000]}")

    def _end(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if (pid := self.run.pid()) is not None:
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: birth(pid) is None, what="the daemon is gone")
        for pid in holders(self.runtime):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not holders(self.runtime), what="the workers are gone")
        shutil.rmtree(self.runtime, ignore_errors=True)
