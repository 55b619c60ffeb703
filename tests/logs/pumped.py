"""A program for tests: pumps FIFOs in a child process that it kills with SIGKILL again and again, each time starting
another that goes on; the last one ends by itself. Arguments: a JSON object (see test_kill.py)."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import json
import os
import random
import signal
import sys
import time
from typing import Any

from queuepool.domain.pool import LogPolicy
from queuepool.logs.pump import Pump


async def pump(order: dict[str, Any], adopted: bool, final: bool) -> None:
    made = Pump(lambda trouble: print(trouble, file=sys.stderr), spool_directory=order["spool"], splice=order["splice"])
    for number, stream in enumerate(order["streams"]):
        fd = os.open(stream["fifo"], os.O_RDWR)
        made.attach(number, f"default:{number}", fd, LogPolicy(**stream["policy"]), adopted=adopted)
    made.finish_leftovers()
    while not final or not os.path.exists(order["stop"]):  # noqa: ASYNC110 - a file of another process
        await asyncio.sleep(0.01)
    for number in range(len(order["streams"])):
        made.detach(number)
    made.close()


def _await_growth(logs: str, wanted: int) -> None:
    began, deadline = _size(logs), time.monotonic() + 60
    while _size(logs) - began < wanted and time.monotonic() < deadline:
        time.sleep(0.001)


def _size(logs: str) -> int:
    total = 0
    for path in glob.glob(f"{logs}/*"):
        with contextlib.suppress(FileNotFoundError):
            total += os.path.getsize(path)
    return total


def main() -> None:
    order = json.loads(sys.argv[1])
    chance = random.Random(order["seed"])
    for life in range(order["kills"] + 1):
        child = os.fork()
        if child == 0:
            asyncio.run(pump(order, adopted=life > 0, final=life == order["kills"]))
            os._exit(0)
        if life < order["kills"]:
            _await_growth(order["logs"], chance.randrange(100_000))
            time.sleep(chance.uniform(0, 0.005))  # so that the kill meets it anywhere
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        else:
            print("final", flush=True)
            _, status = os.waitpid(child, 0)
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
