"""What each life works on now, as its own output tells, and what the workers of each program have done. The lines are
read by laravel/output.py, the figures made by domain/work.py.

The current jobs are also kept in a file of fixed-size records, so that after a SIGKILL of the daemon the next one knows
them; what a worker printed meanwhile waits in its pipe and is read on. A daemon that is killed between writing a chunk
to its log and reading it here (some microseconds) loses what that chunk told."""

from __future__ import annotations

import contextlib
import os
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping

from queuepool.domain.pool import PoolSpec
from queuepool.domain.work import CountsView, Job, Said, What, Work, WorkView, begun, moment, same
from queuepool.laravel.output import Reader

MOST_JOBS = 1000
"""Current jobs of one life; only a Horizon, which prints for all its workers, has more than one."""
MUCH, SLICE, TOO_MUCH = 8 << 10, 64 << 10, 4 << 20
"""Bytes of a chunk that is not read at once; those read in one go; those waiting at which there is no putting off."""
TURN_SECONDS = 0.004
"""How long the loop is kept for reading what was put off: a job's line costs 10 to 20 us, and after some minutes
without a daemon the pipes of all workers may be full of them."""
RECORD = 512
"""Bytes of one record in the file."""

_HEAD = struct.Struct("<IQdH")  # crc32 of what follows, life, since, bytes of text
_ENDED = frozenset({What.DONE, What.FAILED, What.RELEASED})
_FIELD = "\x1f"


class Desk:
    """Where one life works. since: unix seconds at which it became busy or idle. paused: queues that it leaves alone
    because of `artisan queue:pause`. several: it speaks for more than one worker."""

    __slots__ = (
        "_board", "_bytes", "_failed", "_jobs", "_reader", "_waiting", "_work", "connection", "number", "paused",
        "place", "queue", "scope", "several", "since",
    )  # fmt: skip

    def __init__(self, board: Board, number: int, place: int, pool: PoolSpec, work: Work, form: str = "") -> None:
        self._board = board
        self._work = work
        self._reader = Reader(form, ids=pool.verbose)
        self._jobs: list[Job] = []
        self._failed: deque[Said] = deque(maxlen=16)
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self.number = number
        self.place = place
        self.several = pool.kind == "horizon"
        self.queue = pool.queues[0] if len(pool.queues) == 1 else None
        self.connection = pool.connection
        self.scope = pool.app
        self.since = board.wall()
        self.paused: set[str] = set()

    @property
    def job(self) -> Job | None:
        """What it does now: None when it is idle, or speaks for several."""
        return self._jobs[0] if self._jobs and not self.several else None

    @property
    def busy(self) -> int:
        """How many jobs run: 0 or 1, with a Horizon more."""
        return len(self._jobs)

    @property
    def form(self) -> str:
        """The form of its lines, see laravel/output.py."""
        return self._reader.form

    def hear(self, data: bytes) -> None:
        """It printed this. What is much is read later, in the order in which it came."""
        if not self._waiting and (len(data) <= MUCH or self._board.later is None):
            self._read(data)
            return
        self._waiting.append(data)
        self._bytes += len(data)
        if self._bytes > TOO_MUCH:
            self.catch_up()
        else:
            self._board.put_off(self)

    def catch_up(self) -> None:
        """Read all that was put off."""
        while self.read_some():
            pass

    def read_some(self) -> bool:
        """Read a slice of what was put off; whether there is more."""
        if self._waiting:
            data = self._waiting.popleft()
            if len(data) > SLICE:
                self._waiting.appendleft(data[SLICE:])
                data = data[:SLICE]
            self._bytes -= len(data)
            self._read(data)
        return bool(self._waiting)

    def _read(self, data: bytes) -> None:
        if found := self._reader.feed(data):
            now = self._board.wall()
            for said in found:
                self._take(said, now)
            if not self.several:
                self._board.write(self)

    def restore(self, job: Job | None, since: float) -> None:
        """Go on where a former daemon was."""
        self._jobs, self.since = [job] if job else [], since
        if job:
            self._board.claim(self, job)

    def lose(self, job: Job) -> None:
        """Somebody else has begun this job, so it was put back: up to Laravel 9.20 a worker says nothing of that."""
        if job in self._jobs:
            self._jobs.remove(job)
            self.since = self._board.wall()
            self._work.ended(What.RELEASED, job.class_name, job.queue, None, self.since)
            self._board.write(self)

    def clear(self) -> None:
        """Its process is gone."""
        for job in self._jobs:
            self._board.disclaim(self, job)
        self._jobs.clear()

    def _take(self, said: Said, now: float) -> None:
        if said.what is What.STARTED:
            self._start(begun(said, now, self.queue, self.connection))
        elif said.what in _ENDED:
            self._end(said, now)
        elif said.queue and said.what is What.RESUMED:
            self.paused.discard(said.queue)
        elif said.queue and said.what is What.PAUSED and len(self.paused) < 100:
            self.paused.add(said.queue)

    def _start(self, job: Job) -> None:
        if not self.several and self._jobs:  # its end was not said: see `lose`
            before = self._jobs.pop()
            self._board.disclaim(self, before)
            self._work.ended(What.RELEASED, before.class_name, before.queue, None, job.since)
        self._jobs.append(job)
        if not self.several:
            self._failed.clear()
        elif len(self._jobs) > MOST_JOBS:
            self._board.disclaim(self, self._jobs.pop(0))
        self.since = job.since
        self._board.claim(self, job)

    def _end(self, said: Said, now: float) -> None:
        job = next((job for job in self._jobs if same(job, said)), None)
        name = said.job
        if job is None and self._jobs and not self.several and (said.id is None or self._jobs[0].id is None):
            job = self._jobs[0]
            name = job.class_name  # the line's is blurred by something that the job printed without a newline
        if job is None:
            again = next((one for one in self._failed if (one.id, one.job) == (said.id, said.job)), None)
            if again is not None and said.what is What.DONE:  # a job that called fail() is said to be processed as well
                self._failed.remove(again)
                return
            if self._jobs and not self.several:
                self._board.disclaim(self, self._jobs.pop())
        at = moment(said, now)
        seconds = said.seconds
        if job is not None:
            self._jobs.remove(job)
            self._board.disclaim(self, job)
            seconds = _exact(seconds, max(0.0, at - job.since))
        if said.what is What.FAILED:
            self._failed.append(said)
        self.since = at
        queue = said.queue or (job.queue if job else self.queue)
        self._work.ended(said.what, name or (job.class_name if job else ""), queue, seconds, now)


def _exact(said: float | None, measured: float) -> float:
    """The better of two runtimes: since Laravel 10.15 one of a second and more is said in whole seconds."""
    if said is None:
        return measured
    return measured if said >= 1 and said == int(said) and 0 <= measured - said < 1.25 else said


class Board:
    """All desks, and the file at `path` that outlives the daemon. later(call): have the loop call it soon; None: there
    is no loop, and nothing is put off. wall: unix seconds."""

    def __init__(
        self,
        path: str,
        later: Callable[[Callable[[], None]], object] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.wall = wall
        self.later = later
        self._behind: deque[Desk] = deque()
        self._path = path
        self._fd = -1
        self._pools: Mapping[str, PoolSpec] = {}
        self._works: dict[str, Work] = {}
        self._left: dict[int, tuple[int, str, Job | None, float]] = {}
        self._free: list[int] = []
        self._places = 0
        self._owners: dict[tuple[str | None, str | None, str], tuple[Desk, Job]] = {}

    def know(self, pools: Mapping[str, PoolSpec]) -> None:
        """These are the programs; figures of others are forgotten."""
        self._pools = pools
        self._works = {name: work for name, work in self._works.items() if name in pools}

    def work(self, pool: str) -> WorkView | None:
        """What the workers of a program did; None when they have not said anything yet."""
        work = self._works.get(pool)
        return work.view(self.wall()) if work else None

    def totals(self, pool: str) -> CountsView | None:
        """The sum of it alone."""
        work = self._works.get(pool)
        return work.all.view(self.wall()) if work else None

    def counted(self, pool: str) -> Work | None:
        """The statistics themselves, to be read and not kept."""
        return self._works.get(pool)

    def load(self) -> None:
        """Read what a former daemon left, for `seat` to use. Records that are torn or of no use are skipped."""
        try:
            with open(self._path, "rb") as file:
                data = file.read()
        except OSError:
            return
        self._places = -(-len(data) // RECORD)
        for place in range(self._places):
            if found := _unpack(data[place * RECORD : (place + 1) * RECORD]):
                number, form, job, since = found
                self._left[number] = (place, form, job, since)
            else:
                self._free.append(place)

    def seat(self, pool: str, number: int, *, adopted: bool = False) -> Desk | None:
        """A desk for a process that is about to be read; None when its program says nothing of its jobs. adopted: it
        was read by a former daemon."""
        spec = self._pools.get(pool)
        if spec is None or not spec.says:
            return None
        place, form, job, since = self._left.pop(number, (-1, "", None, 0.0)) if adopted else (-1, "", None, 0.0)
        known = place >= 0
        if not known:
            place = self._free.pop() if self._free else self._places
            self._places = max(self._places, place + 1)
        desk = Desk(self, number, place, spec, self._works.setdefault(pool, Work()), form)
        if known:
            desk.restore(job, since)
        else:
            self.write(desk)
        return desk

    def settle(self) -> None:
        """Everything that lives has its desk: forget what else a former daemon left."""
        for place, *_ in self._left.values():
            self._drop(place)
        self._left.clear()

    def leave(self, desk: Desk) -> Job | None:
        """The process at a desk is gone; the job that it had not ended."""
        desk.catch_up()
        job = desk.job
        desk.clear()
        self._drop(desk.place)
        return job

    def claim(self, desk: Desk, job: Job) -> None:
        """The job is being done at this desk, and so at no other."""
        if job.id is None:
            return
        key = (desk.scope, job.connection, job.id)
        before = self._owners.get(key)
        self._owners[key] = (desk, job)
        if before is not None and before[0] is not desk:
            before[0].lose(before[1])

    def disclaim(self, desk: Desk, job: Job) -> None:
        """The job is no longer being done at this desk."""
        if job.id is not None:
            key = (desk.scope, job.connection, job.id)
            if (owner := self._owners.get(key)) is not None and owner[0] is desk:
                del self._owners[key]

    def working(self, job_id: str) -> bool:
        """Whether a living worker has begun the job with this id."""
        return any(owned == job_id for _, _, owned in self._owners)

    def put_off(self, desk: Desk) -> None:
        """Read what waits at this desk soon."""
        assert self.later is not None
        if not self._behind:
            self.later(self._catch_up)
        if desk not in self._behind:
            self._behind.append(desk)

    def _catch_up(self) -> None:
        until = time.monotonic() + TURN_SECONDS
        while self._behind:
            desk = self._behind.popleft()
            if desk.read_some():
                self._behind.append(desk)
            if time.monotonic() > until:
                break
        if self._behind and self.later is not None:
            self.later(self._catch_up)

    def write(self, desk: Desk) -> None:
        """Write the record of a desk."""
        self._put(desk.place, _pack(desk))

    def close(self) -> None:
        """Close the file, which stays for the next daemon."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _drop(self, place: int) -> None:
        self._put(place, b"")
        self._free.append(place)

    def _put(self, place: int, record: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk must not stop workers from being kept alive
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._fd, record.ljust(RECORD, b"\0"), place * RECORD)


def _pack(desk: Desk) -> bytes:
    job, text = desk.job, desk.form
    if job is not None:
        attempts = "" if job.attempts is None else str(job.attempts)
        rest = _FIELD.join((job.id or "", job.queue or "", job.connection or "", attempts, job.class_name))
        text = f"{text}{_FIELD}{rest}"
    body = text.encode("utf-8", "replace")[: RECORD - _HEAD.size]
    head = _HEAD.pack(0, desk.number, desk.since, len(body))[4:]
    return struct.pack("<I", zlib.crc32(head + body)) + head + body


def _unpack(record: bytes) -> tuple[int, str, Job | None, float] | None:
    """(life, form, job, since) of a record; None when it is empty or torn."""
    if len(record) < _HEAD.size:
        return None
    crc, number, since, length = _HEAD.unpack_from(record)
    body = record[_HEAD.size : _HEAD.size + length]
    if not number or zlib.crc32(record[4 : _HEAD.size] + body) != crc:
        return None
    form, *rest = body.decode("utf-8", "replace").split(_FIELD, 5)
    if len(rest) < 5:
        return number, form, None, since
    identity, queue, connection, attempts, name = rest
    count = int(attempts) if attempts.isdecimal() else None
    return number, form, Job(name, identity or None, queue or None, connection or None, since, count), since
