"""The configuration in force of each application: asked once, and again when something that shapes it has changed. How
an application is asked is laravel/probe.py's matter."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from glob import glob

from queuepool.domain.pool import PoolSpec
from queuepool.errors import QueuepoolError
from queuepool.laravel.config import DOTENV, AppConfig

LOOK_SECONDS = 5.0
"""How often the files of an application are looked at for changes: a dozen stat calls."""
RETRY_SECONDS = 30.0
"""How often an application that could not be asked is asked again, when none of its files has changed."""

_SHAPING = (
    ".env", "artisan", "bootstrap/app.php", "bootstrap/providers.php", "bootstrap/cache/config.php", "composer.lock",
    "vendor/composer/installed.json",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Application:
    """Who is to be asked: pools with the same one share an answer. environment: what the file gives its processes."""

    app: str
    php: tuple[str, ...]
    user: str | None
    group: str | None
    groups: tuple[str, ...] | None
    environment: tuple[tuple[str, str], ...] = field(repr=False)
    clear_env: bool = True


def application_of(pool: PoolSpec) -> Application | None:
    """The application of a pool; None for a command, or a pool without one."""
    if pool.app is None or not pool.artisan:
        return None
    launch = pool.process(0).launch
    return Application(
        pool.app, pool.php, launch.user, launch.group, launch.groups, launch.environment, launch.clear_env
    )


@dataclass(slots=True)
class _Known:
    """What is known of one application. config: the newest answer, kept when asking again fails. why: why there is
    none, or none newer. signature: of its files when it was asked; looked, asked: when, of the clock."""

    config: AppConfig | None = None
    why: str = ""
    signature: object = None
    looked: float = float("-inf")
    asked: float = float("-inf")
    asking: asyncio.Task[None] | None = None


class Applications:
    """Knows the configuration of every application that pools belong to.

    ask: boots an application and returns its configuration, or raises QueuepoolError. guess: what its files alone tell
    then. clock: seconds, monotonic.
    """

    def __init__(
        self,
        ask: Callable[[Application], Awaitable[AppConfig]],
        clock: Callable[[], float],
        guess: Callable[[Application], AppConfig | None] = lambda who: None,
    ) -> None:
        self._ask = ask
        self._guess = guess
        self._clock = clock
        self._known: dict[Application, _Known] = {}

    async def of(self, pool: PoolSpec) -> AppConfig | None:
        """The configuration of a pool's application, asked now when it is not known; None when it cannot be had, and
        `why` then says why."""
        known = self._look(pool)
        if known is None:
            return None
        if known.asking is not None and known.config is None:
            await asyncio.shield(known.asking)
        return known.config

    def known(self, pool: PoolSpec) -> AppConfig | None:
        """The newest answer, if there is one yet. It may make the application be asked, which is not waited for."""
        found = self._look(pool)
        return found.config if found else None

    def _look(self, pool: PoolSpec) -> _Known | None:
        who = application_of(pool)
        if who is None:
            return None
        known = self._known.setdefault(who, _Known())
        now = self._clock()
        if known.asking is None and now - known.looked >= LOOK_SECONDS:
            known.looked = now
            signature = signature_of(who.app)
            if signature != known.signature or (known.why and now - known.asked >= RETRY_SECONDS):
                known.signature, known.asked = signature, now
                known.asking = asyncio.ensure_future(self._refresh(who, known))
        return known

    def why(self, pool: PoolSpec) -> str:
        """Why the application could not be asked, or not asked again, in words; "" when it could."""
        found = self._known.get(who) if (who := application_of(pool)) else None
        return found.why if found else ""

    def keep(self, pools: Iterable[PoolSpec]) -> None:
        """The settings were read anew: forget applications that no pool has any more, and look at the others soon."""
        wanted = {application_of(pool) for pool in pools}
        for who in [who for who in self._known if who not in wanted]:
            if (task := self._known.pop(who).asking) is not None:
                task.cancel()
        for known in self._known.values():
            known.looked = float("-inf")

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = [known.asking for known in self._known.values() if known.asking is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _refresh(self, who: Application, known: _Known) -> None:
        try:
            known.config = await self._ask(who)
            known.why = ""
        except QueuepoolError as error:
            known.why = error.message
            if known.config is None or known.config.source == DOTENV:
                known.config = self._guess(who)
                if known.config is not None:
                    known.why += "; what its .env says is shown instead, which may not be what is in force"
        finally:
            known.asking = None


def signature_of(app: str) -> object:
    """Differs when a file that shapes the configuration was changed, or `current` points elsewhere."""
    root = os.path.realpath(app)
    seen: list[object] = [root]
    for path in (
        *(os.path.join(root, name) for name in _SHAPING),
        *sorted(glob(os.path.join(root, "config", "*.php"))),
    ):
        with contextlib.suppress(OSError):
            found = os.stat(path)
            seen.append((path, found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(seen)
