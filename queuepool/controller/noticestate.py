"""What is wrong, and what is on its way to whom, on disk: it outlives the daemon. One file, written by atomic replace,
for its owner alone, since it holds what processes printed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from pydantic import TypeAdapter, ValidationError

from queuepool.domain.alarm import Memory
from queuepool.domain.outbox import Outbox

NAME = "notifications.json"


@dataclass(slots=True)
class Kept:
    """memory: of the alarms. boxes: of the targets, by name."""

    memory: Memory = field(default_factory=Memory)
    boxes: dict[str, Outbox] = field(default_factory=dict)


class NoticeStore:
    """The file in the directory `state`. complain: told in words when it cannot be written or read."""

    def __init__(self, state: str, complain: Callable[[str], None] = lambda text: None) -> None:
        self.path = os.path.join(state, NAME)
        self._complain = complain
        self._written = b""
        self._said = False

    def load(self) -> Kept:
        """What was kept; nothing where there is none, or it cannot be read. Takes a tenth of a second at first."""
        try:
            with open(self.path, "rb") as file:
                return _kept().validate_json(file.read())
        except FileNotFoundError:
            return Kept()
        except (OSError, ValidationError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not of this version"
            self._complain(f"cannot read {self.path} ({why}); going on without the notifications that waited")
            return Kept()

    def save(self, kept: Kept) -> None:
        """Write it, when it is not what was written last."""
        content = _kept().dump_json(kept)
        if content == self._written:
            return
        temporary = self.path + ".new"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(content)
            os.replace(temporary, self.path)
            self._written, self._said = content, False
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            if not self._said:  # once: a complaint is an event, that is heard, and then saved
                self._said = True
                what = f"cannot save {self.path}: {error.strerror}"
                self._complain(f"{what}; a restart of the daemon would forget what is not delivered")


@cache
def _kept() -> TypeAdapter[Kept]:
    return TypeAdapter(Kept)
