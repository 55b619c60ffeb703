"""TCP ports that a test gives to servers: nobody else takes one between the asking and the listening, nor while its
server is stopped."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import cycle
from pathlib import Path

BLOCK = 200
"""Ports of one process of the tests. It comes back to the first of them after so many."""


def free_port() -> int:
    """A port of the loopback interface on which nobody listens.

    The kernel gives none of them to a client or to who asks for any port, and no other process of the tests has it.
    """
    for _ in range(BLOCK):
        port = next(_ports())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of before do not matter
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("there is no free port")


@cache
def _ports() -> Iterator[int]:
    """Those that are this process's until it ends, again and again."""
    return cycle(_block())


def _block() -> range:
    blocks = [range(low, low + BLOCK) for low in range(10_000, 60_000, BLOCK)]
    given = _given_by_the_kernel()
    directory = Path(tempfile.gettempdir()) / f"queuepool-tests-{os.getuid()}" / "ports"
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    for block in random.sample(blocks, len(blocks)):
        if block[-1] >= given.start and block.start < given.stop:
            continue
        lock = os.open(directory / str(block.start), os.O_CREAT | os.O_RDWR, 0o644)  # open as long as the process lives
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return block
    raise AssertionError("other processes of the tests have all ports")


def _given_by_the_kernel() -> range:
    """Ports for clients and for who asks for any; Linux alone says which."""
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except OSError:
        return range(49152, 65536)
    return range(int(low), int(high) + 1)
