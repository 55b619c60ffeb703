"""The pure parts of the XML-RPC face: what is read and written, names, structs, and what calls in a row mean."""

from __future__ import annotations

import xmlrpc.client
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.control import xmlrpc_wire as wire
from queuepool.control.xmlrpc_faults import Code, RpcFault
from queuepool.control.xmlrpc_intents import GRACE_SECONDS, Kind, Reread, Restart, Update, Verdict, hear
from queuepool.control.xmlrpc_names import Groups, difference, groups_of, roster
from queuepool.control.xmlrpc_structs import Facts, chosen, process_info
from queuepool.domain.changes import Changes
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import Launch, Loaded, LogPolicy, Policy, PoolSpec, ProcessSpec

from .fake import process


def pool(name: str, numprocs: int = 1, priority: int = 999, shown: str = "{}_{:02}") -> PoolSpec:
    def one(slot: int) -> ProcessSpec:
        display = f"{name}:{shown.format(name, slot)}" if numprocs > 1 else name
        return ProcessSpec(ProcessName(name, slot), display, Launch((name,), "/"), Policy(), LogPolicy(None))

    return PoolSpec(name, "command", numprocs, one, priority)


def displays(pools: dict[str, PoolSpec]) -> dict[ProcessName, str]:
    return {
        ProcessName(name, slot): spec.process(slot).display
        for name, spec in pools.items()
        for slot in range(spec.numprocs)
    }


POOLS = {"mail": pool("mail"), "worker": pool("worker", 3, priority=5), "cron": pool("cron")}
GROUPS = groups_of(POOLS, {"both": ("mail", "cron")})
KNOWN = roster(displays(POOLS), GROUPS, POOLS)


def code_of(text: str) -> Code | None:
    try:
        KNOWN.find(text)
    except RpcFault as fault:
        return fault.code
    return None


# --- bytes ------------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.text(st.characters(codec="utf-8", min_codepoint=32)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(VALUES, max_size=4), st.sampled_from(["supervisor.getState", "x"]))
def test_a_call_is_read_as_it_was_meant(params: list[Any], method: str) -> None:
    body = xmlrpc.client.dumps(tuple(wire.fit(params)), method).encode()
    assert wire.read(body) == (method, tuple(wire.fit(params)))


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_bytes_that_are_no_call_are_unreadable(body: bytes) -> None:
    with pytest.raises(wire.Unreadable):
        wire.read(body)


TAGS = st.sampled_from(
    ["methodCall", "methodName", "params", "param", "value", "array", "data", "struct", "member", "name", "int", "i4",
     "string", "base64", "boolean", "double", "dateTime.iso8601", "nil", "fault", "methodResponse", "x:int"]
)  # fmt: skip
XML = st.recursive(
    st.text("ab1<&", max_size=6).map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;")),
    lambda inner: st.tuples(TAGS, st.lists(inner, max_size=3)).map(
        lambda made: f"<{made[0]}>{''.join(made[1])}</{made[0]}>"
    ),
    max_leaves=12,
)


@given(XML)
def test_any_xml_is_a_call_or_unreadable(text: str) -> None:
    try:
        method, params = wire.read(text.encode())
    except wire.Unreadable:
        return
    assert method
    assert isinstance(params, tuple)


LAUGHS = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 10))


@pytest.mark.parametrize(
    "text",
    [
        f"<!DOCTYPE x [<!ENTITY l0 'ha'>{LAUGHS}]><methodCall><methodName>&l9;</methodName></methodCall>",
        "<!DOCTYPE x SYSTEM 'file:///etc/passwd'><methodCall><methodName>x</methodName></methodCall>",
        "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><methodCall><methodName>&e;</methodName></methodCall>",
        "<methodCall><methodName>x</methodName><params>" + "<value><array><data>" * 40,
        "<methodCall><params/></methodCall>",
        "<methodCall><methodName></methodName></methodCall>",
        "<methodCall><methodName>x</methodName><params><param><value><int>9" + "9" * 9000 + "</int></value></param>",
        "<methodResponse><fault><value><int>1</int></value></fault></methodResponse>",
    ],
    ids=["laughs", "doctype", "external", "deep", "no name", "empty name", "long number", "fault"],
)
def test_what_is_dangerous_or_wrong_is_unreadable(text: str) -> None:
    with pytest.raises(wire.Unreadable):
        wire.read(text.encode())


@given(st.text(), st.integers())
def test_whatever_is_answered_can_be_read(text: str, number: int) -> None:
    [value], _ = xmlrpc.client.loads(wire.answer({"text": text, "number": number, "list": (text, True)}))
    assert isinstance(value, dict)
    assert value["number"] == max(-(2**31), min(number, 2**31 - 1))
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xmlrpc.client.loads(wire.fault(30, text))
    assert caught.value.faultCode == 30


def test_colours_and_control_characters_are_left_out_of_an_answer() -> None:
    [value], _ = xmlrpc.client.loads(wire.answer("\x1b[32mDONE\x1b[0m a\x00b \udcff"))
    assert value == "DONE a\ufffdb \ufffd"


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_program_in_a_group_is_named_by_it() -> None:
    assert [member.full for member in KNOWN.members] == [
        "worker:worker_00", "worker:worker_01", "worker:worker_02", "both:cron", "both:mail",
    ]  # fmt: skip
    assert list(GROUPS) == ["worker", "both"]


@pytest.mark.parametrize(
    ("text", "slot"),
    [
        ("worker:worker_02", "worker:2"),
        ("worker:1", "worker:1"),
        ("both:mail", "mail:0"),
        ("mail", "mail:0"),
        ("mail:mail", "mail:0"),
    ],
)
def test_a_process_is_found_by_supervisors_name_and_by_queuepools(text: str, slot: str) -> None:
    assert str(KNOWN.process(text).slot) == slot


@pytest.mark.parametrize("text", ["worker", "both", "nope", "worker:nope", "both:worker_00", "", ":", "*", "w*:*"])
def test_what_is_no_process_is_a_bad_name(text: str) -> None:
    assert code_of(text) is Code.BAD_NAME


@pytest.mark.parametrize(("text", "size"), [("worker:*", 3), ("worker:", 3), ("both:*", 2), ("mail:*", 1)])
def test_a_group_is_found_by_its_star(text: str, size: int) -> None:
    group, member = KNOWN.find(text)
    assert member is None
    assert len(KNOWN.of(group)) == size


def test_two_processes_of_a_group_never_have_the_same_name() -> None:
    pools = {name: pool(name, 2, shown="p_{1}") for name in ("a", "b")}
    known = roster(displays(pools), groups_of(pools, {"g": ("a", "b")}), pools)
    assert [member.full for member in known.members] == ["g:p_0", "g:p_1", "g:b_00", "g:b_01"]


def test_a_program_that_leaves_is_still_shown() -> None:
    known = roster(displays(POOLS) | {ProcessName("old", 0): "old"}, GROUPS, POOLS)
    assert known.process("old").full == "old"


def test_a_group_is_changed_when_any_of_its_programs_is() -> None:
    after = groups_of({name: POOLS[name] for name in ("mail", "worker", "cron")}, {"both": ("mail",), "new": ("cron",)})
    nothing = Changes((), (), (), frozenset())
    assert difference(GROUPS, after, nothing) == (["new"], ["both"], [])
    assert difference(GROUPS, GROUPS, replace(nothing, changed=(("cron", ("x",)),))) == ([], ["both"], [])
    assert difference(after, GROUPS, nothing) == ([], ["both"], ["new"])


# --- structs ----------------------------------------------------------------------------------------------------------


def test_a_slot_with_two_lives_is_shown_as_the_one_that_works() -> None:
    old, new = process(0), process(0, "STARTING")
    assert chosen([old, new]) is old
    assert chosen([process(0, "STOPPING", retiring=True), new]) is new


def info(state: str, **more: Any) -> dict[str, Any]:
    started = more.pop("started", 1000.0)
    view = process(0, state, **more)
    return process_info(Facts(KNOWN.members[0], view, started, ("/log", None)), now=4661.0)


def test_the_struct_of_a_process_has_supervisors_fields_and_words() -> None:
    assert info("RUNNING", pid=7) == {
        "name": "worker_00", "group": "worker", "start": 1000, "stop": 0, "now": 4661, "state": 20,
        "statename": "RUNNING", "spawnerr": "", "exitstatus": 0, "logfile": "/log", "stdout_logfile": "/log",
        "stderr_logfile": "", "pid": 7, "description": "pid 7, uptime 1:01:01",
    }  # fmt: skip
    assert info("STOPPED", started=None)["description"] == "Not started"
    assert info("EXITED", changed_at=90000.0, exit_code=3)["exitstatus"] == 3
    assert info("FATAL", exit_code=-9, reason="killed")["exitstatus"] == -1
    assert info("BACKOFF", reason="exit 1")["spawnerr"] == info("BACKOFF", reason="exit 1")["description"] == "exit 1"
    assert info("FATAL")["description"] == 'unknown error (try "tail worker_00")'
    assert info("STARTING")["description"] == info("STOPPING")["description"] == ""


# --- calls in a row ---------------------------------------------------------------------------------------------------

SLOTS = [ProcessName("w", slot) for slot in range(3)]


def heard(kinds: list[Kind], gap: float = 0.01) -> list[Verdict]:
    state, found = Restart(), []
    for number, kind in enumerate(kinds):
        state, verdict, _ = hear(state, kind, 100 + number * gap)
        found.append(verdict)
    return found


V, S, B, X = Kind.VERSION, Kind.STOP, Kind.START, Kind.OTHER


@pytest.mark.parametrize(
    ("kinds", "means"),
    [
        ([V, V, S, V, B], "ppPpR"),
        ([V, V, S, S, V, B, B], "ppPPpRR"),
        ([V, S, V, B], "pppp"),
        ([V, V, X, S, V, B], "pppppp"),
        ([V, V, S, X, V, B], "ppPppp"),
        ([V, V, S, V, S], "ppPpp"),
        ([S, B], "pp"),
        ([V, V, B], "ppp"),
    ],
    ids=[
        "restart",
        "restart of two",
        "stop and start",
        "something between",
        "something after",
        "two stops",
        "other",
        "start",
    ],
)
def test_only_what_supervisorctl_sends_for_a_restart_is_one(kinds: list[Kind], means: str) -> None:
    letters = {Verdict.PERFORM: "p", Verdict.POSTPONE: "P", Verdict.REPLACE: "R"}
    assert "".join(letters[verdict] for verdict in heard(kinds)) == means


def test_calls_that_lie_apart_are_no_restart() -> None:
    assert set(heard([V, V, S, V, B], gap=GRACE_SECONDS * 1.1)) == {Verdict.PERFORM}


@given(st.lists(st.tuples(st.sampled_from(list(Kind)), st.floats(0, 4), st.sampled_from(SLOTS)), max_size=12))
def test_a_postponed_stop_is_done_or_replaced_and_never_forgotten(calls: list[tuple[Kind, float, ProcessName]]) -> None:
    state, now, owed = Restart(), 100.0, set()
    for kind, gap, slot in calls:
        now += gap
        state, verdict, due = hear(state, kind, now)
        owed -= due
        if verdict is Verdict.POSTPONE:
            state = replace(state, postponed=state.postponed | {slot})
            owed.add(slot)
        elif verdict is Verdict.REPLACE:
            taken = state.postponed & {slot}
            state = replace(state, postponed=state.postponed - taken)
            owed -= taken
        assert state.postponed == owed


def test_an_update_is_the_stop_removal_and_addition_of_a_changed_group() -> None:
    after: Groups = groups_of(POOLS, {"new": ("mail",)})
    found = Reread(Loaded("", POOLS, {}), GROUPS, after, added=("new",), changed=("worker",), removed=("both",))
    assert found.programs("worker") == ("worker",)
    assert found.gone("both") == ()
    update = Update(found)
    assert update.postpones_stop("worker")
    assert not update.postpones_stop("both")
    assert not update.postpones_removal("worker")
    assert update.applies("new")
    begun = update.with_part("worker", "stop")
    assert begun.postpones_removal("worker")
    assert begun.applies("worker")
    done = begun.done("worker")
    assert not done.postpones_stop("worker")
    assert not done.parts
    assert not Update().postpones_stop("worker")
