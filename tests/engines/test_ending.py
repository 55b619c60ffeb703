from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from queuepool.engines.ending import Endings
from queuepool.system import procstat
from tests.support.turns import until

PARENT = """
import subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], start_new_session=True)
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

    with_a_stranger(run, "sleep", "1000")


class Adopted:
    """As much of a life as is needed to hear of its end."""

    adopted = True
    pidfd = -1


@pytest.mark.parametrize(
    ("command", "rest"),
    [(("sleep", "1000"), False), (("sh", "-c", "sleep 1000 & wait"), True)],
    ids=["nothing else", "a child"],
)
def test_the_zombie_of_an_adopted_leader_is_not_what_is_left_of_its_tree(command: tuple[str, ...], rest: bool) -> None:
    """Else each end of an adopted process takes a look later, which adds up where they are replaced one by one."""

    async def run(pid: int) -> None:
        told: asyncio.Future[tuple[int, int | None, bool]] = asyncio.get_running_loop().create_future()
        endings = Endings(time.monotonic, lambda life, *end: told.set_result(end), lambda life, pid: None)
        life: Any = Adopted()
        endings.watch(life, pid)
        await until(lambda: not rest or len(procstat.session_members(pid)) == 2)
        os.kill(pid, 9)
        assert await asyncio.wait_for(told, 60) == (pid, -9, rest)
        for left in procstat.session_members(pid):
            os.kill(left, 9)
        endings.close()

    with_a_stranger(run, *command)


def with_a_stranger(run: Callable[[int], Coroutine[Any, Any, None]], *command: str) -> None:
    """With the pid of a process that is somebody else's child, who never reaps it."""
    with subprocess.Popen([sys.executable, "-c", PARENT, *command], stdout=subprocess.PIPE) as parent:
        try:
            assert parent.stdout is not None
            asyncio.run(run(int(parent.stdout.readline())))
        finally:
            parent.kill()
