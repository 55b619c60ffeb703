"""What every look is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from queuepool.control.client import Client
from queuepool.controller.applications import Application, application_of
from queuepool.controller.insight import Insight
from queuepool.domain.pool import Loaded, PoolSpec


@dataclass(frozen=True, slots=True)
class Scene:
    """path: of queuepool.yml. environ: of the command. loaded: the file as read; pools: its programs that were asked
    for. insight: asks their applications and their Redis, once each. client: of the daemon, whether or not it runs."""

    path: str
    environ: Mapping[str, str]
    loaded: Loaded
    pools: Mapping[str, PoolSpec]
    insight: Insight
    client: Client

    def by_application(self) -> dict[Application, list[PoolSpec]]:
        """The programs of each application, as each user and PHP that runs it, in the order of the file."""
        found: dict[Application, list[PoolSpec]] = {}
        for pool in self.pools.values():
            if (who := application_of(pool)) is not None:
                found.setdefault(who, []).append(pool)
        return found
