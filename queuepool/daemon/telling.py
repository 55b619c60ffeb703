"""Whom the daemon tells what happens, where the file has `notifications:`. Its code is loaded when all was started;
what is worth telling, and how it gets there, is controller/notifier.py's matter."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from queuepool.domain.events import Event
from queuepool.system import commands

if TYPE_CHECKING:
    from queuepool.controller.notifier import Notifier
    from queuepool.daemon.daemon import Daemon


class Telling:
    """notices: what tells people; None for as long as nobody is to be told."""

    def __init__(self, daemon: Daemon) -> None:
        self.notices: Notifier | None = None
        self._daemon = daemon
        self._begun: asyncio.Task[None] | None = None

    def follow(self) -> None:
        """Tell whom the settings in force name. What happens before the code is there is kept for it."""
        loaded = self._daemon.controller.loaded
        if self.notices:
            self.notices.use(loaded.notify)
        elif loaded.notify and self._begun is None:
            heard: list[Event] = []
            self._daemon.journal.listeners.append(heard.append)
            self._begun = self._daemon.spawn(self._begin(heard))

    async def begun(self) -> Notifier | None:
        """The `notices`; where somebody is to be told and the code is not there yet, it is waited for."""
        if self._begun is not None:
            await asyncio.wait({self._begun})
        return self.notices

    def looked(self) -> None:
        """The queues were looked at."""
        if self.notices and self.notices.wants_queues:
            self.notices.looked(self._daemon.insight.monitor.views())

    def problems(self) -> tuple[str, ...]:
        """Who cannot be told, and why, in sentences."""
        return tuple(self.notices.problems()) if self.notices else ()

    def save(self) -> None:
        """Keep what is on its way, for the process that takes this one's place."""
        if self.notices:
            self.notices.save()

    async def close(self) -> None:
        """Send what can be sent in a moment, and keep the rest for the next daemon."""
        if self.notices:
            await self.notices.close()

    async def _begin(self, heard: list[Event]) -> None:
        daemon = self._daemon
        await daemon.engine.idle()
        notifier, store, sights = await asyncio.to_thread(_import_code)
        in_loop = asyncio.get_running_loop().call_soon_threadsafe  # the file is read in a thread
        kept = store.NoticeStore(
            daemon.directory.state,
            lambda text: in_loop(daemon.complain, text),
            lambda *said: in_loop(daemon.recovered, *said),
        )
        notices: Notifier = notifier.Notifier(
            daemon.controller.loaded.notify,
            kept,
            await asyncio.to_thread(kept.load),
            daemon.journal,
            sights.Sights(daemon.controller, daemon.away, lambda: daemon.problems, daemon.supervisord_is_ill),
            commands.run,
            config=daemon.directory.config,
            defect=daemon.defect,
        )
        daemon.journal.listeners.remove(heard.append)
        for event in heard:
            notices.heard(event)
        daemon.journal.listeners.append(notices.heard)
        self.notices = notices
        notices.use(daemon.controller.loaded.notify)


def _import_code() -> tuple[Any, Any, Any]:
    from queuepool.controller import noticestate, notifier, sights

    return notifier, noticestate, sights
