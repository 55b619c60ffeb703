"""Telling systemd how the daemon is (sd_notify(3)) and feeding its watchdog. Without systemd nothing happens."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping


class Notifier:
    """The socket in NOTIFY_SOCKET; children never inherit the variable (children.environment)."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.address = environ.get("NOTIFY_SOCKET", "")
        usec = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(usec) / 2e6 if usec.isdigit() and mine else 0.0
        """How often to call `alive`; 0: never."""

    def tell(self, *lines: str) -> None:
        """Send assignments such as READY=1 or STATUS=...; errors are of no consequence."""
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto("\n".join(lines).encode(), address)

    def alive(self) -> None:
        """Feed the watchdog."""
        self.tell("WATCHDOG=1")
