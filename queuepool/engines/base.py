"""The Engine protocol, nothing else: what the controller needs of whatever keeps processes alive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from queuepool.domain.desired import Revision
from queuepool.domain.names import ProcessName
from queuepool.domain.observed import ProcessView
from queuepool.domain.pool import PoolSpec
from queuepool.domain.reconcile import Action, Observed
from queuepool.domain.work import CountsView, WorkView

Judge = Callable[[ProcessName, Revision, str | None], tuple[bool, bool]]
"""(slot, revision, release of a living process) -> whether it is wanted, whether it is stale."""


class Engine(Protocol):
    """Keeps processes alive. It calls back whenever something changed that the controller may want to react to."""

    def know(self, pools: Mapping[str, PoolSpec]) -> None:
        """These are the settings in force. Policies and logs apply to running processes at once; what needs a new
        process is for the controller to ask for."""

    def observe(self, pool: str) -> Observed:
        """Every life of every slot of a pool."""

    def apply(self, actions: Sequence[Action], revisions: Mapping[ProcessName, Revision]) -> None:
        """Do what reconcile asked for. revisions: what each slot is to be started as."""

    def views(self, judge: Judge, *, usage: bool) -> dict[ProcessName, list[ProcessView]]:
        """Every process as screens show it, by slot. judge: what the controller thinks of one that is not retiring.
        usage: with memory and processor time, which costs time."""

    def work(self, pool: str) -> WorkView | None:
        """What the processes of a pool did with jobs, as far as they say it, by class and queue; None when they have
        said nothing."""

    def totals(self, pool: str) -> CountsView | None:
        """The sum of it alone, which costs little."""

    async def close(self) -> None:
        """Let go of everything without ending any process."""
