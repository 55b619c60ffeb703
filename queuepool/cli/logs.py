"""`logs` and `tail`: what the workers printed, read from the files themselves, so that they work and go on following
whether a daemon runs or not. How files are read is queuepool.logs's matter, which there are logsources.py's, how lines
are shown logscreen.py's."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import click

from queuepool.cli.context import Context, context_of
from queuepool.cli.logscreen import Screen
from queuepool.cli.logsources import (
    Source,
    errors_of,
    find_sources,
    new_sources,
    note,
    only,
    readable,
    say_if_missing,
    sources_of,
)
from queuepool.cli.options import Count, json_option
from queuepool.cli.selectors import names_argument
from queuepool.errors import UsageError

TAIL_BYTES = 1600
"""What Supervisor's `tail` shows when it is not told how much."""
LOOK_AGAIN_SECONDS = 5.0
"""How often `logs -f` asks whether there are new files, such as those of a program that was scaled up."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is printed from now on, across rotations.")
@click.option(
    "-n", "--lines", "count", metavar="N", type=Count(), default=20, show_default=True,
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
    screen = Screen(context, sources)
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
    source = only(name, errors_of(context, name) if stream == "stderr" else find_sources(context, (name,)))
    screen = Screen(context, [source])
    follower = Follower(whole=False)
    with readable(source.path), contextlib.closing(follower):
        if not follow:
            say_if_missing(source)
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
    screen = Screen(context, sources)
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
    source = only(name, sources_of(chosen, chosen))
    screen = Screen(context, [source])
    named = remote_logs.by_process(chosen, [source])
    if follow:
        remote_logs.follow(client, named, screen.show, screen.is_read)
    else:
        screen.show(source, remote_logs.last_bytes(client, next(iter(named)), stream, size))
    screen.finish()


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


def _tail_words(words: Sequence[str]) -> tuple[int, str, str]:
    sizes = [word for word in words if re.fullmatch(r"-\d+", word)]
    rest = [word for word in words if word not in sizes]
    for word in rest:
        if word.startswith("-"):
            raise UsageError(f"no such option: {word}", "`queuepool tail -1600 NAME`, `queuepool tail -f NAME`")
    if not rest or len(rest) > 2 or len(sizes) > 1 or (len(rest) == 2 and rest[1] not in ("stdout", "stderr")):
        raise UsageError("tail takes one process and a channel", "`queuepool tail -1600 NAME stderr`")
    return int(sizes[0][1:]) if sizes else TAIL_BYTES, rest[0], rest[1] if len(rest) == 2 else "stdout"


def _follow(
    context: Context, names: Sequence[str], sources: list[Source], screen: Screen, count: int, moment: float | None
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
                for source in new_sources(context, names, by_path):
                    by_path[source.path] = source
                    screen.admit(list(by_path.values()))
                    _follow_one(follower, source, screen, 0, None)


def _follow_one(follower: Any, source: Source, screen: Screen, count: int, moment: float | None) -> None:
    with readable(source.path):
        screen.show(source, follower.add(source.path, 0 if moment is not None else count))
        if moment is not None:
            for data in _since(source, moment, follower.position(source.path)):
                screen.show(source, data)


def _past(source: Source, count: int, moment: float | None) -> Iterator[bytes]:
    from queuepool.logs.tail import last

    with readable(source.path):
        say_if_missing(source)
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
        note(
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


def _poll_seconds() -> float:
    from queuepool.logs.follow import POLL_SECONDS

    return POLL_SECONDS
