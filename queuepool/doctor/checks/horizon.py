"""Horizon. PURE."""

from __future__ import annotations

from queuepool.doctor.checks.base import Checks

CHECKS = Checks("horizon")
