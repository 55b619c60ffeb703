"""Reading the file, without loading the code for it before it is needed. What is read is config/load.py's matter."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from queuepool.system.aside import Aside
from queuepool.system.procstat import cores

if TYPE_CHECKING:
    from queuepool.domain.pool import Loaded

LARGEST_ASIDE = 1 << 18
"""Bytes of a file that is read aside. What thousands of programs come to takes as long to send as to read."""


def begin_to_read(path: str) -> Aside[Loaded]:
    """Have the file read. Where there is a second processor it is read there, so that this process can load the
    daemon's code meanwhile; so this is to be called first."""
    try:
        small = os.path.getsize(path) <= LARGEST_ASIDE
    except OSError:  # which is told of in its turn
        small = False
    return Aside(lambda: read(path), elsewhere=small and cores() > 1)


def read(path: str) -> Loaded:
    """See versions.read, whose code is loaded with the first call: it is as much as all the rest."""
    from queuepool.controller import versions

    return versions.read(path)
