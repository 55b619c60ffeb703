from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from queuepool.domain.pool import PoolSpec, ProcessSpec
from queuepool.domain.work import Job, WorkView
from queuepool.engines.board import RECORD, Board, Desk


def nothing(slot: int) -> ProcessSpec:
    raise NotImplementedError


POOLS = {
    "w": PoolSpec("w", "worker", 2, nothing, app="/app", connection="redis", queues=("high",), says=True, verbose=True),
    "other": PoolSpec("other", "worker", 2, nothing, app="/other", says=True),
    "horizon": PoolSpec("horizon", "horizon", 1, nothing, app="/app", says=True),
    "quiet": PoolSpec("quiet", "worker", 1, nothing, app="/app"),
    "command": PoolSpec("command", "command", 1, nothing),
}
NOW = [1_790_000_000.0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    NOW[0] = 1_790_000_000.0
    return tmp_path / "jobs"


def board(path: Path, later: Callable[[Callable[[], None]], object] | None = None) -> Board:
    made = Board(str(path), later, wall=lambda: NOW[0])
    made.know(POOLS)
    return made


def seat(at: Board, pool: str = "w", number: int = 1, *, adopted: bool = False) -> Desk:
    desk = at.seat(pool, number, adopted=adopted)
    assert desk is not None
    return desk


def eight(word: str, job: str = "A", identity: str = "x1") -> bytes:
    return f"[2026-01-31 10:00:00][{identity}] {word + ':':11} App\\Jobs\\{job}\n".encode()


def dotted(end: str, job: str = "A", identity: str = "17 redis high") -> bytes:
    return f"  2026-01-31 10:00:00 App\\Jobs\\{job}{' ' + identity if identity else ''} ... {end}\n".encode()


def figures(at: Board, pool: str = "w") -> WorkView:
    view = at.work(pool)
    assert view is not None
    return view


def test_a_desk_shows_the_job_while_it_runs(path: Path) -> None:
    at = board(path)
    desk = seat(at)
    assert (desk.job, desk.busy, desk.since) == (None, 0, NOW[0])
    NOW[0] += 5
    desk.hear(dotted("RUNNING"))
    assert desk.job == Job("App\\Jobs\\A", "17", "high", "redis", NOW[0])
    begun = NOW[0]
    NOW[0] += 2
    desk.hear(dotted("2s 22MB DONE"))
    assert desk.busy == 0
    assert desk.since == NOW[0] == begun + 2
    assert figures(at).classes["App\\Jobs\\A"].done == figures(at).queues["high"].done == 1


def test_a_line_without_queue_is_of_the_only_one_of_its_program(path: Path) -> None:
    desk = seat(board(path))
    desk.hear(eight("Processing"))
    assert desk.job is not None
    assert (desk.job.queue, desk.job.connection) == ("high", "redis")


def test_a_runtime_in_whole_seconds_is_measured_instead(path: Path) -> None:
    at = board(path)
    desk = seat(at)
    for said, measured in [("1s", 1.75), ("0.50ms", 0.04), ("3s", 60.0)]:
        desk.hear(dotted("RUNNING"))
        NOW[0] += measured
        desk.hear(dotted(f"{said} DONE"))
    runtime = figures(at).all.runtime
    assert runtime is not None
    assert runtime.mean == pytest.approx((1.75 + 0.0005 + 3) / 3, abs=0.001)


def test_a_job_that_calls_fail_counts_as_failed_and_not_as_done_too(path: Path) -> None:
    at = board(path)
    desk = seat(at)
    for _ in range(3):
        desk.hear(dotted("RUNNING") + dotted("1.00ms FAIL") + dotted("2.00ms DONE"))
        assert desk.job is None
    assert (figures(at).all.failed, figures(at).all.done) == (3, 0)


def test_a_name_that_is_blurred_by_what_the_job_printed_is_not_a_class(path: Path) -> None:
    at = board(path)
    desk = seat(at)
    desk.hear(dotted("RUNNING", identity=""))
    desk.hear(dotted("1.00ms DONE", "A and more", identity=""))
    assert desk.job is None
    assert set(figures(at).classes) == {"App\\Jobs\\A"}


def test_up_to_laravel_9_20_the_next_job_ends_one_that_was_put_back(path: Path) -> None:
    at = board(path)
    desk = seat(at)
    desk.hear(eight("Processing", "A", "x1") + eight("Processing", "B", "x2"))
    assert desk.job is not None
    assert desk.job.id == "x2"
    assert (figures(at).all.released, figures(at).all.done) == (1, 0)


def test_a_job_that_another_worker_has_begun_is_no_longer_here(path: Path) -> None:
    at = board(path)
    one, other = seat(at, number=1), seat(at, number=2)
    elsewhere = seat(at, "other", 3)
    one.hear(eight("Processing"))
    elsewhere.hear(eight("Processing"))
    assert one.job is not None, "the same id in another application is another job"
    other.hear(eight("Processing"))
    assert one.job is None
    assert other.job is not None
    assert at.leave(one) is None, "there is nothing to put back"
    left = at.leave(other)
    assert left is not None
    assert left.id == "x1"


def test_a_horizon_speaks_for_many(path: Path) -> None:
    at = board(path)
    desk = seat(at, "horizon")
    for job in "ABCA":
        desk.hear(dotted("RUNNING", job, ""))
    assert (desk.job, desk.busy) == (None, 4)
    desk.hear(dotted("1.00ms DONE", "A", "") + dotted("3.00ms FAIL", "B", ""))
    assert desk.busy == 2
    assert (figures(at, "horizon").all.done, figures(at, "horizon").all.failed) == (1, 1)
    assert at.leave(desk) is None


def test_what_says_nothing_has_no_desk(path: Path) -> None:
    at = board(path)
    assert [at.seat(pool, 1) for pool in ("quiet", "command", "gone")] == [None] * 3
    assert at.work("quiet") is None


def test_paused_queues_are_known(path: Path) -> None:
    desk = seat(board(path))
    desk.hear(b"  2026-01-31 10:00:00 Queue mail PAUSED\n  2026-01-31 10:00:00 Queue high PAUSED\n")
    desk.hear(b"  2026-01-31 10:00:00 Queue mail RESUMED\n")
    assert desk.paused == {"high"}


def test_the_next_daemon_knows_the_jobs(path: Path) -> None:
    first = board(path)
    desks = [seat(first, number=number) for number in range(1, 6)]
    for desk in desks[:4]:
        desk.hear(dotted("RUNNING", "Größe" + "x" * 2000 if desk.number == 4 else "A", f"{desk.number} redis high"))
    desks[1].hear(dotted("1.00ms DONE", "A", "2 redis high"))
    began, NOW[0] = NOW[0], NOW[0] + 100
    second = board(path)
    second.load()
    taken = [seat(second, number=number, adopted=True) for number in (1, 2, 4)]
    second.settle()
    assert taken[0].job == desks[0].job
    assert (taken[1].job, taken[1].since) == (None, began)
    assert taken[2].job is not None
    assert taken[2].job.id == "4"
    assert taken[2].job.class_name.startswith("App\\Jobs\\Größe")
    taken[0].hear(dotted("100s DONE", "A", "1 redis high"))
    assert taken[0].job is None
    assert seat(second, number=6).place in (desks[2].place, desks[4].place), "places are used again"
    third = board(path)
    third.load()
    assert seat(third, number=3, adopted=True).job is None, "what did not live any more was forgotten"


def test_torn_records_are_passed_over(path: Path) -> None:
    first = board(path)
    for number in range(1, 4):
        seat(first, number=number).hear(dotted("RUNNING", "A", f"{number} redis high"))
    data = bytearray(path.read_bytes())
    data[RECORD + 30] ^= 0xFF
    path.write_bytes(data[: 2 * RECORD + 10])
    second = board(path)
    second.load()
    assert [seat(second, number=n, adopted=True).job is not None for n in (1, 2, 3)] == [True, False, False]
    places = {seat(second, number=n).place for n in range(4, 9)}
    assert len(places) == 5


def test_a_file_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    at = board(tmp_path / "missing" / "jobs")
    at.load()
    desk = seat(at)
    desk.hear(dotted("RUNNING"))
    assert desk.job is not None


def test_much_is_read_later_in_its_order(path: Path) -> None:
    calls: list[Callable[[], None]] = []
    at = board(path, calls.append)
    one, other = seat(at, number=1), seat(at, number=2)
    for number in range(3):
        for desk in (one, other):
            jobs = range(number * 1000, (number + 1) * 1000)
            desk.hear(b"".join(dotted("RUNNING", "A", f"{desk.number}{n:05d} redis high") for n in jobs))
    one.hear(dotted("RUNNING", "A", "199999 redis high"))
    assert len(calls) == 1
    assert one.job is None
    left = at.leave(one)
    assert left is not None
    assert left.id == "199999", "an end waits for what was printed before"
    turns = 0
    while calls:
        calls.pop(0)()
        turns += 1
    assert other.job is not None
    assert other.job.id == "202999"
    assert turns < 1000
