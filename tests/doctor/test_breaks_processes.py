"""Processes that do not stay alive, and such that run as they should not: real ones, in each way that there is a check
for. What is said of each death is tests/domain/test_deaths.py's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Break, Installation
from tests.support.laravel import PHP
from tests.support.wait import eventually

pytestmark = pytest.mark.doctor


def dying(*command: str, state: str = "FATAL", **keys: Any) -> Callable[[Installation], None]:
    """A second program that dies so."""

    def start(it: Installation) -> None:
        replaced = [word.replace("ROOT", str(it.root)).replace("PORT", str(it.redis.port)) for word in command]
        it.programs["x"] = {
            "type": "command", "command": replaced, "startretries": 0, "stdout_logfile": str(it.root / "x.log"),
            "startsecs": 30 if state == "FATAL" else 0,  # PHP may take long to boot on a busy machine
            **{name: value.replace("ROOT", str(it.root)) if isinstance(value, str) else value
               for name, value in keys.items()},
        }  # fmt: skip
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


def restarting(it: Installation) -> None:
    """It ends at once, and its pauses are so long by now that it is seen in one."""
    dying("true", startsecs=0, state="BACKOFF")(it)

    def pauses_long() -> bool:
        [view] = it.qp.processes("x")
        return bool(view["state"] == "BACKOFF" and view["restarts"] >= 3)

    eventually(pauses_long, what="it pauses long", show=it.qp.story)


def told(*command: str) -> Callable[[Installation], None]:
    def tell(it: Installation) -> None:
        if it.qp.run.pid() is None:
            it.works()
        it.qp(*command)

    return tell


GOOD = ["sleep", "300"]
BREAKS = [
    Break("processes.spawn", without_a_first_line, "neither a program nor a script", mended=mended_by(command=GOOD)),
    Break("processes.spawn", dying("sh", "-c", "no-such-thing"), "127: .*not found", name="shell"),
    Break("processes.boot", dying(*artisan("queue:work"), directory="/usr"), "Could not open input file: artisan"),
    Break("processes.boot", dying(*artisan("nosuch:thing")), "defined in the .nosuch. namespace", name="namespace"),
    Break("processes.boot", dying(*php("new Nothing;")), 'Class "Nothing" not found', name="class"),
    Break("processes.options", dying(*artisan("queue:work", "--nope")), "The .--nope. option does not exist"),
    Break("processes.options", dying(*artisan("queue:work", "nowhere")), "nowhere. queue", name="connection"),
    Break("processes.fatal", dying(*php("throw new LogicException('oh no');")), "Uncaught LogicException: oh no"),
    Break("processes.fatal", dying(*php("ini_set('memory_limit', '2M'); str_repeat('x', 9000000);")), "bytes exhausted",
          name="memory_limit"),
    Break("processes.killed", dying("sh", "-c", "kill -9 $$"), "SIGKILL"),
    Break("processes.segfault", dying("sh", "-c", "kill -SEGV $$"), "SIGSEGV"),
    Break("processes.port", dying(*PHP, "-S", "127.0.0.1:PORT"), "127.0.0.1:.*already in use"),
    Break("processes.database", dying(*php("new PDO('sqlite:/none/x');")), r"SQLSTATE\[HY000\] \[14\]"),
    Break("processes.loop", restarting, "restarting too often"),
    Break("processes.failing", dying("sh", "-c", "echo the reason for it; exit 7"), "exit 7: the reason for it"),
    Break("processes.failing", dying("sh", "-c", "exit 7", autorestart=False, startsecs=0, state="EXITED"), "EXITED",
          name="exited"),
    Break("processes.crashing", crashing, r"x:0: 3 times within \d+ s, the last: exit 3: boo", "warning"),
    Break("processes.release", in_a_directory_that_is_gone, r"x:0 \(pid \d+\): .*/7 \(deleted\)",
          mended=restarted_in_it),
    Break("processes.stale", behind_the_current_release, r"w:0 .* runs .*/app, while .*/app2 is", "warning",
          mended=restarted),
    Break("processes.paused", told("pause", "w"), r"w:0 .* is paused", "warning", mended=told("continue", "w")),
    Break("processes.stopped", told("stop", "w"), "w:0: stopped", "info", mended=told("start", "w")),
]  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_a_process_in_trouble_is_found(broken: Break) -> None:
    broken.prove()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes as another user")
def test_a_file_that_its_user_may_not_read_is_found() -> None:
    broken = dying("sh", "-c", "cat /etc/shadow")
    Break("processes.permission", broken, "cat: /etc/shadow: Permission denied").prove()


def test_a_process_that_has_done_what_it_was_for_is_no_finding(tmp_path: Path) -> None:
    with Installation() as it:
        dying("sh", "-c", "exit 5", autorestart="unexpected", exitcodes=[5], startsecs=0, state="EXITED")(it)
        assert it.look()["findings"] == []


def test_processes_that_die_alike_are_one_finding() -> None:
    with Installation() as it:
        dying("sh", "-c", "exit 7", numprocs=3, process_name="%(program_name)s_%(process_num)d")(it)
        for slot in range(3):
            it.qp.state(f"x:{slot}", "FATAL")
        [finding] = it.look()["findings"]
        assert finding["programs"] == ["x"]
        assert sum(line.startswith("x:") for line in finding["evidence"]) == 3
