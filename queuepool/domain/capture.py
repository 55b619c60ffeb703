"""What a process prints between `<!--XSUPERVISOR:BEGIN-->` and `<!--XSUPERVISOR:END-->` is for event listeners, and not
for its log (supervisor/dispatchers.py, POutputDispatcher). Moving the bytes is logs/draining.py's matter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

BEGIN = b"<!--XSUPERVISOR:BEGIN-->"
END = b"<!--XSUPERVISOR:END-->"


@dataclass(frozen=True, slots=True)
class Tap:
    """What of a stream goes to listeners. capture: bytes of a communication that are kept at most, 0: there are none.
    events: whether everything else is told of as PROCESS_LOG, too."""

    capture: int = 0
    events: bool = False

    def __bool__(self) -> bool:
        return self.capture > 0 or self.events


@dataclass(frozen=True, slots=True)
class Capture:
    """Where a stream is. inside: between the marks. held: what came of a communication so far. begun: the beginning of
    a mark, at the end of what came."""

    inside: bool = False
    held: bytes = b""
    begun: bytes = b""


class Part(Enum):
    """What bytes of a stream are: for the log; inside of a communication, as they came; a whole communication."""

    PLAIN = "plain"
    INSIDE = "inside"
    WHOLE = "whole"


Piece = tuple[Part, bytes]


def feed(capture: Capture, data: bytes, most: int) -> tuple[Capture, list[Piece]]:
    """Where the stream is after `data`, and what that holds, in order. most: bytes of a communication; of a longer one
    its end is kept, as Supervisor does."""
    pieces: list[Piece] = []
    data = capture.begun + data
    capture = replace(capture, begun=b"")
    while data:
        mark = END if capture.inside else BEGIN
        before, found, data = data.partition(mark)
        begun = b"" if found else _begun(before, mark)
        if begun:
            before = before[: -len(begun)]
        if capture.inside:
            held = (capture.held + before)[-most:]
            if before:
                pieces.append((Part.INSIDE, before))
            if found:
                pieces.append((Part.WHOLE, held))
            capture = Capture() if found else Capture(True, held, begun)
        else:
            if before:
                pieces.append((Part.PLAIN, before))
            capture = Capture(inside=bool(found), begun=begun)
    return capture, pieces


def finish(capture: Capture) -> list[Piece]:
    """What is left when the process has ended. A communication without an end is nobody's, as in Supervisor."""
    return [(Part.PLAIN, capture.begun)] if capture.begun and not capture.inside else []


def _begun(data: bytes, mark: bytes) -> bytes:
    """The end of `data` with which the mark may begin."""
    return next((mark[:n] for n in range(min(len(mark) - 1, len(data)), 0, -1) if data.endswith(mark[:n])), b"")
