"""Supervisor's events: their types, their bodies, and which of them a move of ours is."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.domain import lifecycle
from queuepool.domain.lifecycle import Process
from queuepool.domain.pool import Autorestart, Policy
from queuepool.domain.states import State
from queuepool.domain.supervisor_events import (
    TYPES,
    Notice,
    Who,
    communication_notice,
    covered,
    log_notice,
    next_tick,
    state_notices,
    tick_notices,
)
from queuepool.domain.supervisor_moves import steps
from tests.support.supervisor import debian_python

WHO = Who("w_00", "w")
POLICY = Policy(startretries=1, recycle_codes=frozenset({0, 12}), autorestart=Autorestart.ALWAYS)


def test_who_asks_for_a_kind_hears_of_all_of_it() -> None:
    assert covered(frozenset({"EVENT"})) == frozenset(TYPES)
    assert covered(frozenset({"TICK"})) == {"TICK", "TICK_5", "TICK_60", "TICK_3600"}
    assert covered(frozenset({"PROCESS_STATE_EXITED"})) == {"PROCESS_STATE_EXITED"}


def test_the_types_are_those_of_the_real_supervisor() -> None:
    python = debian_python()
    if python is None:
        pytest.skip("Supervisor is not installed")
    code = (
        "import json; from supervisor.events import EventTypes as t; a = {k: v for k, v in vars(t).items() "
        "if k.isupper()}; print(json.dumps({k: [n for n, b in a.items() if issubclass(v, b)] for k, v in a.items()}))"
    )
    done = subprocess.run([python, "-Wignore", "-c", code], capture_output=True, text=True, check=True)
    theirs = {name: set(kinds) for name, kinds in json.loads(done.stdout).items()}
    assert theirs == {name: {kind for kind in TYPES if name in covered(frozenset({kind}))} for name in TYPES}


def test_what_cannot_be_decoded_is_shown() -> None:
    assert log_notice(WHO, 7, "stdout", b"a\xff").body == (
        "processname:w_00 groupname:w pid:7 channel:stdout\nUndecodable: b'a\\xff'"
    )
    assert communication_notice(WHO, 7, "stderr", "é".encode()) == Notice(
        "PROCESS_COMMUNICATION_STDERR", "processname:w_00 groupname:w pid:7\né"
    )


def test_ticks_come_when_their_slice_of_time_is_another() -> None:
    assert tick_notices(1000.1, 1004.9) == []
    assert tick_notices(1004.9, 1005.1) == [Notice("TICK_5", "when:1005")]
    assert tick_notices(1019.9, 1020.0) == [Notice("TICK_5", "when:1020"), Notice("TICK_60", "when:1020")]
    assert [notice.name for notice in tick_notices(0.0, 90000.0)] == ["TICK_5", "TICK_60", "TICK_3600"]


def test_nobody_wakes_for_ticks_that_nobody_hears_of() -> None:
    assert next_tick(frozenset({"PROCESS_STATE"}), 1003.0) is None
    assert next_tick(frozenset({"TICK_60"}), 1003.0) == 17.0
    assert next_tick(frozenset({"TICK"}), 1003.0) == 2.0


def lives(*events: lifecycle.Event, policy: Policy = POLICY) -> list[str]:
    """What Supervisor's listeners hear of a process to which these things happen, one second after the other."""
    process, heard = Process(), []
    for now, event in enumerate(events):
        after, _ = lifecycle.step(process, event, 100.0 * now, policy)
        heard += [
            f"{notice.name.removeprefix('PROCESS_STATE_')} {notice.body.removeprefix(f'{WHO} from_state:')}"
            for notice in state_notices(WHO, steps(process, after, policy))
        ]
        process = after
    return heard


START = [lifecycle.Start(), lifecycle.Spawned(7), lifecycle.Elapsed()]
STARTED = ["STARTING STOPPED tries:0", "RUNNING STARTING pid:7"]


@pytest.mark.parametrize(
    ("events", "heard"),
    [
        (START, STARTED),
        ([*START, lifecycle.Stop(), lifecycle.Exited(7, 0)],
         [*STARTED, "STOPPING RUNNING pid:7", "STOPPED STOPPING pid:7"]),
        ([*START, lifecycle.Exited(7, 1)], [*STARTED, "EXITED RUNNING expected:0 pid:7", "STARTING EXITED tries:0"]),
        ([*START, lifecycle.Exited(7, 12)], [*STARTED, "EXITED RUNNING expected:1 pid:7", "STARTING EXITED tries:0"]),
        ([*START, lifecycle.Exited(7, None)], [*STARTED, "EXITED RUNNING expected:1 pid:7", "STARTING EXITED tries:0"]),
        ([*START[:2], lifecycle.Stop()], [STARTED[0], "STOPPING STARTING pid:7"]),
        ([*START, lifecycle.Recycle("fat"), lifecycle.Exited(7, 0)],
         [*STARTED, "STOPPING RUNNING pid:7", "STOPPED STOPPING pid:7", "STARTING STOPPED tries:0"]),
        ([*START, lifecycle.Exited(7, 1, rest=True), lifecycle.TreeGone(7)],
         [*STARTED, "STOPPING RUNNING pid:7", "EXITED STOPPING expected:0 pid:7", "STARTING EXITED tries:0"]),
        ([lifecycle.Start(), lifecycle.SpawnFailed("no"), lifecycle.Elapsed(), lifecycle.SpawnFailed("no")],
         ["STARTING STOPPED tries:0", "BACKOFF STARTING tries:1", "STARTING BACKOFF tries:1",
          "BACKOFF STARTING tries:2", "FATAL BACKOFF"]),
        ([lifecycle.Start(), lifecycle.SpawnFailed("no"), lifecycle.Stop()],
         ["STARTING STOPPED tries:0", "BACKOFF STARTING tries:1", "STOPPED BACKOFF pid:0"]),
        ([lifecycle.Start(), lifecycle.SpawnFailed("no"), lifecycle.Elapsed(), lifecycle.SpawnFailed("no"),
          lifecycle.Stop(), lifecycle.Start()],
         ["STARTING STOPPED tries:0", "BACKOFF STARTING tries:1", "STARTING BACKOFF tries:1",
          "BACKOFF STARTING tries:2", "FATAL BACKOFF", "STARTING STOPPED tries:0"]),
        ([*START, lifecycle.Blocked("redis"), lifecycle.Exited(7, 1), lifecycle.Unblocked()],
         [*STARTED, "EXITED RUNNING expected:0 pid:7", "BACKOFF EXITED tries:0", "STARTING BACKOFF tries:0"]),
    ],
)  # fmt: skip
def test_a_life_is_told_of_as_supervisor_does(events: list[lifecycle.Event], heard: list[str]) -> None:
    assert lives(*events) == heard


def test_a_start_that_ends_well_too_soon_is_told_of_too() -> None:
    process, _ = lifecycle.step(Process(), lifecycle.Start(), 0.0, POLICY)
    process, _ = lifecycle.step(process, lifecycle.Spawned(7), 0.0, POLICY)
    after, _ = lifecycle.step(process, lifecycle.Exited(7, 0), 0.5, POLICY)
    found = [(step.frm, step.to, step.tries) for step in steps(process, after, POLICY)]
    assert found[0] == (State.STARTING, State.BACKOFF, 0)


EVENTS = st.one_of(
    st.sampled_from(
        [lifecycle.Start(), lifecycle.Stop(), lifecycle.Recycle("x"), lifecycle.Elapsed(), lifecycle.SpawnFailed("x"),
         lifecycle.Blocked("x"), lifecycle.Unblocked(), lifecycle.Spawned(7), lifecycle.TreeGone(7)]
    ),
    st.builds(lifecycle.Exited, st.just(7), st.sampled_from([0, 1, 12, -9, None]), st.booleans()),
)  # fmt: skip


@settings(max_examples=200)
@given(st.lists(st.tuples(EVENTS, st.sampled_from([0.0, 0.1, 2.0, 100.0])), max_size=30))
def test_what_is_told_is_one_way_without_a_gap(happens: list[tuple[lifecycle.Event, float]]) -> None:
    process, now, at = Process(), 0.0, State.STOPPED
    for event, seconds in happens:
        spawning = process.state is State.STARTING and process.pid is None
        if isinstance(event, lifecycle.Spawned | lifecycle.SpawnFailed) and not spawning:
            continue
        now += seconds
        after, _ = lifecycle.step(process, event, now, replace(POLICY, startsecs=1.0))
        told = steps(process, after, POLICY)
        for step in told:
            assert step.frm is at or at in (State.FATAL, State.EXITED), (step, at)
            at = step.to
        assert at is after.state or (at in (State.FATAL, State.EXITED) and after.state is State.STOPPED)
        process = after
