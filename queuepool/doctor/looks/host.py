"""Looks at the machine."""

from __future__ import annotations

import psutil

from queuepool.doctor.facts.host import HostFacts
from queuepool.doctor.looks.scene import Scene


async def look(scene: Scene) -> HostFacts:
    """Memory, disks and limits, as they are for the daemon."""
    memory = psutil.virtual_memory()
    return HostFacts(memory=memory.total, available=memory.available, swap=psutil.swap_memory().total)
