"""Shows lines of logs: as they are, after the program's name when there are several, or as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import re
import select
import sys
from collections.abc import Sequence
from typing import Any

import click

from queuepool.cli.context import Context
from queuepool.cli.logsources import Source, note
from queuepool.cli.render import color_of

_ACTS = re.compile(rb"\x1b(?!\[[0-9;]*m)|\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]|\xc2[\x80-\x9f]")
"""What makes a terminal do more than print, but for colours: ECMA-48's C0 and C1, the latter as UTF-8 has them."""


def _tamed(data: bytes) -> bytes:
    """A worker's output for a terminal, as `up` shows it. What is printed may come from anybody, by way of a job: it is
    not to retitle the window, fill the clipboard or overwrite the line above."""
    return _ACTS.sub(lambda match: b"\\x%02x" % match[0][-1], data)


class Screen:
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
            data = b"".join(line for line in _lines(data) if self._is_wanted(source, line))
        if self._json:
            data = b"".join(_as_json(source, line.rstrip(b"\r\n")) for line in _lines(data))
        elif self._prefixed:
            prefix = self._prefix(source)
            data = b"".join(prefix + line.removesuffix(b"\n") + b"\n" for line in _lines(data))
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
        if self._color:
            text = click.style(text, fg=color_of(source.program))
        return f"{text} ".encode()

    def _is_wanted(self, source: Source, line: bytes) -> bool:
        from queuepool.logs.lines import is_of

        told = [is_of(line, name) for name in source.chosen]
        if None in told and not source.undecided:
            source.undecided = True
            note(
                f"the lines of {source.path} do not say which process printed them: all are shown "
                "(`log_prefix: [slot]` in queuepool.yml makes them say it)"
            )
        return None in told or True in told


def _lines(data: bytes) -> list[bytes]:
    """The lines with their newlines. Only that ends one here: a carriage return, as of a progress bar, stands in it."""
    return io.BytesIO(data).readlines()


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
