"""A whole deploy in a small world whose processes start, crash, recycle and end in any order and at any pace."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.domain.desired import DesiredPool, Overrides, desired
from queuepool.domain.names import ProcessName
from queuepool.domain.plan import plan_pool
from queuepool.domain.pool import PoolSpec, Strategy
from queuepool.domain.reconcile import Begin, Seen, reconcile
from queuepool.domain.rollout import (
    UNTOUCHED,
    Failure,
    Look,
    Outcome,
    Phase,
    PoolLook,
    Rollout,
    Worker,
    due,
    lay,
    step,
    turn_of,
    waits_for,
)
from queuepool.domain.states import State
from tests.domain.test_reconcile import pool

OLD, NEW = "/releases/1", "/releases/2"


@dataclass
class World:
    """One pool, its lives, and the deploy that goes on."""

    before: PoolSpec
    after: PoolSpec
    timeout: float = 600.0
    hooks: frozenset[str] = frozenset()
    force: bool = False
    now: float = 1000.0
    lives: dict[ProcessName, list[Seen]] = field(default_factory=dict)
    crashes: dict[int, int] = field(default_factory=dict)
    begun: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    hook: Failure | str | None = None
    abort: Failure | None = None
    count: int = 0
    wait_drained: bool = False

    def __post_init__(self) -> None:
        now = desired(self.before, Overrides())
        for slot, revision in now.slots.items():
            self.count += 1
            self.lives[ProcessName("w", slot)] = [Seen(self.count, revision, State.RUNNING, True, OLD)]
        plan = plan_pool(now, desired(self.after, Overrides()), self.lives, NEW, force=self.force)
        turn = turn_of(plan, self.after.strategy, frozenset(now.slots))
        self.state = Rollout(
            {"w": turn}, deadline=self.now + self.timeout, observe=5.0, hooks=self.hooks, serial=1,
            wait_drained=self.wait_drained,
        )  # fmt: skip

    @property
    def want(self) -> DesiredPool:
        back = self.state.phase is Phase.BACK or self.state.rolled_back or self.state.phase in UNTOUCHED
        spec = self.before if back else self.after
        return desired(spec, Overrides(rolling=lay(self.state)))

    def look(self) -> Look:
        want = self.want
        workers: dict[int, Worker] = {}
        unfit = retiring = 0
        for name, lives in self.lives.items():
            for life in lives:
                if not life.wanted:
                    retiring += 1
                elif life.meets(want.slots.get(name.slot)):
                    workers[name.slot] = Worker(life.state, self.crashes.get(life.life, 0))
                else:
                    unfit += 1
        return Look({"w": PoolLook(frozenset(want.slots), workers, unfit, retiring)}, self.hook, self.abort)

    def turn(self) -> None:
        """Decide and obey, until nothing changes."""
        for _ in range(50):
            for action in reconcile(self.want, self.lives):
                lives = self.lives.setdefault(action.name, [])
                if isinstance(action, Begin):
                    self.count += 1
                    revision = self.want.slots[action.name.slot]
                    release = revision.release or NEW
                    lives.append(Seen(self.count, replace(revision, release=None), State.STARTING, True, release))
                    self.begun.append(action.name.slot)
                else:
                    self.change(action.life, state=State.STOPPING, wanted=False)
            after, hook = step(self.state, self.look(), self.now)
            if hook:
                self.asked.append(hook)
                self.hook = None
            if after == self.state:
                return
            if after.phase is not self.state.phase:
                self.hook = None
            self.state = after
        raise AssertionError(f"it never rests: {self.state}")

    def change(self, life: int, **values: object) -> None:
        for name, lives in self.lives.items():
            self.lives[name] = [replace(x, **values) if x.life == life else x for x in lives]

    def happen(self, luck: int, *, drains: bool = True) -> None:
        """Some process moves on."""
        moving = [
            (n, x)
            for n, lives in self.lives.items()
            for x in lives
            if x.state is State.STARTING or (x.state is State.STOPPING and drains)
        ]
        if not moving:
            return
        name, life = moving[luck % len(moving)]
        if life.state is State.STARTING:
            self.change(life.life, state=State.RUNNING)
        else:
            self.lives[name] = [x for x in self.lives[name] if x.life != life.life]
            if not self.lives[name]:
                del self.lives[name]

    def crash(self, luck: int) -> None:
        """A process of the new release dies, and tries again later."""
        new = [x for lives in self.lives.values() for x in lives if x.wanted and x.release == NEW]
        if new and self.state.phase in (Phase.FIRST, Phase.REST, Phase.VERIFY):
            life = new[luck % len(new)]
            self.crashes[life.life] = self.crashes.get(life.life, 0) + 1
            self.change(life.life, state=State.BACKOFF)

    @property
    def serving(self) -> int:
        return sum(any(x.wanted and x.state is State.RUNNING for x in lives) for lives in self.lives.values())

    def to_end(self, *, drains: bool = True) -> None:
        for luck in range(2000):
            self.turn()
            if self.state.phase is Phase.ENDED:
                return
            self.happen(luck, drains=drains)
            self.now = min(due(self.state, self.now), self.now + 1)
        raise AssertionError(f"it never ended: {self.state}")

    def releases(self) -> set[str | None]:
        return {x.release for lives in self.lives.values() for x in lives if x.wanted}


def test_every_worker_is_replaced_once_and_the_pin_is_lifted() -> None:
    world = World(pool(4, app="/app"), pool(4, app="/app"))
    world.to_end()
    assert world.state.outcome is Outcome.DONE
    assert sorted(world.begun) == [0, 1, 2, 3]
    assert world.releases() == {NEW}
    assert lay(world.state) == {}


def test_a_crash_in_the_first_batch_touches_no_further_worker_and_ends_with_the_old_ones() -> None:
    world = World(pool(8, app="/app"), pool(8, app="/app"))
    while world.state.phase is not Phase.FIRST or not world.begun:
        world.turn()
    world.turn()
    world.crash(0)
    world.to_end()
    assert (world.state.outcome, world.state.failure and world.state.failure.gate) == (Outcome.ROLLED_BACK, "crash")
    assert len(world.begun) == 2, "the two of the batch were begun and given up"
    assert world.releases() == {OLD}
    assert lay(world.state)["w"].release == OLD, "what starts now starts from the old release"


def test_a_failing_hook_before_starts_nothing() -> None:
    world = World(pool(2, app="/app"), pool(2, app="/app"), hooks=frozenset({"before", "on_failure"}))
    world.turn()
    assert world.asked == ["before"]
    world.hook = Failure("before", "migrate failed")
    world.turn()
    assert world.asked == ["before", "on_failure"]
    world.hook = ""
    world.turn()
    assert world.state.outcome is Outcome.ROLLED_BACK
    assert world.begun == []


def test_a_canary_is_waited_for_before_any_worker_is_touched() -> None:
    world = World(pool(4, app="/app"), pool(4, app="/app"), hooks=frozenset({"before", "canary"}))
    world.turn()
    world.hook = ""
    world.turn()
    assert world.asked == ["before", "canary"]
    assert (world.state.phase, world.state.attempts) == (Phase.CANARY, 1)
    assert waits_for(world.state, world.look()) == "a canary does a job"
    assert (lay(world.state)["w"].release, lay(world.state)["w"].waiting) == (OLD, {0, 1, 2, 3})
    assert world.begun == []
    world.state = replace(world.state, asked=False)  # as a daemon that comes after a SIGKILL has it
    world.turn()
    assert world.state.attempts == 2, "so that the second one has a queue of its own"
    world.hook = ""
    world.to_end()
    assert (world.state.outcome, sorted(world.begun)) == (Outcome.DONE, [0, 1, 2, 3])


@pytest.mark.parametrize("why", ["fails", "abort", "timeout"])
def test_without_its_canary_a_deploy_starts_nothing(why: str) -> None:
    world = World(pool(4, app="/app"), pool(2, app="/app"), hooks=frozenset({"canary"}))
    world.turn()
    if why == "fails":
        world.hook = Failure("canary", "it died")
    elif why == "abort":
        world.abort = Failure("abort", "aborted")
    else:
        world.now += 1000
    world.to_end()
    failure = world.state.failure
    assert failure
    assert failure.gate == ("canary" if why == "fails" else why)
    assert world.state.rolled_back
    assert world.begun == []
    assert {name.slot: [x.life for x in lives] for name, lives in world.lives.items()} == {n: [n + 1] for n in range(4)}


def test_a_check_that_fails_takes_the_first_batch_back() -> None:
    world = World(pool(4, app="/app"), pool(4, app="/app"), hooks=frozenset({"check"}))
    while not world.asked:
        world.turn()
        world.happen(0)
        world.now += 1
    assert world.state.phase is Phase.CHECK
    world.hook = Failure("check", "unhealthy")
    world.to_end()
    assert world.state.outcome is Outcome.ROLLED_BACK
    assert world.begun == [0, 0], "a new one, and an old one again"
    assert world.releases() == {OLD}


@pytest.mark.parametrize("hooks", [frozenset(), frozenset({"check"})])
def test_a_hook_is_waited_for_where_there_is_one_and_only_there(hooks: frozenset[str]) -> None:
    state = replace(World(pool(1, app="/app"), pool(1, app="/app"), hooks=hooks).state, phase=Phase.CHECK)
    assert (waits_for(state, Look({})) == "the hook `check` runs") is bool(hooks)


def test_a_failing_hook_after_leaves_the_new_release_running() -> None:
    world = World(pool(1, app="/app"), pool(1, app="/app"), hooks=frozenset({"after"}))
    while not world.asked:
        world.turn()
        world.happen(0)
        world.now += 1
    world.hook = Failure("after", "no")
    world.turn()
    assert world.state.outcome is Outcome.FAILED
    assert not world.state.rolled_back
    assert world.releases() == {NEW}


def test_a_job_of_hours_does_not_hold_the_deploy_up_unless_asked() -> None:
    world = World(pool(2, app="/app"), pool(2, app="/app"))
    world.to_end(drains=False)
    assert world.state.outcome is Outcome.DONE
    assert sum(not x.wanted for lives in world.lives.values() for x in lives) == 2
    waiting = World(pool(2, app="/app"), pool(2, app="/app"), wait_drained=True)
    waiting.to_end(drains=False)
    assert waiting.state.outcome is Outcome.TIMED_OUT
    assert waiting.releases() == {NEW}, "there is no reason to take the new release back"


def test_a_pool_that_shrinks_gives_its_surplus_up_only_in_the_end() -> None:
    world = World(pool(4, app="/app"), pool(2, app="/app"))
    while world.state.phase is not Phase.REST:
        world.turn()
        assert world.state.phase is Phase.VERIFY or world.serving >= 4
        world.happen(0)
        world.now += 1
    world.to_end()
    assert sorted(name.slot for name, lives in world.lives.items() if any(x.wanted for x in lives)) == [0, 1]


def test_force_restarts_what_is_fresh_and_a_roll_back_leaves_the_others() -> None:
    spec = pool(3, app="/app", strategy=Strategy(1, 0))
    world = World(spec, spec, force=True)
    world.to_end()
    assert sorted(world.begun) == [0, 1, 2]


def test_what_cannot_be_rolled_back_is_said() -> None:
    world = World(pool(1, app="/app", strategy=Strategy(0, 1)), pool(1, app="/app", strategy=Strategy(0, 1)))
    while not world.begun:
        world.turn()
        world.happen(0)
    world.crash(0)
    for _ in range(400):
        world.turn()
        for lives in list(world.lives.values()):
            for life in lives:
                if life.wanted:
                    world.change(life.life, state=State.BACKOFF)
        world.now += 1
    assert world.state.outcome is Outcome.FAILED
    assert world.state.trouble
    assert world.state.trouble.what == "w:0 does not run again"


def test_a_blocked_worker_is_not_blamed() -> None:
    state = World(pool(1, app="/app"), pool(1, app="/app"))
    state.turn()
    look = Look({"w": PoolLook(frozenset({0}), {0: Worker(State.BACKOFF, 1, "redis at ::1")})})
    after, _ = step(state.state, look, state.now)
    assert after.failure is None
    late, _ = step(state.state, look, state.now + 1000)
    assert late.failure
    assert "redis at ::1" in late.failure.what


@pytest.mark.parametrize("phase", list(Phase))
def test_an_abort_ends_a_deploy_in_every_phase(phase: Phase) -> None:
    world = World(
        pool(2, app="/app"), pool(2, app="/app"), hooks=frozenset({"before", "canary", "check", "after", "on_failure"})
    )
    world.state = replace(world.state, phase=phase, failure=Failure("crash", "x"), outcome=Outcome.ROLLED_BACK)
    world.abort = Failure("abort", "aborted")
    for luck in range(300):
        world.turn()
        if world.asked:
            world.hook = ""
        world.happen(luck)
        world.now += 1
    assert world.state.phase is Phase.ENDED


def test_what_a_deploy_added_takes_jobs_until_what_it_replaced_is_back() -> None:
    strategy = Strategy(0, "34%")
    world = World(pool(2, app="/app", strategy=strategy), pool(6, app="/app", strategy=strategy))
    while world.state.phase is not Phase.REST or world.state.turns["w"].todo:
        world.turn()
        world.happen(0)
        world.now += 0.5
    world.abort = Failure("abort", "aborted")
    while world.state.phase is not Phase.ENDED:
        world.turn()
        assert world.serving >= 2
        world.happen(0)
        world.now += 0.5
    assert sorted(name.slot for name, lives in world.lives.items() if any(x.wanted for x in lives)) == [0, 1]


SHARES = st.one_of(st.integers(0, 5), st.sampled_from(["25%", "50%", "100%"]))


@settings(max_examples=300)
@given(
    was=st.integers(0, 8),
    now=st.integers(0, 8),
    surge=SHARES,
    unavailable=st.one_of(st.integers(0, 3), st.sampled_from(["10%", "34%"])),
    batch=st.one_of(st.none(), SHARES),
    changed=st.booleans(),
    force=st.booleans(),
    canary=st.booleans(),
    luck=st.lists(st.integers(0, 60), max_size=150),
    aborted=st.one_of(st.none(), st.integers(0, 60)),
    timeout=st.sampled_from([3.0, 30.0, 600.0]),
)
def test_a_deploy_keeps_its_promises_whatever_happens(
    was: int,
    now: int,
    surge: int | str,
    unavailable: int | str,
    batch: int | str | None,
    changed: bool,
    force: bool,
    canary: bool,
    luck: list[int],
    aborted: int | None,
    timeout: float,
) -> None:
    strategy = Strategy(surge, unavailable, batch)
    argv = "two" if changed else "one"
    world = World(
        pool(was, app="/app", strategy=strategy),
        pool(now, app="/app", strategy=strategy, argv=argv),
        force=force,
        timeout=timeout,
        hooks=frozenset({"canary"} if canary else ()),
    )
    floor = max(0, min(was, now) - strategy.limits(min(was, now))[1])
    crashed: set[int] = set()
    for turn, chance in enumerate([*luck, *range(3000)]):
        before = world.serving
        world.turn()
        lost = sum(x.state is State.BACKOFF for lives in world.lives.values() for x in lives)
        assert world.serving >= min(before, floor - lost), "fewer took jobs than promised"
        if world.state.phase is Phase.ENDED:
            break
        if turn == aborted:
            world.abort = Failure("abort", "aborted")
        if world.state.phase is Phase.CANARY:
            assert world.begun == [], "the canary comes first"
            if chance % 3 == 0:
                world.hook = Failure("canary", "it died") if chance == 33 else ""
        if turn < len(luck) and chance % 10 == 9 and len(crashed) < 2:
            crashed.add(turn)
            world.crash(chance)
        else:
            world.happen(chance)
        world.now += 0.5
    assert world.state.phase is Phase.ENDED, world.state
    restarts = {slot: world.begun.count(slot) for slot in world.begun}
    most = 1 if world.state.outcome is Outcome.DONE else 2
    assert all(count <= most for count in restarts.values()), "a worker was restarted twice"
    if world.state.outcome is Outcome.DONE:
        assert world.releases() <= {NEW}
    elif world.state.rolled_back:
        assert NEW not in world.releases()
