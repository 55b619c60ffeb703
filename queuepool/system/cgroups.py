"""What the control group of this process tells (cgroups(7), both versions). Limits are the doctor's matter:
doctor/looks/kernel.py."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


def oom_kills(root: str = "/") -> int | None:
    """How many processes of our control group the kernel has killed since memory ran out: `oom_kill` of memory.events
    (Documentation/admin-guide/cgroup-v2.rst), with version 1 of memory.oom_control. None where that is not told, as for
    the group at the top. root: in place of `/`."""
    for path in _files(root):
        with contextlib.suppress(OSError, ValueError), open(path) as file:
            for line in file:
                name, _, number = line.partition(" ")
                if name == "oom_kill":
                    return int(number)
    return None


def _files(root: str) -> Iterator[str]:
    top = f"{root.rstrip('/')}/sys/fs/cgroup"
    with contextlib.suppress(OSError), open(f"{root.rstrip('/')}/proc/self/cgroup") as file:
        for line in file:
            number, controllers, path = [*line.rstrip("\n").split(":", 2), "", ""][:3]
            # In a container the path may be that of the host, while the group is what is mounted at the top.
            if "memory" in controllers.split(","):
                yield f"{top}/memory{path.rstrip('/')}/memory.oom_control"
                yield f"{top}/memory/memory.oom_control"
            elif number == "0":
                yield f"{top}{path.rstrip('/')}/memory.events"
                yield f"{top}/memory.events"
