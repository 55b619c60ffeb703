"""The settings in force, on disk: where no daemon holds them from one command to the next. The environments of programs
are among them, so only their owner may read them. What a deploy changes of them is deploystate.py's."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import ValidationError

from queuepool.controller.deploystate import pools_from_json, pools_to_json
from queuepool.controller.keeping import Complain, KeptFile, Recovered, nobody
from queuepool.domain.pool import PoolSpec


class SettingsStore:
    """The file in the directory `path`. complain: told in words when it cannot be read, or written (KeptFile)."""

    def __init__(self, directory: str, complain: Complain = nobody, recovered: Recovered = nobody) -> None:
        self.path = os.path.join(directory, "settings.json")
        self._file = KeptFile(self.path, "the next command takes what the file says", complain, recovered)

    def save(self, pools: Mapping[str, PoolSpec]) -> None:
        """These are in force now."""
        self._file.write(pools_to_json(pools))

    def load(self) -> dict[str, PoolSpec] | None:
        """Those in force; None when there are none yet. What cannot be read is complained of and counts as none."""
        try:
            with open(self.path, "rb") as file:
                return pools_from_json(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            why = getattr(error, "strerror", None) or "it is not of this version"
            self._file.unreadable(f"cannot read {self.path} ({why}); `queuepool update` writes it anew")
            return None

    def forget(self) -> None:
        """Nothing is in force any more."""
        self._file.remove()
