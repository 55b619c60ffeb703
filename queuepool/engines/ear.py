"""The standard input of one event listener, and what is known of it. What is written there is listening.py's matter."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import termios
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from queuepool.domain.listener import Hearing, Listener, Told
from queuepool.domain.pool import Launch
from queuepool.system import children

LONG_SECONDS = 60.0
"""How long a listener may be at one event before that is shown."""


def unread(fd: int) -> int:
    """Bytes in a FIFO that nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


@dataclass(slots=True, eq=False)
class Ear:
    """path: of the FIFO. hear: takes what the listener prints. fd: our end, -1 when it is closed. child: its end, until
    it has it. event: what it works on. since: when it got that, on the engine's clock. unsent: of that, what its pipe
    had no room for. trouble: why it gets no more events, "" when it does. doubt: why it is not known where it is in the
    protocol, so that it has to begin anew."""

    path: str
    hear: Callable[[bytes], None]
    fd: int = -1
    child: int = -1
    listener: Listener = field(default_factory=Listener)
    event: Told | None = None
    since: float = 0.0
    unsent: bytes = b""
    trouble: str = ""
    doubt: str = ""

    def __call__(self, data: bytes) -> bytes:
        """It has printed this, all of which is for its log (logs/stream.py, Tap)."""
        if data:
            self.hear(data)
        return data

    def finish(self) -> bytes:
        """See logs/stream.py, Tap."""
        return b""

    @property
    def usable(self) -> bool:
        """Whether something can be written to it."""
        return self.fd >= 0

    @property
    def answers(self) -> bool:
        """Whether it prints no more than it is asked, as far as is known."""
        return self.listener.state is not Hearing.UNKNOWN

    def complaint(self, now: float) -> str:
        """What a person should know of it, "" when all is well. now: on the engine's clock."""
        if self.trouble or self.event is None or now - self.since < LONG_SECONDS:
            return self.trouble
        return f"has been at one event for {now - self.since:.0f} s ({self.event.notice.name})"

    def make(self, launch: Launch) -> None:
        """Make the FIFO, a new one for each process, so that none reads what was meant for another. Raises OSError, or
        SpawnError for its user."""
        who = children.identity(launch.user, launch.group, launch.groups)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        os.mkfifo(self.path, 0o600)
        if who.uid is not None:
            os.chown(self.path, who.uid, -1)
        self.child = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self.open()

    def open(self) -> None:
        """Open our end, if anybody has the other. For writing alone: so it is known when a listener closes its own."""
        with contextlib.suppress(OSError):
            self.fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def given(self) -> None:
        """The process has its end, or there will be none."""
        if self.child >= 0:
            os.close(self.child)
            self.child = -1

    def write(self, data: bytes) -> int:
        """Write what there is room for; how many bytes, -1 when nobody reads there."""
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0
        except OSError:
            return -1

    @property
    def event_path(self) -> str:
        """Where the event is that it works on, for the daemon that comes after."""
        return f"{self.path}.event"

    def keep(self, event: Told) -> None:
        """Write the event to its file. OSError is that file's: without it, the next daemon lacks the event."""
        with contextlib.suppress(OSError), open(self.event_path, "w") as file:
            json.dump(asdict(event), file)

    def kept(self) -> Told:
        """What `keep` wrote. Raises OSError; ValueError and the like for what is cut off."""
        with open(self.event_path) as file:
            return Told.parse(json.load(file))

    def close(self) -> None:
        """Close our end."""
        self.given()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def remove(self) -> None:
        """Close our end and remove the FIFO."""
        self.close()
        for path in (self.path, self.event_path):
            with contextlib.suppress(OSError):
                os.unlink(path)
