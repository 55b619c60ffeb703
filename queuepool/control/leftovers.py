"""What the last command without a daemon left to be done in supervisord, or somebody changed there: for the next
command, which goes on with it, and for `status`, which names it."""

from __future__ import annotations

from collections.abc import Iterable

from queuepool.controller.controller import Controller
from queuepool.domain.names import ProcessName
from queuepool.engines.supervisord import SupervisordEngine
from queuepool.formats.supervisor_sight import FAILING

CHANGED = "a command was interrupted, or somebody changed something in Supervisor; `queuepool update` mends it"


class Leftovers:
    """As of the engine's last look."""

    def __init__(self, controller: Controller, engine: SupervisordEngine) -> None:
        self._controller, self._engine = controller, engine

    def undone(self) -> tuple[ProcessName, ...]:
        """What should run and does not, or not as it should; but for what was stopped by hand in Supervisor, or cannot
        start."""
        found = []
        for spec in self._controller.pools.values():
            if self._controller.waits_for(spec):
                continue
            want = self._controller.desire(spec)
            for slot, revision in want.slots.items():
                name = ProcessName(spec.name, slot)
                if slot in want.waiting:
                    continue
                lives = [life for life in self._engine.seen(name) if life.wanted]
                if not lives or not lives[-1].meets(revision) or self._engine.is_queued(name):
                    found.append(name)
        return tuple(found)

    def coming(self) -> tuple[ProcessName, ...]:
        """What of it comes by itself: where a process of a pool cannot start, the others keep their places."""
        return tuple(name for name in self.undone() if not self._is_stuck(name.pool))

    def _is_stuck(self, pool: str) -> bool:
        lives = (life for lives in self._engine.slots.get(pool, {}).values() for life in lives)
        failing = any(life.process.wanted and life.process.state in FAILING for life in lives)
        return failing or self._controller.stands_still(pool)

    def over(self) -> tuple[ProcessName, ...]:
        """What should not run any more and was not told so yet."""
        desired = {name: self._controller.desire(spec).slots for name, spec in self._controller.pools.items()}
        return tuple(name for name in self._engine.meant if name.slot not in desired.get(name.pool, {}))

    def refused(self) -> dict[ProcessName, str]:
        """What should run and cannot be written for Supervisor -> why."""
        pools = self._controller.pools
        found = {name: self._engine.refusal(pools[name.pool].process(name.slot)) for name in self.undone()}
        return {name: why for name, why in found.items() if why}

    def left(self) -> tuple[ProcessName, ...]:
        """All that a command has to go on with."""
        refused = self.refused()
        return (*(name for name in self.undone() if name not in refused), *self.over())

    def problems(self) -> list[str]:
        """Sentences for `status`."""
        found = [f"{self.shown([name])}: {why}" for name, why in self.refused().items()]
        if left := self.left():
            found.append(f"{self.shown(left)}: {CHANGED}")
        return found

    def shown(self, names: Iterable[ProcessName]) -> str:
        """Names as people know them."""
        displays = self._controller.displays()
        return ", ".join(displays.get(name, str(name)) for name in names)
