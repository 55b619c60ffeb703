"""Processor time and memory of each program, from looks at /proc that are made when somebody asks, in a thread, and not
too often. What a look reads is system/procstat.py's matter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from queuepool.system.procstat import Tree, trees

FRESH_SECONDS = 10.0
"""A look this young is not repeated."""


@dataclass(frozen=True, slots=True)
class ProgramUsage:
    """cpu: seconds of processor time that its processes were seen to use since the first look; it never falls. rss:
    bytes of those that live."""

    cpu: float
    rss: int


class UsageMeter:
    """Adds up what the processes of each program use. processes(): leader's pid -> program, of those that live.

    What a process uses after the last look at it is not known any more when it has ended, and not counted.
    """

    def __init__(
        self,
        processes: Callable[[], Mapping[int, str]],
        *,
        look: Callable[[Mapping[int, str]], Mapping[int, Tree]] = trees,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._processes = processes
        self._look = look
        self._clock = clock
        self._looked = -FRESH_SECONDS
        self._before: dict[tuple[int, str], float] = {}
        self._cpu: dict[str, float] = {}
        self._seen: dict[str, ProgramUsage] = {}

    async def programs(self) -> Mapping[str, ProgramUsage]:
        """What is known of each program, at most FRESH_SECONDS old."""
        if self._clock() - self._looked >= FRESH_SECONDS:
            self._looked = self._clock()  # whoever asks meanwhile gets what was known before
            owners = dict(self._processes())
            self._add(owners, await asyncio.to_thread(self._look, owners))
        return self._seen

    def _add(self, owners: Mapping[int, str], seen: Mapping[int, Tree]) -> None:
        now = {(pid, tree.birth): tree.cpu for pid, tree in seen.items()}
        sizes: dict[str, int] = {}
        for (pid, birth), cpu in now.items():
            used = max(0.0, cpu - self._before.get((pid, birth), 0.0))  # it falls where a child was not waited for
            program = owners[pid]
            self._cpu[program] = self._cpu.get(program, 0.0) + used
            sizes[program] = sizes.get(program, 0) + seen[pid].rss
        self._before = now
        self._seen = {name: ProgramUsage(cpu, sizes.get(name, 0)) for name, cpu in self._cpu.items()}
