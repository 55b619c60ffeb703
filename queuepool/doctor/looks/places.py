"""Where the machine keeps what is looked at. QUEUEPOOL_DOCTOR_ROOT puts a directory in place of `/`: that of a host
which is mounted in a container, or one that a test made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from glob import glob

ROOT = "QUEUEPOOL_DOCTOR_ROOT"
MOST_FILES = 500
MOST_BYTES = 1 << 20


class Places:
    """Paths below the root that the environment names."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.root = environ.get(ROOT, "").rstrip("/")
        self._environ = environ

    def of(self, path: str) -> str:
        """Where an absolute path is."""
        return self.root + path

    def kernel(self, path: str) -> str:
        """Where a file of the kernel (/proc, /sys, /dev) is: below the root if it is there, else the machine's own."""
        below = self.root + path
        return below if os.path.exists(below) else path

    def glob(self, *patterns: str) -> list[str]:
        """The files that fit, each once, in the order of the patterns."""
        found = (path for pattern in patterns for path in sorted(glob(self.of(pattern))))
        return [path for path in dict.fromkeys(found) if os.path.isfile(path)][:MOST_FILES]

    def user_units(self) -> str:
        """The directory of the units that this user made (systemd.unit(5))."""
        home = self._environ.get("XDG_CONFIG_HOME") or os.path.join(self._environ.get("HOME", "/"), ".config")
        return os.path.join(home, "systemd", "user")


def read(path: str, most: int = MOST_BYTES) -> str | None:
    """The beginning of a text file; None where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(most).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
