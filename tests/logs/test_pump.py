from __future__ import annotations

import asyncio
import fcntl
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuepool.domain.pool import LogPolicy
from queuepool.logs import draining, rotating
from queuepool.logs.ledger import Ledger, digest
from queuepool.logs.pipes import available, can_splice, capacity
from queuepool.logs.pump import Pump
from queuepool.logs.reserve import can_reserve
from queuepool.logs.rotating import AHEAD, BURST, ROTATE_RETRY_SECONDS
from queuepool.logs.watching import Alarm
from tests.support.turns import turns, until

from .piping import Clock, bench

MODES = [False, *([True] if can_splice() else [])]


def start(script: str, stdout: int, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *args], stdout=stdout)


@pytest.fixture(params=MODES, ids=lambda splice: "splice" if splice else "copy")
def splice(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_what_a_process_prints_is_in_its_log_byte_for_byte(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            b.attach()
            data = bytes(range(256)) * 100
            b.say("a", data)
            await until(lambda: b.text() == data)
            b.say("a", b"unfinished")
            await until(lambda: b.text() == data + b"unfinished", "a lone stream waits for no newline")
            assert b.pump.stats[0].bytes == len(data) + 10

    asyncio.run(run())


def test_detach_drains_ends_the_last_line_and_tells_the_last_lines(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            b.attach()
            b.say("a", b"".join(b"line %d\n" % n for n in range(30)) + b"PHP Fatal error")
            lines = b.pump.detach("a")
            assert len(lines) == 20
            assert lines[-2:] == (b"line 29", b"PHP Fatal error")
            assert b.text().endswith(b"line 29\nPHP Fatal error\n")
            b.attach()
            b.say("a", b"next life\n")
            await until(lambda: b.text().endswith(b"error\nnext life\n"))

    asyncio.run(run())


def test_last_lines_survive_a_rotation_and_other_writers(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            policy = LogPolicy(b.log(), maxbytes=2000, backups=50)
            b.attach("a", policy)
            b.attach("b", policy)
            for n in range(40):
                b.say("a", b"mine %d %s\n" % (n, b"x" * 100))
                b.say("b", b"other %d %s\n" % (n, b"y" * 100))
                b.pump.flush()
            lines = b.pump.last_lines("a", 5)
            assert [line.split()[:2] for line in lines] == [[b"mine", b"%d" % n] for n in range(35, 40)]
            assert b.pump.stats[0].rotations >= 3

    asyncio.run(run())


def test_a_stream_without_a_log_is_read_and_its_last_lines_kept(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            seen: list[bytes] = []
            b.pump.subscribe(lambda key, label, data: seen.append(data))
            b.attach("a", LogPolicy(None))
            for _ in range(40):
                b.say("a", b"z" * 999 + b"\n")
                await asyncio.sleep(0)
            b.say("a", b"the end\n")
            await until(lambda: b"".join(seen).endswith(b"the end\n"))
            assert b.pump.detach("a")[-1] == b"the end"

    asyncio.run(run())


def test_writers_of_one_file_never_share_a_line(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            for key in "ab":
                b.attach(key)
            b.say("a", b"first half, ")
            await asyncio.sleep(0)
            b.pump.flush()
            b.say("b", b"of another\n")
            await until(lambda: b"of another\n" in b.text(), "the other does not wait for an unfinished line")
            b.say("a", b"second half\n")
            await until(lambda: b.text() == b"of another\nfirst half, second half\n")

    asyncio.run(run())


class KnownAlarm(Alarm):
    """ahead: the seconds after which it was last told to ring."""

    ahead = 0.0

    def set(self, seconds: float) -> None:
        self.ahead = seconds
        super().set(seconds)


def test_an_unfinished_line_in_a_shared_file_costs_no_wake_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What wakes the pump is a pipe or its alarm."""
    monkeypatch.setattr("queuepool.logs.pump.Alarm", KnownAlarm)
    monkeypatch.setattr("queuepool.logs.pump.RESTING_SECONDS", 3600.0)

    async def run() -> None:
        with bench(tmp_path) as b:
            alarm = b.pump._alarm
            assert isinstance(alarm, KnownAlarm)
            for key in "ab":
                b.attach(key)
            b.say("a", b"2026-01-01 10:00:00 App\\Jobs\\Long")
            seen: list[bytes] = []
            b.pump.subscribe(lambda key, label, data: seen.append(data))
            await until(lambda: b"".join(seen) == b"2026-01-01 10:00:00 App\\Jobs\\Long", "being seen at once")
            await until(lambda: not b.pump._active)
            await until(lambda: alarm.ahead == 3600)
            looks = 0
            original = b.pump._look_away

            def count(fullest: float, progress: bool) -> None:
                nonlocal looks
                looks += 1
                original(fullest, progress)

            b.pump._look_away = count  # type: ignore[method-assign]
            await turns(200)  # each asks the kernel whether there is something to read
            assert looks == 0
            assert alarm.ahead == 3600
            b.say("a", b" 3s DONE\n")
            await until(lambda: b.text() == b"2026-01-01 10:00:00 App\\Jobs\\Long 3s DONE\n")
            assert b"".join(seen) == b.text()

    asyncio.run(run())


def test_a_line_longer_than_any_pipe_is_whole_among_other_writers(
    tmp_path: Path, splice: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOLD_SECONDS", "LONGEST_HOLD_SECONDS"):  # a busy machine may stop a writer in the middle
        monkeypatch.setattr(draining, name, 60.0)

    async def run() -> None:
        script = "import os,sys\nd=sys.argv[1].encode()*3000000+b'\\n'\nwhile d: d=d[os.write(1,d):]"
        with bench(tmp_path, splice=splice) as b:
            writers = [start(script, b.attach(key), key) for key in "abc"]
            await until(lambda: all(writer.poll() is not None for writer in writers))
            for key in "abc":
                b.pump.detach(key)
            assert sorted(b.text().splitlines()) == [key * 3_000_000 for key in (b"a", b"b", b"c")]

    asyncio.run(run())


def test_others_do_not_wait_for_ever_for_the_end_of_a_giant_line(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            for key in "ab":
                b.attach(key)
            piece = b"x" * 30000
            for _ in range(80):  # more than any pipe
                b.say("a", piece)
                await until(lambda: available(b.fds["a"]) + 40000 < capacity(b.fds["a"]))
            await until(lambda: len(b.text()) > 1000)
            b.say("b", b"short\n")
            await until(lambda: b"\nshort\n" in b.text())

    asyncio.run(run())


def test_rotation_cuts_only_between_lines_and_keeps_as_many_files_as_asked(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            b.attach("a", LogPolicy(b.log(), maxbytes=1000, backups=3))
            for n in range(100):
                line = b"%03d %s\n" % (n, b"x" * 95)
                b.say("a", line[:50])
                b.pump.flush()
                b.say("a", line[50:])
                b.pump.flush()
            kept = sorted(path.name for path in (tmp_path / "logs").iterdir())
            assert kept == ["worker.log", "worker.log.1", "worker.log.2", "worker.log.3"]
            lines = b.all_text().splitlines()
            assert all(len(line) == 99 for line in lines)
            assert [int(line[:3]) for line in lines] == list(range(100 - len(lines), 100))
            assert len(lines) >= 30

    asyncio.run(run())


def test_no_backups_means_an_empty_file(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            b.attach("a", LogPolicy(b.log(), maxbytes=100, backups=0))
            for n in range(50):
                b.say("a", b"%049d\n" % n)
                b.pump.flush()
            assert os.listdir(tmp_path / "logs") == ["worker.log"]
            assert len(b.text()) <= 150
            assert b.text().endswith(b"%049d\n" % 49)

    asyncio.run(run())


def test_bytes_without_any_newline_are_rotated_in_the_end(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            b.attach("a", LogPolicy(b.log(), maxbytes=1000, backups=2))
            for _ in range(100):
                b.say("a", b"\0" * 50000)
                b.pump.flush()
            assert b.pump.stats[0].rotations >= 1

    asyncio.run(run())


def test_a_file_is_rotated_at_the_turn_of_the_hour(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        wall = Clock(7200.0 * 100)
        with bench(tmp_path, splice=splice, wall=wall) as b:
            b.attach("a", LogPolicy(b.log(), rotate_seconds=3600))
            b.say("a", b"old\n")
            b.pump.flush()
            wall.now += 3599
            b.say("a", b"still old\n")
            b.pump.flush()
            assert b.text() == b"old\nstill old\n"
            wall.now += 2
            b.say("a", b"new\n")
            b.pump.flush()
            assert (b.text("worker.log.1"), b.text()) == (b"old\nstill old\n", b"new\n")

    asyncio.run(run())


def test_a_prompt_stream_with_words_of_an_earlier_life_is_read_on(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        unforeseen: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: unforeseen.append(context))
        spool = str(tmp_path / "spool")
        with bench(tmp_path, splice=splice, spool_directory=spool) as b:
            policy, in_the_way = LogPolicy(b.log(), slot=True), Path(b.log())
            in_the_way.mkdir(parents=True)
            b.attach("a", policy, prompt=True)
            b.say("a", b"one\n")
            b.pump.flush()
            b.pump.close()
            in_the_way.rmdir()
            b.pump = Pump(b.troubles.append, splice=splice, spool_directory=spool)
            b.attach("a", policy, prompt=True, adopted=True)
            await until(lambda: b.text() == b"[default:a] one\n")
            b.say("a", b"two\n")
            await until(lambda: b.text() == b"[default:a] one\n[default:a] two\n")
        assert not unforeseen

    asyncio.run(run())


def test_a_rotation_that_fails_is_told_of_and_so_is_the_next_that_does_not(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        clock = Clock()
        with bench(tmp_path, splice=splice, clock=clock) as b:
            in_the_way = tmp_path / "logs" / "worker.log.1" / "full"
            in_the_way.mkdir(parents=True)
            b.attach("a", LogPolicy(b.log(), maxbytes=4, backups=1))
            for text in (b"one\n", b"two\n", b"three\n"):
                b.say("a", text)
                b.pump.flush()
            assert b.text() == b"one\ntwo\nthree\n", "nothing is lost for it"
            assert [(t.over, t.doing, bool(t.hint)) for t in b.troubles] == [(False, "rotate", True)]
            in_the_way.rmdir()
            in_the_way.parent.rmdir()
            clock.now += ROTATE_RETRY_SECONDS + 1
            for text in (b"four\n", b"five\n"):
                b.say("a", text)
                b.pump.flush()
            assert [(t.path, t.doing, t.over) for t in b.troubles[1:]] == [(b.log(), "rotate", True)]
            assert b.text() == b"five\n"

    asyncio.run(run())


def test_a_file_of_an_earlier_period_is_rotated_by_the_daemon_that_finds_it(tmp_path: Path) -> None:
    async def run() -> None:
        with bench(tmp_path) as b:
            (tmp_path / "logs").mkdir()
            Path(b.log()).write_bytes(b"yesterday\n")
            os.utime(b.log(), (1000, 1000))
            b.attach("a", LogPolicy(b.log(), rotate_seconds=86400))
            b.say("a", b"today\n")
            b.pump.flush()
            assert (b.text("worker.log.1"), b.text()) == (b"yesterday\n", b"today\n")

    asyncio.run(run())


def test_a_truncated_file_is_continued_without_a_hole(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            b.attach()
            b.say("a", b"x" * 5000 + b"\n")
            b.pump.flush()
            os.truncate(b.log(), 0)
            b.say("a", b"after\n")
            b.pump.flush()
            assert b.text() == b"after\n"

    asyncio.run(run())


def test_lines_that_somebody_else_appends_are_not_overwritten(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            b.attach()
            for n in range(5):
                b.say("a", b"ours %d\n" % n)
                b.pump.flush()
                with open(b.log(), "ab") as file:
                    file.write(b"theirs %d\n" % n)
            assert b.text() == b"".join(b"ours %d\ntheirs %d\n" % (n, n) for n in range(5))

    asyncio.run(run())


def test_a_removed_file_is_made_again(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            b.attach()
            b.say("a", b"one\n")
            b.pump.flush()
            os.unlink(b.log())
            b.say("a", b"two\n")
            b.pump.flush()
            assert b.text() == b"two\n"

    asyncio.run(run())


def test_a_file_replaced_by_logrotate_is_noticed_and_usr2_is_obeyed(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        clock = Clock()
        with bench(tmp_path, splice=splice, clock=clock) as b:
            b.attach()
            b.say("a", b"one\n")
            b.pump.flush()
            os.rename(b.log(), b.log("moved"))
            b.say("a", b"two\n")
            b.pump.flush()
            assert b.text("moved") == b"one\ntwo\n"
            assert b.pump.reopen() == 1
            b.say("a", b"three\n")
            b.pump.flush()
            assert b.text() == b"three\n"
            os.rename(b.log(), b.log("moved2"))
            Path(b.log()).touch()
            clock.now += 1
            b.say("a", b"four\n")
            b.pump.flush()
            assert (b.text("moved2"), b.text()) == (b"three\n", b"four\n")
            os.rename(b.log(), b.log("moved3"))  # and nobody makes a new one
            for _ in range(4):
                clock.now += 1
                b.say("a", b"five\n")
                b.pump.flush()
            assert b.text().startswith(b"five\n")

    asyncio.run(run())


def room_ahead(path: str) -> int:
    """Bytes that the disk keeps for a file beyond its end."""
    seen = os.stat(path)
    return seen.st_blocks * 512 - seen.st_size


def has_disk(path: Path) -> bool:
    fd = os.open(path, os.O_RDONLY)
    try:
        return can_reserve(fd)
    finally:
        os.close(fd)


def test_a_burst_gets_room_on_the_disk_ahead_of_it(tmp_path: Path, splice: bool) -> None:
    if not has_disk(tmp_path):
        pytest.skip("tmp_path is not on a disk")

    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            b.attach()
            b.say("a", b"quiet\n")
            b.pump.flush()
            assert room_ahead(b.log()) < 1 << 16
            text = b"quiet\n"
            for _ in range(2 * AHEAD // BURST):  # further than the room first asked for
                b.say("a", (b"x" * 99 + b"\n") * 600 + b"y" * (BURST - 60_001) + b"\n")
                text += (b"x" * 99 + b"\n") * 600 + b"y" * (BURST - 60_001) + b"\n"
                b.pump.flush()
                assert 0 <= room_ahead(b.log()) <= AHEAD + 4096
                if len(text) < AHEAD:
                    assert room_ahead(b.log()) + len(text) >= AHEAD
            assert b.text() == text
            assert b.troubles == []

    asyncio.run(run())


def test_a_file_that_is_rotated_keeps_no_room_that_it_does_not_use(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            b.attach("a", LogPolicy(b.log(), maxbytes=AHEAD // 4, backups=3))
            for _ in range(AHEAD // BURST):
                b.say("a", (b"x" * 127 + b"\n") * (BURST // 128))
                b.pump.flush()
                assert room_ahead(b.log()) <= AHEAD // 4
            for kept in ("worker.log.1", "worker.log.2", "worker.log.3"):
                assert room_ahead(b.log(kept)) < 1 << 16

    asyncio.run(run())


def test_a_disk_that_has_no_room_ahead_is_written_all_the_same(
    tmp_path: Path, splice: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(rotating, "can_reserve", lambda fd: True)
    monkeypatch.setattr(rotating, "reserve", lambda fd, start, count: asked.append(start) or False)

    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            b.attach()
            for _ in range(8):
                b.say("a", b"x" * (BURST - 1) + b"\n")
                b.pump.flush()
            assert b.text() == (b"x" * (BURST - 1) + b"\n") * 8
            assert asked == [0], "and it is not asked again and again"
            assert b.troubles == []

    asyncio.run(run())


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files of this process may have 8000 bytes: what a full disk does, with another errno."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_reported_once_and_blocks_nobody(tmp_path: Path, splice: bool, small_files: None) -> None:
    async def run() -> None:
        clock = Clock()
        with bench(tmp_path, splice=splice, clock=clock) as b:
            b.attach()
            resource.setrlimit(resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))
            line = b"%05d " + b"x" * 93 + b"\n"
            said = 0
            for _ in range(60):
                for _ in range(50):
                    b.say("a", line % said)
                    said += 1
                b.pump.flush()
                clock.now += 0.1
            assert [(t.path, t.over) for t in b.troubles] == [(b.log(), False)]
            assert "File too large" in b.troubles[0].what
            assert b.pump.stats[0].dropped > 100_000
            assert b.pump.stats[0].trouble
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            clock.now += 2
            b.say("a", line % said)
            b.pump.flush()
            b.say("a", b"well again\n")
            b.pump.flush()
            assert [t.over for t in b.troubles] == [False, True]
            assert b.troubles[1].dropped == b.pump.stats[0].dropped
            whole = [text for text in b.text().splitlines() if len(text) == 99]
            assert len(b.text().splitlines()) - len(whole) <= 2  # the line cut by the disk, and "well again"
            assert b.text().endswith(b"\nwell again\n")
            assert b.pump.stats[0].bytes + b.pump.stats[0].dropped >= (said + 1) * 99

    asyncio.run(run())


def test_a_short_trouble_loses_nothing(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        clock = Clock()
        with bench(tmp_path, splice=splice, clock=clock) as b:
            (tmp_path / "logs").write_text("a file where a directory should be")
            b.attach()
            b.say("a", b"waits in the pipe\n")
            b.pump.flush()
            assert [t.over for t in b.troubles] == [False]
            assert b.troubles[0].hint
            (tmp_path / "logs").unlink()
            clock.now += 1
            await until(lambda: b.text() == b"waits in the pipe\n")
            assert [(t.over, t.dropped) for t in b.troubles] == [(False, 0), (True, 0)]

    asyncio.run(run())


def test_what_is_decorated_is_written_also_while_there_is_no_room_for_its_spool(
    tmp_path: Path, splice: bool, small_files: None
) -> None:
    async def run() -> None:
        policy = LogPolicy(str(tmp_path / "logs" / "worker.log"), slot=True, maxbytes=3000, backups=99)
        with bench(tmp_path, splice=splice, spool_directory=str(tmp_path / "spool")) as b:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))
            b.attach("a", policy)
            said = [b"%d " % n + b"x" * 200 for n in range(100)]
            for line in said:
                b.say("a", line[:50])
                b.pump.flush()
                b.say("a", line[50:] + b"\n")
                b.pump.flush()
            b.say("a", b"unfinished")
            assert b.pump.detach("a")[-1] == b"unfinished"
            assert b.all_text().splitlines() == [b"[default:a] " + line for line in [*said, b"unfinished"]]
            assert b.troubles == []

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket-less path", "unknown user", "/dev/full"])
def test_a_log_that_cannot_be_one_is_reported_and_the_worker_goes_on(tmp_path: Path, kind: str, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            (tmp_path / "logs").mkdir()
            policy = LogPolicy(b.log())
            if kind == "directory":
                os.mkdir(b.log())
            elif kind == "fifo":
                os.mkfifo(b.log())
            elif kind == "socket-less path":
                policy = LogPolicy("/proc/nosuch/worker.log")
            elif kind == "unknown user":
                policy = LogPolicy(b.log(), user="nosuchuser")
            else:
                policy = LogPolicy("/dev/full")
            b.attach("a", policy)
            for _ in range(400):
                b.say("a", b"x" * 999 + b"\n")
                b.pump.flush()
            assert len([t for t in b.troubles if not t.over]) == 1
            assert b.troubles[0].doing == "write"
            assert b.troubles[0].what
            assert b.pump.stats[0].dropped > 300_000
            assert b.pump.detach("a")[-1] == b"x" * 999, "the last lines are known all the same"

    asyncio.run(run())


def test_time_and_slot_or_json_stand_where_asked_for(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice, spool_directory=str(tmp_path / "spool")) as b:
            b.attach(1, LogPolicy(b.log(), timestamp=True, slot=True))
            b.attach(2, LogPolicy(b.log("json"), json=True))
            for key in (1, 2):
                b.say(key, b"one\ntw")
                b.pump.flush()
                b.say(key, b"o \xff\nthree")
                b.pump.flush()
            assert [line.split(b" ", 1)[1] for line in b.text().splitlines()] == [
                b"[default:1] one",
                b"[default:1] two \xff",
            ]
            assert b.pump.detach(1) == (b"one", b"two \xff", b"three")
            assert b.text().endswith(b" [default:1] three\n")
            b.pump.detach(2)
            values = [json.loads(line) for line in b.text("json").splitlines()]
            assert [(v["process"], v["line"]) for v in values] == [
                ("default:2", "one"),
                ("default:2", "two \\xff"),
                ("default:2", "three"),
            ]
            assert os.listdir(tmp_path / "spool") == ["writers"]

    asyncio.run(run())


def test_a_policy_changes_without_losing_a_line(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice, spool_directory=str(tmp_path / "spool")) as b:
            b.attach()
            said = []
            policies = [
                LogPolicy(b.log(), maxbytes=1 << 20),
                LogPolicy(b.log("b")),
                LogPolicy(b.log("b"), slot=True),
                LogPolicy(b.log("c"), slot=True),
                LogPolicy(None),
                LogPolicy(b.log("d")),
            ]
            for n, policy in enumerate(policies):
                said.append(b"line %d" % n)
                b.say("a", said[-1] + b"\n")
                b.pump.repolicy("a", policy)
            b.say("a", b"last\n")
            b.pump.detach("a")
            everything = b"".join(b.text(name) for name in ("worker.log", "b", "c", "d"))
            found = [line.replace(b"[default:a] ", b"") for line in everything.splitlines()]
            assert found == [*said[:5], b"last"]  # one went where nothing is kept

    asyncio.run(run())


def test_one_that_follows_sees_every_byte_once_as_it_was_printed(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            seen: dict[object, bytes] = {"a": b"", "b": b"", "c": b""}

            def look(key: object, label: str, data: bytes) -> None:
                assert label == f"default:{key}"
                seen[key] += data

            stop = b.pump.subscribe(look)
            b.attach("a")
            b.attach("b")
            b.attach("c", LogPolicy(b.log("c"), json=True))
            for n in range(200):
                for key in "abc":
                    b.say(key, b"%d " % n)
                    b.say(key, b"%d\n" % n)
                if n % 7 == 0:
                    await asyncio.sleep(0)
            wanted = b"".join(b"%d %d\n" % (n, n) for n in range(200))
            await until(lambda: all(each == wanted for each in seen.values()))
            stop()
            b.say("a", b"more\n")
            b.pump.flush()
            assert seen["a"] == wanted

    asyncio.run(run())


def test_a_pipe_stays_as_the_process_knows_it(tmp_path: Path, splice: bool) -> None:
    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            fd = b.attach()
            b.say("a", b"x\n")
            await until(lambda: b.text() == b"x\n")
            b.pump.detach("a")
            assert not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
            assert os.fstat(fd)

    asyncio.run(run())


def test_half_a_line_is_finished_after_a_handover_to_the_next_daemon(tmp_path: Path, splice: bool) -> None:
    policy = LogPolicy(str(tmp_path / "logs" / "d"), slot=True)

    async def run() -> None:
        spool = str(tmp_path / "spool")
        with bench(tmp_path, splice=splice, spool_directory=spool) as b:
            fds = b.fds
            b.attach("a")
            b.attach("d", policy)
            b.say("a", b"plain ha")
            b.say("d", b"decorated ha")
            b.pump.flush()
            b.pump.close()
            b.pump = Pump(b.troubles.append, splice=splice, spool_directory=spool)
            b.fds = fds
            b.attach("a", adopted=True)
            b.attach("d", policy, adopted=True)
            b.say("a", b"lf\n")
            b.say("d", b"lf\n")
            b.pump.flush()
            assert b.text() == b"plain half\n"
            assert b.text("d") == b"[default:d] decorated half\n"

    asyncio.run(run())


def test_what_a_dead_process_left_in_its_spool_is_written_by_the_next_daemon(tmp_path: Path) -> None:
    async def run() -> None:
        spool = str(tmp_path / "spool")
        policy = LogPolicy(str(tmp_path / "logs" / "d"), slot=True)
        with bench(tmp_path, spool_directory=spool) as b:
            b.attach("d", policy)
            b.say("d", b"whole\nunfinished")
            b.pump.flush()
        with bench(tmp_path, spool_directory=spool) as b:
            assert b.pump.finish_leftovers() == 1
            assert b.text("d") == b"[default:d] whole\n[default:d] unfinished\n"
            assert os.listdir(spool) == ["writers"]

    asyncio.run(run())


def test_sixteen_writers_one_file_and_rotation_lose_and_tear_nothing(tmp_path: Path, splice: bool) -> None:
    script = (
        "import os,sys\n"
        "for n in range(1500):\n"
        "    d=b'%s %06d '%(sys.argv[1].encode(),n)+b'x'*(n*37%700)+b' end\\n'\n"
        "    os.write(1,d)\n"
    )

    async def run() -> None:
        with bench(tmp_path, splice=splice) as b:
            policy = LogPolicy(b.log(), maxbytes=100_000, backups=1000)
            writers = [start(script, b.attach(n, policy), f"{n:02}") for n in range(16)]
            await until(lambda: all(writer.poll() is not None for writer in writers))
            for n in range(16):
                b.pump.detach(n)
            lines = b.all_text().splitlines()
            assert len(lines) == 16 * 1500
            assert all(line.endswith(b" end") for line in lines)
            for n in range(16):
                mine = [line for line in lines if line.startswith(b"%02d " % n)]
                assert [int(line[3:9]) for line in mine] == list(range(1500)), "in order"
                assert all(len(line) == 14 + k * 37 % 700 for k, line in enumerate(mine))
            assert b.pump.stats[0].rotations >= 20

    asyncio.run(run())


@pytest.mark.skipif(not can_splice(), reason="what is read into memory cannot outlive the process")
def test_a_line_that_a_killed_daemon_left_half_written_is_finished_before_others_write(tmp_path: Path) -> None:
    async def run() -> None:
        with bench(tmp_path, spool_directory=str(tmp_path / "spool")) as b:
            for key in "ab":
                b.attach(key)
            b.say("b", b"of b\n")
            b.pump.flush()
            move = b.pump._mover.move
            b.pump._mover.move = lambda pipe, file, at, limit: move(pipe, file, at, 5)  # type: ignore[method-assign]
            b.say("a", b"this is of a\n")
            b.pump._drainer.drain(b.pump._streams["a"])
            b.pump.close()  # here it is killed
            assert b.text() == b"of b\nthis "

            b.pump = Pump(b.troubles.append, spool_directory=str(tmp_path / "spool"))
            b.say("b", b"of b again\n")
            for key in "ba":
                b.attach(key, adopted=True)
            await until(lambda: b.text().endswith(b"again\n"))
            assert b.text() == b"of b\nthis is of a\nof b again\n"

    asyncio.run(run())


def test_logs_of_many_programs_are_told_apart_by_the_ledger(tmp_path: Path) -> None:
    written = Ledger(str(tmp_path))
    for n in range(50):
        written.note(f"/log/{n}", digest("first"))
        written.note(f"/log/{n}", digest(f"writer {n}"))
    written.close()
    read = Ledger(str(tmp_path))
    assert all(read.writer(f"/log/{n}") == digest(f"writer {n}") for n in range(50))
    assert read.writer("/log/50") is None
    read.close()
