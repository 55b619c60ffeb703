"""What pages are told: the changes bring every state to the next, and the rows say what people look for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from queuepool.control.feed import (
    HISTORY_POINTS,
    NOTHING,
    History,
    State,
    apply,
    deploy_row,
    difference,
    event_row,
    state_of,
)
from queuepool.domain.events import Event, Kind
from queuepool.domain.observed import DaemonView, ProcessView, ProgramView, Snapshot

KEYS = st.sampled_from(["a", "b", "c", "d", "1", "0"])
VALUES = st.sampled_from([None, False, True, 0, 1, 2, 3, "", "a", "é1", "\ud800", [], [0], [1, 0], [2, 2, 2]])
ROWS = st.dictionaries(st.sampled_from(["state", "pid", "job"]), VALUES)
TABLES = st.lists(st.tuples(KEYS, ROWS), max_size=6, unique_by=lambda item: item[0]).map(dict)
STATES = st.builds(
    State,
    st.fixed_dictionaries({"programs": TABLES, "processes": TABLES}),
    st.fixed_dictionaries({"daemon": VALUES, "deploy": VALUES}),
)


def in_order(state: State) -> Any:
    """Dictionaries are equal whatever their order; a screen is not."""
    return {name: list(table.items()) for name, table in state.tables.items()}, state.values


@settings(max_examples=60)
@given(STATES, STATES)
def test_the_changes_make_the_new_state_of_the_old_one(before: State, after: State) -> None:
    assert in_order(apply(before, difference(before, after))) == in_order(after)


@given(STATES)
def test_nothing_is_told_when_nothing_changed(state: State) -> None:
    assert difference(state, State(dict(state.tables), dict(state.values))) == {}


@settings(max_examples=60)
@given(STATES, STATES)
def test_only_the_rows_and_fields_that_changed_are_told(before: State, after: State) -> None:
    for name, table in after.tables.items():
        for key, fields in difference(before, after).get(name, {}).get("set", ()):
            old = before.tables[name].get(key, {})
            assert key not in before.tables[name] or table[key] != old
            again = key in difference(before, after)[name].get("gone", ())
            assert again or all(field not in old or old[field] != value for field, value in fields.items())


DAEMON = DaemonView(1, "0", "/srv/queuepool.yml", "/run/x.sock", "RUNNING", 100.0, ("a problem",))
PROCESS = ProcessView("w:0", "w:w_00", "w", 0, "RUNNING", 20, pid=7, started_at=90.0, log="/var/log/w.log")
NO_QUEUES: dict[str, Any] = {"queues": [], "redis": {}, "problems": []}
QUEUE: dict[str, Any] = {
    "connection": "redis", "queue": "high", "app": "", "ready": 3, "delayed": 0, "reserved": 1, "oldest": 123.456,
    "rate_in": 1.23456, "rate_done": None, "wait": 12.345, "workers": 2, "busy": 1, "programs": ("w",),
}  # fmt: skip


def seen(*processes: ProcessView, queues: dict[str, Any] = NO_QUEUES, usage: Any = None) -> State:
    program = ProgramView("w", "worker", 2, 2, 1, "numprocs")
    return state_of(Snapshot(DAEMON, (program,), processes), queues, None, (), usage or {})


def test_time_that_passes_is_no_change() -> None:
    early = seen(replace(PROCESS, uptime=1.0), usage={7: (41_000_001, 0.101)})
    late = seen(replace(PROCESS, uptime=2.0), usage={7: (41_040_000, 0.104)})
    assert difference(early, late) == {}


def test_a_job_that_begins_is_told_alone() -> None:
    job = {"class": "App\\Jobs\\Mail", "queue": "high", "since": 100.5, "attempts": 1, "id": "x", "connection": "redis"}
    told = difference(seen(PROCESS), seen(replace(PROCESS, job=job)))
    assert told == {
        "processes": {
            "set": [("w:0", {"job": {"class": "App\\Jobs\\Mail", "queue": "high", "since": 100.5, "attempts": 1}})]
        }
    }


def test_the_process_on_its_way_out_stands_beside_the_one_in_its_place() -> None:
    old = replace(PROCESS, pid=6, state="STOPPING", retiring=True, wanted=False)
    keys = list(seen(old, PROCESS).tables["processes"])
    assert keys == ["w:0/6", "w:0"]


def test_figures_are_told_as_exactly_as_anybody_reads_them() -> None:
    row = seen(queues={**NO_QUEUES, "queues": [QUEUE]}).tables["queues"]["redis:high"]
    assert (row["oldest"], row["rate_in"], row["wait"], row["rate_done"]) == (123, 1.23, 12.3, None)


def test_problems_of_the_daemon_and_of_the_queues_are_told_once() -> None:
    state = seen(queues={**NO_QUEUES, "problems": ["a problem", "another"]})
    assert state.values["daemon"]["problems"] == ["a problem", "another"]


def test_everything_is_told_to_a_page_that_knows_nothing() -> None:
    state = seen(PROCESS)
    assert in_order(apply(NOTHING, difference(NOTHING, state))) == in_order(state)


REPORT: dict[str, Any] = {
    "id": "20260131-1", "result": "running", "phase": "rest", "begun_at": 1.0, "seconds": 5.0, "started": [],
    "restarted": ["w:w_00"], "stopped": [], "kept": [], "rolled_back": False, "failure": None, "trouble": None,
    "programs": [{"name": "w"}],
}  # fmt: skip


def test_a_deploy_is_told_with_how_far_each_program_is_and_what_it_waits_for() -> None:
    story = [
        {"event": "phase", "time": 1.0, "message": "the first batch", "phase": "first"},
        {
            "event": "pool",
            "time": 2.0,
            "message": "",
            "program": "w",
            "done": 1,
            "total": 4,
            "draining": 0,
            "back": False,
        },
        {
            "event": "pool",
            "time": 3.0,
            "message": "",
            "program": "w",
            "done": 2,
            "total": 4,
            "draining": 1,
            "back": True,
        },
        {"event": "waiting", "time": 3.0, "message": "waiting: w:0"},
    ]
    row = deploy_row(REPORT, story)
    assert row["pools"] == [("w", {"done": 2, "total": 4, "draining": 1, "back": True})]
    assert (row["step"], row["waiting"], row["seconds"]) == ("the first batch", "waiting: w:0", None)
    assert [line["message"] for line in row["lines"]] == ["the first batch"]
    ended = deploy_row({**REPORT, "result": "done"}, story)
    assert (ended["step"], ended["waiting"], ended["seconds"]) == ("", "", 5.0)


def test_an_event_is_told_as_a_sentence() -> None:
    row = event_row(Event(5.0, Kind.FATAL, "mail:0", {"failures": 1, "reason": "exit 1"}, 7))
    assert row == {"seq": 7, "time": 5.0, "event": "fatal", "process": "mail:0",
                   "sentence": "mail:0 is FATAL, it failed once: exit 1"}  # fmt: skip


def test_the_past_of_the_queues_is_bounded_and_has_a_point_each_two_seconds() -> None:
    history = History()
    queues = seen(queues={**NO_QUEUES, "queues": [QUEUE]}).tables["queues"]
    for tick in range(2 * HISTORY_POINTS + 100):
        history.add(1000.0 + tick, queues)
    told = history.to_json()
    assert len(told["times"]) == HISTORY_POINTS
    assert {after - before for before, after in zip(told["times"], told["times"][1:], strict=False)} == {2.0}
    [(key, columns)] = told["queues"]
    assert key == "redis:high"
    assert columns[0] == [3] * HISTORY_POINTS
    history.add(5000.0, {})
    assert history.to_json()["queues"] == []
