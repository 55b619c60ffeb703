"""The scenarios, each written once for every process manager. They note raw values; medians, goals and the table are
table.py's. The names follow docs/benchmarks.md, which says what each means."""

from __future__ import annotations

import fcntl
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial

from queuepool.logs.reserve import can_reserve, reserve
from tests.bench import procs, tools
from tests.bench.bench import KILL_SECONDS, Bench, Step
from tests.bench.peer import Job, Peer
from tests.bench.stamps import Kind, Overdue, Stamp, Stamps, until

READY = 30.0
"""Seconds within which any number of workers is expected to run."""


def ready(peer: Peer) -> float:
    """Start it and wait for all workers: seconds from before the exec of the daemon to the last worker's stamp."""
    begun = peer.start()
    try:
        starts = peer.stamps.wait(peer.job.processes, READY)
    except Overdue as overdue:
        raise Overdue(f"{overdue}; the daemon said: {peer.said()}") from None
    return (max(stamp.ns for stamp in starts) - begun) / 1e9


def s1_start(bench: Bench, name: str, processes: int) -> None:
    """Daemon start -> all running."""
    with bench.run(name, Job(processes)) as peer:
        bench.note(name, f"s1.{processes}", ready(peer) * 1e3)
        bench.note(name, f"s1.{processes}.cpu", procs.cpu_seconds(peer.pids()) * 1e3)


def s1_limit(bench: Bench, processes: int) -> None:
    """The same by a loop of posix_spawn and nothing else: what this machine allows at this moment."""
    with bench.directory("limit") as directory:
        stamps, worker = Stamps(directory / "stamps"), str(tools.program("worker"))
        begun = time.monotonic_ns()
        pids = [
            os.posix_spawn(worker, [worker, str(stamps.path), f"slot={slot}"], os.environ) for slot in range(processes)
        ]
        try:
            last = max(stamp.ns for stamp in stamps.wait(processes, READY))
            bench.note("limit", f"s1.{processes}", (last - begun) / 1e6)
        finally:
            for pid in pids:
                procs.kill(pid)
            for pid in pids:
                os.waitpid(pid, 0)
            stamps.close()


def s2_respawn(bench: Bench, name: str, processes: int) -> None:
    """SIGKILL of a worker -> first instruction of its replacement."""
    with bench.run(name, Job(processes)) as peer:
        ready(peer)
        time.sleep(1.2)  # a worker younger than a second is a crash loop to most of them
        delays = sorted(_kill_some(peer, bench.kills(name), KILL_SECONDS if peer.ticks else 30))
        bench.note(name, f"s2.{processes}", statistics.median(delays) * 1e3)
        if len(delays) >= 100:
            bench.note(name, f"s2.{processes}.p99", delays[-(-len(delays) * 99 // 100) - 1] * 1e3)


def _kill_some(peer: Peer, kills: int, seconds: float) -> list[float]:
    """Kill workers one after the other, spread over all, each at least 1.1 s old; the seconds that each was missing.

    Unless one restart hastens the next, the following kill does not wait for the replacement.
    """
    latest = {stamp.slot: stamp for stamp in peer.stamps.starts()}
    pause = max(1.1 / len(latest), 0.02)
    end = time.monotonic() + seconds
    killed: list[tuple[int, Stamp]] = []
    seen = len(peer.stamps)
    while len(killed) < kills and time.monotonic() < end:
        oldest = min(latest.values(), key=lambda stamp: stamp.ns)
        until(lambda o=oldest: time.monotonic_ns() - o.ns > 1.1e9, 2, "an old enough worker", every=0.005)  # type: ignore[misc]
        before = len(peer.stamps)
        killed.append((time.monotonic_ns(), oldest))
        procs.kill(oldest.pid)
        del latest[oldest.slot]  # until its replacement came
        if peer.serial_kills:
            peer.stamps.wait(1, 8, first=before)
        time.sleep(pause)
        if not latest:
            peer.stamps.wait(1, 8, first=seen)
        for stamp in peer.stamps.starts(seen):
            latest[stamp.slot] = stamp
        seen = len(peer.stamps)
    peer.stamps.wait(peer.job.processes + len(killed), 8)
    starts = peer.stamps.starts()
    return [
        (min(s.ns for s in starts if s.slot == old.slot and s.ns > old.ns and s.pid != old.pid) - when) / 1e9
        for when, old in killed
    ]


def s3_s5_crowd(bench: Bench, names: list[str], idle: bool, status: bool) -> None:
    """500 idle workers with captured logs: memory, CPU and wake-ups; then the status of them. All daemons side by
    side: they only sleep."""
    with bench.run_all(names, Job(500), ready) as peers:
        time.sleep(2 if idle else 1)  # what is done only once after a start does not count
        if idle:
            _idle(bench, peers)
        if status:
            _status(bench, peers)


def _idle(bench: Bench, peers: dict[str, Peer]) -> None:
    pids = {name: peer.pids() for name, peer in peers.items()}
    begun = time.monotonic()
    before = {name: (procs.cpu_seconds(own), procs.wakeups(own)) for name, own in pids.items()}
    time.sleep(bench.idle_seconds)
    for name, own in pids.items():
        took = time.monotonic() - begun
        cpu, wakeups = before[name]
        bench.note(name, "s3.cpu", (procs.cpu_seconds(own) - cpu) / took * 60)
        bench.note(name, "s3.wakeups", (procs.wakeups(own) - wakeups) / took)
        bench.note(name, "s3.pss", procs.pss_bytes(own) / 1e6)


def _status(bench: Bench, peers: dict[str, Peer]) -> None:
    """As a whole command, and as one call on the socket."""
    for _ in range(5 if bench.quick else 10):
        for name, peer in peers.items():
            with bench.guarded(name):
                bench.note(name, "s5.command", peer.command(peer.status_command()) * 1e3)
    for name, peer in peers.items():
        with bench.guarded(name):
            if call := peer.raw_status():
                call()  # the first one opens the connection
                for _ in range(10):
                    bench.note(name, "s5.call", _timed(call) * 1e3)


def s4_quiet(bench: Bench, name: str) -> None:
    """100 workers with a line every 10 ms each."""
    with bench.run(name, Job(100, ("chat=10000,200",)), on_disk=True) as peer:
        ready(peer)
        time.sleep(1)
        own = peer.pids()
        lines, cpu = _written(peer), procs.cpu_seconds(own)
        time.sleep(bench.chat_seconds)
        bench.note(name, "s4.quiet", (procs.cpu_seconds(own) - cpu) * 1e6 / (_written(peer) - lines))
        peer.stamps.hush()
        time.sleep(0.1)
        _settled(peer)
        lost, torn, twice = _missing(peer)
        bench.note(name, "s4.quiet.lost", 100 * lost / _written(peer))
        bench.note(name, "s4.quiet.torn", torn)
        bench.note(name, "s4.quiet.twice", twice)


def s4_burst(bench: Bench, name: str, writers: int, key: str, job: Job | None = None) -> None:
    """Writers as fast as they can."""
    job, lines = job or Job(writers), (400_000 if job else bench.burst_lines(name)) // writers
    job = Job(writers, (f"burst={lines},200",), job.logs, job.max_bytes, job.backups)
    with bench.run(name, job, on_disk=True) as peer:
        ready(peer)
        time.sleep(0.2)
        own = peer.pids()
        cpu, begun = procs.cpu_seconds(own), time.monotonic_ns()
        peer.stamps.go()
        done = peer.stamps.wait(writers, 60, kind=Kind.DONE)
        written = lines * writers * 200
        _settled(peer)
        if key != "s4.shared":
            bench.note(name, key, written / ((max(s.ns for s in done) - begun) / 1e9) / 1e6)
            bench.note(name, f"{key}.cpu", (procs.cpu_seconds(own) - cpu) / (written / 1e9))
        lost, torn, twice = _missing(peer)
        bench.note(name, f"{key}.lost", 100 * lost / (lines * writers))
        bench.note(name, f"{key}.torn", torn)
        bench.note(name, f"{key}.twice", twice)


def s4_limit(bench: Bench, writers: int) -> None:
    """The same by a loop of splice and nothing else: what the kernel asks for the copy at this moment. The pipes and
    the slices are as large as they are for a busy writer of queuepool, the pauses as long, and room for all of it is
    asked for first."""
    lines, argv = bench.burst_lines("queuepool") // writers, str(tools.program("worker"))
    with bench.directory("limit", on_disk=True) as directory, ExitStack() as stack:
        stamps = Stamps(directory / "stamps")
        stack.callback(stamps.close)
        ways: list[tuple[int, int]] = []
        for slot in range(writers):
            out = os.open(directory / f"{slot}.log", os.O_WRONLY | os.O_CREAT)  # splice takes no file that is appended
            read, write = os.pipe()
            ways.append((read, out))
            for fd in (read, out):
                stack.callback(os.close, fd)
            fcntl.fcntl(read, fcntl.F_SETPIPE_SZ, 1 << 20)
            command = [argv, str(stamps.path), f"slot={slot}", f"burst={lines},200"]
            pid = os.posix_spawn(argv, command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
            os.close(write)
            stack.callback(os.waitpid, pid, 0)
            stack.callback(procs.kill, pid)
        stamps.wait(writers, READY)
        begun, cpu = time.monotonic_ns(), time.process_time()
        stamps.go()
        for _, out in ways:
            if can_reserve(out):
                reserve(out, 0, lines * 200)
        _splice(ways, lines * writers * 200)
        cpu = time.process_time() - cpu
        last = max(stamp.ns for stamp in stamps.wait(writers, 60, kind=Kind.DONE))
        written = lines * writers * 200
        bench.note("limit", f"s4.{writers}", written / ((last - begun) / 1e9) / 1e6)
        bench.note("limit", f"s4.{writers}.cpu", cpu / (written / 1e9))


def _splice(ways: Sequence[tuple[int, int]], count: int) -> None:
    """Move that many bytes from pipes into files."""
    end = time.monotonic() + 60
    while count > 0:
        for read, out in ways:
            with suppress(BlockingIOError):
                while moved := os.splice(read, out, 1 << 19, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE):
                    count -= moved
        if time.monotonic() > end:
            raise Overdue(f"not within 60 s: {count} bytes more")
        time.sleep(0.0005)


def _written(peer: Peer) -> int:
    return sum(stamp.lines for stamp in peer.stamps.starts())


def _settled(peer: Peer) -> None:
    """Wait until nothing has been added to its logs for a quarter of a second, at most 10 s."""

    def size() -> int:
        total = 0
        for path in peer.log_files():
            try:
                total += path.stat().st_size
            except FileNotFoundError:  # rotated away meanwhile
                continue
        return total

    before, since, end = size(), time.monotonic(), time.monotonic() + 10
    while time.monotonic() - since < 0.25 and time.monotonic() < end:
        time.sleep(0.02)
        if (now := size()) != before:
            before, since = now, time.monotonic()


def _missing(peer: Peer) -> tuple[int, int, int]:
    """(lines lost, lines torn, lines that are there twice), by what the workers say they printed."""
    argv = [str(tools.program("check")), "200", *map(str, peer.log_files())]
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    found = {key: int(value) for key, value in map(str.split, told.splitlines())}
    lost = sum(stamp.lines - found.get(str(stamp.pid), 0) for stamp in peer.stamps.starts())
    return lost, found["torn"], found["twice"]


def _timed(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def s6_scale(bench: Bench, name: str) -> None:
    """10 -> 100 at runtime."""
    with bench.run(name, Job(10)) as peer:
        ready(peer)
        time.sleep(1.2)
        old = {stamp.pid for stamp in peer.stamps.starts()}
        begun = time.monotonic_ns()
        peer.scale(100)
        until(lambda: len(peer.workers()) == 100, 20, "100 workers", every=0.005)
        last = max(stamp.ns for stamp in peer.stamps.starts())
        bench.note(name, "s6.scale", (last - begun) / 1e6)
        bench.note(name, "s6.touched", len(old - {stamp.pid for stamp in peer.workers()}))


def s7_restart(bench: Bench, name: str) -> None:
    """50 workers that take half a second to stop are restarted: until all are new and the old ones gone; the least
    number in service meanwhile, that is started and not yet told to stop."""
    with bench.run(name, Job(50, ("stop=0.5",))) as peer:
        ready(peer)
        time.sleep(1.2)
        begun = time.monotonic_ns()
        peer.restart_all()
        peer.stamps.wait(100, 20)
        ended = peer.stamps.wait(50, 20, kind=Kind.END)
        up = least = 50
        for stamp in sorted(peer.stamps.since(50), key=lambda stamp: stamp.ns):
            up += {Kind.START: 1, Kind.TERM: -1}.get(stamp.kind, 0)
            least = min(least, up)
        last = max(stamp.ns for stamp in [*ended, *peer.stamps.starts()])
        bench.note(name, "s7.wall", (last - begun) / 1e6)
        bench.note(name, "s7.least", least)


def s8_daemon_killed(bench: Bench, name: str) -> None:
    """SIGKILL of the daemon while 20 workers chat, then started again."""
    with bench.run(name, Job(20, ("chat=20000,200",))) as peer:
        ready(peer)
        time.sleep(0.7)
        peer.kill_daemon()
        time.sleep(0.7)
        begun = peer.start()
        if peer.adopts and (found := _until_found(peer, begun)) is not None:
            bench.note(name, "s8.found", found * 1e3)
        if not peer.adopts:
            time.sleep(1.2)  # what starts by a tick of a second has its own workers by then
        time.sleep(0.5)
        peer.stamps.hush()
        time.sleep(0.1)
        _settled(peer)
        lost, torn, twice = _missing(peer)
        bench.note(name, "s8.duplicates", len(peer.workers()) - 20)
        bench.note(name, "s8.lost", lost)
        bench.note(name, "s8.torn", torn)
        bench.note(name, "s8.twice", twice)


def _until_found(peer: Peer, begun: int) -> float | None:
    """Seconds until it tells the 20 old pids again; None when it has no such call or never does."""
    pids = {stamp.pid for stamp in peer.stamps.starts()}

    def found() -> bool:
        try:
            reply = call() if (call := peer.raw_status()) else None
        except OSError:
            return False
        shown = reply["processes"] if isinstance(reply, dict) else reply or []
        return isinstance(shown, list) and {process["pid"] for process in shown} == pids

    try:
        until(found, 3, "the old workers", every=0.002)
    except Overdue:
        return None
    return (time.monotonic_ns() - begun) / 1e9


def s9_storm(bench: Bench, name: str) -> None:
    """200 workers that exit with 1 at once, for ten seconds."""
    with bench.run(name, Job(200, ("exit=1",), startsecs=1)) as peer:
        peer.start()
        peer.stamps.wait(1, READY)
        begun, own = time.monotonic(), procs.cpu_seconds(peer.pids())  # the start of the daemon is s1's matter
        took: list[float] = []
        for _ in range(3):
            time.sleep(bench.storm_seconds / 4)
            took.append(peer.command(peer.status_command(), check=False, limit=3))  # 3: not all is as it should be
        time.sleep(max(0.0, begun + bench.storm_seconds - time.monotonic()))
        bench.note(name, "s9.cpu", 100 * (procs.cpu_seconds(peer.pids()) - own) / (time.monotonic() - begun))
        bench.note(name, "s9.spawns", len(peer.stamps))
        bench.note(name, "s9.status", statistics.median(took) * 1e3)


def steps(scenario: str, bench: Bench, names: list[str], chosen: Sequence[str]) -> Iterator[Step]:
    """What there is to do, the peers taking turns, so that a change of the machine's mood meets them all."""

    def turns(
        step: Callable[..., None], *arguments: object, repeats: int | None = None, others: int | None = None
    ) -> Iterator[Step]:
        """repeats: instead of the usual ones; others: those of all but queuepool."""
        wanted = {
            name: repeats or (others if others and name != "queuepool" else bench.repeats(name)) for name in names
        }
        for turn in range(max(wanted.values(), default=0)):
            yield from ((name, partial(step, bench, name, *arguments)) for name in names if turn < wanted[name])

    match scenario:
        case "s1":
            for processes in (10, 100, 500):
                yield "limit", partial(s1_limit, bench, processes)
                yield from turns(s1_start, processes)
                yield "limit", partial(s1_limit, bench, processes)
        case "s2":
            for processes in (10, 500):
                yield from turns(s2_respawn, processes, repeats=1)
        case "s3" | "s5" if scenario == min({"s3", "s5"} & set(chosen)):  # together, to start the crowd only once
            yield "all", partial(s3_s5_crowd, bench, names, "s3" in chosen, "s5" in chosen)
        case "s4":
            for writers in (1, 8):
                yield "limit", partial(s4_limit, bench, writers)
                yield from turns(s4_burst, writers, f"s4.{writers}")
                yield "limit", partial(s4_limit, bench, writers)
            yield from turns(s4_quiet, repeats=1)
            shared = Job(16, logs="one", max_bytes=10_000_000, backups=10)
            for name in (name for name in names if name in ("queuepool", "supervisor", "circus")):  # who can do that
                yield name, partial(s4_burst, bench, name, 16, "s4.shared", shared)
        case "s6":
            yield from turns(s6_scale)
        case "s7":
            yield from turns(s7_restart)
        case "s8":
            yield from turns(s8_daemon_killed)
        case "s9":
            yield from turns(s9_storm, others=1)


SCENARIOS = tuple(f"s{number}" for number in range(1, 10))
