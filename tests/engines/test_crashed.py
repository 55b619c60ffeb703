"""What the engine tells of a process that ended with a job unfinished: real processes, which print as workers do."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from queuepool.domain.desired import Revision
from queuepool.domain.names import ProcessName
from queuepool.domain.ooms import OomKills
from queuepool.domain.pool import Autorestart, Launch, LogPolicy, Policy, PoolSpec, ProcessSpec
from queuepool.domain.work import Job
from queuepool.engines.life import Life
from queuepool.engines.local import LocalEngine
from queuepool.engines.record import Record
from queuepool.logs.pump import Pump
from queuepool.system import children, procstat
from queuepool.system.cgroups import oom_kills
from queuepool.system.rundir import RunDirectory
from tests.support.turns import until

NAME = ProcessName("w", 0)
BEGUN = r"[2026-01-31 10:00:00][x7] Processing: App\Jobs\Mail"
DONE = r"[2026-01-31 10:00:00][x7] Processed:  App\Jobs\Mail"


@dataclass
class Place:
    """An engine with one slot, and what it told."""

    engine: LocalEngine
    directory: Path
    crashes: list[tuple[ProcessName, Job, int | None]] = field(default_factory=list)
    exits: list[str] = field(default_factory=list)

    def begin(self, script: str) -> Life:
        argv = (sys.executable, "-c", script)
        launch = Launch(argv, str(self.directory), environment=(("BEGUN", BEGUN), ("DONE", DONE)))
        policy = Policy(startsecs=0.0, autorestart=Autorestart.NEVER)
        log = LogPolicy(str(self.directory / "w.log"))
        spec = ProcessSpec(NAME, "w:w_00", launch, policy, log)
        pool = PoolSpec("w", "worker", 1, lambda slot: spec, says=True, queues=("high",))
        self.engine.know({"w": pool})
        return self.engine.begin(NAME, Revision(launch.fingerprint, 0))

    async def until(self, true: Callable[[], object]) -> None:
        await until(true, f"one of {self.crashes} {self.exits}")


@asynccontextmanager
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    short = tempfile.mkdtemp(prefix="qp-", dir="/tmp")  # the path of a socket has at most 107 bytes
    run = RunDirectory(str(tmp_path / "queuepool.yml"), {"QUEUEPOOL_RUNTIME_DIR": short})
    run.make()
    children.become_subreaper()
    pump = Pump(lambda trouble: None, spool_directory=run.spool)
    engine = LocalEngine(
        run,
        pump,
        Record(run.record, procstat.boot_id()),
        publish=lambda kind, subject, facts: made.exits.append(str(kind)),
        changed=lambda pool, number: None,
        crashed=lambda name, job, code: made.crashes.append((name, job, code)),
        oom_killed=OomKills(lambda: oom_kills(str(tmp_path)), time.monotonic).was_one,
    )
    made = Place(engine, tmp_path)
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, engine.endings.children_ended)
    try:
        yield made
    finally:
        pids = list(engine.endings.by_pid)
        pump.close()
        await engine.close()
        for pid in pids:
            children.signal_tree(pid, signal.SIGKILL)
        shutil.rmtree(short)
        # Else the orphans of every later test would become children of this process, which reaps none: a worker of a
        # killed daemon that the next one has adopted would never be seen to end.
        ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def in_place(tmp_path: Path, run: Callable[[Place], Awaitable[None]]) -> None:
    async def main() -> None:
        async with place(tmp_path) as at:
            await run(at)

    asyncio.run(main())


SAY = "import os, signal, sys\ndef say(*words): print(*[os.environ[word] for word in words], sep='\\n', flush=True)\n"


@pytest.mark.parametrize(
    ("ending", "code"),
    [("os.kill(os.getpid(), 9)", -9), ("sys.exit(255)", 255), ("sys.exit(0)", 0)],
)
def test_a_process_that_ends_in_a_job_is_told_of(tmp_path: Path, ending: str, code: int) -> None:
    async def run(at: Place) -> None:
        at.begin(SAY + "say('BEGUN', 'DONE', 'BEGUN')\n" + ending)
        await at.until(lambda: at.crashes)
        [(name, job, seen)] = at.crashes
        assert (name, job.id, job.class_name, job.queue, seen) == (NAME, "x7", "App\\Jobs\\Mail", "high", code)
        work = at.engine.board.work("w")
        assert work is not None
        assert work.all.done == 1

    in_place(tmp_path, run)


def test_the_kernel_s_count_tells_a_kill_for_memory_from_another(tmp_path: Path) -> None:
    events = tmp_path / "sys/fs/cgroup/memory.events"
    for path, text in ((tmp_path / "proc/self/cgroup", "0::/\n"), (events, "oom 0\noom_kill 3\n")):
        path.parent.mkdir(parents=True)
        path.write_text(text)

    async def run(at: Place) -> None:
        for kills, reason in ((3, "killed (SIGKILL): by a job's timeout"), (4, "killed by the kernel: out of memory")):
            events.write_text(f"oom {kills}\noom_kill {kills}\n")
            life = at.begin("import os; os.kill(os.getpid(), 9)")
            await at.until(lambda life=life: life.process.code is not None)  # type: ignore[misc]
            assert life.process.reason.startswith(reason)

    in_place(tmp_path, run)


def test_the_last_line_counts_also_when_the_end_follows_at_once(tmp_path: Path) -> None:
    async def run(at: Place) -> None:
        os.mkfifo(tmp_path / "go")
        life = at.begin(SAY + "say('BEGUN')\nopen('go').read()\nsay('DONE')\nos.kill(os.getpid(), 9)")
        await at.until(lambda: life.desk and life.desk.job)
        (tmp_path / "go").write_text("")
        await at.until(lambda: life.process.pid is None and life.process.code is not None)
        assert at.crashes == []

    in_place(tmp_path, run)


def test_it_is_told_when_nothing_of_the_tree_lives(tmp_path: Path) -> None:
    async def run(at: Place) -> None:
        os.mkfifo(tmp_path / "go")
        script = "import signal\nsignal.signal(15, signal.SIG_IGN)\nchild = os.fork()\nif child: os._exit(1)\n"
        script += "say('BEGUN')\nopen('go').read()\n"
        life = at.begin(SAY + script)
        await at.until(lambda: life.process.leader_gone and life.desk and life.desk.job)
        assert at.crashes == []
        (tmp_path / "go").write_text("")
        await at.until(lambda: at.crashes)
        assert at.crashes[0][1].id == "x7"

    in_place(tmp_path, run)


def test_a_worker_that_was_idle_is_not_told_of(tmp_path: Path) -> None:
    async def run(at: Place) -> None:
        life = at.begin(SAY + "say('BEGUN', 'DONE')\nsignal.pause()")
        await at.until(lambda: (work := at.engine.board.work("w")) and work.all.done)
        assert life.process.pid is not None
        os.kill(life.process.pid, signal.SIGKILL)
        await at.until(lambda: life.process.pid is None)
        assert at.crashes == []
        assert life.desk is None

    in_place(tmp_path, run)
