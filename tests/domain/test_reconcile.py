"""Reconcile driven by a small world that obeys its actions in any order and at any pace."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.domain.desired import Overrides, Rolling, desired
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import Launch, LogPolicy, Policy, PoolSpec, ProcessSpec, Strategy
from queuepool.domain.reconcile import Begin, End, Seen, held_up, is_calm, reconcile, settled, stands_still
from queuepool.domain.states import State


def pool(numprocs: int = 4, *, strategy: Strategy | None = None, argv: str = "one", **values: object) -> PoolSpec:
    def process(slot: int) -> ProcessSpec:
        return ProcessSpec(ProcessName("w", slot), f"w:w_{slot:02d}", Launch((argv,), "/"), Policy(), LogPolicy(None))

    return PoolSpec("w", "worker", numprocs, process, strategy=strategy or Strategy(), **values)  # type: ignore[arg-type]


class World:
    """Lives that start, run and end when told to."""

    def __init__(self) -> None:
        self.lives: dict[ProcessName, list[Seen]] = {}
        self.count = 0

    def apply(self, actions: list[Begin | End], want: object) -> None:
        for action in actions:
            lives = self.lives.setdefault(action.name, [])
            if isinstance(action, Begin):
                self.count += 1
                revision = want.slots[action.name.slot]  # type: ignore[attr-defined]
                lives.append(Seen(self.count, replace(revision, release=None), State.STARTING, True, revision.release))
            else:
                self._change(action.name, action.life, state=State.STOPPING, wanted=False)

    def _change(self, name: ProcessName, life: int, **values: object) -> None:
        self.lives[name] = [replace(x, **values) if x.life == life else x for x in self.lives[name]]

    def step(self, luck: int) -> None:
        """One life that is on its way moves on."""
        moving = [
            (n, x) for n, lives in self.lives.items() for x in lives if x.state in (State.STARTING, State.STOPPING)
        ]
        if not moving:
            return
        name, life = moving[luck % len(moving)]
        if life.state is State.STARTING:
            self._change(name, life.life, state=State.RUNNING)
        else:
            self.lives[name] = [x for x in self.lives[name] if x.life != life.life]
            if not self.lives[name]:
                del self.lives[name]

    @property
    def serving(self) -> int:
        return sum(any(x.wanted and x.state is State.RUNNING for x in lives) for lives in self.lives.values())

    @property
    def alive(self) -> int:
        return sum(x.wanted for lives in self.lives.values() for x in lives)


def bring(world: World, spec: PoolSpec, overrides: Overrides, blocked: str = "") -> None:
    for turn in range(500):
        want = desired(spec, overrides)
        world.apply(reconcile(want, world.lives, blocked), want)
        if settled(want, world.lives) and not any(x.state is State.STOPPING for y in world.lives.values() for x in y):
            return
        world.step(turn)
    raise AssertionError(f"never settled: {world.lives}")


def pids(world: World) -> dict[int, int]:
    return {name.slot: lives[-1].life for name, lives in world.lives.items()}


def test_scaling_up_leaves_the_running_ones_alone() -> None:
    world = World()
    bring(world, pool(2), Overrides())
    before = pids(world)
    bring(world, pool(2), Overrides(scale={"w": 4}))
    assert pids(world) == before | {2: 3, 3: 4}


def test_scaling_down_ends_only_the_surplus() -> None:
    world = World()
    bring(world, pool(4), Overrides())
    before = pids(world)
    bring(world, pool(2), Overrides())
    assert pids(world) == {slot: before[slot] for slot in (0, 1)}


def test_a_held_process_is_ended_and_stays_away() -> None:
    world = World()
    bring(world, pool(2), Overrides())
    held = Overrides(held=frozenset({ProcessName("w", 1)}))
    bring(world, pool(2), held)
    assert set(pids(world)) == {0}


def test_nothing_starts_before_its_dependency() -> None:
    want = desired(pool(2), Overrides())
    assert reconcile(want, {}, "database") == []
    assert len(reconcile(want, {})) == 2


def test_autostart_false_waits_for_an_operator() -> None:
    spec = pool(2, autostart=False)
    assert desired(spec, Overrides()).slots == {}
    assert set(desired(spec, Overrides(started=frozenset({ProcessName("w", 1)}))).slots) == {1}


def test_a_program_that_may_not_run_twice_is_restarted_in_place() -> None:
    world, spec = World(), replace(pool(1, strategy=Strategy(0, 0)), kind="command")
    bring(world, spec, Overrides())
    want = desired(spec, Overrides(restarts={ProcessName("w", 0): 1}))
    actions = reconcile(want, world.lives)
    assert [type(action) for action in actions] == [End]
    world.apply(actions, want)
    assert reconcile(want, world.lives) == [], "not before the old one is gone"
    world.step(0)
    assert [type(action) for action in reconcile(want, world.lives)] == [Begin]


def test_a_worker_restarted_in_place_does_not_wait_for_the_job_of_its_predecessor() -> None:
    world, spec = World(), pool(1, strategy=Strategy(0, 0))
    bring(world, spec, Overrides())
    want = desired(spec, Overrides(restarts={ProcessName("w", 0): 1}))
    world.apply(reconcile(want, world.lives), want)
    assert [type(action) for action in reconcile(want, world.lives)] == [Begin]


def at(release: str, **values: object) -> Overrides:
    return Overrides(rolling={"w": Rolling(release, **values)})  # type: ignore[arg-type]


def test_a_slot_whose_turn_has_not_come_is_left_alone_and_its_absence_is_mended() -> None:
    world, spec = World(), pool(2, app="/app")
    bring(world, spec, at("/old"))
    want = desired(pool(1, app="/app", argv="two"), at("/new", waiting=frozenset({0, 1})))
    assert reconcile(want, world.lives) == [], "neither the stale one nor the surplus one"
    del world.lives[ProcessName("w", 0)]
    assert reconcile(want, world.lives) == [Begin(ProcessName("w", 0))]


def test_when_a_deploy_is_rolled_back_the_old_one_stays_and_its_replacement_goes() -> None:
    world, spec = World(), pool(1, app="/app")
    bring(world, spec, at("/old"))
    want = desired(spec, at("/new"))
    world.apply(reconcile(want, world.lives), want)
    old, new = world.lives[ProcessName("w", 0)]
    world.lives[ProcessName("w", 0)] = [replace(old, release="/old"), replace(new, release="/new")]
    assert reconcile(desired(spec, at("/old")), world.lives) == [End(ProcessName("w", 0), new.life, "replaced")]


def test_a_program_without_an_application_has_no_release() -> None:
    assert desired(pool(1), at("/new")).slots[0].release is None


def test_a_replacement_that_does_not_come_up_leaves_the_old_one_working() -> None:
    world, spec = World(), pool(1, strategy=Strategy(1, 0))
    bring(world, spec, Overrides())
    want = desired(spec, Overrides(restarts={ProcessName("w", 0): 1}))
    world.apply(reconcile(want, world.lives), want)
    name = ProcessName("w", 0)
    world.lives[name][1] = replace(world.lives[name][1], state=State.BACKOFF)
    assert reconcile(want, world.lives) == []
    assert not settled(want, world.lives)


ALL_AGAIN = Overrides(restarts={ProcessName("w", slot): 1 for slot in range(3)}, serial=1)


def test_one_that_was_stopped_by_hand_does_not_keep_the_others_from_being_replaced() -> None:
    """Of two, one may be missing; the one that somebody stopped on purpose is not, but one that failed is."""
    spec = pool(2, strategy=Strategy(0, 1))
    want = desired(spec, Overrides(restarts={ProcessName("w", 0): 1}, serial=1))
    fresh = desired(spec, Overrides()).slots[1]

    def there(state: State) -> dict[ProcessName, list[Seen]]:
        return {
            ProcessName("w", 0): [Seen(1, fresh, State.RUNNING, True)],
            ProcessName("w", 1): [Seen(2, fresh, state, True)],
        }

    assert reconcile(want, there(State.STOPPED)) == [End(ProcessName("w", 0), 1, "replaced")]
    assert reconcile(want, there(State.FATAL)) == []
    assert [state.name for state in State if stands_still(want, there(state))] == ["FATAL"]


def test_the_others_are_held_up_by_one_that_fails_and_by_nothing_that_goes_on() -> None:
    spec = pool(3, strategy=Strategy(1, 0))
    old, new = (desired(spec, overrides).slots[0] for overrides in (Overrides(), ALL_AGAIN))
    want = desired(spec, ALL_AGAIN)

    def there(first: State, *more: Seen) -> dict[ProcessName, list[Seen]]:
        slots = {slot: [Seen(slot, old, State.RUNNING, True)] for slot in range(3)}
        slots[0].append(Seen(7, new, first, True))
        slots[1] += more
        return {ProcessName("w", slot): lives for slot, lives in slots.items()}

    assert [state.name for state in State if held_up(want, there(state))] == ["BACKOFF", "FATAL"]
    assert not held_up(want, there(State.FATAL, Seen(8, new, State.STARTING, True))), "a second one of the batch"
    assert held_up(want, there(State.FATAL, Seen(8, new, State.STOPPING, False))), "a job of hours changes nothing"
    assert not held_up(want, {}), "all begin at once"


def test_one_that_takes_no_jobs_is_replaced_without_waiting_for_its_turn() -> None:
    want = desired(pool(4, strategy=Strategy(0, 1), argv="two"), Overrides())
    old = desired(pool(4), Overrides()).slots[0]
    lives = {ProcessName("w", slot): [Seen(slot, old, State.FATAL, True)] for slot in range(4)}
    actions = reconcile(want, lives)
    assert sum(isinstance(action, Begin) for action in actions) == 4


@given(
    slots=st.dictionaries(
        st.integers(0, 4),
        st.lists(st.tuples(st.integers(0, 1), st.sampled_from(State), st.booleans()), min_size=1, max_size=2),
    ),
    numprocs=st.integers(0, 4),
    strategy=st.sampled_from([Strategy(), Strategy(0, 1), Strategy("100%", 0)]),
)
def test_a_calm_pool_needs_nothing_in_whatever_states_its_processes_are(
    slots: dict[int, list[tuple[int, State, bool]]], numprocs: int, strategy: Strategy
) -> None:
    want = desired(pool(numprocs, strategy=strategy), Overrides())
    right = desired(pool(1), Overrides()).slots[0]
    revisions = (right, replace(right, serial=1))
    lives = {
        ProcessName("w", slot): [Seen(n, revisions[r], state, wanted) for n, (r, state, wanted) in enumerate(found)]
        for slot, found in slots.items()
    }
    if is_calm(want, lives):
        assert reconcile(want, lives) == []


@settings(max_examples=200, deadline=None)
@given(
    numprocs=st.integers(1, 12),
    surge=st.one_of(st.integers(0, 5), st.sampled_from(["25%", "50%", "100%"])),
    unavailable=st.one_of(st.integers(0, 3), st.sampled_from(["10%", "34%"])),
    luck=st.lists(st.integers(0, 50), max_size=200),
    again=st.integers(0, 40),
)
def test_a_rolling_restart_keeps_its_promises_whatever_the_order_of_events(
    numprocs: int, surge: int | str, unavailable: int | str, luck: list[int], again: int
) -> None:
    spec = pool(numprocs, strategy=Strategy(surge, unavailable))
    more, less = spec.strategy.limits(numprocs)
    world = World()
    bring(world, spec, Overrides())
    names = [ProcessName("w", slot) for slot in range(numprocs)]
    overrides = Overrides(restarts=dict.fromkeys(names, 1))
    begun_before = world.count
    for index, chance in enumerate([*luck, *range(500)]):
        if index == again:
            overrides = Overrides(restarts=dict.fromkeys(names, 2))
        want = desired(spec, overrides)
        world.apply(reconcile(want, world.lives), want)
        assert world.serving >= numprocs - less, "fewer than promised"
        assert world.alive <= numprocs + more, "more than the surge"
        if index > again and settled(want, world.lives):
            break
        world.step(chance)
    assert settled(desired(spec, overrides), world.lives)
    assert world.count - begun_before <= 2 * numprocs, "somebody was restarted twice for one request"
