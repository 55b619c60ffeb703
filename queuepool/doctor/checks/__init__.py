"""Every check: pure functions from facts to notes. What is looked at is looks/'s matter. CHECKS is the table that
docs/doctor.md is made from."""

from __future__ import annotations

from queuepool.doctor.checks import (
    application,
    configuration,
    file,
    horizon,
    host,
    itself,
    managers,
    permissions,
    php,
    processes,
    queues,
    supervised,
    timing,
    users,
)
from queuepool.doctor.checks import daemon as daemon_
from queuepool.doctor.checks import redis as redis_
from queuepool.doctor.checks.base import Check

CHECKS: tuple[Check, ...] = (
    *file.CHECKS, *php.CHECKS, *application.CHECKS, *configuration.CHECKS,
    *users.CHECKS, *permissions.CHECKS, *redis_.CHECKS, *queues.CHECKS,
    *timing.CHECKS, *host.CHECKS, *processes.CHECKS, *horizon.CHECKS, *daemon_.CHECKS, *supervised.CHECKS,
    *managers.CHECKS, *itself.CHECKS,
)  # fmt: skip
"""In the order in which a person would look: what everything else stands on comes first."""
