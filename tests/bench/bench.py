"""One run of the benchmarks: how much of each, the directories, and the values noted. What they mean is table.py's."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import tools
from tests.bench.peer import Job, Peer
from tests.bench.peers import PEERS

MEMORY = "/dev/shm"
"""Where a run has its files. On a disk, thousands of them made and removed in a row measure its file system (ext4
avoids inodes freed in the last minute, and looks at each of them first), most for those with many files per worker.
Where a run is about what is written into a few files, they are on the disk that has the cache, as logs are."""

KILL_SECONDS = 2.0
"""How long s2 goes on killing workers of those that take a second for each: they get fewer kills."""

Step = tuple[str, Callable[[], None]]
"""The peer that it concerns, and what to do."""


@dataclass(slots=True)
class Bench:
    """values: metric -> peer -> every value measured. broken: (scenario, peer) -> what went wrong."""

    quick: bool = False
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    broken: dict[tuple[str, str], str] = field(default_factory=dict)
    scenario: str = ""

    def repeats(self, name: str) -> int:
        """Runs of which the median is taken; the less often compared ones have fewer, to keep the whole short."""
        return 1 if self.quick or name not in ("queuepool", "supervisor", "shell") else 3

    def kills(self, name: str) -> int:
        """Workers killed in s2, for each size; p99 needs a hundred."""
        return 20 if self.quick else 110 if name == "queuepool" else 30

    @property
    def idle_seconds(self) -> float:
        """How long nothing is done in s3."""
        return 5 if self.quick else 20

    @property
    def storm_seconds(self) -> float:
        """How long workers crash in s9."""
        return 4 if self.quick else 10

    @property
    def chat_seconds(self) -> float:
        """How long quiet workers chat in s4."""
        return 1 if self.quick else 2

    def burst_lines(self, name: str) -> int:
        """Lines of 200 bytes in s4, over all writers; fewer for those that are known to be slow."""
        return 300_000 if self.quick or name not in ("queuepool", "supervisor") else 1_000_000

    def note(self, peer: str, metric: str, value: float) -> None:
        """Keep one measured value."""
        self.values.setdefault(metric, {}).setdefault(peer, []).append(value)

    def perform(self, scenario: str, steps: Iterable[Step]) -> None:
        """Take every step of a scenario; who fails one is left out of the rest of it."""
        self.scenario = scenario
        for name, step in steps:
            if (scenario, name) not in self.broken:
                with self.guarded(name):
                    step()

    @contextmanager
    def guarded(self, name: str) -> Iterator[None]:
        """What goes wrong within is kept in `broken` and does not end the run."""
        try:
            yield
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.broken[self.scenario, name] = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"

    @contextmanager
    def directory(self, name: str, *, on_disk: bool = False) -> Iterator[Path]:
        """An empty directory, removed at the end."""
        place = tools.cache() if on_disk else MEMORY if os.path.isdir(MEMORY) else None
        directory = Path(tempfile.mkdtemp(prefix=f"qp-bench-{name}-", dir=place))
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    @contextmanager
    def run(self, name: str, job: Job, *, on_disk: bool = False) -> Iterator[Peer]:
        """That process manager with that job, not yet started; at the end nothing of it is left."""
        with self.directory(name, on_disk=on_disk) as directory:
            peer = PEERS[name](directory, job)
            try:
                yield peer
            finally:
                peer.close()

    @contextmanager
    def run_all(self, names: Iterable[str], job: Job, ready: Callable[[Peer], object]) -> Iterator[dict[str, Peer]]:
        """All of them side by side, started and `ready`; who fails is left out."""
        with ExitStack() as stack:
            peers: dict[str, Peer] = {}
            for name in names:
                with self.guarded(name):
                    peer = stack.enter_context(self.run(name, job))
                    ready(peer)
                    peers[name] = peer
            yield peers
