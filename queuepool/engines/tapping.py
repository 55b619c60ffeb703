"""What of a process's output goes to event listeners: as it comes from the pump, to the notices that tell of it. Where
the marks are is domain/capture.py's matter."""

from __future__ import annotations

from collections.abc import Callable

from queuepool.domain.capture import Capture, Part, Piece, Tap, feed, finish
from queuepool.domain.supervisor_events import Notice, Who, communication_notice, log_notice


class Tapped:
    """One stream of one process (logs/stream.py, Tap). channel: stdout or stderr. who: the process and its pid. wants:
    whether somebody hears of a type of event; tell: lets them."""

    def __init__(
        self,
        tap: Tap,
        channel: str,
        who: Callable[[], tuple[Who, int]],
        wants: Callable[[str], bool],
        tell: Callable[[Notice], None],
    ) -> None:
        self.tap = tap
        self.channel = channel
        self._who, self._wants, self._tell = who, wants, tell
        self._capture = Capture()

    def __call__(self, data: bytes) -> bytes:
        """Tell of `data`; what of it is for the log."""
        if not self.tap.capture:
            return self._sort([(Part.PLAIN, data)] if data else [])
        self._capture, pieces = feed(self._capture, data, self.tap.capture)
        return self._sort(pieces)

    def finish(self) -> bytes:
        """The stream has ended: what is still for the log."""
        pieces, self._capture = finish(self._capture), Capture()
        return self._sort(pieces)

    def _sort(self, pieces: list[Piece]) -> bytes:
        kept = []
        who, pid = self._who()
        for part, data in pieces:
            if part is Part.WHOLE:
                if self._wants(f"PROCESS_COMMUNICATION_{self.channel.upper()}"):
                    self._tell(communication_notice(who, pid, self.channel, data))
                continue
            if part is Part.PLAIN:
                kept.append(data)
            if self.tap.events and self._wants(f"PROCESS_LOG_{self.channel.upper()}"):
                self._tell(log_notice(who, pid, self.channel, data))
        return b"".join(kept)
