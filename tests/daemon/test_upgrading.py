"""What the daemon passes on when it takes its own place. That it does is shown in e2e/test_daemon.py."""

from __future__ import annotations

import os
import resource

import pytest

from queuepool.daemon import upgrading
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


def test_any_number_of_pipes_fits_into_what_is_passed_on_and_none_is_inherited_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed: list[str] = []
    monkeypatch.setattr(upgrading.os, "execv", lambda *_: handed.append(os.environ.pop(upgrading.UPGRADE)))
    monkeypatch.setattr(upgrading.os, "chdir", lambda _: None)
    monkeypatch.setattr(upgrading.os, "set_inheritable", lambda fd, on: inherited.__setitem__(fd, on))
    monkeypatch.setattr(upgrading, "hold_back", lambda: None)
    monkeypatch.setenv("QUEUEPOOL_CONFIG", "")
    inherited: dict[int, bool] = {}
    pipes = [fd for fd in range(7, 60_000) if fd % 3]
    upgrading.replace_process("/srv/queuepool.yml", 3, 4, pipes, detached=True)
    assert len(handed[0]) < 1 << 16, "execve takes 128 KiB for one variable"
    assert all(inherited[fd] for fd in (3, 4, *pipes))
    monkeypatch.setenv(upgrading.UPGRADE, handed[0])
    assert upgrading.passed_on() == {"lock": 3, "socket": 4, "pipes": pipes, "detached": True}
    assert not any(inherited[fd] for fd in pipes)
    monkeypatch.setenv(upgrading.UPGRADE, '{"lock": 3, "socket": 4, "detached": true}')
    assert upgrading.passed_on() == {"lock": 3, "socket": 4, "pipes": [], "detached": True}, "by an older version"
