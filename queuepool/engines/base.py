"""The Engine protocol, nothing else: what the controller needs of whatever keeps processes alive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from queuepool.domain.desired import Revision
from queuepool.domain.names import ProcessName
from queuepool.domain.observed import ProcessView
from queuepool.domain.pool import PoolSpec
from queuepool.domain.reconcile import Action, Observed


class Engine(Protocol):
    """Keeps processes alive. It calls back whenever something changed that the controller may want to react to."""

    def know(self, pools: Mapping[str, PoolSpec]) -> None:
        """These are the settings in force. Policies and logs apply to running processes at once; what needs a new
        process is for the controller to ask for."""

    def observe(self, pool: str) -> Observed:
        """Every life of every slot of a pool."""

    def apply(self, actions: Sequence[Action], revisions: Mapping[ProcessName, Revision]) -> None:
        """Do what reconcile asked for. revisions: what each slot is to be started as."""

    def views(self, *, usage: bool) -> list[ProcessView]:
        """Every process as screens show it. usage: with memory and processor time, which costs time."""

    async def close(self) -> None:
        """Let go of everything without ending any process."""
