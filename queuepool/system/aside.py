"""Having something worked out by another process while this one goes on, on a machine with a second processor. What is
worked out is the caller's matter."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable
from typing import Generic, TypeVar

from queuepool.errors import QueuepoolError

T = TypeVar("T")


class Aside(Generic[T]):
    """The result of `work`, which a fork of this process begins to work out now.

    To be made while the process has one thread: a fork has no other. What goes wrong with the other process - it was
    killed, its result cannot be sent - costs time and nothing else: the work is then done here, when it is asked for.
    So it is in any case with `elsewhere` off.
    """

    def __init__(self, work: Callable[[], T], *, elsewhere: bool = True) -> None:
        self._work = work
        self._pid = 0
        if not elsewhere:
            return
        try:
            self._pipe, writer = os.pipe()
        except OSError:
            return
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self._pipe)
        else:
            if self._pid == 0:
                _answer(work, writer)
        finally:
            os.close(writer)

    @property
    def working(self) -> bool:
        """Whether another process is at it still, so that there is time for something else."""
        return self._pid > 0 and not select.select([self._pipe], [], [], 0)[0]

    def result(self) -> T:
        """What `work` returned, waited for. Raises the QueuepoolError that it raised. To be called once."""
        told = self._told()
        if not told:
            return self._work()
        import pickle  # here, and below: it is loaded by both at the same time

        error, value = pickle.loads(told)  # noqa: S301 - written by a fork of this process
        if error is not None:
            raise error
        found: T = value
        return found

    def _told(self) -> bytes:
        """What the other process said, and nothing where it did not end well; it is gone afterwards."""
        if not self._pid:
            return b""
        ended = False
        try:
            with open(self._pipe, "rb") as pipe:
                told = pipe.read()
            ended = True
        finally:
            if not ended:  # Ctrl-C, which it may have missed
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            pid, self._pid = self._pid, 0
            _, status = os.waitpid(pid, 0)
        return told if status == 0 else b""


def _answer(work: Callable[[], object], writer: int) -> None:
    """Be the other process. Nothing of the one that it was copied from may go on here: no handlers, no buffers."""
    code = 1
    try:
        import pickle

        try:
            told = pickle.dumps((None, work()), pickle.HIGHEST_PROTOCOL)
        except QueuepoolError as error:
            told = pickle.dumps((error, None), pickle.HIGHEST_PROTOCOL)
        while told:
            told = told[os.write(writer, told) :]
        code = 0
    finally:
        os._exit(code)
