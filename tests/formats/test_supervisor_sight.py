"""What supervisord says of one process, as tables: what it is now, and what the journal is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from queuepool.domain.lifecycle import Process
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import Policy
from queuepool.domain.states import State
from queuepool.formats.supervisor_ends import Ending
from queuepool.formats.supervisor_sight import (
    BY_HAND,
    RESTED,
    Death,
    Info,
    death,
    found,
    may_have_ended,
    seen,
    state_of,
    tried_again,
)
from queuepool.formats.supervisor_slots import Entry

WORKER = Policy(recycle_codes=frozenset({0, 12}))
RUNS = Entry("w_00", ProcessName("w", 0), "f")
OFF = replace(RUNS, runs=False)
UP = Process(State.RUNNING, wanted=True, pid=7, starts=1)
TOO_QUICKLY = "Exited too quickly (process log may have details)"


def info(
    state: State, pid: int | None = None, *, start: float = 90.0, trouble: str = "", code: int | None = None
) -> Info:
    return Info("w_00", "w_00", state, pid, start, 100.0, code, trouble)


@pytest.mark.parametrize(
    ("said", "made", "state", "wanted", "reason"),
    [
        (None, RUNS, State.STOPPED, False, ""),
        (info(State.RUNNING, 7), RUNS, State.RUNNING, True, ""),
        (info(State.BACKOFF), RUNS, State.BACKOFF, True, ""),
        (info(State.STOPPED), RUNS, State.STOPPED, True, BY_HAND),
        (info(State.STOPPED), OFF, State.STOPPED, False, ""),
        (info(State.STOPPED, start=0), RUNS, State.STARTING, True, ""),
        (info(State.FATAL), RUNS, State.FATAL, True, ""),
        (info(State.EXITED), RUNS, State.EXITED, True, ""),
        (info(State.STOPPING, 7), OFF, State.STOPPING, False, ""),
    ],
)  # fmt: skip
def test_what_is_found_is_wanted_when_it_runs_or_was_stopped_behind_our_back(
    said: Info | None, made: Entry, state: State, wanted: bool, reason: str
) -> None:
    process = found(said, made)
    assert (process.state, process.wanted, process.reason) == (state, wanted, reason)


@pytest.mark.parametrize(
    ("before", "said", "ended"),
    [
        (UP, info(State.RUNNING, 7), False),
        (UP, info(State.RUNNING, 8), True),
        (UP, info(State.STARTING, 8), True),
        (UP, info(State.BACKOFF), True),
        (UP, info(State.EXITED), True),
        (UP, info(State.STOPPED), False),
        (replace(UP, wanted=False), info(State.EXITED), False),
        (replace(UP, state=State.BACKOFF, pid=None), info(State.BACKOFF), False),
        (replace(UP, state=State.STARTING, pid=None), info(State.RUNNING, 8), False),
    ],
)
def test_the_log_is_read_when_a_wanted_process_may_have_ended_by_itself(
    before: Process, said: Info, ended: bool
) -> None:
    assert may_have_ended(before, said, state_of(said, RUNS)) is ended


ENDS = [Ending(1, False), Ending(-9, False)]


@pytest.mark.parametrize(
    ("said", "ends", "expected"),
    [
        (info(State.RUNNING, 8), ENDS, Ending(-9, False)),
        (info(State.EXITED, code=4), [], Ending(4, False)),
        (info(State.RUNNING, 8), [], Ending(None, False)),
        (info(State.BACKOFF, trouble=TOO_QUICKLY), ENDS, Ending(-9, False)),
        (info(State.FATAL, trouble="can't find command '/none'"), ENDS, None),
        (info(State.RUNNING, 8, trouble="can't find command '/none'"), ENDS, Ending(-9, False)),
    ],
)
def test_one_that_was_not_even_made_has_no_ending(said: Info, ends: list[Ending], expected: Ending | None) -> None:
    assert death(said, said.state, ends).ending == expected


def kinds(before: Process, said: Info, how: Death | None = None) -> tuple[Process, list[str]]:
    sight = seen(before, said, said.state, WORKER, 1000.0, how)
    return sight.process, [told.kind for told in sight.told]


def test_a_process_that_is_new_to_us_was_started_as_long_ago_as_supervisord_says() -> None:
    now, told = kinds(Process(State.STARTING, wanted=True), info(State.RUNNING, 7))
    assert (now.pid, now.starts, now.started) == (7, 1, 990.0)
    assert told == ["started", "running"]
    sight = seen(Process(State.RUNNING, wanted=True), info(State.RUNNING, 7), State.RUNNING, WORKER, 0.0, adopted=True)
    assert [told.kind for told in sight.told] == ["adopted"], "it was there before we were"
    now, told = kinds(UP, info(State.RUNNING, 7))
    assert (now, told) == (UP, [])


@pytest.mark.parametrize("state", sorted(RESTED, key=lambda state: state.name))
def test_one_that_was_told_to_end_is_stopped_however_it_ended(state: State) -> None:
    ending = replace(UP, state=State.STOPPING, wanted=False, reason="scaled down")
    now, told = kinds(ending, info(state))
    assert (now.state, now.pid, told) == (State.STOPPED, None, ["stopped"])
    now, told = kinds(ending, info(State.RUNNING, 7))
    assert (now.state, now.pid, told) == (State.STOPPING, 7, []), "it was not told yet"


@pytest.mark.parametrize(
    ("said", "how", "told", "counts", "reason"),
    [
        (info(State.RUNNING, 8), Death(Ending(0, False)), ["started", "recycled"], (0, 0), ""),
        (info(State.RUNNING, 8), Death(Ending(12, False)), ["started", "recycled"], (0, 0), ""),
        (info(State.RUNNING, 8), Death(Ending(-9, False)), ["started", "exited"], (1, 0), "SIGKILL"),
        (info(State.BACKOFF, trouble=TOO_QUICKLY), Death(Ending(0, False)), ["exited"], (1, 1), ""),
        (info(State.BACKOFF, trouble=TOO_QUICKLY), Death(Ending(3, False), (b"no",)), ["exited"], (1, 1), "3"),
        (info(State.FATAL, trouble=TOO_QUICKLY), Death(Ending(3, False)), ["fatal"], (1, 1), "3"),
        (info(State.FATAL, trouble="can't find command"), Death(None), ["spawn_failed"], (1, 1), "can't find command"),
        (info(State.RUNNING, 8), Death(Ending(None, False)), ["started", "exited"], (1, 0), "log does not say how"),
        (info(State.RUNNING, 8), Death(Ending(None, False), (b"no",)), ["started", "exited"], (1, 0), "any more: no"),
        (info(State.RUNNING, 8), Death(Ending(0, True)), ["started"], (0, 0), "restarted in Supervisor"),
    ],
)  # fmt: skip
def test_an_end_nobody_asked_for_counts_unless_it_is_a_recycle(
    said: Info, how: Death, told: list[str], counts: tuple[int, int], reason: str
) -> None:
    now, kinds_told = kinds(UP, said, how)
    assert kinds_told == told
    assert (now.crashes, now.failures) == counts
    assert reason in now.reason
    assert now.wanted


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (Death(Ending(3, False), (b"no",)), "exit 3: no"),
        (Death(Ending(0, False)), ""),
        (Death(Ending(12, False)), ""),
        (Death(Ending(3, True)), ""),
        (Death(Ending(None, False)), ""),
        (Death(None), ""),
    ],
)
def test_one_that_is_starting_says_why_it_had_to_be_started_again(how: Death, reason: str) -> None:
    assert tried_again(how, WORKER) == reason


def test_one_that_comes_up_again_has_no_reason_and_no_failures_left() -> None:
    failed = Process(State.BACKOFF, wanted=True, starts=3, failures=3, reason="exit 3")
    now, told = kinds(failed, info(State.RUNNING, 9))
    assert (now.reason, now.failures, told) == ("", 0, ["started", "running"])
    now, _ = kinds(replace(UP, pid=None), info(State.STOPPED))
    assert now.reason == BY_HAND
    now, _ = kinds(replace(failed, reason=""), info(State.BACKOFF, trouble="can't find command"))
    assert now.reason == "can't find command"
