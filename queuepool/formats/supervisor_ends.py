"""supervisord's own log -> how processes ended. PURE. Its answers do not say it: the code of an exit is gone as soon as
the process is started again (supervisor/process.py, Subprocess.finish, writes it to the log alone)."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

_LINE = re.compile(
    r" (?P<how>exited|stopped): (?P<name>\S+) \((?:exit status (?P<status>-?\d+)|terminated by (?P<signal>[^;()]+?))"
    r"(?: \(core dumped\))?(?:; (?:not )?expected)?\)\s*$"
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How one process ended. code: of its exit, or minus the signal; None: unknown. asked: it was told to stop."""

    code: int | None
    asked: bool


def endings(log: str) -> dict[str, list[Ending]]:
    """Name of a process -> its ends in this part of the log, the last one last."""
    found: dict[str, list[Ending]] = {}
    for line in log.splitlines():
        if match := _LINE.search(line):
            code = int(match["status"]) if match["status"] is not None else _minus(match["signal"])
            found.setdefault(match["name"], []).append(Ending(code, match["how"] == "stopped"))
    return found


def _minus(name: str) -> int | None:
    """`SIGKILL` or `signal 9` -> -9."""
    word = name.strip().rpartition(" ")[2]
    if word.isdecimal():
        return -int(word)
    try:
        return -int(getattr(signal, word))
    except (AttributeError, TypeError, ValueError):
        return None
