"""`logs -f` beside a real daemon: across rotations, over several programs, and over the daemon's death."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
from pathlib import Path

from tests.support.daemon import Queuepool
from tests.support.wait import LIMIT, eventually
from tests.support.worker import control_fifo, order, worker_argv

PROGRAM = """\
  {name}:
    type: command
    command: {command}
    numprocs: {numprocs}
    startsecs: 0
    stdout_logfile: {directory}/{name}.log
    stdout_logfile_maxbytes: 20KB
    stdout_logfile_backups: 100
"""
SIZES = {"one": 2, "two": 1}
SHOWN = re.compile(rb"(one|two) \| (\d+) (\d+) (x+)\n")


def test_every_line_is_shown_once_and_in_order_across_rotations_and_a_killed_daemon(tmp_path: Path) -> None:
    controls = [control_fifo(tmp_path / f"{name}-{slot}") for name in SIZES for slot in range(SIZES[name])]
    argv = worker_argv(control=tmp_path / "%(program_name)s-%(process_num)d", width=100, life=280)
    text = "programs:\n" + "".join(
        PROGRAM.format(name=name, command=repr(shlex.join(argv)), numprocs=SIZES[name], directory=tmp_path)
        for name in SIZES
    )
    shown = tmp_path / "shown"
    told = 0

    def say(count: int) -> None:
        nonlocal told
        told += count
        for control in controls:
            order(control, f"say {count}")

    def numbers() -> dict[tuple[bytes, bytes], list[int]]:
        """(program, pid) -> the numbers of the lines that were shown of it."""
        found: dict[tuple[bytes, bytes], list[int]] = {}
        for line in shown.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                match = SHOWN.fullmatch(line)
                assert match, line
                found.setdefault((match[1], match[2]), []).append(int(match[3]))
        return found

    def all_shown() -> None:
        eventually(
            lambda: sum(map(len, numbers().values())) >= told * len(controls),
            what="all lines are shown",
            show=lambda: {who: (len(seen), seen[-3:]) for who, seen in numbers().items()},
        )
        expected = {(name.encode(), b"%d" % pid) for name in SIZES for pid in pids[name].values()}
        assert numbers() == {who: list(range(1, told + 1)) for who in expected}

    with Queuepool(tmp_path / "qp", text) as qp, open(shown, "wb") as out:
        qp.up()
        pids = {name: qp.running(name, SIZES[name]) for name in SIZES}
        say(300)
        follow = qp.command("logs", "-f", "-n", "100000", "one", "two")
        logs = subprocess.Popen(follow, env=qp.environment, stdin=subprocess.DEVNULL, stdout=out)
        try:
            eventually(numbers, what="the first lines are shown")
            say(700)
            all_shown()
            qp.kill()
            say(500)  # 50 kB a pipe, which waits for the next daemon
            rotated = len(list(tmp_path.glob("*.log.*")))
            qp.up()
            say(400)
            all_shown()
            assert {name: qp.running(name, SIZES[name]) for name in SIZES} == pids
            assert 3 < rotated < len(list(tmp_path.glob("*.log.*")))
            logs.send_signal(signal.SIGINT)
            assert logs.wait(LIMIT) == 130
        finally:
            logs.kill()
            logs.wait()
