"""The daemon takes its own place: the code that is installed now, in the same process (execv), with the lock and the
listening socket that it has."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from queuepool.daemon.signals import hold_back
from queuepool.errors import QueuepoolError

SPARE = 64
"""Descriptors that the code which takes over needs beside those that there are."""

UPGRADE = "QUEUEPOOL_UPGRADE"
"""Set across an exec in place: a JSON object with the descriptors that were passed on."""


def passed_on() -> dict[str, Any] | None:
    """What the process that this one was has passed on: {"lock", "socket", "pipes", "detached"}; None when it is a new
    one. The pipes are not inherited further."""
    found: dict[str, Any] | None = json.loads(os.environ.pop(UPGRADE, "null"))
    if found:
        found["pipes"] = _of_mask(found.get("pipes", "0"))
        for fd in found["pipes"]:
            os.set_inheritable(fd, False)
    return found


def to_hold(pipes: list[int]) -> list[int]:
    """Those of the pipes that can be held until they are open again: none where each would be one too many then."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        needed = len(os.listdir("/dev/fd")) + len(pipes) + SPARE
    except OSError:  # no /proc here
        return []
    return pipes if soft == resource.RLIM_INFINITY or needed <= soft else []


def replace_process(config: str, lock: int, listener: int, pipes: list[int], *, detached: bool) -> None:
    """Be the installed code from now on; does not return. pipes: of the workers, to be held until they are open again:
    the kernel empties a pipe that nobody holds, and a worker may end meanwhile."""
    for fd in (lock, listener, *pipes):
        os.set_inheritable(fd, True)
    hold_back()
    os.environ[UPGRADE] = json.dumps({"lock": lock, "socket": listener, "pipes": _mask(pipes), "detached": detached})
    os.environ["QUEUEPOOL_CONFIG"] = config
    os.chdir("/")
    os.execv(sys.executable, [sys.executable, "-m", "queuepool", "-c", config, "up"])  # noqa: S606


def _mask(fds: Sequence[int]) -> str:
    """Descriptors as the bits of a hexadecimal number: a variable may have 128 KB, and there may be 20,000 of them."""
    number = bytearray(max(fds, default=0) // 8 + 1)
    for fd in fds:
        number[fd // 8] |= 1 << fd % 8
    return f"{int.from_bytes(number, 'little'):x}"


def _of_mask(text: str) -> list[int]:
    return [fd for fd, bit in enumerate(f"{int(text, 16):b}"[::-1]) if bit == "1"]


def version_on_disk() -> str:
    """The version of the code that an exec would run. Raises QueuepoolError when it does not start."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import queuepool.daemon, queuepool.cli.main; print(queuepool.__version__)"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QueuepoolError(f"cannot upgrade: {error}", "the running daemon goes on as it is") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it does not start"])[-1]
        raise QueuepoolError(
            f"cannot upgrade: the installed queuepool does not start: {last}",
            "mend the installation (`pip install -U laravel-queuepool`); the running daemon goes on as it is",
        )
    return done.stdout.strip()
