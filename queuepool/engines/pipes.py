"""The FIFOs between a worker and the pump: made, attached, drained, removed. Moving the bytes is logs/pump.py's.

A worker holds its FIFO open for reading and writing: it is its own reader, so that it neither breaks nor loses a line
while no daemon is there (docs/adr/0001-adoption.md)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from queuepool.engines.life import Life
from queuepool.logs.pump import Pump
from queuepool.logs.stream import Tap
from queuepool.system import children


class Pipes:
    """directory: where FIFOs are made. keep(name, fd), unkeep(name): let somebody who outlives the daemon hold one."""

    def __init__(
        self, directory: str, pump: Pump, keep: Callable[[str, int], None], unkeep: Callable[[str], None]
    ) -> None:
        self.directory = directory
        self.pump = pump
        self._keep = keep
        self._unkeep = unkeep

    def make(self, life: Life) -> None:
        """Make the FIFOs of a life, if it has none, and open our ends. Raises OSError, or SpawnError for its user."""
        if life.fds:
            return
        launch = life.spec.launch
        who = children.identity(launch.user, launch.group, launch.groups)
        ends = ("out",) if launch.redirect_stderr else ("out", "err")
        life.pipes = tuple(os.path.join(self.directory, f"{life.key}.{end}") for end in ends)
        for path in life.pipes:
            try:
                os.mkfifo(path, 0o600)
            except FileExistsError:  # of a life that no record tells of
                os.unlink(path)
                os.mkfifo(path, 0o600)
            if who.uid is not None:
                os.chown(path, who.uid, -1)  # for programs that open /dev/stdout by name
        self.open(life)

    def open(self, life: Life) -> None:
        """Open our ends: not blocking, and with a reading and a writing end, so that there is never an end of file."""
        life.fds = tuple(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC) for path in life.pipes)

    def input(self, life: Life) -> str:
        """Where the standard input of an event listener is."""
        return os.path.join(self.directory, f"{life.key}.in")

    @contextlib.contextmanager
    def ends(self, life: Life) -> Iterator[tuple[int, int | None]]:
        """(stdout, stderr or None) for the worker. Opened apart from ours: O_NONBLOCK belongs to an open file, and a
        PHP that shared ours would lose what does not fit."""
        fds: list[int] = []
        try:
            for path in life.pipes:
                fds.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
            yield fds[0], fds[1] if len(fds) > 1 else None
        finally:
            for fd in fds:
                os.close(fd)

    def attach(self, life: Life, *, adopted: bool = False) -> None:
        """Let the pump read what the life prints. adopted: a former daemon had begun to."""
        policies = (life.spec.stdout, life.spec.stderr or life.spec.stdout)
        for stream, fd in enumerate(life.fds):
            hear, tap = life.desk.hear if life.desk and not stream else None, self._tap(life, stream)
            self.pump.attach(
                (life.key, stream), str(life.name), fd, policies[stream], adopted=adopted, hear=hear, tap=tap,
                prompt=life.ear is not None and tap is life.ear and life.ear.answers,
            )  # fmt: skip
            self._keep(f"{life.key}.{stream}", fd)
        life.attached = True

    def redirect(self, life: Life) -> None:
        """The logs in the life's spec may have changed."""
        policies = (life.spec.stdout, life.spec.stderr or life.spec.stdout)
        if life.attached:
            for stream in range(len(life.fds)):
                self.pump.repolicy((life.key, stream), policies[stream], self._tap(life, stream))

    def _tap(self, life: Life, stream: int) -> Tap | None:
        """Who sees what the life prints before it is written. An event listener is understood whatever its log does."""
        return life.ear if life.ear is not None and not stream else life.taps.get(stream)

    def drain(self, life: Life) -> tuple[bytes, ...]:
        """Write what is left in the FIFOs of a process that ended; its last lines."""
        if life.attached:
            life.attached = False
            life.last_lines = ()
            for stream in range(len(life.fds)):
                life.last_lines = self.pump.detach((life.key, stream)) or life.last_lines
        return life.last_lines

    def release(self, life: Life) -> None:
        """Drain and remove the FIFOs."""
        self.drain(life)
        for stream in range(len(life.fds)):
            self._unkeep(f"{life.key}.{stream}")
        for path in life.pipes:
            with contextlib.suppress(OSError):
                os.unlink(path)
        self.close(life)
        life.pipes = ()

    def close(self, life: Life) -> None:
        """Close our ends; the FIFOs and what is in them stay for the next daemon."""
        for fd in life.fds:
            os.close(fd)
        life.fds = ()
