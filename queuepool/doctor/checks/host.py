"""The machine's memory, disks and limits. PURE."""

from __future__ import annotations

from queuepool.doctor.checks.base import Checks

CHECKS = Checks("host")
