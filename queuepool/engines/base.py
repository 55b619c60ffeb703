"""The Engine protocol, nothing else: what the controller needs of whatever keeps processes alive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from queuepool.domain.desired import Revision
from queuepool.domain.names import ProcessName
from queuepool.domain.observed import ProcessView
from queuepool.domain.pool import PoolSpec
from queuepool.domain.reconcile import Action, Observed, Seen
from queuepool.domain.supervisor_events import Notice
from queuepool.domain.work import CountsView, Work, WorkView

if TYPE_CHECKING:
    from queuepool.engines.life import Life

Judge = Callable[[ProcessName, Revision, str | None], tuple[bool, bool]]
"""(slot, revision, release of a living process) -> whether it is wanted, whether it is stale."""


class Engine(Protocol):
    """Keeps processes alive. It calls back whenever something changed that the controller may want to react to.

    lives: those of each slot, oldest first; the last one stays when it has ended, to tell of the slot. slots: the same
    lists by pool. pins: pool -> release that new lives start from while a deploy holds the pool. environment: what
    commands beside the processes (hooks of a deploy) get as well. clock: seconds, in which lives have their times.
    surges: whether a new process can run beside the one that it replaces.
    """

    lives: dict[ProcessName, list[Life]]
    slots: dict[str, dict[ProcessName, list[Life]]]
    pins: dict[str, str | None]
    environment: dict[str, str]
    clock: Callable[[], float]
    surges: bool

    def know(self, pools: Mapping[str, PoolSpec]) -> None:
        """These are the settings in force. Policies and logs apply to running processes at once; what needs a new
        process is for the controller to ask for."""

    def observe(self, pool: str) -> Observed:
        """Every life of every slot of a pool."""

    def seen(self, name: ProcessName) -> list[Seen]:
        """Every life of one slot, oldest first."""

    def find(self, name: ProcessName, number: int) -> Life | None:
        """The life of a slot with that number."""

    def apply(self, actions: Sequence[Action], revisions: Mapping[ProcessName, Revision]) -> None:
        """Do what reconcile asked for. revisions: what each slot is to be started as."""

    def prune(self, pool: str, size: int) -> None:
        """Forget ended lives of slots that the pool no longer has, and all of a pool that is gone (size 0)."""

    def retry(self, name: ProcessName) -> None:
        """Start what waits in BACKOFF or FATAL now."""

    def kill(self, name: ProcessName, why: str) -> None:
        """SIGKILL what lives in a slot."""

    def signal(self, name: ProcessName, number: int) -> int:
        """Send a signal to the processes in a slot; how many get it."""

    def pause(self, name: ProcessName, paused: bool) -> int:
        """Let the workers of a slot take no jobs (SIGUSR2), or take them again (SIGCONT); how many it concerned."""

    def unmark(self, name: ProcessName) -> None:
        """The processes of a slot take jobs again, though nobody asked for it here."""

    def views(self, judge: Judge, *, usage: bool) -> dict[ProcessName, list[ProcessView]]:
        """Every process as screens show it, by slot. judge: what the controller thinks of one that is not retiring.
        usage: with memory and processor time, which costs time."""

    def work(self, pool: str) -> WorkView | None:
        """What the processes of a pool did with jobs, as far as they say it, by class and queue; None when they have
        said nothing."""

    def counted(self, pool: str) -> Work | None:
        """The statistics themselves, to be read and not kept."""

    def totals(self, pool: str) -> CountsView | None:
        """The sum of it alone, which costs little."""

    def tell(self, *notices: Notice) -> None:
        """Let the event listeners know that run here."""

    async def settle(self, seconds: float) -> None:
        """Returns when they have dealt with all that they were told, or after so many seconds."""

    def feed(self, name: ProcessName, data: bytes) -> bool:
        """Write to the standard input of the process in a slot; whether it has one that takes it all."""

    async def close(self) -> None:
        """Let go of everything without ending any process."""
