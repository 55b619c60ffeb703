"""Times and counts that must fit together. PURE."""

from __future__ import annotations

from queuepool.doctor.checks.base import Checks

CHECKS = Checks("timing")
