"""What is wrong, and what is on its way to whom, on disk: it outlives the daemon. One file, written by atomic replace,
for its owner alone, since it holds what processes printed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache

import pydantic  # what of it is used is loaded when it is used
from pydantic_core import ValidationError

from queuepool.controller.keeping import Complain, KeptFile, Recovered, nobody
from queuepool.domain.alarm import Memory
from queuepool.domain.outbox import Outbox

NAME = "notifications.json"


@dataclass(slots=True)
class Kept:
    """memory: of the alarms. boxes: of the targets, by name."""

    memory: Memory = field(default_factory=Memory)
    boxes: dict[str, Outbox] = field(default_factory=dict)


class NoticeStore:
    """The file in the directory `state`. complain: told in words when it cannot be read, or written (KeptFile)."""

    def __init__(self, state: str, complain: Complain = nobody, recovered: Recovered = nobody) -> None:
        self.path = os.path.join(state, NAME)
        loss = "a restart of the daemon would forget what is not delivered"
        self._file = KeptFile(self.path, loss, complain, recovered)
        self._written = b""

    def load(self) -> Kept:
        """What was kept; nothing where there is none, or it cannot be read. Takes a tenth of a second at first."""
        try:
            with open(self.path, "rb") as file:
                return _kept().validate_json(file.read())
        except FileNotFoundError:
            return Kept()
        except (OSError, ValidationError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not of this version"
            self._file.unreadable(f"cannot read {self.path} ({why}); going on without the notifications that waited")
            return Kept()

    def save(self, kept: Kept) -> None:
        """Write it, when it is not what was written last."""
        content = _kept().dump_json(kept)
        if content != self._written and self._file.write(content):
            self._written = content


@cache
def _kept() -> pydantic.TypeAdapter[Kept]:
    return pydantic.TypeAdapter(Kept)
