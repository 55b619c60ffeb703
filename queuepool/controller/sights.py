"""What notifications are told of the world as it is now: programs, Redis, logs. What is made of it is
domain/alarms.py's."""

from __future__ import annotations

from collections.abc import Callable, Collection

from queuepool.controller.controller import Controller
from queuepool.domain.alarm import Sight
from queuepool.domain.names import ProcessName
from queuepool.domain.states import State

_TELLING = (State.FATAL, State.BACKOFF, State.EXITED, State.STARTING)
"""Whose last end is worth telling, the best first."""


class Sights:
    """The Eyes of the alarms. away: addresses of Redis servers. troubled: log files. supervised: whether supervisord
    is in trouble."""

    def __init__(
        self,
        control: Controller,
        away: Callable[[], Collection[str]],
        troubled: Callable[[], Collection[str]],
        supervised: Callable[[], bool] = lambda: False,
    ) -> None:
        self._control = control
        self._away = away
        self._troubled = troubled
        self._supervised = supervised

    def program(self, name: str) -> Sight | None:
        """See Eyes.program."""
        spec = self._control.pools.get(name)
        if spec is None:
            return None
        slots = [ProcessName(name, slot) for slot in self._control.desire(spec).slots]
        found = self._control.engine.slots.get(name, {})
        up = {
            process
            for process, lives in found.items()
            if any(life.process.state is State.RUNNING and life.process.wanted for life in lives)
        }
        down = [process for process in slots if process not in up]
        lives = [found[process][-1] for process in down if found.get(process)]
        lives = [life for life in lives if life.process.state in _TELLING]
        lives.sort(key=lambda life: (_TELLING.index(life.process.state), life.name))
        worst = lives[0] if lives else None
        return Sight(
            wanted=len(slots),
            running=len(slots) - len(down),
            down=frozenset(map(str, down)),
            code=worst.process.code if worst else None,
            reason=worst.process.reason if worst else "",
            lines=tuple(line.decode("utf-8", "replace") for line in worst.last_lines) if worst else (),
        )

    def redis(self) -> Collection[str]:
        """See Eyes.redis."""
        return self._away()

    def logs(self) -> Collection[str]:
        """See Eyes.logs."""
        return self._troubled()

    def supervisord(self) -> bool:
        """See Eyes.supervisord."""
        return self._supervised()
