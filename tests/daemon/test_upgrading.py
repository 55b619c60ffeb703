"""What the daemon passes on when it takes its own place. That it does is shown in e2e/test_daemon.py."""

from __future__ import annotations

import os
import resource

from queuepool.daemon.upgrading import SPARE, to_hold


def test_pipes_are_held_only_where_they_can_be_opened_again_beside_those() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    pipes = list(range(100))
    open_now = len(os.listdir("/dev/fd"))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 100 + SPARE, hard))
        assert to_hold(pipes) == pipes
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 99 + SPARE, hard))
        assert to_hold(pipes) == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
