"""The real supervisorctl, of both versions, against a real supervisord and a real queuepool with the same programs."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.daemon import Queuepool
from tests.support.supervisord import VERSIONS, Ctl, Supervisord, bin_of, ctl_command, environment
from tests.support.wait import eventually
from tests.support.worker import control_fifo, order, worker_argv

PROGRAMS: dict[str, dict[str, str]] = {
    "laravel-worker": {"numprocs": "3", "process_name": "%(program_name)s_%(process_num)02d"},
    "cron": {"redirect_stderr": "false"},
    "manual": {"autostart": "false", "startsecs": "1"},
    "done": {"autorestart": "false"},
    "dies": {"autostart": "false", "startsecs": "1", "startretries": "0"},
    "missing": {"autostart": "false", "command": "/nope/nope"},
    "text": {"autostart": "false", "command": "/etc/passwd"},
}
GROUPS = {"both": ["cron", "manual"]}
COMMANDS = {
    "laravel-worker": ["text=hello"],
    "cron": ["text=tick", "errors=1", "control=@"],
    "manual": ["text=by hand"],
    "done": ["exit=0"],
    "dies": ["exit=1"],
}


def programs(root: Path, without: str = "", **changes: dict[str, str]) -> dict[str, dict[str, str]]:
    """The programs of a server whose files are in `root`. changes: program -> options in place of those above, also of
    new ones. without: one that is left out."""
    made: dict[str, dict[str, str]] = {}
    for name in [*PROGRAMS, *(name for name in changes if name not in PROGRAMS)]:
        words = [word.replace("@", f"{root}/control") for word in COMMANDS.get(name, ["text=new"])]
        own = PROGRAMS.get(name, {}) | changes.get(name, {})
        made[name] = {
            "command": shlex.join([worker_argv()[0], *words, "life=600"]),
            "directory": str(root),
            "startsecs": "0",
            "stopwaitsecs": "5",
            "redirect_stderr": "true",
            "stdout_logfile": f"{root}/{name}.log",
            "stderr_logfile": f"{root}/{name}.err",
        } | own
        if made[name]["redirect_stderr"] == "true":
            del made[name]["stderr_logfile"]
    made.pop(without, None)
    return made


def conf(made: dict[str, dict[str, str]]) -> str:
    sections = {f"program:{name}": options for name, options in made.items()}
    sections |= {f"group:{name}": {"programs": ",".join(names)} for name, names in GROUPS.items()}
    return "\n".join(
        f"[{name}]\n" + "\n".join(f"{key}={value}" for key, value in options.items())
        for name, options in sections.items()
    )


def yml(made: dict[str, dict[str, str]]) -> str:
    lines = ["programs:"]
    for name, options in made.items():
        lines += [f"  {name}:", "    type: command"]
        lines += [f"    {key}: {value!r}" for key, value in options.items()]
    return "\n".join([*lines, "groups:", *(f"  {name}: [{', '.join(names)}]" for name, names in GROUPS.items()), ""])


@dataclass
class Both:
    """The two servers."""

    theirs: Supervisord
    ours: Queuepool
    version: str
    ctls: tuple[Ctl, Ctl]
    pool: ThreadPoolExecutor

    @property
    def urls(self) -> tuple[str, str]:
        return self.ctls[0].url, self.ctls[1].url

    @property
    def roots(self) -> tuple[Path, Path]:
        return self.theirs.directory, self.ours.directory

    def run(self, *words: str) -> tuple[tuple[str, int], tuple[str, int]]:
        """What supervisorctl prints and its exit code, with supervisord and with queuepool; alike but for what changes
        from one run to the next."""
        asked = [self.pool.submit(ctl, *words) for ctl in self.ctls]
        theirs, ours = (done.result() for done in asked)
        return (plain(theirs[0], self), theirs[1]), (plain(ours[0], self), ours[1])

    def same(self, command: str) -> str:
        """Run a command on both; assert that it is answered alike. What it printed."""
        words = command.split()
        theirs, ours = self.run(*words)
        if words[0] in ("start", "stop", "restart") and ("*" in command or "all" in words):
            theirs, ours = _in_order(theirs), _in_order(ours)  # each line comes when its process is done
        assert ours == theirs, f"{command}: {ours} with queuepool, {theirs} with supervisord"
        return ours[0]

    def write(self, without: str = "", **changes: dict[str, str]) -> None:
        """Change the programs in both files."""
        self.theirs.write(conf(programs(self.theirs.directory, without, **changes)))
        self.ours.write(yml(programs(self.ours.directory, without, **changes)))

    def pids(self, *names: str) -> tuple[list[str], list[str]]:
        """What `pid NAMES` says, with supervisord and with queuepool."""
        theirs, ours = (ctl("pid", *names)[0].split() for ctl in self.ctls)
        return theirs, ours

    def ours_only(self, *words: str) -> tuple[str, int]:
        text, code = self.ctls[1](*words)
        return plain(text, self), code


def _in_order(answer: tuple[str, int]) -> tuple[str, int]:
    return "".join(sorted(answer[0].splitlines(keepends=True))), answer[1]


def plain(text: str, both: Both) -> str:
    for root, url in zip(both.roots, both.urls, strict=True):
        text = text.replace(str(root), "ROOT").replace(url, "URL")
    text = re.sub(r"pid \d+, uptime \d+:\d\d:\d\d", "pid N, uptime T", text)
    text = re.sub(r"\b[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M", "WHEN", text)
    return re.sub(r"(?m)^[1-9]\d*(?=$| \d+ $)", "N", text)


ALIKE = [
    "status",
    "status all",
    "status laravel-worker:*",
    "status laravel-worker:laravel-worker_01 done",
    "status both:",
    "status nope",
    "status nope:*",
    "status laravel-worker:nope",
    "avail",
    "pid",
    "pid both:cron",
    "pid all",
    "pid both:manual",
    "pid nope",
    "start",
    "start nope",
    "start nope:*",
    "start missing",
    "start text",
    "start both:cron",
    "start dies",
    "start both:manual",
    "stop",
    "stop nope",
    "stop nope:*",
    "stop both:manual",
    "stop both:manual",
    "stop laravel-worker:laravel-worker_00",
    "status laravel-worker:*",
    "start laravel-worker:*",
    "restart both:*",
    "restart laravel-worker:*",
    "restart laravel-worker",
    "restart",
    "status laravel-worker:*",
    "signal HUP both:cron",
    "signal USR1 laravel-worker:*",
    "signal 1 both:cron nope",
    "signal NOPE both:cron",
    "signal NOPE laravel-worker:*",
    "signal HUP done",
    "signal HUP nope:*",
    "signal HUP",
    "tail both:cron",
    "tail -3 both:cron",
    "tail both:cron stderr",
    "tail laravel-worker:laravel-worker_00 stderr",
    "tail nope",
    "tail missing",
    "tail both:cron nonsense",
    "clear both:cron",
    "tail both:cron",
    "clear nope",
    "clear both:*",
    "clear all",
    "clear",
    "fg",
    "fg nope",
    "fg missing",
    "fg both:cron missing",
    "reread",
    "update",
    "update nope",
    "add nope",
    "add both",
    "remove nope",
    "remove both",
    "stop done missing",
    "remove done",
    "avail",
    "reread",
    "add done",
    "add done",
    "nonsense",
    "stop all",
    "stop all",
    "status both:* laravel-worker:* done missing",
]
"""Commands that are answered alike, in the order in which they are run."""


def both_servers(version: str, tmp_path: Path) -> Iterator[Both]:
    if bin_of(version) is None:
        pytest.skip(f"Supervisor ({version}) is not installed")
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for root in (theirs, ours):
        root.mkdir()
        control_fifo(root / "control")
    with (
        Queuepool(ours, yml(programs(ours))) as qp,
        Supervisord(theirs, version, conf(programs(theirs))) as supervisord,
        ThreadPoolExecutor(2) as pool,
        closing(Ctl(version, supervisord.url)) as one,
        closing(Ctl(version, f"unix://{qp.run.socket}")) as other,
    ):
        qp.up()
        eventually(lambda: "EXITED" in one("status", "done")[0] and "EXITED" in other("status", "done")[0])
        yield Both(supervisord, qp, version, (one, other), pool)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Servers for tests that leave them as they were."""
    yield from both_servers("debian", tmp_path_factory.mktemp("shared"))


@pytest.fixture
def newest(tmp_path: Path) -> Iterator[Both]:
    yield from both_servers("4.3.0", tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
def test_supervisorctl_prints_what_it_prints_with_supervisord(version: str, tmp_path: Path) -> None:
    for both in both_servers(version, tmp_path):
        for command in ALIKE:
            both.same(command)


DIFFERENT = [
    ("version", "4.2.5", "4.3.0", "the Supervisor that queuepool keeps to has one version"),
    ("start dies", "dies: ERROR (spawn error)", "dies: ERROR (spawn error)", "this is alike, and what follows is not"),
    ("status dies", "Exited too quickly (process log may have details)", "exit 1", "it says why a process failed"),
    ("stop dies", "dies: ERROR (not running)", "dies: ERROR (not running)", "this is alike again"),
    (
        "status dies",
        "FATAL",
        "STOPPED",
        "what is FATAL would be tried again after a while, and not once it was stopped",
    ),
    ("start manual", "manual: ERROR (no such process)", "manual: started", "a program in a group has its own name too"),
    ("stop manual:0", "manual:0: ERROR (no such process)", "manual:0: stopped", "queuepool's names are understood too"),
]
"""Commands that are answered otherwise: what is said by supervisord and by queuepool, and the reason."""


def test_where_the_answers_differ_there_is_a_reason(shared: Both) -> None:
    for command, theirs, ours, _ in DIFFERENT:
        (one, _), (other, _) = shared.run(*command.split())
        assert theirs in one, command
        assert ours in other, command


def test_a_log_is_shown_whatever_is_in_it(shared: Both) -> None:
    for text, shown, error in (
        (b"\x1b[32mDONE\x1b[39m \x00", "DONE \ufffd\n", "ExpatError"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}".encode() * 900, "\ufffd" + 799 * "\xe9" + "\ufffd\n", "500"),
    ):
        for root in shared.roots:
            (root / "missing.log").write_bytes(text + b"\xff" * (text[0] > 127))
        theirs, ours = shared.run("tail", "missing")
        assert error in theirs[0]
        assert ours == (shown, 0)


def test_update_prints_what_it_does_with_supervisord_and_restarts_less(newest: Both) -> None:
    before = newest.pids("laravel-worker:laravel-worker_00", "laravel-worker:laravel-worker_02", "both:cron")
    changes = {"laravel-worker": {"numprocs": "4"}, "missing": {"priority": "5"}, "new": {}}
    newest.write("done", **changes, manual={"startsecs": "0"})
    newest.same("reread")
    assert newest.pids("laravel-worker:laravel-worker_00")[1] == before[1][:1]
    newest.same("update laravel-worker nope")
    newest.same("status laravel-worker:*")
    newest.same("reread")
    said = newest.same("update")
    assert "both: updated process group\n" in said
    newest.same("status both:* laravel-worker:* new")
    newest.same("avail")
    newest.same("update")
    after = newest.pids("laravel-worker:laravel-worker_00", "laravel-worker:laravel-worker_02", "both:cron")
    assert after[1] == before[1], "queuepool restarts what a change concerns, and nothing here needs it"
    assert not set(after[0]) & set(before[0]), "supervisord restarts every changed group whole"
    newest.write("done", **changes, manual={"startsecs": "0"}, cron={"environment": 'GREETING="hello"'})
    newest.same("update both")
    cron, worker = newest.pids("both:cron", "laravel-worker:laravel-worker_00")[1]
    assert b"GREETING=hello" in Path(f"/proc/{cron}/environ").read_bytes()
    assert worker == before[1][0]


def test_a_file_that_is_wrong_is_refused_and_harms_nothing(shared: Both) -> None:
    before = shared.pids("all")
    shared.theirs.write("[program:cron]\nnumprocs=many")
    shared.ours.write("programs: {cron: {type: command, command: x, numprocs: many}}")
    for command, begins in (
        ("reread", "ERROR: CANT_REREAD: "),
        ("update", "error: <class 'xmlrpc.client.Fault'>, <Fault 92:"),
    ):
        theirs, ours = shared.run(command)
        assert theirs[1] == ours[1] == 1
        assert theirs[0].startswith(begins)
        assert ours[0].startswith(begins)
    assert "queuepool.yml:1: programs.cron.numprocs" in ours[0]
    text, code = shared.ours_only("reload")
    assert code == 1, "real supervisord stops all and dies"
    assert "CANT_REREAD" in text
    assert shared.pids("all") == before
    shared.write()


def test_a_followed_log_shows_its_end_and_what_comes(shared: Both) -> None:
    tails = [
        subprocess.Popen(
            ctl_command(shared.version, url, "tail", "-f", "both:cron"), env=environment(), text=True,
            stdout=subprocess.PIPE, start_new_session=True,
        )
        for url in shared.urls
    ]  # fmt: skip
    texts = []
    for tail, root in zip(tails, shared.roots, strict=True):
        assert tail.stdout is not None
        lines = [tail.stdout.readline(), tail.stdout.readline()]
        for number in range(3):
            order(root / "control", f"say {number + 1}")
            lines += [tail.stdout.readline() for _ in range(number + 1)]
        tail.send_signal(signal.SIGINT)
        tail.communicate(timeout=60)
        texts.append(plain("".join(lines), shared))
    assert texts[1] == texts[0]
    assert texts[0].startswith("==> Press Ctrl-C to exit <==\ntick\n")
    assert shared.ours_only("tail", "-f", "nope") == shared.run("tail", "-f", "nope")[0]


def test_the_daemons_log_is_shown_and_followed(shared: Both) -> None:
    text, code = shared.ours_only("maintail", "-2000")
    assert code == 0
    assert "event=started process=cron:0" in text
    follow = subprocess.Popen(
        ctl_command(shared.version, shared.urls[1], "maintail", "-f"), env=environment(), text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert follow.stdout is not None
    assert follow.stdout.readline() == "==> Press Ctrl-C to exit <==\n"
    shared.ours_only("signal", "HUP", "both:cron")
    assert any('asked="signal SIGHUP" names=cron:*' in line for line in iter(follow.stdout.readline, ""))
    follow.send_signal(signal.SIGINT)
    follow.wait(60)
    follow.stdout.close()


def test_foreground_shows_the_output_and_says_that_nothing_can_be_typed(shared: Both) -> None:
    with subprocess.Popen(
        ctl_command(shared.version, shared.urls[1], "fg", "both:cron"), env=environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as fg:  # fmt: skip
        assert fg.stdin is not None
        assert fg.stdout is not None
        lines = [fg.stdout.readline(), fg.stdout.readline()]
        fg.stdin.write("hello\n")
        fg.stdin.flush()
        for line in fg.stdout:
            lines.append(line)
            if line == "Exiting foreground\n":
                break
        fg.kill()  # by itself it may wait for 30 s until its own thread ends
    assert lines[0] == "==> Press Ctrl-C to exit <==\n"
    assert "tick\n" in lines
    assert "ERROR: <Fault 20: 'NO_FILE: both:cron'>\n" in lines
    assert lines[-1] == "Exiting foreground\n"


def test_reload_keeps_the_processes_and_shutdown_ends_them(newest: Both) -> None:
    before = newest.pids("laravel-worker:laravel-worker_00", "both:cron")
    began = newest.ours.started_at()
    newest.write(manual={"autostart": "true", "startsecs": "0"})
    newest.same("reload")
    eventually(lambda: newest.ours.started_at() not in (None, began), what="queuepool began anew")
    eventually(lambda: newest.ctls[0]("status", "both:manual")[0].split()[1:2] == ["RUNNING"])
    newest.ours.running("manual", 1)
    newest.same("status both:* laravel-worker:*")
    after = newest.pids("laravel-worker:laravel-worker_00", "both:cron")
    assert after[1] == before[1]
    assert not set(after[0]) & set(before[0]), "supervisord stops and starts all"
    newest.same("shutdown")
    newest.ours.process.wait(60)  # type: ignore[union-attr]
    newest.theirs.process.wait(60)
    newest.same("shutdown")
    newest.same("status")
    newest.same("version")
    assert not any(Path(f"/proc/{pid}").exists() for pid in after[1])
