"""The screens of `top` and what its keys do, as pure functions of values."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wcwidth import wcswidth

from queuepool.cli import cells, keys
from queuepool.cli.topkeys import Ask, Quit, Redraw, ShowLog, press
from queuepool.cli.topmodel import Answer, Data, Log, Look, Size, State, concluded, deployed, happened, lost, saw, told
from queuepool.cli.toprows import SORTS, rows, selected
from queuepool.cli.topview import screen
from queuepool.control.messages import Continue, Pause, Restart, Scale, Start, Stop
from queuepool.domain.observed import DaemonView, ProcessView, ProgramView, Snapshot
from queuepool.domain.queues import QueueView
from tests.control.fake import process

NOW = 1_800_000_000.0
SIZES = [(80, 24), (120, 40), (60, 20)]


def program(name: str = "w", wanted: int = 2, **more: Any) -> ProgramView:
    values: dict[str, Any] = {"kind": "worker", "numprocs": wanted, "running": wanted, "reason": "numprocs"} | more
    return ProgramView(name=name, wanted=wanted, **values)


def queue(name: str = "default", ready: int | None = 0, **more: Any) -> QueueView:
    known: dict[str, Any] = {"delayed": 0, "due": 0, "reserved": 0, "expired": 0} if ready is not None else {}
    values = {"rate_in": 1.0, "rate_done": 2.0, "workers": 2, "busy": 1, "wait": 0.5, "programs": ("w",)}
    return QueueView("redis", name, "redis", ready=ready, **(known | values | more))


def data(
    *processes: ProcessView,
    programs: tuple[ProgramView, ...] = (),
    queues: tuple[QueueView, ...] = (),
    redis: dict[str, Any] | None = None,
    **daemon: Any,
) -> Data:
    """What top knows of a daemon that was asked once."""
    view = DaemonView(
        **({"pid": 41, "version": "1.2.3", "config": "/srv/q.yml", "socket": "/s", "state": "RUNNING"} | daemon)
    )
    shown = Snapshot(view, programs or (program(),), processes)
    reply = {"queues": [asdict(row) for row in queues], "redis": redis or {}, "problems": []}
    return replace(saw(Data(now=NOW), shown.to_json(), reply, NOW), now=NOW)


def two(**more: Any) -> Data:
    return data(
        process(0, program="w", rss=41_000_000, cpu=0.3, **more),
        process(1, program="w", rss=52_000_000, cpu=0.1),
        queues=(queue(ready=7), queue("mail")),
    )


def show(state: State, known: Data, columns: int = 80, lines: int = 24) -> str:
    return "\n".join(cells.SGR.sub("", line).rstrip() for line in screen(state, known, Size(columns, lines), Look())[1])


def typed(state: State, known: Data, *pressed: str) -> tuple[State, Any]:
    """The state after keys, with the screen drawn before each, and what the last one is to do."""
    deed = None
    for key in pressed:
        state, _ = screen(state, known, Size(80, 24), Look())
        state, deed = press(state, known, key)
    return state, deed


@pytest.mark.parametrize(("columns", "lines"), SIZES)
def test_everything_important_fits(columns: int, lines: int) -> None:
    seen = show(State(), two(job={"class": "App\\Jobs\\Invoice", "since": NOW - 3}), columns, lines)
    assert "2 of 2 running" in seen.splitlines()[0]
    assert re.search(r"redis:default +7 .*2\.0 .*0\.5s", seen)
    assert re.search(r"w_00 +RUNNING .*3\.0s Invoice", seen)
    assert "? help  q quit" in seen.splitlines()[-1]


def test_a_wide_terminal_has_more_columns_and_a_narrow_one_fewer() -> None:
    heads = {columns: re.search(r"PROCESS.*", show(State(), two(), columns, 30))[0].split() for columns, _ in SIZES}  # type: ignore[index]
    assert heads[120] == ["PROCESS", "STATE", "PID", "UPTIME", "CPU", "MEMORY", "RST", "RELEASE", "JOB"]
    assert heads[80] == ["PROCESS", "STATE", "PID", "UPTIME", "CPU", "MEMORY", "RST", "JOB"]
    assert heads[60] == ["PROCESS", "STATE", "UPTIME", "CPU", "MEMORY", "JOB"]


def test_a_process_that_does_not_run_says_why_where_others_say_their_job() -> None:
    known = data(
        process(0, program="w"), process(1, "FATAL", program="w", reason="exit 1: no such table"),
        programs=(program(running=1, problems=("1 of 2 cannot run: exit 1",)),),
    )  # fmt: skip
    seen = show(State(), known, 100)
    assert re.search(r"w_01 +FATAL .*exit 1: no such table", seen)
    assert "! 1 of 2 cannot run: exit 1" in seen
    assert "1 of 2 running  1 down" in seen.splitlines()[0]


def test_trouble_of_the_daemon_of_redis_and_of_queues_is_said_at_the_top() -> None:
    known = data(
        process(0, program="w"),
        queues=(queue(ready=None, why="redis does not answer"), queue("new", ready=None, why="not asked yet")),
        redis={"127.0.0.1:6379": {"up": False, "why": "connection refused"}},
        problems=("http is not served: the port is taken",),
    )
    top = show(State(), known, 100).splitlines()[:4]
    assert "redis DOWN" in top[0]
    assert top[1] == "! redis at 127.0.0.1:6379: connection refused"
    assert top[2] == "! http is not served: the port is taken"
    assert top[3] == "! redis:default: redis does not answer"
    assert "(and 2 more)" in show(State(), known, 100, 14).splitlines()[1]


def test_a_redis_that_is_away_is_said_once() -> None:
    why = "redis at b:1 refuses connections"
    known = data(process(0, program="w"), redis={"b:1": {"up": False, "why": why}}, problems=(why,))
    assert [line for line in show(State(), known, 100).splitlines() if "b:1" in line] == [f"! {why}"]


def test_no_daemon_is_said_with_what_to_type_and_what_was_known_stays() -> None:
    known = lost(two(), "cannot reach the daemon at /s", "start it with `queuepool up`", NOW, gone=True)
    known = lost(replace(known, now=NOW + 12), "cannot reach the daemon at /s", "", NOW + 12, gone=True)
    seen = show(State(), known)
    assert "no daemon since 12s: start it with `queuepool up -d`; below: as of 12s ago" in seen
    assert "w_01" in seen
    assert "waiting for the daemon" in show(State(), replace(known, snapshot=None))
    hangs = lost(two(), "the daemon did not answer within 10 s", "`queuepool pid`", NOW, gone=False)
    assert show(State(), hangs).splitlines()[1:3] == [
        "for 0 s: the daemon did not answer within 10 s",
        "hint: `queuepool pid`",
    ]


def test_a_daemon_that_says_nothing_is_told_before_it_is_given_up() -> None:
    assert "has not answered" not in show(State(), replace(two(), now=NOW + 4))
    assert show(State(), replace(two(), now=NOW + 6)).splitlines()[1] == "the daemon has not answered for 6.0s"
    assert "has not answered" not in show(State(), replace(two(), now=NOW + 6, interval=5.0))


def test_depths_of_the_last_minutes_are_drawn() -> None:
    known = Data(now=NOW)
    for second in range(120):
        reply = {"queues": [asdict(queue(ready=second if second < 119 else 1000))], "redis": {}, "problems": []}
        known = saw(known, two().snapshot or {}, reply, NOW + second)
    line = next(line for line in show(State(), replace(known, now=NOW + 119), 120, 30).splitlines() if "redis:" in line)
    bars = line.split()[-1]
    assert len(bars) > 10
    assert set(bars[:-1]) == {"▁"}, "all of these are small beside the last one"
    assert bars[-1] == "█", "the newest is at the right, from its first second on"


def test_where_not_all_queues_fit_those_with_trouble_and_the_deepest_stay() -> None:
    many = [queue(f"q{number:02}", ready=number) for number in range(20)]
    known = data(process(0, program="w"), queues=(queue("held", paused=True), *many))
    seen = show(State(), known, 80, 24)
    assert "QUEUE (+16)" in seen
    assert re.findall(r"redis:(\w+) +\d", seen) == ["held", "q16", "q17", "q18", "q19"]


def test_a_deploy_is_a_bar_and_then_its_result() -> None:
    known = two()
    events: list[dict[str, Any]] = [
        {"event": "begun", "time": NOW - 12, "deploy": "d7", "message": ""},
        {"event": "phase", "time": NOW - 9, "message": "the other batches", "phase": "rest"},
        {"event": "pool", "time": NOW, "program": "w", "done": 3, "total": 4, "draining": 1, "message": ""},
        {"event": "pool", "time": NOW, "program": "v", "done": 0, "total": 2, "draining": 0, "message": ""},
    ]
    for event in events:
        known = deployed(known, event)
    assert "deploy d7 ████████░░░░░░░░ 3/6, 1 draining  the other batches 12s" in show(State(), known)
    ended = deployed(known, {"event": "ended", "time": NOW + 1, "report": {"id": "d7", "result": "rolled_back"}})
    assert "deploy d7 rolled back after 13s" in show(State(), replace(ended, now=NOW + 5))
    assert "deploy d7" not in show(State(), replace(ended, now=NOW + 60))
    missed = concluded(known, {"id": "d7", "result": "done"}, NOW + 1)
    assert "deploy d7 done after 13s" in show(State(), replace(missed, now=NOW + 5))
    assert concluded(ended, {"id": "d7", "result": "done"}, NOW + 9) == ended


def test_sorted_by_a_column_the_largest_are_on_top_and_programs_do_not_part_them() -> None:
    known = data(
        process(0, program="a", cpu=0.1, rss=3), process(0, program="b", cpu=0.9, rss=1), process(1, program="b"),
        programs=(program("a"), program("b")),
    )  # fmt: skip

    def order(state: State) -> list[str]:
        return [row.key for row in rows(state, known)]

    assert order(State()) == ["a ", "a:0", "b ", "b:0", "b:1"]
    assert order(State(sort="cpu")) == ["b:0", "a:0", "b:1"]
    assert order(State(sort="cpu", reverse=True)) == ["b:1", "a:0", "b:0"]
    assert order(State(sort="memory")) == ["a:0", "b:0", "b:1"]
    state, _ = typed(State(), known, *["s"] * 5)
    assert state.sort == "cpu"
    assert "PROCESS (by cpu)" in show(state, known)
    state, _ = typed(state, known, *["s"] * (len(SORTS) - 5), "S")
    assert order(state) == ["b ", "b:1", "b:0", "a ", "a:0"]


def test_the_filter_holds_while_it_is_typed_and_escape_shows_all_again() -> None:
    known = data(
        process(0, program="web"), process(0, program="mail"), process(1, "FATAL", program="mail"),
        programs=(program("web"), program("mail")),
    )  # fmt: skip
    state, _ = typed(State(), known, "/", "f", "A", "t")
    assert [row.key for row in rows(state, known)] == ["mail ", "mail:1"]
    assert show(state, known).splitlines()[-1].startswith("filter: fAt")
    state, _ = typed(state, known, "backspace", "backspace", "backspace", "q", "enter")
    assert rows(state, known) == ()
    assert "nothing here holds 'q'; Esc shows all" in show(state, known)
    state, _ = typed(state, known, "esc")
    assert len(rows(state, known)) == 5


def test_troubles_alone_are_shown_and_their_events() -> None:
    known = data(process(0, program="w"), process(1, "BACKOFF", program="w"), process(2, program="w", stale=True))
    known = happened(known, [{"seq": n, "time": NOW, "event": kind, "process": "w:1", "line": kind, "sentence": kind}
                             for n, kind in enumerate(["started", "backoff"])])  # fmt: skip
    state, _ = typed(State(), known, "f")
    assert [row.key for row in rows(state, known)] == ["w ", "w:1", "w:2"]
    assert re.findall(r"\d\d:\d\d:\d\d (\w+)", show(state, known)) == ["backoff"]


def test_of_programs_that_were_named_alone_events_are_shown_too() -> None:
    known = happened(data(process(0, program="w")), [
        {"seq": 1, "time": NOW, "event": "started", "process": name, "line": "", "sentence": f"{name} it"}
        for name in ("w:0", "w", "v:0", "wv", "")
    ])  # fmt: skip
    assert re.findall(r"\d\d:\d\d:\d\d (\S*) ?it", show(State(named=True), known)) == ["w:0", "w", ""]
    assert len(re.findall(r"it$", show(State(view="events"), known), re.M)) == 5


@pytest.mark.parametrize(
    ("row", "key", "asked", "request_"),
    [
        ("w:1", "r", "restart w:w_01? y/n", Restart(("w:1",))),
        ("w ", "x", "stop w (its job is finished first)? y/n", Stop(("w",))),
        ("w:1", "a", "start w:w_01? y/n", Start(("w:1",))),
        ("w:1", "p", "pause w:w_01? y/n", Pause(("w:1",))),
        ("w:0", "p", "continue w:w_00? y/n", Continue(("w:0",))),
        ("w:1", "+", "scale w from 2 to 3? y/n", Scale("w", 3)),
        ("w:1", "-", "scale w from 2 to 1? y/n", Scale("w", 1)),
    ],
)
def test_an_action_is_asked_for_first(row: str, key: str, asked: str, request_: Any) -> None:
    known = two(paused=True, job={"class": "A", "since": NOW})
    state, deed = typed(State(selected=row), known, key)
    assert deed is None
    assert show(state, known).splitlines()[-1] == asked
    for other in ("n", "q", "esc", "enter", "j"):
        assert typed(state, known, other)[1] is None
        assert typed(state, known, other)[0].asking is None
    done, deed = typed(state, known, "y")
    assert isinstance(deed, Ask)
    assert deed.request == request_
    assert done.asking is None


def test_a_number_is_typed_or_counted_with_plus() -> None:
    state, deed = typed(State(selected="w:1"), two(), "1", "2", "x", "enter")
    assert isinstance(deed, Ask)
    assert deed.request == Scale("w", 12)
    assert typed(State(selected="w:1"), two(), "1", "esc") == (replace(state, at=2), None)
    _, deed = typed(State(selected="w:1"), two(), "+", "+", "+", "-", "y")
    assert isinstance(deed, Ask)
    assert deed.request == Scale("w", 4)


def test_the_row_that_was_selected_stays_so_when_others_come_and_go() -> None:
    before = data(*(process(slot, program="w") for slot in (0, 1, 2)))
    state, _ = typed(State(), before, "j", "j")
    assert state.selected == "w:1"
    after = data(*(process(slot, program="w") for slot in (1, 2)), process(0, program="a"),
                 programs=(program("a"), program("w")))  # fmt: skip
    state, _ = screen(state, after, Size(80, 24), Look())
    assert (state.selected, rows(state, after)[state.at].key) == ("w:1", "w:1")
    gone, _ = screen(state, data(process(2, program="w")), Size(80, 24), Look())
    assert gone.selected == "w:2"


def test_keys_in_details_never_act_on_another_process_than_the_one_that_is_shown() -> None:
    known = data(process(0, "FATAL", program="w"), process(1, "FATAL", program="w"))
    state, deed = typed(State(troubles=True, selected="w:0"), known, "enter")
    assert deed == ShowLog("w", "w:0")
    well = data(process(0, program="w"), process(1, "FATAL", program="w"))
    assert "w:w_00" in show(state, well)
    assert typed(state, well, "r")[0].asking.name == "w:0"  # type: ignore[union-attr]
    gone = data(process(1, "FATAL", program="w"))
    assert "nothing is selected" in show(state, gone)
    assert typed(state, gone, "r")[0].asking is None


def test_details_say_why_a_process_died_and_what_it_said() -> None:
    last = ("SQLSTATE[HY000] [2002] Connection refused",)
    known = data(process(0, "FATAL", program="w", exit_code=1, reason="exit 1", last_lines=last, log="/var/log/w.log"))
    state, _ = typed(State(selected="w:0"), known, "enter")
    narrow, _ = typed(state, known, "right")
    assert "/w.log" in show(narrow, known, 10)
    assert "/w.log" not in show(state, known, 10)
    seen = show(state, known, 100)
    for text in ("state     FATAL", "exit code 1", "log       /var/log/w.log", f"| {last[0]}", "try       "):
        assert text in seen


def test_an_answer_is_shown_for_a_while_and_an_error_until_escape() -> None:
    known = replace(two(), answer=Answer("cannot scale w", NOW, "give a number", bad=True))
    late = replace(known, now=NOW + 30)
    assert show(State(), late).splitlines()[-2:] == ["cannot scale w", "hint: give a number"]
    state, _ = typed(State(filter="w"), late, "esc")
    assert "cannot" not in show(state, late)
    assert state.filter == "w"
    well = replace(two(), answer=Answer("w: 2 -> 3", NOW))
    assert show(State(), replace(well, now=NOW + 3)).splitlines()[-1] == "w: 2 -> 3"
    assert "quit" in show(State(), replace(well, now=NOW + 30)).splitlines()[-1]


def test_what_became_of_an_action_is_told_in_a_line() -> None:
    def result(slot: int, word: str, message: str = "") -> dict[str, str]:
        return {"name": f"w:{slot}", "display": f"w:w_{slot:02}", "result": word, "message": message}

    assert told("stop w:0", {"results": [result(0, "unchanged", "not running")]}, NOW).text == (
        "w:w_00: unchanged (not running)"
    )
    assert told("restart w", {"results": [result(0, "restarted"), result(1, "restarted")]}, NOW).text == (
        "restart w: 2 restarted"
    )
    failed = told("restart w", {"results": [result(0, "restarted"), result(1, "failed", "exit 1")]}, NOW)
    assert (failed.text, failed.bad) == ("restart w: w:w_01 failed: exit 1", True)
    assert told("scale w to 3", {"message": "w: 2 -> 3", "failed": []}, NOW).text == "w: 2 -> 3"


def test_a_log_stays_at_its_end_until_one_goes_up() -> None:
    lines = tuple(f"line {number}" for number in range(100))
    known = replace(two(), log=Log("w:0", "/var/log/w.log", lines))
    state, deed = typed(State(selected="w:0"), known, "t")
    assert deed == ShowLog("w", "w:0")
    assert show(state, known).splitlines()[-2] == "line 99"
    state, _ = typed(state, known, "k", "k")
    assert show(state, known).splitlines()[-2] == "line 97"
    state, _ = typed(state, known, "home")
    assert show(state, known).splitlines()[1] == "line 0"
    state, _ = typed(state, known, "end", "/", "9", "8", "enter")
    assert show(state, known).splitlines()[1:3] == ["line 98", ""]
    state, _ = typed(state, known, "esc", "right")
    assert show(state, known).splitlines()[-2] == ""
    assert typed(state, known, "q")[0].view == "main"


def test_five_hundred_processes_scroll() -> None:
    known = data(*(process(slot, program="w") for slot in range(500)), programs=(program(wanted=500),))
    state, _ = typed(State(), known, "end")
    seen = show(state, known)
    assert "501/501" in seen
    assert ">  w_499" in seen
    state, _ = typed(state, known, "pgup", "up")
    assert ">  w_488" in show(state, known)
    state, _ = typed(state, known, "home")
    assert ">w  500 of 500 running" in show(state, known)


def test_wide_and_moving_characters_do_not_break_the_layout() -> None:
    job = {"class": "\x1b[2J发票\r\n处理", "since": NOW}
    known = data(process(0, program="w", job=job), process(1, "FATAL", program="w", reason="没有这样的表" * 20))
    for columns in range(20, 130):
        _, lines = screen(State(), known, Size(columns, 24), Look())
        assert all(cells.width(line) <= columns for line in lines)
        assert not any(set(cells.SGR.sub("", line)) & set("\x1b\r\n") for line in lines)
    assert "\\x1b[2J发票\\x0d\\x0a处理" in show(State(), known, 120)


@pytest.mark.parametrize(
    ("sent", "pressed"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1b[4~", ["up", "down", "pgup", "pgdn", "home", "end"]),
        (b"\x1b[1;5A\x1b[5;2~", ["up", "pgup"]),
        (b"\r\n\x7f\x08\x0c", ["enter", "enter", "backspace", "backspace", "redraw"]),
        ("é表".encode(), ["é", "表"]),
        (b"\x1b[200~\x1b[M\x00\xff", []),
        (b"\x1bx", ["esc", "x"]),
    ],
)
def test_keys_are_read(sent: bytes, pressed: list[str]) -> None:
    assert keys.read(sent, final=True) == (pressed, b"")
    rest, found = b"", []
    for at in range(len(sent)):  # a byte at a time, as a slow line brings them
        more, rest = keys.read(rest + sent[at : at + 1])
        found += more
    assert (found, rest) == (pressed, b"")


def test_a_lone_escape_waits_for_the_rest_of_its_sequence() -> None:
    assert keys.read(b"a\x1b") == (["a"], b"\x1b")
    assert keys.read(b"\x1b", final=True) == (["esc"], b"")


def test_numbers_become_bars() -> None:
    assert cells.spark([0, 1, 2, 4, None], 5) == "▁▂▄█ "
    assert cells.spark([0, 9, 0, 1], 2) == "█▁"
    assert cells.spark([], 3) == "   "
    assert cells.bar(1, 4, 8) == "██░░░░░░"


# --- anything at all --------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["", "w:0", "发票" * 9, "\x1b[31mred", "a\tb\nc", "é" * 40, "👍🏽👨‍👩‍👧", "x" * 200]
)
TIME = st.floats(0, 4e9)
NUMBER = st.integers(0, 10**12)
SHARE = st.floats(0, 1e6)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


STATES = st.sampled_from(["RUNNING", "STARTING", "STOPPING", "BACKOFF", "STOPPED", "EXITED", "FATAL", "UNKNOWN"])
PROCESSES = st.builds(
    ProcessView, TEXT, TEXT, st.sampled_from(["w", "发", ""]), NUMBER, STATES, NUMBER, pid=maybe(NUMBER),
    started_at=maybe(TIME), uptime=maybe(SHARE), restarts=NUMBER, exit_code=maybe(st.integers(-64, 255)), reason=TEXT,
    release=maybe(TEXT), stale=st.booleans(), adopted=st.booleans(), rss=maybe(NUMBER), cpu=maybe(SHARE),
    job=maybe(st.fixed_dictionaries({"class": TEXT, "since": maybe(TIME)})), paused=st.booleans(),
    retiring=st.booleans(), wanted=st.booleans(), log=maybe(TEXT), last_lines=st.lists(TEXT, max_size=3).map(tuple),
    changed_at=maybe(TIME), idle_since=maybe(TIME),
)  # fmt: skip
PROGRAMS = st.builds(
    ProgramView, st.sampled_from(["w", "发", ""]), TEXT, NUMBER, NUMBER, NUMBER, TEXT,
    problems=st.lists(TEXT, max_size=2).map(tuple),
)  # fmt: skip
QUEUES = st.builds(
    QueueView, TEXT, TEXT, TEXT, maybe(NUMBER), maybe(NUMBER), maybe(NUMBER), maybe(NUMBER), maybe(NUMBER),
    maybe(SHARE), maybe(SHARE), maybe(SHARE), maybe(NUMBER), maybe(NUMBER), maybe(NUMBER), maybe(SHARE), st.booleans(),
    st.booleans(), TEXT, st.just(("w",)),
)  # fmt: skip
EVENTS = st.fixed_dictionaries({"time": TIME, "event": TEXT, "process": TEXT, "line": TEXT, "sentence": TEXT})
DEPLOYS = st.fixed_dictionaries(
    {"event": st.sampled_from(["begun", "phase", "pool", "waiting", "failed", "ended", "output"]), "time": TIME,
     "message": TEXT, "phase": TEXT, "program": TEXT, "done": NUMBER, "total": NUMBER, "draining": NUMBER,
     "report": st.fixed_dictionaries({"id": TEXT, "result": TEXT})}
)  # fmt: skip
KEYS = st.sampled_from(
    [*"qQsSf/kjgGhetrxap+-=0123456789yn? w:发", "up", "down", "left", "right", "pgup", "pgdn", "home", "end", "enter",
     "esc", "backspace", "delete", "tab", "clear", "redraw"]
)  # fmt: skip


@st.composite
def anything(draw: st.DrawFn) -> Data:
    """What top may come to know, in whatever order."""
    known = Data(now=draw(TIME))
    if draw(st.booleans()):
        known = data(
            *draw(st.lists(PROCESSES, max_size=6)), programs=draw(st.lists(PROGRAMS, max_size=3).map(tuple)),
            queues=draw(st.lists(QUEUES, max_size=4).map(tuple)), version=draw(TEXT), problems=(draw(TEXT),),
            redis={draw(TEXT): {"up": draw(st.booleans()), "why": draw(TEXT)}}, started_at=draw(TIME),
        )  # fmt: skip
    for event in draw(st.lists(DEPLOYS, max_size=3)):
        known = deployed(known, event)
    known = happened(known, draw(st.lists(EVENTS, max_size=3)))
    if draw(st.booleans()):
        known = lost(known, draw(TEXT), draw(TEXT), draw(TIME), gone=draw(st.booleans()))
    answer = maybe(st.builds(Answer, TEXT, TIME, TEXT, st.booleans()))
    log = maybe(st.builds(Log, TEXT, TEXT, st.lists(TEXT.map(_logged), max_size=5).map(tuple), TEXT))
    return replace(known, answer=draw(answer), log=draw(log), doing=(draw(TEXT),))


def _logged(text: str) -> str:
    from queuepool.cli.toplog import shown_line

    return shown_line(text.encode())


@settings(max_examples=60, deadline=None)
@given(known=st.lists(anything(), min_size=1, max_size=2), pressed=st.lists(KEYS, max_size=12),
       columns=st.integers(1, 140), lines=st.integers(1, 45))  # fmt: skip
def test_no_key_and_no_news_crash_it_and_no_line_is_wider_than_the_screen(
    known: list[Data], pressed: list[str], columns: int, lines: int
) -> None:
    state = State()
    for at, key in enumerate([*pressed, "redraw"]):
        now = known[at % len(known)]
        state, shown = screen(state, now, Size(columns, lines), Look())
        assert len(shown) == lines
        for line in shown:
            plain = cells.SGR.sub("", line)
            assert plain.isprintable()
            assert cells.width(line) <= columns
            assert wcswidth(plain) <= columns
        state, deed = press(state, now, key)
        assert deed is None or isinstance(deed, Ask | Quit | Redraw | ShowLog)
        assert selected(state, now) is None or now.snapshot is not None


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_keys_or_nothing(sent: bytes) -> None:
    found, rest = keys.read(sent, final=True)
    assert rest == b""
    assert all(len(key) > 1 or key.isprintable() for key in found)


@given(st.text(max_size=40), st.integers(0, 30))
def test_text_is_cut_to_its_cells(text: str, columns: int) -> None:
    from queuepool.cli.render import clean

    for styled in (clean(text), f"\x1b[31m{clean(text)}\x1b[0m", f"\x1b[1m{clean(text[:3])}\x1b[0m{clean(text[3:])}"):
        assert cells.width(cells.clip(styled, columns)) <= columns
        assert cells.width(cells.fit(styled, columns)) == columns
        assert cells.width(cells.clip(styled, 10**6)) == cells.width(styled)
