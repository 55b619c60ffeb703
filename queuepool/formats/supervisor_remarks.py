"""What is said about a supervisord.conf when it is moved to queuepool.yml: remarks, each with the line it is about, and
how values are quoted in them. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from queuepool.formats.supervisor_ini import Where

REFUSES = "Supervisor refuses the whole configuration"
IGNORES = "which ignores it without a word"


class Verdict(Enum):
    """Of which kind a remark is; the value is its heading."""

    CHANGED = "changed"
    LEFT = "not carried"
    WRONG = "wrong in the old file"


@dataclass(frozen=True, slots=True)
class Remark:
    """One remark. subject: a section, `[program:mail]`. option: the one it is about, "" for all of it; a
    test holds the differences between old and new against these. what: a sentence without an end. todo: what to do."""

    verdict: Verdict
    where: Where
    subject: str
    option: str
    what: str
    todo: str = ""

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do: it was a fault of the old file that the new one does not have."""
        return self.todo.startswith("nothing") or REFUSES in self.what or IGNORES in self.what

    def __str__(self) -> str:
        about = " ".join(part for part in (self.subject, self.option) if part)
        todo = f" ({self.todo})" if self.todo else ""
        return ": ".join(part for part in (str(self.where), about, self.what) if part) + todo


def quoted(text: str) -> str:
    """The value in a sentence; "the value" for one that is long or would play with a terminal."""
    return f"`{text}`" if text.isprintable() and len(text) <= 80 else "the value"
