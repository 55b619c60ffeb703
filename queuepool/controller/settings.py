"""The settings in force, on disk: where no daemon holds them from one command to the next. The environments of programs
are among them, so only their owner may read them. What a deploy changes of them is deploystate.py's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from queuepool.controller.deploystate import pools_from_json, pools_to_json
from queuepool.domain.pool import PoolSpec


class SettingsStore:
    """The file in the directory `path`. complain: told in words when it cannot be written or read."""

    def __init__(self, directory: str, complain: Callable[[str], None] = lambda text: None) -> None:
        self.path = os.path.join(directory, "settings.json")
        self._complain = complain

    def save(self, pools: Mapping[str, PoolSpec]) -> None:
        """These are in force now."""
        temporary = self.path + ".new"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(pools_to_json(pools))
            os.replace(temporary, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            self._complain(f"cannot save {self.path}: {error.strerror}; the next command takes what the file says")

    def load(self) -> dict[str, PoolSpec] | None:
        """Those in force; None when there are none yet. What cannot be read is complained of and counts as none."""
        try:
            with open(self.path, "rb") as file:
                return pools_from_json(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            why = getattr(error, "strerror", None) or "it is not of this version"
            self._complain(f"cannot read {self.path} ({why}); `queuepool update` writes it anew")
            return None

    def forget(self) -> None:
        """Nothing is in force any more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
