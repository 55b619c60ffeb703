"""The daemon of one queuepool.yml. reading.py reads the file, running.py runs it, daemon.py builds and wires its parts,
serving.py answers, telling.py notifies, upgrading.py takes its own place, signals.py brings signals into the loop.
Detaching from a terminal is cli/detach.py's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from queuepool.daemon.reading import begin_to_read

if TYPE_CHECKING:
    from queuepool.daemon.daemon import Echo
    from queuepool.domain.pool import Loaded
    from queuepool.system.aside import Aside

__all__ = ["begin_to_read", "run"]


def run(
    config_path: str,
    reading: Aside[Loaded],
    *,
    foreground: bool,
    ready: Callable[[], None] = lambda: None,
    echo: Echo | None = None,
    approve: Callable[[Loaded], None] = lambda loaded: None,
) -> int:
    """Be the daemon of a queuepool.yml until it is told to end; its exit code.

    reading: from begin_to_read. foreground: the caller's terminal is still there. ready: called once when the control
    socket answers. echo(name, stream, line): called with every line that a worker prints (name `laravel-worker:3`,
    stream "out") and with every event (name "", stream "event"). approve: sees what was read before anything is made or
    started, and may raise; it is not asked where this process takes over from itself. Raises QueuepoolError when it
    cannot start: ConfigError, Locked, ...
    """
    from queuepool.daemon.running import run_read  # here: it is loaded while the file is read

    return run_read(config_path, reading, foreground, ready, echo, approve)
