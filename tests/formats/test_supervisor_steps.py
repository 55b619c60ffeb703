"""The steps towards what is wanted in Supervisor, against a Supervisor that is a dict: from wherever somebody was
killed, the same question leads there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.domain.names import ProcessName
from queuepool.domain.states import State
from queuepool.formats.supervisor_slots import Entry
from queuepool.formats.supervisor_steps import ALIVE, Goal, Rest, Steps, goals, steps

NAMES = ("w_00", "w_01", "w_02")


class Killed(Exception):
    pass


class Model:
    """supervisord and our file. loaded: what the groups that it has were made of."""

    def __init__(self) -> None:
        self.file: dict[str, Entry] = {}
        self.known: dict[str, Entry] = {}
        self.loaded: dict[str, Entry] = {}
        self.states: dict[str, State] = {}
        self.started: list[str] = []
        self.stopped: list[str] = []

    def perform(self, plan: Steps, step: Callable[[], None]) -> None:
        """step: called before each call; it may raise Killed."""
        step()
        self.file = dict(plan.file)
        for section in plan.stop:
            step()
            assert self.states[section] in ALIVE
            self.stopped.append(section)
            self.states[section] = State.STOPPED if self.states[section] is State.BACKOFF else State.STOPPING
        for section in plan.remove:
            step()
            assert self.states[section] not in ALIVE | {State.STOPPING}
            del self.states[section], self.loaded[section]
        if plan.reload:
            step()
            self.known = dict(self.file)
        for section in plan.add:
            step()
            assert section not in self.loaded, "Supervisor would keep the old settings"
            self.loaded[section] = self.known[section]
            self.states[section] = State.STOPPED
            step()
            self.start(section)
        for section in plan.start:
            step()
            self.start(section)

    def start(self, section: str) -> None:
        self.started.append(section)
        self.states[section] = State.RUNNING

    def pass_time(self) -> None:
        for section, state in self.states.items():
            if state is State.STOPPING:
                self.states[section] = State.STOPPED
            elif state is State.STOPPED and self.loaded[section].runs and section not in self.stopped:
                self.start(section)  # it was just added

    def restart(self) -> None:
        """A supervisord that starts anew runs what the file says."""
        self.loaded, self.known = dict(self.file), dict(self.file)
        self.states = {s: State.RUNNING if one.runs else State.STOPPED for s, one in self.file.items()}


def made(section: str, serial: int) -> Entry:
    return Entry(section, ProcessName("w", int(section[-2:])), "f", serial)


def bring(model: Model, goals: dict[str, Goal], start: frozenset[str], step: Callable[[], None] = lambda: None) -> None:
    for _ in range(20):
        plan = steps(goals, model.file, model.states, start)
        if not plan and plan.file == model.file and State.STOPPING not in model.states.values():
            return
        model.perform(plan, step)
        model.pass_time()
    raise AssertionError("it does not come to an end")


GOALS = st.fixed_dictionaries(
    {
        name: st.one_of(st.sampled_from(list(Rest)), st.integers(1, 3).map(lambda n, s=name: made(s, n)))
        for name in NAMES
    }
)


def as_wanted(model: Model, goals: dict[str, Goal]) -> None:
    for section, goal in goals.items():
        if isinstance(goal, Entry):
            assert model.states[section] is State.RUNNING
            assert model.loaded[section].same(goal), "it runs what is wanted"
            assert model.file[section] == goal
        elif goal is Rest.GONE:
            assert section not in model.states
            assert section not in model.file
        else:
            assert model.states.get(section, State.STOPPED) is State.STOPPED
            assert section not in model.file or not model.file[section].runs


@given(before=GOALS, after=GOALS, kill=st.integers(0, 25), restart=st.booleans())
@settings(max_examples=400)
def test_from_wherever_it_was_killed_it_gets_there(
    before: dict[str, Goal], after: dict[str, Goal], kill: int, restart: bool
) -> None:
    model = Model()
    start = frozenset(NAMES)
    bring(model, before, start)
    as_wanted(model, before)
    left = kill

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    try:
        bring(model, after, start, step)
    except Killed:
        if restart:
            model.restart()
        for section, one in model.loaded.items():
            assert section not in model.file or one.same(model.file[section]), "what runs is what the file says"
        bring(model, after, start)
    as_wanted(model, after)


@given(goals=GOALS)
def test_what_is_right_already_is_not_touched(goals: dict[str, Goal]) -> None:
    model = Model()
    bring(model, goals, frozenset(NAMES))
    model.started, model.stopped = [], []
    one_more = {**goals, "w_03": made("w_03", 1)}
    bring(model, one_more, frozenset({"w_03"}))
    assert (model.started, model.stopped) == (["w_03"], [])


def test_one_that_was_stopped_in_supervisor_stays_so_until_it_is_to_be_started() -> None:
    model = Model()
    goals: dict[str, Goal] = {"w_00": made("w_00", 1)}
    bring(model, goals, frozenset({"w_00"}))
    model.states["w_00"] = State.STOPPED
    model.stopped.append("w_00")
    bring(model, goals, frozenset())
    assert model.states["w_00"] is State.STOPPED
    bring(model, goals, frozenset({"w_00"}))
    assert model.states["w_00"] is State.RUNNING


def test_a_supervisord_that_starts_anew_leaves_what_we_were_about_to_stop() -> None:
    """The file says so before the process is told."""
    model = Model()
    goals: dict[str, Goal] = {"w_00": made("w_00", 1), "w_01": made("w_01", 1)}
    bring(model, goals, frozenset(goals))
    plan = steps({**goals, "w_01": Rest.OFF}, model.file, model.states, frozenset())
    assert plan.stop == ("w_01",)
    assert plan.file == {"w_00": goals["w_00"], "w_01": replace(made("w_01", 1), runs=False)}


def test_a_section_is_wanted_as_its_slot_is_and_one_under_a_former_name_goes() -> None:
    written = {"w_00": made("w_00", 1), "w_01": made("w_01", 1), "w_02": made("w_02", 1)}
    wanted = {ProcessName("w", 0): made("w_00", 2), ProcessName("w", 1): replace(made("w_01", 1), section="w_1")}
    assert goals(wanted, frozenset(), written) == {
        "w_00": made("w_00", 2),
        "w_01": Rest.GONE,
        "w_1": wanted[ProcessName("w", 1)],
        "w_02": Rest.OFF,
    }
    assert goals({}, {ProcessName("w", 2)}, written) == {"w_00": Rest.OFF, "w_01": Rest.OFF, "w_02": Rest.GONE}
