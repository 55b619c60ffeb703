from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import Any

from queuepool.engines.ending import Endings

PARENT = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(1000)
"""


def test_a_zombie_that_nobody_reaps_does_not_count_as_alive() -> None:
    """As in a container whose pid 1 takes the orphans of a killed daemon and reaps none."""

    async def run(pid: int) -> None:
        gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        endings = Endings(time.monotonic, lambda *end: None, lambda life, pid: gone.set_result(pid))
        life: Any = object()
        endings.sweep(life, pid, 0)
        endings.children_ended()
        assert not gone.done(), "it lives"
        endings.sweep(life, pid, 15)
        assert await asyncio.wait_for(gone, 30) == pid
        endings.close()

    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            asyncio.run(run(int(parent.stdout.readline())))
        finally:
            parent.kill()
