"""The standard input of an event listener."""

from __future__ import annotations

import os
from pathlib import Path

from queuepool.domain.listener import Told
from queuepool.domain.pool import Launch
from queuepool.domain.supervisor_events import Notice
from queuepool.engines.ear import Ear

TOLD = Told(Notice("TICK_5", "when:5"), 7, 3, 1)


def made(tmp_path: Path) -> Ear:
    ear = Ear(str(tmp_path / "in"), lambda data: None)
    ear.make(Launch(("x",), "/"))
    return ear


def test_it_is_known_that_a_listener_closed_its_end(tmp_path: Path) -> None:
    ear = made(tmp_path)
    assert ear.write(b"x") == 1
    ear.given()
    assert ear.write(b"x") == -1
    ear.remove()
    assert not ear.usable
    assert os.listdir(tmp_path) == []


def test_one_that_does_not_read_never_blocks(tmp_path: Path) -> None:
    ear = made(tmp_path)
    assert 0 < ear.write(b"x" * 1_000_000) < 1_000_000
    assert ear.write(b"x" * 1_000_000) == 0
    ear.remove()


def test_nobody_at_the_other_end_is_no_error(tmp_path: Path) -> None:
    ear = Ear(str(tmp_path / "in"), lambda data: None)
    ear.open()
    assert not ear.usable
    os.mkfifo(ear.path)
    ear.open()
    assert not ear.usable
    assert ear.write(b"x") == -1


def test_the_event_in_hand_is_read_back(tmp_path: Path) -> None:
    ear = made(tmp_path)
    ear.keep(TOLD)
    assert ear.kept() == TOLD
    ear.remove()


def test_an_event_that_takes_long_is_shown(tmp_path: Path) -> None:
    ear = Ear("", lambda data: None, event=TOLD, since=100.0)
    assert ear.complaint(130.0) == ""
    assert ear.complaint(190.0) == "has been at one event for 90 s (TICK_5)"
    ear.trouble = "it is lost"
    assert ear.complaint(190.0) == "it is lost"
