"""Waiting for the code that takes over. That it does is shown in test_up_and_down.py and e2e/test_daemon.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest

from queuepool.cli import update
from queuepool.control.client import Client
from queuepool.errors import DaemonUnreachable
from queuepool.system.rundir import RunDirectory


class Daemon:
    """Answers what it is told to, one after the other, and the last for ever."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    def status(self) -> dict[str, Any]:
        self.asked += 1
        state = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if state == "away":
            raise DaemonUnreachable("cannot reach the daemon")
        return {"daemon": {"state": state}}


def test_the_new_code_is_there_when_somebody_answers_who_is_not_about_to_go() -> None:
    daemon = Daemon("UPGRADING", "UPGRADING", "away", "RUNNING")
    assert update._answers_anew(cast(Client, daemon), None)
    assert daemon.asked == 4


@pytest.mark.parametrize("answer", ["UPGRADING", "away"])
def test_new_code_that_does_not_come_up_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(update, "ANEW_SECONDS", 0.05)
    assert not update._answers_anew(cast(Client, Daemon(answer)), None)


def test_a_daemon_that_has_ended_meanwhile_is_not_waited_for(tmp_path: Path) -> None:
    directory = RunDirectory(str(tmp_path / "queuepool.yml"), {"QUEUEPOOL_RUNTIME_DIR": str(tmp_path / "run")})
    os.makedirs(directory.path)
    lock = directory.acquire()

    class Dying(Daemon):
        def status(self) -> dict[str, Any]:
            if self.asked == 2:
                os.close(lock)
            return super().status()

    daemon = Dying("UPGRADING", "away")
    assert not update._answers_anew(cast(Client, daemon), directory)
    assert daemon.asked == 3, "it was waited for while it lived"
