"""Event listeners that behave in every possible way, in a real daemon that is killed while they work."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import psutil
import pytest

from queuepool.system import procstat
from tests.support.daemon import Queuepool
from tests.support.supervisord import proxy
from tests.support.wait import eventually

LISTENER = Path(__file__).parents[1] / "support" / "listener.py"


@dataclass
class Ear:
    """A listener of a daemon: what it wrote down, and how it behaves from now on."""

    qp: Queuepool
    name: str

    @property
    def file(self) -> Path:
        return self.qp.directory / self.name

    def behave(self, mode: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(mode)
        new.rename(f"{self.file}.mode")

    def heard(self) -> list[tuple[int, str]]:
        """(serial, body) of each event that it got."""
        lines = self.file.read_text().split("\n")[:-1] if self.file.exists() else []  # the last may be half written
        return [(int(header["serial"]), body) for header, body in map(json.loads, lines)]

    def bodies(self) -> list[str]:
        """What remote clients sent."""
        return [body.partition("\n")[2] for _, body in self.heard()]

    def wait(self, *bodies: str) -> None:
        """Wait until it has heard of these, and of nothing else."""
        eventually(
            lambda: self.bodies() == list(bodies), 30, f"{self.name} hears {bodies}", show=lambda: str(self.bodies())
        )


def program(name: str, mode: str = "ok", **more: object) -> str:
    keys = {"type": "eventlistener", "events": "[REMOTE_COMMUNICATION]", "startsecs": 0, "fatal_retry": "never", **more}
    keys["command"] = f"{sys.executable} {LISTENER} {name} {json.dumps(mode)}"
    lines = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    return f"  {name}:\n{lines}"


MODES = {
    "good": {"stdout_logfile": "/dev/full"},
    "slow": {"mode": "slow 0.2", "buffer_size": 3},
    "failing": {"mode": "fails", "buffer_size": 20},
    "deaf": {"mode": "never reads", "buffer_size": 3},
    "closed": {"mode": "closes its input"},
    "talker": {"mode": "garbage at once"},
}


@pytest.fixture(scope="module")
def qp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queuepool]:
    text = "programs:\n" + "".join(program(name, **keys) for name, keys in MODES.items())  # type: ignore[arg-type]
    text += program("two", numprocs=2)
    text += "  plain: {command: sh -c 'env > names; exec sleep 600', startsecs: 0}\ngroups: {set: [plain]}\n"
    with Queuepool(tmp_path_factory.mktemp("listeners"), text) as qp:
        qp.up()
        qp.running("two", 2)
        eventually(lambda: len(qp.pids()) == len(MODES) + 3, 30, "all run", show=qp.story)
        yield qp


def send(qp: Queuepool, *data: str) -> None:
    with proxy(f"unix://{qp.run.socket}") as server:
        for one in data:
            assert server.supervisor.sendRemoteCommEvent("t", one) is True


def told(qp: Queuepool, event: str, subject: str) -> list[dict[str, Any]]:
    return [one for one in qp.events() if one["event"] == event and one["process"] == subject]


def test_each_listener_gets_what_it_can_take_and_none_keeps_another_from_it(qp: Queuepool) -> None:
    """One storm of events for all of them."""
    Ear(qp, "good").behave("ok")
    pool = Ear(qp, "two")
    pool.behave("slow 0.1")
    data = [f"{number} é " + "x" * 50_000 for number in range(12)]
    for at, one in enumerate(data):
        send(qp, one)
        eventually(lambda at=at: len(Ear(qp, "good").heard()) == at + 1, 30, "the good one hears all")  # type: ignore[misc]
    assert Ear(qp, "good").bodies() == data
    eventually(lambda: sorted(pool.bodies()) == sorted(data), 30, "two share all of them")
    slow = Ear(qp, "slow")
    eventually(lambda: data[-1] in slow.bodies(), 30, "the slow one hears the last")
    assert [body for body in data if body in slow.bodies()] == slow.bodies()
    drops = [sum(one["fields"]["dropped"] for one in told(qp, "events_dropped", name)) for name in ("deaf", "slow")]
    assert drops[0] >= 1
    refused = eventually(lambda: Ear(qp, "failing").heard(), what="the failing one hears", show=qp.story)
    assert {serial for serial, _ in refused} == {refused[0][0]}, "what it refuses is the next one again"
    assert Ear(qp, "deaf").heard() == Ear(qp, "closed").heard() == Ear(qp, "talker").heard() == []


def test_one_that_refuses_everything_does_not_keep_the_machine_busy(qp: Queuepool) -> None:
    send(qp, "no")
    failing = Ear(qp, "failing")
    eventually(lambda: len(failing.heard()) > 5, 30, "it is tried again")
    began, before, spent = time.monotonic(), len(failing.heard()), psutil.Process(qp.run.pid()).cpu_times()
    eventually(lambda: len(failing.heard()) >= before + 6, what="it is tried six times more", show=qp.story)
    tries, took = len(failing.heard()) - before, time.monotonic() - began
    assert tries - 2 <= 20 * took, "the first may have been about to come, the last have come since"
    after = psutil.Process(qp.run.pid()).cpu_times()
    assert after.user + after.system - spent.user - spent.system < 0.5 * took


def test_memory_has_a_bound_however_much_a_deaf_one_is_sent(qp: Queuepool) -> None:
    daemon = psutil.Process(qp.run.pid())
    send(qp, *["y" * 500_000] * 30)
    before = daemon.memory_info().rss
    send(qp, *["y" * 500_000] * 100)
    assert daemon.memory_info().rss - before < 25 << 20  # 50 MB were sent, and the buffers were full
    assert sum(file.stat().st_size for file in Path(qp.run.path).rglob("*") if file.is_file()) < 25 << 20


def test_what_is_wrong_with_a_listener_is_said(qp: Queuepool) -> None:
    send(qp, "x")
    garbage = eventually(lambda: qp.state("talker:0", "RUNNING")["reason"], what="it has spoken", show=qp.story)
    assert garbage.startswith("gets no events until it is restarted: it printed 'hello\\n")
    assert garbage.endswith("', which is not the protocol")
    assert told(qp, "listener", "talker:0")[0]["fields"]["reason"] == garbage
    closed = eventually(lambda: qp.state("closed:0", "RUNNING")["reason"], what="it has shut its ear", show=qp.story)
    assert "it has closed its standard input" in closed
    shown = qp("status", "talker")
    assert garbage in shown


def test_one_that_floods_its_output_does_not_keep_the_daemon_busy(qp: Queuepool, tmp_path: Path) -> None:
    """Neither the daemon that sees it begin, nor the next one."""
    with Queuepool(tmp_path, "programs:\n" + program("flood", "floods")) as own:
        own.up()
        eventually(lambda: "which is not the protocol" in own.state("flood:0", "RUNNING")["reason"], 30, "it is seen")
        for _ in range(2):
            [pid] = own.running("flood", 1).values()
            daemon, flood = psutil.Process(own.run.pid()), psutil.Process(pid)
            woken, lines = daemon.num_ctx_switches().voluntary, flood.num_ctx_switches().voluntary
            eventually(lambda: flood.num_ctx_switches().voluntary - lines >= 300, what="300 lines more")  # noqa: B023
            woken, lines = (now.num_ctx_switches().voluntary - then for now, then in ((daemon, woken), (flood, lines)))
            assert woken < lines / 2, "it is not woken by each line; who printed it has slept after each"
            own.kill()
            own.up()
            own.running("flood", 1)


def test_a_process_knows_its_names_as_supervisors_clients_do(qp: Queuepool) -> None:
    file = qp.directory / "names"
    names = dict(
        line.split("=", 1)
        for line in eventually(lambda: file.exists() and file.read_text(), what="it runs").splitlines()  # type: ignore[union-attr]
    )
    with proxy(names["SUPERVISOR_SERVER_URL"]) as server:
        infos: Any = server.supervisor.getAllProcessInfo()
    mine = [info for info in infos if info["pid"] == qp.pids("plain")["plain:0"]]
    assert [(info["group"], info["name"]) for info in mine] == [("set", "plain")]
    assert (names["SUPERVISOR_GROUP_NAME"], names["SUPERVISOR_PROCESS_NAME"]) == ("set", "plain")
    assert names["SUPERVISOR_ENABLED"] == "1"
    assert not {"SUPERVISOR_USERNAME", "SUPERVISOR_PASSWORD"} & set(names)


def test_stdin_is_only_for_listeners(qp: Queuepool) -> None:
    with proxy(f"unix://{qp.run.socket}") as server:
        assert server.supervisor.sendProcessStdin("good", "") is True
        for name in ("set:plain", "closed"):
            with pytest.raises(Fault, match=f"NO_FILE: {name}"):
                server.supervisor.sendProcessStdin(name, "x\n")
        info: Any = server.supervisor.getProcessInfo("two:two_01")
        assert (info["group"], info["name"], info["statename"]) == ("two", "two_01", "RUNNING")


def test_what_it_works_on_when_it_dies_is_for_the_next_one(qp: Queuepool) -> None:
    good = Ear(qp, "good")
    before = good.bodies()
    good.behave("dies")
    send(qp, "deadly")
    eventually(lambda: good.bodies().count("deadly") >= 2, what="it died of it, and the next one hears it")
    good.behave("ok")
    send(qp, "after")
    eventually(lambda: good.bodies()[-1] == "after", 30, "the next one goes on", show=qp.story)
    rest = good.heard()[len(before) :]
    assert {body.partition("\n")[2] for _, body in rest[:-1]} == {"deadly"}
    assert len(rest) >= 3
    assert len({serial for serial, _ in rest[:-1]}) == 1


def test_garbage_for_an_answer_gives_the_event_to_another(qp: Queuepool) -> None:
    pool = Ear(qp, "two")
    pool.behave("garbage")
    send(qp, "once")
    eventually(lambda: pool.bodies().count("once") >= 1, 30, "one hears it")
    eventually(lambda: pool.bodies().count("once") == 2, 30, "and then the other", show=lambda: str(pool.bodies()))
    eventually(lambda: all(p["reason"] for p in qp.processes("two")), what="both have answered", show=qp.story)
    pool.behave("ok")
    qp("restart", "two")
    eventually(lambda: pool.bodies().count("once") == 3, 30, "and then a new one", show=qp.story)


def at_work(qp: Queuepool, how: str) -> tuple[Ear, int, int]:
    """The good listener with one event in hand, its pid, and how many bodies it had got before."""
    good, pid = Ear(qp, "good"), qp.running("good", 1)["good:0"]
    before = len(good.bodies())
    good.behave(how)
    send(qp, "in hand")
    eventually(lambda: good.bodies()[before:] == ["in hand"], 30, "it works on it")
    return good, pid, before


@pytest.mark.parametrize("how", [signal.SIGKILL, "upgrade"])
def test_the_daemon_goes_and_the_listener_stays(qp: Queuepool, how: signal.Signals | str) -> None:
    good, pid, before = at_work(qp, "slow 2")
    if how == "upgrade":
        send(qp, "waiting")
        qp("upgrade")
    else:
        qp.kill()
        qp.up()
        send(qp, "waiting")
    good.behave("ok")
    eventually(lambda: good.bodies()[before:] == ["in hand", "waiting"], 30, "and then on the next", show=qp.story)
    assert qp.running("good", 1)["good:0"] == pid
    assert qp.state("good:0", "RUNNING")["reason"] == ""


def test_it_dies_while_there_is_no_daemon(qp: Queuepool) -> None:
    good, pid, before = at_work(qp, "hangs")
    qp.kill()
    os.kill(pid, signal.SIGKILL)
    good.behave("ok")
    qp.up()
    eventually(lambda: good.bodies()[before:] == ["in hand"] * 2, 30, "another one works on it", show=qp.story)


def note_again(qp: Queuepool, state: str, **more: object) -> None:
    """Let the record end with the good listener in this state, as it was noted last."""
    life, noted = 0, json.dumps({"state": state})
    for line in map(json.loads, Path(qp.run.record).read_text().splitlines()):
        life = line["life"] if line.get("name") == "good:0" else life
        told = line if "name" in line else line.get("set", {})
        noted = told["listener"] if line.get("life") == life and state in told.get("listener", "") else noted
    with open(qp.run.record, "a") as file:
        set_ = {"listener": json.dumps({**json.loads(noted), **more})}
        file.write(json.dumps({"life": life, "set": set_}) + "\n")


@pytest.mark.parametrize("state", ["BUSY", "ACKNOWLEDGED"])
def test_an_answer_that_the_daemon_had_read_when_it_was_killed_is_not_waited_for(qp: Queuepool, state: str) -> None:
    good, pid = Ear(qp, "good"), qp.running("good", 1)["good:0"]
    good.behave("ok")
    send(qp, f"answered {state}")
    eventually(lambda: procstat.waits_for_input(pid) and good.bodies()[-1] == f"answered {state}", 30, "it answers")
    eventually(
        lambda: '"READY' in Path(qp.run.record).read_text().splitlines()[-1].replace("\\", ""), 30, "it is noted"
    )
    qp.kill()
    note_again(qp, state)
    qp.up()
    send(qp, f"next {state}")
    eventually(_heard(good, f"next {state}"), 30, "it hears of what comes later", show=qp.story)
    assert good.bodies()[-2:] == [f"answered {state}", f"next {state}"]
    assert qp.running("good", 1)["good:0"] == pid


def test_one_of_which_nobody_knows_what_it_waits_for_begins_anew(qp: Queuepool) -> None:
    """The daemon was killed in the very moment in which it handed over an event."""
    good, pid, before = at_work(qp, "hangs")
    qp.kill()
    note_again(qp, "BUSY", handing=True)
    good.behave("ok")
    qp.up()
    eventually(lambda: good.bodies()[before:] == ["in hand"] * 2, 30, "it is told again", show=qp.story)
    assert qp.running("good", 1)["good:0"] != pid
    assert "it is started anew" in told(qp, "listener", "good:0")[-1]["line"]


def test_killed_again_and_again_in_the_middle_of_a_storm(qp: Queuepool) -> None:
    """Whatever the daemon was doing when it was killed, the listener gets what is told afterwards, by itself. Nothing
    comes twice but what was being handed over in that very moment."""
    good, doubt = Ear(qp, "good"), "ended while it handed over an event"
    doubts = qp.journal().count(doubt)
    good.behave("ok")
    for round in range(3):
        send(qp, *(f"storm {round}.{number}" for number in range(round * 7)))
        qp.kill()
        qp.up()
        send(qp, f"calm {round}")
        eventually(_heard(good, f"calm {round}"), 30, "it hears of what comes later", show=qp.story)
    stormy = [body for body in good.bodies() if body.startswith(("storm", "calm"))]
    assert len(stormy) - len(set(stormy)) <= qp.journal().count(doubt) - doubts


def _heard(ear: Ear, body: str) -> Callable[[], bool]:
    return lambda: body in ear.bodies()
