"""Workers that a killed supervisord left behind. They go on, and the next supervisord starts others beside them: they
are told to finish, by whoever of us comes next."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from queuepool.domain.events import Kind
from queuepool.domain.exits import signal_name
from queuepool.domain.pool import PoolSpec
from queuepool.engines.supervisord_link import Memory, Seen
from queuepool.engines.supervisord_lives import Publish
from queuepool.system import children, procstat


def living(memory: Memory) -> tuple[str, ...]:
    """The processes of that memory that still live, whoever is their parent now."""
    return tuple(
        f"{section} (pid {pid})"
        for section, (pid, birth) in memory.pids.items()
        if birth and procstat.birth(pid) == birth
    )


class Strays:
    """Those that live, as far as they are known. touch: whether they may be told anything, or only be looked at."""

    def __init__(self, publish: Publish, *, touch: bool) -> None:
        self._publish, self._touch = publish, touch
        self._said: dict[int, str] = {}

    @property
    def said(self) -> tuple[str, ...]:
        """A sentence for each."""
        return tuple(self._said.values())

    def look(self, memory: Memory, found: Seen, pools: Mapping[str, PoolSpec]) -> None:
        """Another supervisord answers than the one that `memory` is of. A pid is taken for a stray when it is still the
        same process, by its time of birth, and not one of the new supervisord's."""
        mine = {info.pid for info in found.infos.values()}
        for section, (pid, birth) in memory.pids.items():
            if pid in mine or not birth or procstat.birth(pid) != birth or procstat.parent(pid) == found.supervisord:
                continue
            made = memory.entries.get(section)
            pool = pools.get(made.name.pool) if made else None
            self._said[pid] = f"{section} (pid {pid}) still runs from a supervisord that was killed; " + (
                self._tell(section, pid, pool) if self._touch else "`queuepool update` tells it to finish"
            )

    def _tell(self, section: str, pid: int, pool: PoolSpec | None) -> str:
        number = pool.process(0).policy.stopsignal if pool else signal.SIGTERM
        told = children.signal_one(pid, number)
        self._publish(Kind.STOPPING, section, {"pid": pid, "reason": "of a supervisord that was killed"})
        return f"it was told to finish ({signal_name(number)})" if told else f"it has to be ended: `sudo kill {pid}`"

    def forget_ended(self) -> None:
        """Say no more of those that have ended."""
        self._said = {pid: said for pid, said in self._said.items() if procstat.birth(pid) is not None}
