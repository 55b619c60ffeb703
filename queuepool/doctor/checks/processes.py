"""Processes that do not run as they should. PURE."""

from __future__ import annotations

from queuepool.doctor.checks.base import Checks

CHECKS = Checks("processes")
