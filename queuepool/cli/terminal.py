"""A terminal as a whole screen: raw keys, the alternate screen, its size, and what changed of the lines that it shows.
Whatever happens (an exception, a signal, Ctrl-Z), it is given back as it was found. What is shown, and what a key
means, is decided elsewhere."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

from queuepool.cli import cells, keys

ESCAPE_SECONDS = 0.1
"""How long a lone Escape may be the beginning of a sequence that is still on its way, over a slow SSH."""

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[0m\x1b[2J"
_LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_LFLAG, _CC = 3, 6


def changes(before: Sequence[str], after: Sequence[str], columns: int) -> str:
    """What brings a screen that shows the lines `before` to show `after`. A line that is the same is not sent."""
    parts = []
    for at, line in enumerate(after):
        if at < len(before) and before[at] == line:
            continue
        # Erasing after a line that ends in the last column would take its last character on some terminals.
        end = "\x1b[K" if cells.width(line) < columns else ""
        parts.append(f"\x1b[{at + 1};1H{line}{end}")
    if len(before) > len(after):
        parts.append(f"\x1b[{len(after) + 1};1H\x1b[J")
    return "".join(parts)


def size_of(fd: int) -> tuple[int, int]:
    """Columns and lines of a terminal, now. Not by $COLUMNS, which does not follow the window."""
    try:
        found = os.get_terminal_size(fd)
    except OSError:
        return 80, 24
    return found.columns or 80, found.lines or 24


class Terminal:
    """with Terminal(color) as terminal: terminal.show(lines); for key in terminal.keys(1.0): ...

    ending: the signal that asked for the end, None until one did. The caller leaves the context then.
    """

    def __init__(self, color: bool) -> None:
        self._color = color
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._encoding = sys.stdout.encoding or "utf-8"
        self._saved: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        self._shown: list[str] = []
        self._size = (0, 0)
        self._typed = b""
        self._typed_at = 0.0
        self._stopping = self._continued = False
        self.ending: int | None = None
        self._wake_in, self._wake_out = -1, -1
        self._old_wakeup = -1

    def __enter__(self) -> Terminal:
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._saved = termios.tcgetattr(self._in)
        for number in (*_ENDS, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH):
            self._handlers[number] = signal.signal(number, self._signalled)
        self._old_wakeup = signal.set_wakeup_fd(self._wake_out, warn_on_full_buffer=False)
        try:
            self._take()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()
        signal.set_wakeup_fd(self._old_wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._wake_in)
        wake, self._wake_out = self._wake_out, -1
        os.close(wake)

    def wake(self) -> None:
        """End the wait of `keys` now. From any thread."""
        with contextlib.suppress(OSError):
            os.write(self._wake_out, b"\0")

    def size(self) -> tuple[int, int]:
        """See size_of."""
        return size_of(self._out)

    def show(self, lines: Sequence[str]) -> None:
        """Make the screen show these lines, none wider than it."""
        lines = list(lines if self._color else map(cells.monochrome, lines))
        size = self.size()
        text = changes(self._shown, lines, size[0])
        if size != self._size:
            text = "\x1b[2J" + changes([], lines, size[0])
            self._size = size
        try:
            self._write(text)
        except OSError:  # the terminal went away; that it did may not have been told yet
            self.ending = self.ending or signal.SIGHUP
        self._shown = lines

    def redraw(self) -> None:
        """Send everything with the next `show`."""
        self._size = (0, 0)

    def keys(self, seconds: float) -> list[str]:
        """Wait for keys, a signal or `wake`, at most so long; the keys that came."""
        if self._typed:
            seconds = min(seconds, max(0.0, self._typed_at + ESCAPE_SECONDS - time.monotonic()))
        poll = select.poll()
        poll.register(self._in, select.POLLIN)
        poll.register(self._wake_in, select.POLLIN)
        ready = dict(poll.poll(seconds * 1000))
        if self._wake_in in ready:
            with contextlib.suppress(BlockingIOError):
                while os.read(self._wake_in, 4096):
                    pass
        self._obey()
        if self._in in ready:
            try:
                data = os.read(self._in, 4096)
            except OSError:
                data = b""
            if not data:  # the terminal went away, and with it everybody who looked
                self.ending = self.ending or signal.SIGHUP
            self._typed += data
            self._typed_at = time.monotonic()
            found, self._typed = keys.read(self._typed)
            return found
        if self._typed and time.monotonic() - self._typed_at >= ESCAPE_SECONDS:
            found, self._typed = keys.read(self._typed, final=True)
            return found
        return []

    def _signalled(self, number: int, _: FrameType | None) -> None:
        if number in _ENDS:
            self.ending = self.ending or number
        self._stopping |= number == signal.SIGTSTP
        self._continued |= number == signal.SIGCONT

    def _obey(self) -> None:
        """Stop as Ctrl-Z asks, with the terminal as it was before; take it again when going on."""
        if self._stopping:
            self._stopping = False
            self._give_back()
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTSTP)  # to this thread, so that it stops here and now
            signal.signal(signal.SIGTSTP, self._signalled)
            self._continued = True
        if self._continued:
            self._continued = False
            try:
                self._take()
            except (OSError, termios.error):  # a window that is closed sends SIGCONT as well
                self.ending = self.ending or signal.SIGHUP

    def _take(self) -> None:
        mode = termios.tcgetattr(self._in)
        mode[0] &= ~(termios.IXON | termios.ISTRIP | termios.INLCR | termios.IGNCR)
        mode[_LFLAG] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
        mode[_LFLAG] |= termios.ISIG
        mode[_CC] = list(mode[_CC])
        mode[_CC][termios.VMIN], mode[_CC][termios.VTIME] = 1, 0
        termios.tcsetattr(self._in, termios.TCSADRAIN, mode)
        self._write(_ENTER)
        self.redraw()

    def _give_back(self) -> None:
        with contextlib.suppress(OSError):
            self._write(_LEAVE)
        if self._saved is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self._in, termios.TCSADRAIN, self._saved)

    def _write(self, text: str) -> None:
        if "utf" not in self._encoding.lower():
            text = text.replace("…", "~")
        data = text.encode(self._encoding, "replace")
        while data:
            data = data[os.write(self._out, data) :]
