"""A full disk where the daemon keeps what it knows: its workers go on, nobody is doubled, and it is said."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuepool.system import procstat
from tests.support.daemon import Queuepool
from tests.support.wait import eventually
from tests.support.worker import Report, control_fifo, order, worker_argv

TEXT = """
programs:
  w: {{type: command, command: {quiet!r}, numprocs: 2, startsecs: 0, stdout_logfile: {logs}/w.log}}
  chat:
    type: command
    command: {chatty!r}
    startsecs: 0
    stdout_logfile: {logs}/chat.log
    stdout_logfile_maxbytes: 0
    log_prefix: [slot]
"""
LINES = 20_000


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Queuepool]:
    """A Queuepool whose run and state directories are on a disk of 256 kB of their own."""
    if os.geteuid() != 0:
        pytest.skip("only root makes a disk to fill")
    argv = worker_argv(report=tmp_path / "report", name="w", life=280)
    chatty = worker_argv(report=tmp_path / "report", control=control_fifo(tmp_path / "control"), width=200, life=280)
    text = TEXT.format(quiet=shlex.join(argv), chatty=shlex.join(chatty), logs=tmp_path)
    qp = Queuepool(tmp_path / "app", text)
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", qp.runtime]
    if subprocess.run(mount, capture_output=True).returncode:
        qp.close()
        pytest.skip("no mounts here")
    try:
        with qp:
            yield qp
    finally:
        subprocess.run(["umount", "-l", qp.runtime], check=True)
        shutil.rmtree(qp.runtime, ignore_errors=True)


def fill(qp: Queuepool) -> None:
    """Leave no byte on its disk, and none in the last block of the record, where empty lines mean nothing."""
    for path, text in ((Path(qp.runtime, "filler"), b"x"), (Path(qp.run.record), b"\n")):
        if path.name == "filler" or path.exists():
            with open(path, "ab", buffering=0) as file:
                for size in (4096, 1):
                    try:
                        while file.write(text * size):
                            pass
                    except OSError:
                        continue


def free(qp: Queuepool) -> None:
    Path(qp.runtime, "filler").unlink()


def told(qp: Queuepool, words: str) -> bool:
    return any(problem.startswith(words) for problem in qp.status()["daemon"]["problems"])


def test_a_full_disk_of_the_daemons_own_stops_and_doubles_no_worker(small: Queuepool, tmp_path: Path) -> None:
    qp, report = small, Report(tmp_path / "report")
    for directory in (qp.run.base, qp.run.path, qp.run.state):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    fill(qp)
    done = qp.try_("up", "-d")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1, f"error: cannot write {qp.run.lock}: No space left on device"
    )  # fmt: skip
    assert f"make room there (`df {qp.run.path}`)" in done.stderr
    free(qp)

    qp.up()
    before, [chat] = qp.running("w", 2), qp.running("chat", 1).values()
    report.wait("ready", count=3)
    order(tmp_path / "control", "say 3")
    eventually(lambda: (tmp_path / "chat.log").read_text().count("\n") == 3, what="what it said is written")
    fill(qp)
    for victim in ("w:0", "w:1"):
        os.kill(before[victim], signal.SIGKILL)
    report.wait("ready", count=5)
    kept = qp.running("w", 2)
    assert not set(kept.values()) & set(before.values()), "they are replaced"
    record = f"cannot save {qp.run.record}: No space left on device; make room there (`df {qp.run.path}`): until then"
    assert told(qp, record)

    order(tmp_path / "control", f"say {LINES}")  # 4 MB: far more than any pipe holds
    report.wait("said", count=2)
    assert qp.running("chat", 1) == {"chat:0": chat}
    log = tmp_path / "chat.log"  # on another disk, which has room
    eventually(lambda: log.read_text().count("\n") == 3 + LINES, what="all that it said is written")
    os.kill(chat, signal.SIGKILL)
    report.wait("ready", count=6)
    fill(qp)  # it left some room
    qp("scale", "w", "4")
    qp("scale", "chat", "2")
    chats = qp.running("chat", 2)
    more = {*qp.running("w", 4).values(), chats["chat:1"]} - set(kept.values())
    said = qp.try_("status")
    assert said.returncode == 3
    assert f"! {record}" in said.stdout
    assert f"! cannot save {qp.run.overrides}: No space left on device; a restart of the daemon" in said.stdout

    qp.kill()
    qp.up()
    assert qp.running("w", 2) == kept, "as many as the file says, since the other number could not be saved"
    assert qp.running("chat", 1) == {"chat:0": chats["chat:0"]}
    assert {said.pid for said in report.wait("leaving", count=3)} == more, "those are asked to end, not killed"
    alive = {said.pid for said in report.said("ready") if procstat.birth(said.pid)}
    assert alive == {*kept.values(), chats["chat:0"]}, "nobody is doubled"
    assert told(qp, record)

    free(qp)
    eventually(lambda: f"event=state_well file={qp.run.record}\n" in qp.journal(), what="it is said that it is well")
    qp("scale", "w", "3")
    third = qp.running("w", 3)["w:2"]
    order(tmp_path / "control", "say 2")
    eventually(lambda: f"{chats['chat:0']} 2 xxx" in (tmp_path / "chat.log").read_text(), what="its lines are written")
    assert qp.status()["daemon"]["problems"] == []
    qp.kill()
    qp.up()
    assert qp.running("w", 3) == {**kept, "w:2": third}
