"""Telling systemd how the daemon is (sd_notify(3)) and feeding its watchdog. Without systemd nothing happens."""

from __future__ import annotations

import contextlib
import os
import socket
from array import array
from collections.abc import Mapping, MutableMapping


class Notifier:
    """The socket in NOTIFY_SOCKET; children never inherit the variable (children.environment)."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.address = environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        usec = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(usec) / 2e6 if usec.isdigit() and mine else 0.0
        """How often to call `alive`; 0: never."""

    def tell(self, *lines: str) -> None:
        """Send assignments such as READY=1 or STATUS=...; errors are of no consequence."""
        if self.address:
            self._send("\n".join(lines), [])

    def _send(self, text: str, fds: list[int]) -> None:
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):  # sent to the address each time, as systemd may be another one by now
            passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
            self._socket.sendmsg([text.encode()], passed, 0, address)

    def keep(self, name: str, fd: int) -> None:
        """Let systemd hold a copy of a descriptor while no daemon runs (sd_pid_notify_with_fds(3), FDSTORE): what a
        worker printed before it died in between is then not lost."""
        if self.address:
            self._send(f"FDSTORE=1\nFDNAME={name}", [fd])

    def unkeep(self, name: str) -> None:
        """systemd need not hold it any longer."""
        self.tell("FDSTOREREMOVE=1", f"FDNAME={name}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self.tell("WATCHDOG=1")


def kept(environ: MutableMapping[str, str] = os.environ) -> list[int]:
    """The descriptors that systemd held for us (sd_listen_fds(3)), not to be inherited further. They are only closed
    once their FIFOs are open again by name. Told once: after an exec in place, which keeps the pid, those numbers are
    other files'."""
    told = {name: environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")}
    if told["LISTEN_PID"] != str(os.getpid()) or not told["LISTEN_FDS"].isdigit():
        return []
    fds = list(range(3, 3 + int(told["LISTEN_FDS"])))
    for fd in fds:
        with contextlib.suppress(OSError):
            os.set_inheritable(fd, False)
    return fds
