"""Processes that do not stay alive, and such that run as they should not: real ones, in each way that there is a check
for. What is said of each death is tests/domain/test_deaths.py's."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.installation import Break, Installation, running
from tests.support.laravel import PHP
from tests.support.wait import eventually

pytestmark = pytest.mark.doctor


def that_dies(it: Installation, log: str, command: tuple[str, ...], state: str, keys: dict[str, Any]) -> dict[str, Any]:
    """A program that comes to this state. ROOT and PORT stand for those of the installation."""

    def meant(value: Any) -> Any:
        return value.replace("ROOT", str(it.root)).replace("PORT", str(it.redis.port)) if type(value) is str else value

    return {
        "type": "command", "command": [*map(meant, command)], "startretries": 0, "stdout_logfile": str(it.root / log),
        "startsecs": 30 if state == "FATAL" else 0,  # PHP may take long to boot on a busy machine
        **{name: meant(value) for name, value in keys.items()},
    }  # fmt: skip


def dying(*command: str, state: str = "FATAL", **keys: Any) -> Callable[[Installation], None]:
    """A second program that dies so."""

    def start(it: Installation) -> None:
        it.programs["x"] = that_dies(it, "x.log", command, state, keys)
        it.write()
        it.qp.up()
        it.qp.running("w", 1)
        it.qp.state("x:0", state)

    return start


def without_a_first_line(it: Installation) -> None:
    """What can be seen without a start is found by checks of permissions."""
    file = it.root / "script"
    file.write_text("echo no interpreter is named\n")
    file.chmod(0o755)
    dying(str(file))(it)


def php(code: str) -> tuple[str, ...]:
    return (*PHP, "-r", code)


def artisan(*words: str) -> tuple[str, ...]:
    return (*PHP, "artisan", "--no-ansi", *words)


def mended_by(**keys: Any) -> Callable[[Installation], None]:
    """The program is changed so and started anew."""

    def mend(it: Installation) -> None:
        it.programs["x"] |= {"startsecs": 0} | keys
        it.write()
        it.qp("update")
        it.qp.running("x", 1)

    return mend


def crashing(it: Installation) -> None:
    script = f"echo boo >&2; n=$(cat {it.root}/n 2>/dev/null || echo 0); echo $((n+1)) >{it.root}/n; "
    script += "[ $n -ge 3 ] && exec sleep 300; exit 3"
    (it.root / "n").touch()
    (it.root / "n").chmod(0o666)
    it.programs["x"] = {"type": "command", "command": ["sh", "-c", script], "startsecs": 0}
    it.write()
    it.qp.up()
    it.qp.running("w", 1)
    eventually(lambda: (it.root / "n").read_text().strip() == "4", what="it has crashed thrice", show=it.qp.story)
    it.qp.running("x", 1)


def in_a_directory_that_is_gone(it: Installation) -> None:
    (it.root / "7").mkdir()
    dying("sleep", "300", state="RUNNING", directory="ROOT/7")(it)
    (it.root / "7").rmdir()
    (it.root / "7").mkdir()  # the next one of this name is not the one it runs in


def restarted_in_it(it: Installation) -> None:
    it.qp("restart", "x")


def behind_the_current_release(it: Installation) -> None:
    current = it.root / "current"
    current.symlink_to(it.root / "app")
    it.top["app"] = str(current)
    it.write()
    it.qp.up()
    it.qp.running("w", 1)
    shutil.copytree(it.root / "app", it.root / "app2", symlinks=True)
    if os.geteuid() == 0:
        for path in [it.root / "app2", *(it.root / "app2").rglob("*")]:
            shutil.chown(path, it.user, it.user) if not path.is_symlink() else None
    (it.root / "next").symlink_to(it.root / "app2")
    os.replace(it.root / "next", current)


def restarted(it: Installation) -> None:
    it.qp("restart", "--stale", "all")


def told(*command: str) -> Callable[[Installation], None]:
    def tell(it: Installation) -> None:
        if it.qp.run.pid() is None:
            it.works()
        it.qp(*command)

    return tell


GOOD = ["sleep", "300"]
BREAKS = [
    Break("processes.spawn", without_a_first_line, "neither a program nor a script", mended=mended_by(command=GOOD)),
    Break("processes.crashing", crashing, r"x:0: 3 times within \d+ s, the last: exit 3: boo", "warning"),
    Break("processes.release", in_a_directory_that_is_gone, r"x:0 \(pid \d+\): .*/7 \(deleted\)",
          mended=restarted_in_it),
    Break("processes.stale", behind_the_current_release, r"w:0 .* runs .*/app, while .*/app2 is", "warning",
          mended=restarted),
    Break("processes.paused", told("pause", "w"), r"w:0 .* is paused", "warning", mended=told("continue", "w")),
    Break("processes.stopped", told("stop", "w"), "w:0: stopped", "info", mended=told("start", "w"),
          inside=running),
]  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_a_process_in_trouble_is_found(broken: Break) -> None:
    broken.prove()


# --- how processes end ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class End:
    """One way to end, of a program of its own. id: of the check that has to find it, None: there is nothing wrong. The
    rest is as for Break and `dying`. All ends are in one installation, under one daemon, which is looked at once."""

    id: str | None
    command: tuple[str, ...]
    evidence: str = ""
    state: str = "FATAL"
    name: str = ""
    keys: dict[str, Any] = field(default_factory=dict)

    @property
    def program(self) -> str:
        return re.sub(r"\W", "-", str(self))

    def __str__(self) -> str:
        return "-".join(filter(None, (self.id or "fine", self.name)))


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


ENDS = [
    End("processes.spawn", sh("no-such-thing"), "127: .*not found", name="shell"),
    End("processes.boot", artisan("queue:work"), "Could not open input file: artisan", keys={"directory": "/usr"}),
    End("processes.boot", artisan("nosuch:thing"), "defined in the .nosuch. namespace", name="namespace"),
    End("processes.boot", php("new Nothing;"), 'Class "Nothing" not found', name="class"),
    End("processes.options", artisan("queue:work", "--nope"), "The .--nope. option does not exist"),
    End("processes.options", artisan("queue:work", "nowhere"), "nowhere. queue", name="connection"),
    End("processes.fatal", php("throw new LogicException('oh no');"), "Uncaught LogicException: oh no"),
    End("processes.fatal", php("ini_set('memory_limit', '2M'); str_repeat('x', 9000000);"), "bytes exhausted",
        name="memory_limit"),
    End("processes.killed", sh("kill -9 $$"), "SIGKILL"),
    End("processes.segfault", sh("kill -SEGV $$"), "SIGSEGV"),
    End("processes.port", (*PHP, "-S", "127.0.0.1:PORT"), "127.0.0.1:.*already in use"),
    End("processes.database", php("new PDO('sqlite:/none/x');"), r"SQLSTATE\[HY000\] \[14\]"),
    # It ends at once, and its pauses are so long by now that it is seen in one.
    End("processes.loop", ("true",), "restarting too often", state="BACKOFF", keys={"startsecs": 0}),
    End("processes.failing", sh("echo the reason for it; exit 7"), "exit 7: the reason for it"),
    End("processes.failing", sh("exit 7"), "EXITED", state="EXITED", keys={"autorestart": False, "startsecs": 0},
        name="exited"),
    End("processes.failing", sh("exit 7"), "(?s)(:[012] .*){3}", name="alike",
        keys={"numprocs": 3, "process_name": "%(program_name)s_%(process_num)d"}),
    End(None, sh("exit 5"), state="EXITED", keys={"autorestart": "unexpected", "exitcodes": [5], "startsecs": 0}),
]  # fmt: skip
AS_USER = End("processes.permission", sh("cat /etc/shadow"), "cat: /etc/shadow: Permission denied")
"""Only root starts processes as another user."""


@dataclass(frozen=True)
class Seen:
    """States of the processes by program, and what was found."""

    states: dict[str, list[str]]
    findings: list[dict[str, Any]]


@pytest.fixture(scope="module")
def ended() -> Iterator[Seen]:
    """All of them, once."""
    ends = [*ENDS, *[AS_USER] * (os.geteuid() == 0)]
    with Installation() as it:
        it.programs |= {
            end.program: that_dies(it, f"{end.program}.log", end.command, end.state, end.keys) for end in ends
        }
        it.write()
        it.qp.up()
        it.qp.running("w", 1)

        def have_ended() -> bool:
            views = it.qp.processes()
            reached = all(_reached(end, views) for end in ends)
            return reached and len(views) == 1 + sum(end.keys.get("numprocs", 1) for end in ends)

        with suppress(AssertionError):  # the test of the one that does not end fails, and no other
            eventually(have_ended, what="they have ended")
        states: dict[str, list[str]] = {}
        for view in it.qp.processes():
            states.setdefault(view["program"], []).append(view["state"])
        yield Seen(states, it.look()["findings"])


def _reached(end: End, views: list[dict[str, Any]]) -> bool:
    mine = [view for view in views if view["program"] == end.program]
    return all(view["state"] == end.state and (end.state != "BACKOFF" or view["restarts"] >= 3) for view in mine)


def look_at(end: End, seen: Seen) -> None:
    """Exactly this is found of it."""
    assert set(seen.states[end.program]) == {end.state}
    found = [finding for finding in seen.findings if end.program in finding["programs"]]
    assert [finding["id"] for finding in found] == [end.id] * bool(end.id), found
    for finding in found:
        assert finding["programs"] == [end.program], finding
        assert finding["severity"] == "error", finding
        assert re.search(end.evidence, "\n".join(finding["evidence"])), finding
        assert finding["what"], finding
        assert finding["remedy"], finding


@pytest.mark.parametrize("end", ENDS, ids=str)
def test_how_a_process_has_ended_is_found(end: End, ended: Seen) -> None:
    look_at(end, ended)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes as another user")
def test_a_file_that_its_user_may_not_read_is_found(ended: Seen) -> None:
    look_at(AS_USER, ended)


def test_of_those_that_have_not_ended_nothing_is_found(ended: Seen) -> None:
    names = {end.program for end in (*ENDS, AS_USER)}
    assert [finding for finding in ended.findings if not finding["programs"] or {*finding["programs"]} - names] == []
