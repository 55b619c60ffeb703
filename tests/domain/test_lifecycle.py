"""The lifecycle as a table of sentences, and as properties over arbitrary sequences of events."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.domain import lifecycle as l
from queuepool.domain.backoff import braked
from queuepool.domain.lifecycle import Process, step
from queuepool.domain.pool import Autorestart, Policy
from queuepool.domain.states import MOVES, State

WORKER = Policy(recycle_codes=frozenset({0, 12}), startretries=3, stop_seconds=75)
COMMAND = Policy(startretries=3)


def running(policy: Policy = WORKER, *, lived: float = 100.0, now: float = 1000.0, **values: object) -> Process:
    p = Process(state=State.RUNNING, wanted=True, pid=7, started=now - lived, starts=1)
    return replace(p, **values)  # type: ignore[arg-type]


def starting(now: float = 1000.0, **values: object) -> Process:
    p = Process(state=State.STARTING, wanted=True, pid=7, started=now - 0.1, starts=1, deadline=now + 0.9)
    return replace(p, **values)  # type: ignore[arg-type]


def kinds(effects: list[l.Effect]) -> list[str]:
    return [effect.kind if isinstance(effect, l.Tell) else type(effect).__name__ for effect in effects]


def test_every_state_has_its_row_of_moves() -> None:
    assert set(MOVES) == set(State)


def test_a_wanted_process_is_spawned_and_runs_after_startsecs() -> None:
    p, effects = step(Process(), l.Start(), 0.0, WORKER)
    assert (p.state, effects) == (State.STARTING, [l.Spawn()])
    p, _ = step(p, l.Spawned(7), 0.1, WORKER)
    assert (p.state, p.pid, p.deadline) == (State.STARTING, 7, 1.1)
    p, _ = step(p, l.Elapsed(), 1.0, WORKER)
    assert p.state is State.STARTING, "not before its time"
    p, effects = step(p, l.Elapsed(), 1.1, WORKER)
    assert (p.state, p.deadline, kinds(effects)) == (State.RUNNING, None, ["running"])


def test_with_startsecs_zero_it_runs_at_once() -> None:
    p, _ = step(replace(Process(), state=State.STARTING, wanted=True), l.Spawned(7), 5.0, replace(WORKER, startsecs=0))
    assert p.state is State.RUNNING


def test_one_that_ran_long_enough_and_ends_before_that_was_noticed_has_run() -> None:
    """The daemon was held up: it hears of the end and of the time at once."""
    p, effects = step(starting(1000.0), l.Exited(7, 3), 1000.9, WORKER)
    assert (p.state, p.failures, p.crashes) == (State.STARTING, 0, 1)
    assert kinds(effects) == ["running", "exited", "Spawn"]
    once = replace(COMMAND, autorestart=Autorestart.NEVER)
    p, effects = step(starting(1000.0), l.Exited(7, 3), 1000.9, once)
    assert (p.state, kinds(effects)) == (State.EXITED, ["running", "exited"])


@pytest.mark.parametrize("code", [0, 12])
def test_a_recycled_worker_starts_again_at_once_and_without_penalty(code: int) -> None:
    p, effects = step(running(failures=0), l.Exited(7, code), 1000.0, WORKER)
    assert (p.state, p.failures) == (State.STARTING, 0)
    assert kinds(effects) == ["recycled", "Spawn"]


@pytest.mark.parametrize("code", [1, 255, -9, -11])
def test_a_worker_that_ran_well_and_dies_is_replaced_at_once(code: int) -> None:
    p, effects = step(running(), l.Exited(7, code), 1000.0, WORKER)
    assert p.state is State.STARTING
    assert kinds(effects) == ["exited", "Spawn"]


def test_a_worker_that_recycles_all_the_time_is_slowed_down_but_never_fatal() -> None:
    p, now, delays = running(), 1000.0, []
    for _ in range(60):
        p, _ = step(
            replace(p, state=State.STARTING, pid=7, started=now - 0.1, wanted=True), l.Exited(7, 0), now, WORKER
        )
        assert p.state in (State.STARTING, State.BACKOFF)
        if p.deadline is not None:
            delays.append(p.deadline - now)
            now = p.deadline
        now += 0.1
    assert max(delays) > 3
    assert len(delays) > 30


@pytest.mark.parametrize("code", [1, 2, 255, -9])
def test_a_start_that_does_not_last_waits_longer_each_time_and_then_is_fatal(code: int) -> None:
    p, now, waits = starting(), 1000.0, []
    for _ in range(WORKER.startretries):
        p, effects = step(
            replace(p, state=State.STARTING, pid=7), l.Exited(7, code, last_lines=(b"no redis",)), now, WORKER
        )
        assert p.state is State.BACKOFF
        assert l.Spawn() not in effects
        waits.append((p.deadline or 0) - now)
        assert "no redis" in p.reason
    assert waits == sorted(waits)
    assert waits[0] >= 0.4
    p, effects = step(replace(p, state=State.STARTING, pid=7), l.Exited(7, code), now, WORKER)
    assert p.state is State.FATAL
    assert "fatal" in kinds(effects)
    assert p.deadline is not None, "FATAL is tried again by itself"
    p, effects = step(p, l.Elapsed(), p.deadline, WORKER)
    assert (p.state, effects) == (State.STARTING, [l.Spawn()])


def test_a_stop_signals_waits_and_kills_the_tree_at_the_deadline() -> None:
    p, effects = step(running(), l.Stop(), 1000.0, WORKER)
    assert (p.state, p.deadline) == (State.STOPPING, 1075.0)
    assert l.Send(7, 15, False) in effects
    p, effects = step(p, l.Elapsed(), 1075.0, WORKER)
    assert effects[0] == l.Send(7, 9, True)
    assert "killed" in kinds(effects)
    p, _ = step(p, l.Exited(7, -9), 1076.0, WORKER)
    assert (p.state, p.pid, p.reason) == (State.STOPPED, None, f"stopped; {l.LATE}")


@pytest.mark.parametrize("first", [l.Stop("scaled down"), None])
def test_one_that_was_killed_at_once_is_not_said_to_have_been_late(first: l.Stop | None) -> None:
    p = step(running(), first, 1000.0, WORKER)[0] if first else running()
    p, effects = step(p, l.Stop("killed by hand", kill=True), 1001.0, WORKER)
    assert [dict(it.facts)["reason"] for it in effects if isinstance(it, l.Tell) and it.kind == "killed"] == [
        "killed by hand"
    ]
    p, _ = step(p, l.Exited(7, -9), 1002.0, WORKER)
    assert p.reason == ("scaled down; killed by hand" if first else "killed by hand")


def test_stopasgroup_signals_the_whole_tree() -> None:
    _, effects = step(running(), l.Stop(), 0.0, replace(WORKER, stopasgroup=True))
    assert l.Send(7, 15, True) in effects


def test_a_stop_is_not_over_while_children_of_the_leader_live() -> None:
    p, _ = step(running(), l.Stop(), 1000.0, WORKER)
    p, effects = step(p, l.Exited(7, -15, rest=True), 1001.0, WORKER)
    assert p.state is State.STOPPING
    assert effects == [l.Sweep(7, 15)], "they get TERM, so that a job can finish"
    p, effects = step(p, l.Elapsed(), 1075.0, WORKER)
    assert effects[0] == l.Sweep(7, 9)
    p, _ = step(p, l.TreeGone(7), 1076.0, WORKER)
    assert p.state is State.STOPPED


def test_a_dead_leader_is_not_replaced_before_its_children_are_gone() -> None:
    p, effects = step(running(), l.Exited(7, -9, rest=True), 1000.0, WORKER)
    assert l.Spawn() not in effects
    assert l.Sweep(7, 15) in effects
    p, effects = step(p, l.TreeGone(7), 1003.0, WORKER)
    assert (p.state, effects[-1]) == (State.STARTING, l.Spawn())


def test_a_late_exit_of_a_former_life_changes_nothing() -> None:
    p = running()
    assert step(p, l.Exited(6, 1), 1000.0, WORKER) == (p, [])
    assert step(p, l.TreeGone(6), 1000.0, WORKER) == (p, [])


def test_what_waits_for_redis_is_neither_counted_nor_fatal_and_starts_when_it_is_back() -> None:
    p, _ = step(running(), l.Blocked("redis at 127.0.0.1:6379"), 1000.0, WORKER)
    assert p.state is State.RUNNING, "one that lives is left alone"
    p, effects = step(p, l.Exited(7, 1), 1001.0, WORKER)
    assert (p.state, p.deadline, p.reason) == (State.BACKOFF, None, "waiting for redis at 127.0.0.1:6379")
    assert l.Spawn() not in effects
    p, effects = step(p, l.Unblocked(), 1020.0, WORKER)
    assert (p.state, p.failures, effects) == (State.STARTING, 0, [l.Spawn()])


@pytest.mark.parametrize("state", [State.BACKOFF, State.FATAL])
def test_an_outage_that_is_found_late_turns_failures_into_waiting(state: State) -> None:
    p = Process(state=state, wanted=True, failures=4, deadline=1060.0)
    p, _ = step(p, l.Blocked("redis"), 1000.0, WORKER)
    assert (p.state, p.failures, p.deadline) == (State.BACKOFF, 0, None)


def test_autorestart_follows_supervisor_for_commands() -> None:
    never = replace(COMMAND, autorestart=Autorestart.NEVER)
    unexpected = replace(COMMAND, autorestart=Autorestart.UNEXPECTED, exitcodes=frozenset({0, 2}))
    assert step(running(), l.Exited(7, 1), 1000.0, never)[0].state is State.EXITED
    assert step(running(), l.Exited(7, 2), 1000.0, unexpected)[0].state is State.EXITED
    assert step(running(), l.Exited(7, 1), 1000.0, unexpected)[0].state is State.STARTING


def test_a_command_that_fails_to_spawn_says_why_and_waits() -> None:
    p, _ = step(Process(), l.Start(), 0.0, COMMAND)
    p, effects = step(p, l.SpawnFailed("cannot find the command x"), 0.0, COMMAND)
    assert (p.state, p.reason) == (State.BACKOFF, "cannot find the command x")
    assert "spawn_failed" in kinds(effects)


def test_a_start_during_a_stop_begins_a_new_life_after_it() -> None:
    p, _ = step(running(), l.Stop(), 1000.0, WORKER)
    p, _ = step(p, l.Start(), 1001.0, WORKER)
    p, effects = step(p, l.Exited(7, 0), 1002.0, WORKER)
    assert (p.state, effects[-1]) == (State.STARTING, l.Spawn())


def test_a_recycle_ends_gracefully_and_goes_on() -> None:
    p, effects = step(running(), l.Recycle("memory_limit"), 1000.0, WORKER)
    assert p.state is State.STOPPING
    assert l.Send(7, 15, False) in effects
    p, effects = step(p, l.Exited(7, 0), 1001.0, WORKER)
    assert p.state is State.STARTING


EVENTS = st.one_of(
    st.just(l.Start()),
    st.builds(l.Stop, kill=st.booleans()),
    st.just(l.Recycle("memory")),
    st.just(l.SpawnFailed("no")),
    st.builds(l.Exited, st.just(0), st.sampled_from([0, 1, 12, 255, -9, None]), st.booleans()),
    st.just(l.TreeGone(0)),
    st.just(l.Elapsed()),
    st.just(l.Blocked("redis")),
    st.just(l.Unblocked()),
)


@settings(max_examples=400, deadline=None)
@given(
    events=st.lists(st.tuples(EVENTS, st.floats(0, 30)), max_size=60),
    policy=st.builds(
        Policy,
        startsecs=st.sampled_from([0.0, 1.0]),
        startretries=st.integers(0, 4),
        autorestart=st.sampled_from(Autorestart),
        recycle_codes=st.sampled_from([frozenset(), frozenset({0, 12})]),
        killasgroup=st.booleans(),
    ),
)
def test_any_sequence_of_events_keeps_the_rules(events: list[tuple[l.Event, float]], policy: Policy) -> None:
    """At most one process at a time; one that is wanted never gets stuck; one that is not is never spawned."""
    p, now, alive, tree, next_pid = Process(), 0.0, False, False, 1
    for event, wait in events:
        now += wait
        if isinstance(event, l.Exited):
            if not alive or p.pid is None:
                continue
            event, alive, tree = replace(event, pid=p.pid), False, event.rest
        elif isinstance(event, l.TreeGone):
            if alive or not tree or p.pid is None:
                continue
            event, tree = l.TreeGone(p.pid), False
        elif isinstance(event, l.SpawnFailed):
            continue
        p, effects = step(p, event, now, policy)
        for effect in effects:
            if isinstance(effect, l.Spawn):
                assert not alive, "a second process in one slot"
                assert not tree, "a new process beside the rest of the old tree"
                assert p.wanted
                alive = True
                p, _ = step(p, l.Spawned(next_pid), now, policy)
                next_pid += 1
            if isinstance(effect, l.Send | l.Sweep):
                assert effect.pid == p.pid
        assert (p.pid is not None) == (alive or tree)
        if p.state is State.STOPPING or (p.state is State.BACKOFF and not p.blocked):
            assert p.deadline is not None, "nothing would ever happen again"
        if p.state is State.STOPPED:
            assert not alive
            assert not p.wanted


def test_only_the_lowest_of_many_that_fail_alike_tries_again() -> None:
    assert not braked(0, {0, 1, 2, 3})
    assert braked(3, {0, 1, 2, 3})
    assert not braked(3, {1, 2, 3}), "three may well fail for reasons of their own"
