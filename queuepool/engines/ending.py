"""Hearing of ends: of processes that were started or adopted, of orphans that come to us, and of what is left of a tree
whose leader is gone. What follows from an end is local.py's."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

from queuepool.engines.life import Life
from queuepool.system import children, procstat

SWEEP_SECONDS = 0.05
"""How often a tree without a leader is looked at; its orphans' SIGCHLD mostly comes before."""
ZOMBIE_SECONDS = 1.0
EXIT_LOOKS = (0.001, 0.005, 0.02, 0.1)
"""When to look again for the exit status of an adopted process: its parent has to reap it first."""
BLIND_SECONDS = 0.25
"""How often an adopted process is looked at where nothing announces its end."""


class Endings:
    """Who is waited for. exited(life, pid, code, rest): the leader ended, code None where it cannot be known; rest:
    others of its tree live. gone(life, pid): nothing of that rest lives any more."""

    def __init__(
        self,
        clock: Callable[[], float],
        exited: Callable[[Life, int, int | None, bool], None],
        gone: Callable[[Life, int], None],
    ) -> None:
        self.by_pid: dict[int, Life] = {}
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._tell_exited = exited
        self._tell_gone = gone
        self._sweeps: dict[int, Life] = {}
        self._reapers: dict[int, int | None] = {}  # of adopted ones: their parent, to whom their orphans go too
        self._sweeping = False
        self._zombie = (0, 0.0)
        self._closed = False

    def watch(self, life: Life, pid: int) -> None:
        """Hear of the end of `pid`: by pidfd, else by SIGCHLD (`children_ended`)."""
        self.by_pid[pid] = life
        if life.adopted:
            self._reapers[pid] = procstat.parent(pid)
        fd = children.pidfd(pid)
        if fd is not None:
            life.pidfd = fd
            self._loop.add_reader(fd, self._ended, life, pid, 0)
        elif children.HAS_PIDFD or life.adopted:
            self._loop.call_soon(self._look_for, life, pid)

    def exited(self, life: Life, pid: int, code: int | None, rest: bool | None = None) -> None:
        """The leader `pid` has ended and was reaped. rest: whether others of its tree live; None: look."""
        self._unwatch(life)
        if rest is None:
            if rest := children.signal_tree(pid, 0):
                self.children_ended()  # what is left may be zombies that were orphaned to us a moment ago
                rest = children.signal_tree(pid, 0)
            if rest and pid in self._reapers:  # it may be the leader itself, which its parent has not reaped yet
                rest = not _is_gone(pid)
            rest = rest or bool(self._strays(pid))
        self.by_pid.pop(pid, None)
        if not rest:
            self._reapers.pop(pid, None)
        self._tell_exited(life, pid, code, bool(rest))

    def sweep(self, life: Life, pid: int, number: int) -> None:
        """Signal what is left of the tree of `pid`, and hear when nothing is."""
        if not children.signal_tree(pid, number):
            for member in procstat.session_members(pid):
                children.signal_one(member, number)
        else:
            for stray in self._strays(pid):
                children.signal_one(stray, number)
        self._sweeps[pid] = life
        self._sweep_later()

    def children_ended(self) -> None:
        """SIGCHLD: a child has ended. Own children without pidfd, and orphans of our workers' trees, which come to us
        as subreaper or pid 1."""
        while (pid := self._zombie_child()) is not None:
            if life := self.by_pid.get(pid):
                self._ended(life, pid, 0)
            elif self._is_orphan(pid):
                with contextlib.suppress(ChildProcessError):
                    children.reap(pid)
            else:
                break
        self._check_sweeps()

    def close(self) -> None:
        """Watch nobody any more."""
        self._closed = True
        for life in self.by_pid.values():
            self._unwatch(life)
        self._sweeps.clear()

    def _strays(self, pid: int) -> list[int]:
        """What is left of the tree of `pid` outside of its process group: `timeout` and shells with job control make
        groups of their own. Orphans are looked for where they go to, since reading all of /proc takes too long."""
        return procstat.strays(pid, self._reapers.get(pid) or os.getpid(), self.by_pid)

    def _zombie_child(self) -> int | None:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        return None if found is None else found.si_pid

    def _is_orphan(self, pid: int) -> bool:
        """Whether nobody else will reap this zombie: it came from the tree of a worker, or has been waiting for a
        second. A younger one may be a child that a library started and is about to wait for."""
        session = procstat.session(pid)
        if session in self.by_pid or session in self._sweeps:
            return True
        now = self._clock()
        if pid == self._zombie[0]:
            return now - self._zombie[1] >= ZOMBIE_SECONDS
        self._zombie = (pid, now)
        self._loop.call_later(ZOMBIE_SECONDS * 1.1, self.children_ended)
        return False

    def _unwatch(self, life: Life) -> None:
        if life.pidfd >= 0:
            self._loop.remove_reader(life.pidfd)
            os.close(life.pidfd)
            life.pidfd = -1

    def _ended(self, life: Life, pid: int, look: int) -> None:
        """`pid` has ended, most likely."""
        if self._closed or self.by_pid.get(pid) is not life:
            return
        try:
            code = children.reap(pid)
            if code is None:
                return
        except ChildProcessError:  # adopted: the kernel tells how it ended before its parent reaps it, or after
            code = procstat.exit_of_zombie(pid)
            if code is None and life.pidfd >= 0:
                code = children.exit_of_stranger(life.pidfd)
            if code is None and look < len(EXIT_LOOKS) and life.pidfd >= 0:
                self._loop.remove_reader(life.pidfd)
                self._loop.call_later(EXIT_LOOKS[look], self._ended, life, pid, look + 1)
                return
        self.exited(life, pid, code)

    def _look_for(self, life: Life, pid: int) -> None:
        if self._closed or self.by_pid.get(pid) is not life:
            return
        if procstat.birth(pid) is None:
            self._ended(life, pid, len(EXIT_LOOKS))
        else:
            self._loop.call_later(BLIND_SECONDS, self._look_for, life, pid)

    def _sweep_later(self) -> None:
        if self._sweeps and not self._sweeping:
            self._sweeping = True
            self._loop.call_later(SWEEP_SECONDS, self._sweep_again)

    def _sweep_again(self) -> None:
        self._sweeping = False
        self._check_sweeps()
        self._sweep_later()

    def _check_sweeps(self) -> None:
        for pid, life in list(self._sweeps.items()):
            if pid in self._sweeps and _is_gone(pid):
                del self._sweeps[pid]
                self._reapers.pop(pid, None)
                self._tell_gone(life, pid)


def _is_gone(leader: int) -> bool:
    """Whether nothing of a tree lives. A leader that was adopted may stay a zombie for ever: its parent is whoever
    takes orphans here, in a container often a pid 1 that reaps none. All of /proc is read only where it may be so."""
    if children.signal_tree(leader, 0) and procstat.exit_of_zombie(leader) is None:
        return False
    return not procstat.session_members(leader)
