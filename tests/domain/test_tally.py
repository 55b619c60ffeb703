"""What is counted of events, also over whole lives of processes as lifecycle.py has them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain import lifecycle
from queuepool.domain.events import Event, Kind
from queuepool.domain.exits import meaning
from queuepool.domain.lifecycle import LEADER_GONE, MEANWHILE
from queuepool.domain.pool import Policy
from queuepool.domain.tally import Cause, Tally


def tally_of(*events: tuple[Kind, dict[str, Any]], subject: str = "w:0") -> Tally:
    tally = Tally()
    for kind, fields in events:
        tally(Event(0.0, kind, "" if kind.value.startswith("deploy") else subject, fields))
    return tally


def ended(code: int | None, reason: str = "") -> dict[str, Any]:
    return {"pid": 7, "code": code, "reason": reason}


BY_ITSELF = [
    (Kind.RECYCLED, 0, Cause.RECYCLED),
    (Kind.RECYCLED, 12, Cause.WORKER_MEMORY),
    (Kind.EXITED, 0, Cause.RECYCLED),
    (Kind.EXITED, 1, Cause.CRASHED),
    (Kind.EXITED, 255, Cause.CRASHED),
    (Kind.EXITED, 12, Cause.CRASHED),  # of a command, to which it means nothing
    (Kind.EXITED, -11, Cause.CRASHED),
    (Kind.EXITED, -9, Cause.KILLED),
    (Kind.EXITED, 137, Cause.KILLED),
    (Kind.EXITED, None, Cause.UNKNOWN),
    (Kind.STOPPED, 0, Cause.STOPPED),  # asked to by a former daemon
]


@pytest.mark.parametrize(("kind", "code", "cause"), BY_ITSELF)
def test_an_end_that_nobody_asked_for_is_told_by_its_code(kind: Kind, code: int | None, cause: Cause) -> None:
    assert tally_of((kind, ended(code))).programs["w"].ends == {cause: 1}


ASKED = [
    ("stopped by an operator", Cause.STOPPED),
    ("stopped", Cause.STOPPED),
    ("removed", Cause.STOPPED),
    ("the daemon is stopping", Cause.STOPPED),
    ("scaled down", Cause.SCALED),
    ("replaced", Cause.REPLACED),
]


@pytest.mark.parametrize(("reason", "cause"), ASKED)
def test_an_end_that_was_asked_for_is_told_by_its_reason(reason: str, cause: Cause) -> None:
    tally = tally_of((Kind.STOPPING, {"pid": 7, "reason": reason}), (Kind.STOPPED, ended(0)))
    assert tally.programs["w"].ends == {cause: 1}


def test_a_memory_limit_counts_as_such_and_not_as_a_stop() -> None:
    tally = tally_of(
        (Kind.LIMIT, {"pid": 7, "reason": "memory_limit: 200 MB of 100 MB"}),
        (Kind.STOPPING, {"pid": 7, "reason": "memory_limit: 200 MB of 100 MB"}),
        (Kind.EXITED, ended(0)),
    )
    assert tally.programs["w"].ends == {Cause.MEMORY_LIMIT: 1}


def test_a_leader_that_dies_before_its_tree_is_told_by_its_code() -> None:
    tally = tally_of((Kind.STOPPING, {"pid": 7, "reason": LEADER_GONE}), (Kind.EXITED, ended(-9)))
    assert tally.programs["w"].ends == {Cause.KILLED: 1}


def test_what_ended_while_no_daemon_ran_is_told_by_its_code() -> None:
    assert tally_of((Kind.STOPPED, ended(3, MEANWHILE))).programs["w"].ends == {Cause.CRASHED: 1}
    assert tally_of((Kind.STOPPED, ended(None, MEANWHILE))).programs["w"].ends == {Cause.UNKNOWN: 1}


def test_a_process_that_a_deploy_replaces_counts_for_it_also_when_it_ends_later() -> None:
    started = (Kind.DEPLOY_STARTED, {"deploy": "1", "programs": "v w"})
    over = (Kind.DEPLOY_ENDED, {"deploy": "1", "result": "done", "seconds": 4.5})
    stopping, stopped = (Kind.STOPPING, {"pid": 7, "reason": "replaced"}), (Kind.STOPPED, ended(0))
    tally = tally_of(started, stopping, over, stopped)
    assert tally.programs["w"].ends == {Cause.DEPLOY: 1}
    assert tally.deploys == {"done": 1}
    assert (tally.deploy_seconds.count, tally.deploy_seconds.sum) == (1, 4.5)
    assert tally_of(started, over, stopping, stopped).programs["w"].ends == {Cause.REPLACED: 1}
    assert tally_of(started, stopping, stopped, subject="x:0").programs["x"].ends == {Cause.REPLACED: 1}
    resumed = (Kind.DEPLOY, {"deploy": "1", "phase": "rest", "resumed": True})
    assert tally_of(resumed, stopping, stopped).programs["w"].ends == {Cause.DEPLOY: 1}


def test_two_lives_of_a_slot_are_told_apart() -> None:
    tally = tally_of(
        (Kind.STOPPING, {"pid": 7, "reason": "replaced"}),
        (Kind.EXITED, {"pid": 8, "code": 1}),
        (Kind.STOPPED, ended(0)),
    )
    assert tally.programs["w"].ends == {Cause.CRASHED: 1, Cause.REPLACED: 1}


def test_kills_failed_starts_and_jobs_of_the_dead_are_counted() -> None:
    kinds = [Kind.KILLED, Kind.SPAWN_FAILED, Kind.SPAWN_FAILED, Kind.REQUEUED, Kind.JOB_LEFT]
    tally = tally_of(*((kind, {"reason": "x"}) for kind in kinds))
    program = tally.programs["w"]
    assert (program.kills, program.failures, program.requeued, program.left) == (1, 2, 1, 1)
    assert (program.ends, tally.events) == ({}, {kind: kinds.count(kind) for kind in kinds})


def test_a_kill_is_for_memory_where_its_reason_says_so() -> None:
    tally = tally_of(
        (Kind.EXITED, ended(-9) | {"reason": meaning(-9, oom=True)}), (Kind.EXITED, ended(-9) | {"reason": meaning(-9)})
    )
    assert tally.programs["w"].ends == {Cause.OOM: 1, Cause.KILLED: 1}


def test_a_copy_stays_as_it_was() -> None:
    tally = tally_of((Kind.EXITED, ended(1)))
    tally.came_up("w", False, 0.01)
    tally.lag.add(1.0)
    copy, program = tally.copy(), tally.program("w")
    tally(Event(0.0, Kind.EXITED, "w:0", ended(1)))
    tally.came_up("w", False, 0.01)
    tally.came_up("w", True, 0.01)
    tally.lag.add(1.0)
    assert tally.program("unknown").ends == {}
    assert (program.ends, program.starts, program.up.count) == ({Cause.CRASHED: 1}, 1, 0)
    assert (copy.events, copy.spawned.count, copy.lag.count) == ({Kind.EXITED: 1}, 1, 1)


HAPPENINGS = st.sampled_from(["start", "stop", "kill", "recycle", "exit", "rest", "gone", "time", "block", "unblock"])


@given(
    st.lists(st.tuples(HAPPENINGS, st.sampled_from([0, 1, 12, -9, -11, None])), max_size=60),
    st.booleans(),
    st.sampled_from([0.0, 1.0]),
)
def test_every_process_that_ended_is_counted_once_whatever_happens(
    story: list[tuple[str, int | None]], worker: bool, startsecs: float
) -> None:
    policy = Policy(startsecs=startsecs, recycle_codes=frozenset({0, 12}) if worker else frozenset())
    tally, process, now, pids, over = Tally(), lifecycle.Process(), 1000.0, 0, 0

    def happens(event: lifecycle.Event) -> None:
        nonlocal process, pids, over
        had = process.pid
        process, effects = lifecycle.step(process, event, now, policy)
        if had is not None and process.pid != had:
            over += 1
        for effect in effects:
            if isinstance(effect, lifecycle.Tell):
                tally(Event(now, Kind(effect.kind), "w:0", dict(effect.facts)))
            elif isinstance(effect, lifecycle.Spawn):
                pids += 1
                happens(lifecycle.Spawned(pids))

    for what, code in story:
        now += 2.0
        pid = process.pid or -1
        match what:
            case "start":
                happens(lifecycle.Start())
            case "stop" | "kill":
                happens(lifecycle.Stop("stopped", kill=what == "kill"))
            case "recycle":
                tally(Event(now, Kind.LIMIT, "w:0", {"pid": pid, "reason": "big"}))
                happens(lifecycle.Recycle("big"))
            case "exit" | "rest":
                happens(lifecycle.Exited(pid, code, rest=what == "rest"))
            case "gone":
                happens(lifecycle.TreeGone(pid))
            case "time":
                now = max(now, process.deadline or now)
                happens(lifecycle.Elapsed())
            case "block":
                happens(lifecycle.Blocked("redis"))
            case "unblock":
                happens(lifecycle.Unblocked())
    assert sum(tally.programs["w"].ends.values() if tally.programs else ()) == over
