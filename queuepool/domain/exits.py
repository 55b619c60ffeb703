"""What the end of a process means, in words. What follows from it is lifecycle.py's matter."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from itertools import pairwise

OOM = "killed by the kernel: out of memory"
"""What is said of an end that was the work of the kernel's OOM killer, and so where it is known again."""

WAITS = "; waits for "
"""Between the reason of a failure and the process that tries again first, and so where the reason is told alone."""

SIGKILLED = (-9, 137)
"""Exit codes of SIGKILL: our child's, and that of a shell's child."""

_CODES = {
    12: "worker above its --memory limit, ended after a job",
    126: "126: the command was found but could not be executed",
    127: "127: the command, or a program it runs, was not found",
    255: "255: PHP fatal error",
}
_SIGNALS = {
    signal.SIGKILL: "killed (SIGKILL): by a job's timeout, the kernel's out-of-memory killer, or by hand",
    signal.SIGSEGV: "crashed (SIGSEGV): a fault in PHP or one of its extensions",
    signal.SIGHUP: "ended by SIGHUP",
    signal.SIGTERM: "ended by SIGTERM from outside",
}


def signal_name(number: int) -> str:
    """`SIGTERM` for 15; `signal 40` where there is no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def meaning(code: int | None, last_lines: Sequence[bytes] = (), oom: bool = False) -> str:
    """An exit in words. code: exit status, or minus the signal; None when it cannot be known. last_lines: what the
    process wrote last; the most telling of them is added. oom: it was the kernel that killed it, for lack of memory."""
    if oom:
        text = OOM
    elif code is None:
        text = "ended; how cannot be known, since a former daemon had started it"
    elif code < 0:
        text = _SIGNALS.get(signal.Signals(-code)) if -code in set(signal.Signals) else None  # type: ignore[assignment]
        text = text or f"ended by {signal_name(-code)}"
    else:
        text = _CODES.get(code, f"exit {code}")
    said = telling(last_lines)
    if code == 255:
        said = _AGAIN.sub("", said)
    return f"{text}: {said}" if said and code != 0 else text


def telling(lines: Sequence[bytes]) -> str:
    """The line that says most about a failure: the last one that speaks of an error, else the last one with text."""
    texts = [_clean(line) for line in _joined(lines)]
    texts = [text for text in texts if any(c.isalnum() for c in text)]
    for text in reversed(texts):
        if any(word in text.lower() for word in ("error", "exception", "fatal", "cannot", "not found", "refused")):
            return text[:200]
    return texts[-1][:200] if texts else ""


_AGAIN = re.compile(r"^(PHP )?Fatal error: ")
"""What PHP begins the line with, and the meaning of its exit code has said already."""

_ANSI = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_BLOCK = re.compile(rb"^In \S+ line \d+:[ \t]*\n(?:[ \t]*\n)*((?:  .*\S.*\n)+)", re.M)
"""An exception as Symfony writes it: cut to the width of the terminal, also in the middle of a word, and filled up with
blanks, two of them as a margin (Console/Application.php, doRenderThrowable)."""


def _joined(lines: Sequence[bytes]) -> list[bytes]:
    """The lines, with the message of each exception in one."""
    text = b"".join(_ANSI.sub(b"", line).rstrip(b"\r\n") + b"\n" for line in lines)
    return _BLOCK.sub(_message, text).splitlines()


def _message(block: re.Match[bytes]) -> bytes:
    pieces = block[1].splitlines()
    message = pieces[0].strip()
    for before, piece in pairwise(pieces):
        cut = len(before) - len(before.rstrip()) == 2
        message += (b"" if cut else b" ") + piece[2:].rstrip()
    return message + b"\n"


def _clean(line: bytes) -> str:
    """A line fit for a screen: without colours and control characters."""
    text = line.decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
