"""`logs` and `tail`: what the workers printed, read from the files themselves, so that they work and go on following
whether a daemon runs or not. How files are read is queuepool.logs's matter."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import click

from queuepool.cli.context import Context, context_of
from queuepool.cli.options import json_option
from queuepool.cli.selectors import names_argument
from queuepool.errors import DaemonUnreachable, QueuepoolError, UsageError

TAIL_BYTES = 1600
"""What Supervisor's `tail` shows when it is not told how much."""
LOOK_AGAIN_SECONDS = 5.0
"""How often `logs -f` asks whether there are new files, such as those of a program that was scaled up."""

_COLORS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow", "bright_green")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(slots=True)
class Source:
    """A log and who prints into it. chosen: the processes that were asked for, empty when they are all there are."""

    path: str
    program: str
    title: str
    chosen: frozenset[str] = frozenset()
    undecided: bool = field(default=False)


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is printed from now on, across rotations.")
@click.option(
    "-n", "--lines", "count", metavar="N", type=click.IntRange(min=0), default=20, show_default=True,
    help="How many of the last lines of each log.",
)  # fmt: skip
@click.option(
    "--since", metavar="TIME", help="What was printed since: 10m, 2h, 1d, 14:30, 2026-01-31, 2026-01-31 14:30."
)
@json_option
@names_argument(required=True)
@click.pass_context
def logs(ctx: click.Context, follow: bool, count: int, since: str | None, names: tuple[str, ...]) -> None:
    """The workers' output. With --json, an object per line."""
    context = context_of(ctx)
    moment = parse_since(since, time.time()) if since is not None else None
    if context.host:
        _remote_logs(context, names, count, moment, follow=follow)
        return
    sources = find_sources(context, names)
    screen = _Screen(context, sources)
    if follow:
        _follow(context, names, sources, screen, count, moment)
        return
    for source in sources:
        for data in _past(source, count, moment):
            screen.show(source, data)
    screen.finish()


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("-f", "--follow", is_flag=True, help="Go on with what is printed from now on, across rotations.")
@click.argument("words", metavar="[-BYTES] NAME [stdout|stderr]", nargs=-1, required=True)
@click.pass_context
def tail(ctx: click.Context, follow: bool, words: tuple[str, ...]) -> None:
    """The last lines of one process. Supervisor's command: -BYTES says how much, 1600 if left out."""
    from queuepool.logs.follow import Follower
    from queuepool.logs.tail import last

    context = context_of(ctx)
    size, name, stream = _tail_words(words)
    if context.host:
        _remote_tail(context, name, stream, size, follow=follow)
        return
    source = _only(name, _errors_of(context, name) if stream == "stderr" else find_sources(context, (name,)))
    screen = _Screen(context, [source])
    follower = Follower(whole=False)
    with _readable(source.path), contextlib.closing(follower):
        if not follow:
            _say_if_missing(source)
            screen.show(source, last(source.path, size=size))
            screen.finish()
            return
        follower.add(source.path)
        screen.show(source, follower.before(source.path, size))
        while screen.is_read():
            for _, data in follower.poll():
                screen.show(source, data)
            time.sleep(_poll_seconds())


def _remote_logs(context: Context, names: Sequence[str], count: int, moment: float | None, *, follow: bool) -> None:
    from queuepool.cli import remote_logs
    from queuepool.control.remote import RemoteClient

    if moment is not None:
        remote_logs.refuse_since()
    client = context.client()
    assert isinstance(client, RemoteClient)
    chosen = client.status(names)["processes"]
    sources = sources_of(chosen, client.status()["processes"])
    screen = _Screen(context, sources)
    named = remote_logs.by_process(chosen, sources)
    if follow:
        remote_logs.follow(client, named, screen.show, screen.is_read)
    else:
        remote_logs.last_lines(client, named, count, screen.show)
    screen.finish()


def _remote_tail(context: Context, name: str, stream: str, size: int, *, follow: bool) -> None:
    from queuepool.cli import remote_logs
    from queuepool.control.remote import RemoteClient

    client = context.client()
    assert isinstance(client, RemoteClient)
    chosen = client.status((name,))["processes"]
    source = _only(name, sources_of(chosen, chosen))
    screen = _Screen(context, [source])
    named = remote_logs.by_process(chosen, [source])
    if follow:
        remote_logs.follow(client, named, screen.show, screen.is_read)
    else:
        screen.show(source, remote_logs.last_bytes(client, next(iter(named)), stream, size))
    screen.finish()


def find_sources(context: Context, names: Sequence[str]) -> list[Source]:
    """The logs of the processes that the selectors name: as the daemon says, or, when none runs, as the file says.

    Raises UsageError for a selector that selects nothing, and when nothing of what it selects has a log.
    """
    try:
        client = context.client()
        chosen = client.status(names)["processes"]
        everybody = client.status()["processes"] if {"all"} != set(names) else chosen
    except DaemonUnreachable:
        chosen, everybody = _from_file(context, names)
    return sources_of(chosen, everybody)


def sources_of(chosen: Sequence[dict[str, Any]], everybody: Sequence[dict[str, Any]]) -> list[Source]:
    """One source per file, in the order of the processes. Both are processes as in `status --json`."""
    wanted: dict[str, dict[str, None]] = {}
    for process in chosen:
        if process["log"]:
            wanted.setdefault(process["log"], {})[process["name"]] = None
    if chosen and not wanted:
        name = ", ".join(dict.fromkeys(process["program"] for process in chosen))
        raise UsageError(f"{name} keeps no log", "set stdout_logfile in queuepool.yml, then `queuepool update`")
    program_of = {process["name"]: process["program"] for process in chosen}
    files_of = {program: {p["log"] for p in chosen if p["program"] == program} for program in program_of.values()}
    found = []
    for path, names in wanted.items():
        program = program_of[next(iter(names))]
        all_of_it = {process["name"] for process in everybody if process["log"] == path} <= set(names)
        title = program if len(files_of[program]) == 1 else next(iter(names))
        found.append(Source(path, program, title, frozenset() if all_of_it else frozenset(names)))
    return found


def parse_since(text: str, now: float) -> float:
    """The unix time that `--since` means: an age (10m, 2h, 1d), a time of today, a date, a date and a time (local, or
    with a zone). Raises UsageError."""
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip()):
        return now - float(found[1]) * _UNITS[found[2]]
    with contextlib.suppress(ValueError, OverflowError):
        if re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?", text.strip()):
            today = datetime.fromtimestamp(now).strftime("%Y-%m-%d")
            return datetime.fromisoformat(f"{today}T{text.strip().rjust(5, '0')}").timestamp()
        return datetime.fromisoformat(text.strip()).timestamp()
    raise UsageError(f"cannot understand the time {text!r}", "write `--since 10m`, `--since '2026-01-31 14:30'`")


_ACTS = re.compile(rb"\x1b(?!\[[0-9;]*m)|\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]|\xc2[\x80-\x9f]")
"""What makes a terminal do more than print, but for colours: ECMA-48's C0 and C1, the latter as UTF-8 has them."""


def _tamed(data: bytes) -> bytes:
    """A worker's output for a terminal, as `up` shows it. What is printed may come from anybody, by way of a job: it is
    not to retitle the window, fill the clipboard or overwrite the line above."""
    return _ACTS.sub(lambda match: b"\\x%02x" % match[0][-1], data)


class _Screen:
    """Prints lines: as they are, after the program's name when there are several, or as JSON."""

    def __init__(self, context: Context, sources: Sequence[Source]) -> None:
        self._out = sys.stdout.buffer
        self._color = context.color
        self._json = context.json
        self._prefixed = len(sources) > 1
        self._width = max((len(source.title) for source in sources), default=0)
        self._tame = self._out.isatty() and not self._json
        self._unfinished = False
        self._poll = select.poll()
        self._poll.register(self._out.fileno(), 0)  # only errors: the reader of the pipe is gone

    @property
    def whole(self) -> bool:
        """Whether only whole lines can be shown."""
        return self._prefixed or self._json

    def admit(self, sources: Sequence[Source]) -> None:
        """More logs are shown from now on."""
        self._prefixed = self._prefixed or len(sources) > 1
        self._width = max(self._width, *(len(source.title) for source in sources))

    def show(self, source: Source, data: bytes) -> None:
        """Print lines of one log."""
        if not data:
            return
        if source.chosen:
            data = b"".join(line for line in data.splitlines(keepends=True) if self._is_wanted(source, line))
        if self._json:
            data = b"".join(_as_json(source, line) for line in data.splitlines())
        elif self._prefixed:
            prefix = self._prefix(source)
            data = b"".join(prefix + line + b"\n" for line in data.split(b"\n")[: -1 if data.endswith(b"\n") else None])
        self._out.write(_tamed(data) if self._tame else data)
        self._out.flush()
        self._unfinished = bool(data) and not data.endswith(b"\n")

    def finish(self) -> None:
        """See that what the shell prints next begins a line, on a terminal."""
        if self._unfinished and self._out.isatty():
            self._out.write(b"\n")
            self._out.flush()

    def is_read(self) -> bool:
        """Whether there is still somebody to print for."""
        return not self._poll.poll(0)

    def _prefix(self, source: Source) -> bytes:
        text = f"{source.title.ljust(self._width)} |"
        if self._color:  # the same colour in every run, and the one of `queuepool up`
            text = click.style(text, fg=_COLORS[sum(source.program.encode()) % len(_COLORS)])
        return f"{text} ".encode()

    def _is_wanted(self, source: Source, line: bytes) -> bool:
        from queuepool.logs.lines import is_of

        told = [is_of(line, name) for name in source.chosen]
        if None in told and not source.undecided:
            source.undecided = True
            _note(
                f"the lines of {source.path} do not say which process printed them: all are shown "
                "(`log_prefix: [slot]` in queuepool.yml makes them say it)"
            )
        return None in told or True in told


def _follow(
    context: Context, names: Sequence[str], sources: list[Source], screen: _Screen, count: int, moment: float | None
) -> None:
    from queuepool.logs.follow import Follower

    follower = Follower(whole=screen.whole)
    by_path = {source.path: source for source in sources}
    with contextlib.closing(follower):
        for source in sources:
            _follow_one(follower, source, screen, count, moment)
        look_at = time.monotonic() + LOOK_AGAIN_SECONDS
        while screen.is_read():
            for path, data in follower.poll():
                screen.show(by_path[path], data)
            time.sleep(_poll_seconds())
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_AGAIN_SECONDS
                for source in _new_sources(context, names, by_path):
                    by_path[source.path] = source
                    screen.admit(list(by_path.values()))
                    _follow_one(follower, source, screen, 0, None)


def _follow_one(follower: Any, source: Source, screen: _Screen, count: int, moment: float | None) -> None:
    with _readable(source.path):
        screen.show(source, follower.add(source.path, 0 if moment is not None else count))
        if moment is not None:
            for data in _since(source, moment, follower.position(source.path)):
                screen.show(source, data)


def _new_sources(context: Context, names: Sequence[str], known: Iterable[str]) -> list[Source]:
    """Logs that were not there before. A daemon that does not answer, or restarts, is no reason to stop."""
    with contextlib.suppress(QueuepoolError):
        client = context.client(timeout=1.0)
        processes = client.status(names)["processes"]
        return [source for source in sources_of(processes, client.status()["processes"]) if source.path not in known]
    return []


def _past(source: Source, count: int, moment: float | None) -> Iterator[bytes]:
    from queuepool.logs.tail import last

    with _readable(source.path):
        _say_if_missing(source)
        if moment is None:
            yield last(source.path, lines=count)
        else:
            yield from _since(source, moment, None)


def _since(source: Source, moment: float, upto: Any) -> Iterator[bytes]:
    from queuepool.logs.tail import since

    found = since(source.path, moment, upto)
    chunks = _by_lines(found.chunks)
    first = next(chunks, b"")
    if first and not found.dated:
        _note(
            f"the lines of {source.path} tell no time: shown from the beginning of the file that was written then "
            "(`log_prefix: [time]` in queuepool.yml makes them tell it)"
        )
    yield first
    yield from chunks


def _by_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut only where lines end."""
    rest = b""
    for data in chunks:
        data = rest + data
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if end:
            yield data[:end]
    if rest:
        yield rest


def _from_file(context: Context, names: Sequence[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from queuepool.config.load import load
    from queuepool.domain.names import ProcessName, UnknownName, select

    loaded = load(context.config_path(), os.environ)
    specs = {
        ProcessName(pool.name, slot): pool.process(slot)
        for pool in loaded.pools.values()
        for slot in range(pool.numprocs)
    }
    everybody = {name: {"name": str(name), "program": name.pool, "log": spec.log} for name, spec in specs.items()}
    try:
        chosen = select(names, {name: spec.display for name, spec in specs.items()}, loaded.groups)
    except UnknownName as error:
        raise UsageError(str(error), "`queuepool config show` lists the programs of the file") from None
    return [everybody[name] for name in chosen], list(everybody.values())


def _errors_of(context: Context, name: str) -> list[Source]:
    """The standard error of a process, which only the file tells."""
    from queuepool.config.load import load
    from queuepool.domain.names import ProcessName

    chosen = _processes(context, name)
    pools = load(context.config_path(), os.environ).pools
    processes = []
    for process in chosen:
        parsed = ProcessName.parse(process["name"])
        pool = pools.get(parsed.pool)
        policy = pool.process(parsed.slot).stderr if pool is not None else None
        if policy is None:
            raise UsageError(
                f"the standard error of {process['program']} goes to its standard output (redirect_stderr)",
                f"`queuepool tail {name}`",
            )
        processes.append({**process, "log": policy.path})
    return sources_of(processes, processes)


def _processes(context: Context, name: str) -> list[dict[str, Any]]:
    """The processes that a selector names, from the daemon or from the file."""
    try:
        processes: list[dict[str, Any]] = context.client().status((name,))["processes"]
    except DaemonUnreachable:
        processes = _from_file(context, (name,))[0]
    return processes


def _only(name: str, sources: list[Source]) -> Source:
    if len(sources) != 1:
        paths = ", ".join(source.title for source in sources) or "nothing"
        raise UsageError(f"{name} has {len(sources)} logs: {paths}", f"`queuepool logs {name}` shows all of them")
    source = sources[0]
    source.chosen = frozenset()  # the end of a file is what Supervisor's tail shows
    return source


def _tail_words(words: Sequence[str]) -> tuple[int, str, str]:
    sizes = [word for word in words if re.fullmatch(r"-\d+", word)]
    rest = [word for word in words if word not in sizes]
    for word in rest:
        if word.startswith("-"):
            raise UsageError(f"no such option: {word}", "`queuepool tail -1600 NAME`, `queuepool tail -f NAME`")
    if not rest or len(rest) > 2 or len(sizes) > 1 or (len(rest) == 2 and rest[1] not in ("stdout", "stderr")):
        raise UsageError("tail takes one process and a channel", "`queuepool tail -1600 NAME stderr`")
    return int(sizes[0][1:]) if sizes else TAIL_BYTES, rest[0], rest[1] if len(rest) == 2 else "stdout"


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    """An OSError of a log becomes a sentence; one of standard output does not."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:
            raise
        raise QueuepoolError(
            f"cannot read {error.filename}: {error.strerror}", f"`ls -l {path}` shows who may"
        ) from None


def _say_if_missing(source: Source) -> None:
    from queuepool.logs.tail import files_of

    if source.path.startswith("/dev/") and not source.path.startswith("/dev/shm/"):  # noqa: S108
        raise UsageError(
            f"{source.title} prints to {source.path}, which keeps nothing", "look where the daemon's own output goes"
        )
    if not files_of(source.path):
        _note(f"{source.title} has printed nothing yet: there is no {source.path}")


def _as_json(source: Source, line: bytes) -> bytes:
    from queuepool.logs.lines import time_of

    value: dict[str, Any] = {
        "program": source.program,
        "file": source.path,
        "time": time_of(line),
        "line": line.decode("utf-8", "backslashreplace"),
    }
    if line.startswith(b'{"time": "'):
        with contextlib.suppress(ValueError, TypeError):
            inner = json.loads(line)
            value |= {key: inner[key] for key in ("process", "line") if key in inner}
    return json.dumps(value).encode() + b"\n"


def _note(text: str) -> None:
    click.echo(text, err=True)


def _poll_seconds() -> float:
    from queuepool.logs.follow import POLL_SECONDS

    return POLL_SECONDS
