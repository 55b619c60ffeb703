"""Tells people what is wrong: hears the journal, asks domain/alarms.py what is worth a notice, and sees each on its way
by domain/outbox.py until it is there. One attempt is senders.py's; what is kept over an end of the daemon
noticestate.py's."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from queuepool.controller.journal import Fact, Journal
from queuepool.controller.noticestate import Kept, NoticeStore
from queuepool.controller.noticeview import report, try_targets
from queuepool.controller.senders import RunCommand, send
from queuepool.domain import outbox
from queuepool.domain.alarm import Limits
from queuepool.domain.alarms import Alarms, Eyes
from queuepool.domain.events import Event, Kind
from queuepool.domain.notices import Notice
from queuepool.domain.notify import Notify, Target
from queuepool.domain.outbox import Failure, Outbox
from queuepool.domain.queues import QueueView

FLUSH_SECONDS = 3.0
"""How long the end of the daemon waits for notices that were never tried."""
SAVE_SECONDS = 0.5
"""How soon what was merely heard is saved. What is to be delivered is saved at once."""
LONGEST_SLEEP = 3600.0
"""The clock of the wall may be set; this often the deadlines are looked at anew."""

_OWN = frozenset({Kind.NOTIFIED, Kind.NOTIFY_TROUBLE, Kind.NOTIFY_WELL})


class Notifier:
    """The notifications of one daemon.

    store: see noticestate.py; kept: what it held. eyes: what is seen of the world. run: runs a command
    (system/commands.run). config: the path of the file. defect: told of an exception that nobody foresaw. clock: unix
    seconds, that of the journal.
    """

    def __init__(
        self,
        settings: Notify | None,
        store: NoticeStore,
        kept: Kept,
        journal: Journal,
        eyes: Eyes,
        run: RunCommand,
        *,
        config: str,
        defect: Callable[[BaseException], None] = lambda error: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self._targets: dict[str, Target] = {}
        self._store = store
        self._kept = kept
        self._journal = journal
        self._eyes = eyes
        self._run = run
        self._host = os.uname().nodename
        self._config = config
        self._defect = defect
        self._clock = clock
        self._alarms = Alarms(Limits(), self._kept.memory)
        self._posting: dict[str, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._saving: asyncio.TimerHandle | None = None
        self._turning = False
        self._closed = False
        self._broken = False
        now = clock()
        self._kept.boxes = {name: outbox.woken(box, now) for name, box in self._kept.boxes.items()}
        self.use(settings)

    def use(self, settings: Notify | None) -> None:
        """What the file says now. A target of the same name keeps what is on its way."""
        self.settings = settings
        self._targets = {target.name: target for target in settings.targets} if settings else {}
        for name, box in self._kept.boxes.items():
            if box.letters and name not in self._targets:
                lost = f"{len(box.letters)} that waited"
                facts: dict[str, Fact] = {"target": name, "reason": "it is no longer in the file", "lost": lost}
                self._journal.add(Kind.NOTIFY_TROUBLE, "", facts)
        if not self._targets:
            self._kept.memory.up = False  # nobody will hear how this daemon ends
        self._kept.boxes = {name: self._kept.boxes.get(name, Outbox()) for name in self._targets}
        self._alarms.limits = settings.limits if settings else Limits()
        self._turn_soon()

    # --- what is heard ------------------------------------------------------------------------------------------------

    def heard(self, event: Event) -> None:
        """Something happened: a listener of the journal."""
        if event.kind in _OWN or not self._targets or self._closed:
            return
        try:
            if self._alarms.hear(event):
                self._turn_soon()
        except Exception as error:  # noqa: BLE001 - whoever tells the journal something is not to suffer
            self._broke(error)

    @property
    def wants_queues(self) -> bool:
        """Whether it is to be told how long jobs wait."""
        return bool(self._alarms.limits.waits and self._targets)

    def looked(self, queues: Iterable[QueueView]) -> None:
        """The queues were looked at."""
        before = self._alarms.deadline()
        self._alarms.see(queues, self._clock())
        if self._alarms.deadline() != before:
            self._turn_soon()

    # --- the turn -----------------------------------------------------------------------------------------------------

    def _turn_soon(self) -> None:
        if not self._turning and not self._closed:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Tell what is to be told, and see what is on its way."""
        self._turning = False
        if self._closed:
            return
        now = self._clock()
        found = [replace(notice, host=self._host, config=self._config) for notice in self._take(now)]
        before = dict(self._kept.boxes)
        for name, target in self._targets.items():
            box = before[name]
            for notice in found:
                if target.wants(notice):
                    box = outbox.admit(box, notice, now, target.rate)
            self._kept.boxes[name] = outbox.own_up(box, now, target.rate, self._host, self._config)
        if self._kept.boxes != before:
            self.save()
        elif self._saving is None:
            self._saving = asyncio.get_running_loop().call_later(SAVE_SECONDS, self.save)
        self._post_all(now)
        self._arm(now)

    def _take(self, now: float) -> list[Notice]:
        try:
            return self._alarms.take(now, self._eyes)
        except Exception as error:  # noqa: BLE001 - what cannot be told must not keep the rest from being told
            alarms = self._kept.memory.alarms
            self._kept.memory.alarms = {key: alarm for key, alarm in alarms.items() if alarm.due > now}
            self._broke(error)
            return []

    def _broke(self, error: Exception) -> None:
        """Tell of a defect once: telling is itself something that is heard."""
        if not self._broken:
            self._broken = True
            self._defect(error)

    def _arm(self, now: float) -> None:
        """Come back when the next deadline does."""
        times = [self._alarms.deadline()]
        for name, target in self._targets.items():
            if name not in self._posting:
                times.append(outbox.deadline(self._kept.boxes[name], target.rate))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = min((when for when in times if when is not None), default=None)
        if due is not None:
            wait = min(max(0.0, due - now) + 0.001, LONGEST_SLEEP)
            self._timer = asyncio.get_running_loop().call_later(wait, self._turn_soon)

    def save(self) -> None:
        """Write what is known, now."""
        if self._saving is not None:
            self._saving.cancel()
            self._saving = None
        self._store.save(self._kept)

    # --- on the way ---------------------------------------------------------------------------------------------------

    def _post_all(self, now: float) -> None:
        for name in self._targets:
            if name not in self._posting and outbox.ready(self._kept.boxes[name], now):
                self._posting[name] = asyncio.ensure_future(self._post(name))

    async def _post(self, name: str) -> None:
        """Deliver what is ready for one target, in order."""
        try:
            while (target := self._targets.get(name)) and (
                letter := outbox.ready(self._kept.boxes[name], self._clock())
            ):
                failure = await self._send(target, letter.notice)
                if name in self._targets:  # it may have gone meanwhile
                    self._note(name, letter.notice, failure)
        finally:
            self._posting.pop(name, None)
            self._turn_soon()

    async def _send(self, target: Target, notice: Notice) -> Failure | None:
        try:
            return await send(target, notice, self._run, self._clock())
        except Exception as error:  # noqa: BLE001 - a defect must not end all notifications
            self._defect(error)
            return Failure(f"a defect of queuepool: {type(error).__name__}")

    def _note(self, name: str, notice: Notice, failure: Failure | None) -> None:
        """What became of an attempt: kept, and told once in the journal."""
        now, before = self._clock(), self._kept.boxes[name]
        if failure is None:
            after = outbox.delivered(before, notice.id, now)
        else:
            after = outbox.failed(before, notice.id, failure, now, random.random())  # noqa: S311
        self._kept.boxes[name] = after
        self.save()
        if failure is None:
            self._journal.add(Kind.NOTIFIED, "", {"target": name, "notice": notice.title, "key": notice.key})
        lost = notice.title if after.held.lost > before.held.lost else None
        if failure is not None and (lost or not before.trouble):
            self._journal.add(Kind.NOTIFY_TROUBLE, "", {"target": name, "reason": failure.why, "lost": lost})
        self._well(name, before, after, now)

    def _well(self, name: str, before: Outbox, after: Outbox, now: float) -> None:
        if before.trouble and not after.trouble:
            seconds = round(now - before.since, 1)
            self._journal.add(Kind.NOTIFY_WELL, "", {"target": name, "seconds": seconds})

    async def close(self) -> None:
        """Try what was never tried, for a few seconds at most, and keep the rest for the next daemon."""
        self._turn()
        self._closed = True
        fresh = [
            task
            for name, task in self._posting.items()
            if (letters := self._kept.boxes[name].letters) and letters[0].tries == 0
        ]
        if fresh:
            await asyncio.wait(fresh, timeout=FLUSH_SECONDS)
        for handle in (self._timer, self._saving):
            if handle is not None:
                handle.cancel()
        tasks = list(self._posting.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.save()

    # --- what is asked ------------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Targets that cannot be reached, a sentence each."""
        now = self._clock()
        return [said for name, box in self._kept.boxes.items() if (said := outbox.in_words(box, name, now))]

    def report(self) -> dict[str, Any]:
        """See messages.Notify."""
        return report(self.settings, self._kept, self._clock(), self._eyes)

    async def test(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """See messages.Notify. What waits for a target that was reached is tried at once."""
        results = await try_targets(self.settings, names, self._run, config=self._config, now=self._clock())
        for result in results:
            name, now = result["target"], self._clock()
            if result["ok"] and name in self._kept.boxes:
                before = self._kept.boxes[name]
                self._kept.boxes[name] = after = outbox.relieved(before, now)
                self._well(name, before, after, now)
        self._turn_soon()
        return results
