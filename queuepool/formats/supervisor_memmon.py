"""superlance's memmon, the event listener that restarts what uses too much memory -> `memory_limit` of programs. PURE.
Its options: superlance/memmon.py."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Collection
from dataclasses import dataclass

from queuepool.formats.supervisor_values import byte_size

_LONG = {"--program": "-p", "--group": "-g", "--any": "-a"}
_WITH_VALUE = frozenset({"-s", "-m", "-n", "-u", "--sendmail_program", "--email", "--uptime", "--name"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What memmon looks after, in bytes resident. mails: whether it tells somebody by mail."""

    processes: tuple[tuple[str, int], ...] = ()
    groups: tuple[tuple[str, int], ...] = ()
    any: int | None = None
    mails: bool = False

    def of(self, processes: Collection[str], groups: Collection[str]) -> int | None:
        """The smallest limit on these processes, which are in these groups."""
        found = [size for name, size in self.processes if name.rpartition(":")[2] in processes]
        found += [size for name, size in self.groups if name in groups]
        return min(found + ([] if self.any is None else [self.any]), default=None)


def limits(command: str) -> Limits | None:
    """What a command line of memmon says; None for one that is not memmon's, or that it would not take itself."""
    try:
        words = shlex.split(command)
        at = next((at for at, word in enumerate(words) if posixpath.basename(word) in ("memmon", "memmon.py")), None)
        return None if at is None else _options(words[at + 1 :])
    except ValueError:
        return None


def _options(words: list[str]) -> Limits:
    processes, groups = [], []
    limit, mails = None, False
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
        if not equals:
            value = next(rest, "")
        flag = _LONG.get(flag, flag)
        name, _, size = value.rpartition("=")
        if flag == "-p":
            processes.append((name, byte_size(size)))
        elif flag == "-g":
            groups.append((name, byte_size(size)))
        elif flag == "-a":
            limit = byte_size(value)
        elif flag not in _WITH_VALUE:
            raise ValueError(flag)
        mails = mails or flag in ("-m", "--email")
    return Limits(tuple(processes), tuple(groups), limit, mails)
