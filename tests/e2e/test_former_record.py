"""The record that a killed daemon left, when it can no longer be believed: workers are found all the same, those that
are gone get successors, and whoever has their pids by now is left alone."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from queuepool.engines.record import Entry, Record
from queuepool.system import procstat
from tests.support.daemon import Queuepool
from tests.support.wait import eventually
from tests.support.worker import Report, worker_argv


@contextmanager
def strangers(report: Report, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are none of the daemon's, and report every signal that they get."""
    argv = worker_argv(report=report, life=280)
    started = [subprocess.Popen(argv, start_new_session=True) for _ in range(count)]
    try:
        report.wait("ready", count=count)
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def entries(path: Path, boot: str) -> list[Entry]:
    """What a record says, to a daemon of that boot."""
    record = Record(str(path), boot)
    record.load()
    assert not record.damage
    return sorted(record.entries.values(), key=lambda entry: entry.life)


def change(path: Path, pairs: dict[str, str]) -> None:
    """Replace texts in a record, each of which is there."""
    text = path.read_text()
    for old, new in pairs.items():
        assert old in text, f"{old} is not in {text}"
        text = text.replace(old, new)
    path.write_text(text)


def test_a_record_that_cannot_be_believed_doubles_no_worker_and_harms_no_stranger(tmp_path: Path) -> None:
    report, others = Report(tmp_path / "report"), Report(tmp_path / "others")
    argv = worker_argv(report=report, name="w", life=280)
    text = f"programs:\n  w: {{type: command, command: {shlex.join(argv)!r}, numprocs: 3, startsecs: 0}}\n"
    boot = procstat.boot_id()
    with Queuepool(tmp_path, text) as qp, strangers(others, 3) as innocent:
        record = Path(qp.run.record)
        theirs = [process.pid for process in innocent]

        def die() -> list[int]:
            """The daemon and all workers are killed; the workers' pids, which the record tells."""
            pids = sorted(qp.running("w", 3).values())
            qp.kill()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            eventually(lambda: not any(map(procstat.birth, pids)), what="the workers are gone")
            recorded = [entry.pid for entry in entries(record, boot)]
            assert sorted(recorded) == pids
            return recorded

        def fresh(before: list[int]) -> None:
            """A daemon comes back, and starts three new workers."""
            qp.up()
            assert not set(qp.running("w", 3).values()) & {*before, *theirs}
            assert qp.status()["daemon"]["problems"] == []

        qp.up()
        first = qp.running("w", 3)
        report.wait("ready", count=3)
        qp.kill()
        record.write_bytes(b"\xff\x00 not json\n" * 3)
        qp.up()
        report.wait("ready", count=6)  # what they were started with is not known, so they are replaced, one by one
        assert {said.pid for said in report.wait("leaving", count=3)} == set(first.values())
        qp.running("w", 3)
        assert len([said for said in report.said("ready") if procstat.birth(said.pid)]) == 3, "nobody is doubled"
        status = qp.try_("status")
        assert status.returncode == 3
        assert f"! {record}:3: not a record; skipped\n" in status.stdout

        dead = die()  # two of the pids are strangers' now, and one is nobody's
        change(record, {f'"pid":{dead[n]},': f'"pid":{theirs[n]},' for n in (0, 1)})
        assert [entry.pid for entry in entries(record, boot)] == [*theirs[:2], dead[2]]
        fresh(dead)

        dead = die()  # the machine was booted: everything that the record says could be true of a stranger
        births = {entry.pid: entry.birth for entry in entries(record, boot)}
        change(
            record,
            {
                f'"pid":{pid},"birth":"{births[pid]}"': f'"pid":{other},"birth":"{procstat.birth(other)}"'
                for pid, other in zip(dead, theirs, strict=True)
            },
        )
        change(record, {boot: boot[::-1]})
        assert [(one.pid, one.birth) for one in entries(record, boot[::-1])] == [
            (pid, procstat.birth(pid)) for pid in theirs
        ]
        fresh(dead)
        qp("down")
        assert [process.poll() for process in innocent] == [None] * 3
        assert others.said("signal") == []
