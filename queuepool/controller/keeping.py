"""One file of the daemon's own, such as the overrides: written whole or not at all, for its owner alone, and somebody
told when it cannot be used. What stands in it is the matter of those who keep it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from queuepool.system.rundir import replace_file

Complain = Callable[[str], object]
"""Told a sentence."""
Recovered = Callable[[str, str], object]
"""Told the sentence that is true no more, and the path of the file."""


def nobody(*said: str) -> None:
    """Where nobody is to be told."""


class KeptFile:
    """The file at `path`. loss: what is forgotten when it cannot be written, in words. complain: told so, once until
    it is written again, which `recovered` is told."""

    def __init__(self, path: str, loss: str, complain: Complain = nobody, recovered: Recovered = nobody) -> None:
        self.path = path
        self._loss = loss
        self._complain = complain
        self._recovered = recovered
        self._said = ""

    def write(self, content: bytes) -> bool:
        """Replace what stands in it; whether that was done."""
        try:
            replace_file(self.path, content)
        except OSError as error:
            if not self._said:  # set first: what is told is an event, and may be what is to be written next
                self._said = f"cannot save {self.path}: {error.strerror}; {self._loss}"
                self._complain(self._said)
            return False
        if self._said:
            said, self._said = self._said, ""
            self._recovered(said, self.path)
        return True

    def remove(self) -> None:
        """There is none any more."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)

    def unreadable(self, text: str) -> None:
        """Tell what was lost since nobody can make sense of what stands in it; it stays lost when it is written."""
        self._complain(text)
