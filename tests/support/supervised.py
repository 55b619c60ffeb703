"""A real supervisord with a queuepool.yml of `engine: supervisord` beside it, and no daemon of queuepool."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from queuepool.control.inprocess import InProcess
from queuepool.control.messages import Request
from tests.support.daemon import Queuepool
from tests.support.supervisord import Supervisord, proxy
from tests.support.wait import eventually

OTHER = "[program:other]\ncommand=sleep 1000\nstartsecs=0\n"
"""A program of somebody else."""


class Supervised:
    """with Supervised(tmp_path, "programs: ...") as site: site.qp("up"); site.pids("w")

    The queuepool.yml stands in `root`. On leaving, supervisord and all processes that it started are killed.
    """

    def __init__(
        self, root: Path, text: str, version: str = "debian", *, more: str = OTHER, engine: str = "", sections: str = ""
    ) -> None:
        """text: of queuepool.yml, without its engine. more: programs of supervisord. engine: more options of `engine`.
        sections: in place of its [include]."""
        self.root = root
        self.conf = root / "sv" / "conf.d"
        self.conf.mkdir(parents=True, exist_ok=True)
        self.more = more + (sections or "[include]\nfiles = conf.d/*.conf\n")
        self.version = version
        self.sv = Supervisord(root / "sv", version, self.more)
        self._old: list[Supervisord] = []
        self.head = f"engine: {{type: supervisord, config: {self.sv.file}{engine}}}\n"
        self.qp = Queuepool(root, self.head + text)
        self._log = root / "sv" / "supervisord.log"

    def __enter__(self) -> Supervised:
        try:
            self.sv.__enter__()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: object) -> None:
        if error is not None:
            print(self.story())
        self.close()

    def write(self, text: str) -> None:
        """Write queuepool.yml."""
        self.qp.write(self.head + text)

    @property
    def file(self) -> Path:
        """The file that queuepool writes."""
        [found] = self.conf.glob("queuepool-*.conf")
        return found

    def states(self) -> dict[str, tuple[str, int]]:
        """Name in supervisord -> state and pid there."""
        with proxy(self.sv.url) as server:
            found: list[dict[str, object]] = server.supervisor.getAllProcessInfo()  # type: ignore[assignment]
        return {str(one["name"]): (str(one["statename"]), int(str(one["pid"]))) for one in found}

    def pids(self, program: str) -> dict[str, int]:
        """Name -> pid of what runs of a program."""
        found = self.states().items()
        return {name: pid for name, (state, pid) in found if name.startswith(program) and state == "RUNNING"}

    def running(self, program: str, count: int) -> dict[str, int]:
        """Wait until exactly so many run; name -> pid."""
        if not count:
            eventually(lambda: not self.pids(program), what=f"{program} is gone", show=self.story)
            return {}

        def there() -> dict[str, int]:
            pids = self.pids(program)
            return pids if len(pids) == count else {}

        return eventually(there, what=f"{count} of {program} run", show=self.story)

    def ask(self, request: Request, notes: list[str] | None = None) -> dict[str, Any]:
        """Have something done, in this process: as a command does it, without the start of one."""
        with self.here():
            return InProcess(str(self.qp.file), (notes if notes is not None else []).append).ask(request)

    def status(self) -> dict[str, Any]:
        """The snapshot."""
        with self.here():
            return InProcess(str(self.qp.file)).status()

    @contextlib.contextmanager
    def here(self):  # type: ignore[no-untyped-def]
        """With the run directory of this site in the environment."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("QUEUEPOOL_RUNTIME_DIR", self.qp.runtime)
            yield

    def restart(self, *, kill: bool = True) -> None:
        """Another supervisord with the same files; the former one is killed, or ended as it should be."""
        former = self.sv
        if kill:
            former.process.kill()
        else:
            former.process.terminate()
        former.process.wait()
        self._old.append(former)
        log = self._log.read_text()
        self.sv = Supervisord(self.root / "sv", self.version, self.more)
        self.sv.__enter__()
        assert log

    def story(self) -> str:
        """What helps to understand a failure."""
        ours = "".join(path.read_text() for path in self.conf.glob("queuepool-*.conf"))
        log = self._log.read_text() if self._log.exists() else ""
        return f"{self.qp.story()}\n--- supervisord\n{log[-3000:]}\n--- our file\n{ours}"

    def close(self) -> None:
        """Kill supervisord and what it started."""
        log = self._log.read_text(errors="replace") if self._log.exists() else ""
        for one in [*self._old, self.sv]:
            one.close()
        mark = f"QUEUEPOOL_CONFIG={self.qp.run.config}\0".encode()
        for pid in map(int, re.findall(r"spawned: '.*' with pid (\d+)", log)):
            with contextlib.suppress(OSError):
                if mark in Path(f"/proc/{pid}/environ").read_bytes():
                    os.killpg(pid, signal.SIGKILL)
        self.qp.close()
