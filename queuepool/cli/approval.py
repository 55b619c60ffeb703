"""What `up` says of programs that cannot run, and of parts of the file that cannot be used, before it starts the
others, and when it starts nothing at all. What is looked at is doctor/preflight.py's matter."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from queuepool.errors import QueuepoolError

if TYPE_CHECKING:
    from queuepool.domain.pool import Loaded

MOST = 10
"""Lacks that are told; `queuepool doctor` tells all."""


class Approval:
    """Given to the daemon, which calls it with what it has read. tell: called with each line. Raises QueuepoolError
    when no program can run, so that nothing would come of a start but restarts. It never refuses where a refusal would
    be a restart loop, below systemd or as a container's first process, nor where a former daemon's workers may live:
    they are to be adopted."""

    def __init__(self, tell: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> None:
        self._tell = tell
        self._environ = environ

    def __call__(self, loaded: Loaded) -> None:
        """Tell, and refuse."""
        from queuepool.cli import render
        from queuepool.doctor.preflight import preflight

        for problem in loaded.problems:
            self._tell(render.left_out(problem))
        seen = preflight(loaded.pools.values())
        for lack in seen.lacks[:MOST]:
            for line in render.lack(lack.programs, lack.what, lack.remedy, fatal=lack.fatal):
                self._tell(line)
        if len(seen.lacks) > MOST:
            self._tell(f"and {len(seen.lacks) - MOST} more; `queuepool doctor` tells all")
        if seen.hopeless and not self._must_go_on(loaded.path):
            raise QueuepoolError(
                f"cannot start anything: no program of {loaded.path} can run here",
                "mend what is said above, then `queuepool up`; `queuepool doctor` says more",
            )

    def _must_go_on(self, path: str) -> bool:
        from queuepool.system.rundir import RunDirectory

        if "NOTIFY_SOCKET" in self._environ or "INVOCATION_ID" in self._environ or 1 in (os.getpid(), os.getppid()):
            return True
        with contextlib.suppress(OSError):
            return bool(os.listdir(RunDirectory(path, self._environ).pipes))
        return False
