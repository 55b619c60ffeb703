"""The pools of event listeners: who hears of what, one event at a time to each listener, by its standard input, and its
answers by its standard output. What the bytes mean is domain/listener.py's matter; its process is local.py's.

A listener holds its standard input open for reading and writing, as it does its output (pipes.py): it does not see the
daemon end, and the next one goes on with the event that it works on. That event is written down before it is handed
over; what waits in a buffer is lost with the daemon, unless that is replaced in place."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass, field

from queuepool.domain.events import Kind
from queuepool.domain.listener import Buffer, Hearing, Listener, Said, Told, envelope, hear, pause
from queuepool.domain.pool import PoolSpec
from queuepool.domain.states import State
from queuepool.domain.supervisor_events import Notice, covered, next_tick, tick_notices
from queuepool.engines.ear import Ear
from queuepool.engines.life import Life

SERVER = "queuepool"
"""What the header of an event calls the daemon; getIdentification answers the same."""
DROPS_TOLD_SECONDS = 10.0
"""How often the journal is told that a pool drops events."""


@dataclass(slots=True, eq=False)
class _Pool:
    """One program of listeners. hears: every type of event that it is told of. lives: its processes. dropped: events
    that nobody was told of yet. not_before: on the clock, when a refused event is tried again."""

    hears: frozenset[str]
    buffer: Buffer
    lives: dict[int, Life] = field(default_factory=dict)
    dropped: int = 0
    telling: bool = False
    not_before: float = 0.0
    waking: bool = False


class Listeners:
    """All pools of listeners. note(life, text): keep this of a life for the daemon that comes after. publish: a journal
    event. calm(stream): this one (pump.attach) prints what nobody asked for."""

    def __init__(
        self,
        note: Callable[[int, str], None],
        publish: Callable[[Kind, str, Mapping[str, str | int | float | bool | None]], object],
        calm: Callable[[Hashable], None],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.wanted: frozenset[str] = frozenset()
        """Every type of event that anybody hears of."""
        self._loop = asyncio.get_running_loop()
        self._note, self._publish, self._calm = note, publish, calm
        self._clock, self._wall = clock, wall
        self._pools: dict[str, _Pool] = {}
        self.muted = False
        """Whether nobody is told of anything now."""
        self._serial = 0
        self._tick_timer: asyncio.TimerHandle | None = None
        self._ticked = wall()
        self._closed = False
        self._news = asyncio.Event()

    def know(self, pools: Mapping[str, PoolSpec]) -> None:
        """These are the settings in force; they apply to running listeners at once."""
        before, self._pools = self._pools, {}
        for name, spec in pools.items():
            if spec.listening is not None:
                hears, size = covered(frozenset(spec.listening.events)), spec.listening.buffer_size
                pool = before.get(name) or _Pool(hears, Buffer(size))
                pool.hears, pool.buffer = hears, pool.buffer.sized(size)
                self._pools[name] = pool
        self.wanted = frozenset().union(*(pool.hears for pool in self._pools.values()))
        self._arm_ticks()

    def tell(self, *notices: Notice) -> None:
        """Let every pool that hears of such events have these."""
        for notice in notices:
            if self.muted or notice.name not in self.wanted:
                continue
            for name, pool in self._pools.items():
                if notice.name in pool.hears:
                    pool.buffer, gone = pool.buffer.add(notice, self._serial)
                    self._drop(name, pool, gone)
                    self.look(name)
            self._serial += 1

    def speaks(self, key: object) -> bool:
        """Whether this stream (pump.attach) is the standard output of a listener, which is for us alone."""
        return any(key == (life.key, 0) for pool in self._pools.values() for life in pool.lives.values())

    def hears(self, name: str) -> bool:
        """Whether anybody hears of such events."""
        return name in self.wanted

    def look(self, name: str) -> None:
        """Hand out what can be handed out in a pool."""
        pool = self._pools.get(name)
        while pool is not None and pool.buffer.waiting and (life := _free(pool)) is not None:
            left = pool.not_before - self._clock()
            if left > 0:
                self._wake(name, pool, left)
                return
            assert life.ear is not None
            pool.buffer, event = pool.buffer.take()
            if not self._hand(name, life, life.ear, event):
                pool.buffer, _ = pool.buffer.again(event)

    async def settle(self, seconds: float) -> None:
        """Returns when those listeners that run have dealt with every event, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(_works(pool) for pool in self._pools.values()):
                    self._news.clear()
                    await self._news.wait()

    # --- processes ----------------------------------------------------------------------------------------------------

    def seat(self, life: Life, path: str) -> Ear | None:
        """An ear for a process that is about to be made, with a standard input at `path`; None when it is no listener.
        Raises OSError."""
        pool = self._pools.get(life.name.pool)
        if pool is None:
            return None
        ear = Ear(path, lambda data: self._heard(life, data))
        ear.make(life.spec.launch)
        pool.lives[life.number] = life
        self._remember(life, ear)
        return ear

    def restore(self, life: Life, path: str, noted: str) -> Ear | None:
        """The ear of a process that a former daemon started, as far as that noted it."""
        pool = self._pools.get(life.name.pool)
        if pool is None or not noted:
            return None
        ear = Ear(path, lambda data: self._heard(life, data))
        ear.open()
        pool.lives[life.number] = life
        try:
            self._understand(life, ear, json.loads(noted))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            ear.doubt = "what the former daemon noted of it cannot be read"
        return ear

    def _understand(self, life: Life, ear: Ear, noted: dict[str, object]) -> None:
        ear.listener = Listener.parse(noted)
        if "event" in noted:
            ear.event, ear.since = ear.kept(), self._clock()
            if ear.event.serial != noted["event"]:
                ear.doubt = "the event that the former daemon noted for it is another"
            self._serial = max(self._serial, ear.event.serial + 1)
        if noted.get("handing"):
            ear.doubt = "the former daemon ended while it handed over an event"

    def waits(self, life: Life, ear: Ear) -> None:
        """It waits for an event, whatever the former daemon noted of it: that ended after it had read an answer, and
        before it noted so. What was in hand counts as dealt with, so that it does not come twice."""
        if not ear.doubt and ear.listener.state in (Hearing.BUSY, Hearing.ACKNOWLEDGED):
            self._done(ear)
            ear.listener = Listener(Hearing.READY)
            self._remember(life, ear)

    def leave(self, life: Life, ear: Ear) -> None:
        """The process is gone; the event that it worked on is for another."""
        pool = self._pools.get(life.name.pool)
        event = ear.event
        self._done(ear)
        self._stop_sending(ear)
        ear.remove()
        if pool is not None:
            pool.lives.pop(life.number, None)
            if event is not None:
                self._again(life.name.pool, pool, event)
                self.look(life.name.pool)

    def feed(self, life: Life, data: bytes) -> bool:
        """Write to the standard input of a listener; whether it has one that takes it all."""
        return life.ear is not None and not life.ear.unsent and life.ear.write(data) == len(data)

    def close(self) -> None:
        """Let go of everything; what the listeners work on goes on."""
        self._closed = True
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        for pool in self._pools.values():
            for life in pool.lives.values():
                if life.ear is not None:
                    self._stop_sending(life.ear)
                    life.ear.close()

    def hand_on(self, path: str) -> None:
        """Write what waits to a file, for the daemon that takes this one's place."""
        waiting = {name: pool.buffer.waiting for name, pool in self._pools.items() if pool.buffer.waiting}
        saved = {name: [asdict(event) for event in events] for name, events in waiting.items()}
        with contextlib.suppress(OSError), open(path, "w") as file:
            json.dump({"serial": self._serial, "pools": saved}, file)

    def take_up(self, path: str, *, upgraded: bool) -> None:
        """Go on with what waited when this daemon took another's place; what is older is forgotten."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            with open(path) as file:
                saved = json.load(file)
            os.unlink(path)
            if upgraded:
                self._serial = max(self._serial, int(saved["serial"]))
                for name, events in saved["pools"].items():
                    if pool := self._pools.get(name):
                        waiting = tuple(Told.parse(event) for event in events)
                        count = 1 + max(event.pool_serial for event in waiting)
                        pool.buffer = Buffer(pool.buffer.size, (*waiting, *pool.buffer.waiting), count)

    # --- one listener -------------------------------------------------------------------------------------------------

    def _hand(self, name: str, life: Life, ear: Ear, event: Told) -> bool:
        """Hand an event to a listener; False when its standard input is closed."""
        data = envelope(event, name, SERVER)
        ear.keep(event)
        ear.listener, ear.event, ear.since = ear.listener.told(), event, self._clock()
        self._remember(life, ear, handing=True)
        written = ear.write(data)
        if written < 0:
            self._shut(life, ear)
            return False
        ear.unsent = data[written:]
        if ear.unsent:
            self._loop.add_writer(ear.fd, self._send_more, life, ear)
        else:
            self._remember(life, ear)
        return True

    def _send_more(self, life: Life, ear: Ear) -> None:
        written, event, pool = ear.write(ear.unsent), ear.event, self._pools.get(life.name.pool)
        if 0 <= written < len(ear.unsent):
            ear.unsent = ear.unsent[written:]
            return
        self._stop_sending(ear)
        if written < 0:
            self._shut(life, ear)
            if event is not None and pool is not None:
                self._again(life.name.pool, pool, event)
        else:
            self._remember(life, ear)
        self.look(life.name.pool)

    def _stop_sending(self, ear: Ear) -> None:
        if ear.unsent:
            ear.unsent = b""
            self._loop.remove_writer(ear.fd)

    def _shut(self, life: Life, ear: Ear) -> None:
        """A listener has closed its standard input, so it has got no event, and gets none."""
        self._done(ear)
        ear.listener = Listener(Hearing.UNKNOWN)
        ear.close()
        self._remember(life, ear)
        self._trouble(life, ear, "it has closed its standard input")

    def _again(self, name: str, pool: _Pool, event: Told) -> None:
        """An event that a listener could not deal with is the next one again."""
        pool.buffer, gone = pool.buffer.again(event)
        self._drop(name, pool, gone)

    def _heard(self, life: Life, data: bytes) -> None:
        ear = life.ear
        if ear is None or self._closed:
            return
        ear.listener, said = hear(ear.listener, data)
        name, pool = life.name.pool, self._pools.get(life.name.pool)
        for one in said:
            event = ear.event
            if one in (Said.OK, Said.FAIL):
                self._done(ear)
            if one is Said.FAIL and event is not None and pool is not None:
                refused = event.refused()
                pool.not_before = self._clock() + pause(refused.refusals)
                self._again(name, pool, refused)
            if one is Said.GARBAGE:
                self._stop_sending(ear)
                self._calm((life.key, 0))
                shown = data[:60].decode("utf-8", "replace")
                self._trouble(life, ear, f"it printed {shown!r}, which is not the protocol")
        self._remember(life, ear)
        self.look(name)

    def _done(self, ear: Ear) -> None:
        """It works on no event any more."""
        self._news.set()
        ear.event = None

    def _remember(self, life: Life, ear: Ear, *, handing: bool = False) -> None:
        noted: dict[str, object] = ear.listener.plain()
        if ear.event is not None:
            noted["event"] = ear.event.serial
        if handing or ear.unsent:
            noted["handing"] = True
        self._note(life.number, json.dumps(noted, separators=(",", ":")))

    def _trouble(self, life: Life, ear: Ear, what: str) -> None:
        ear.trouble = why = f"gets no events until it is restarted: {what}"
        self._publish(Kind.LISTENER, str(life.name), {"pid": life.process.pid, "reason": why})

    # --- what comes later ---------------------------------------------------------------------------------------------

    def _drop(self, name: str, pool: _Pool, gone: Told | None) -> None:
        """An event had to go. The journal is told at once, and then of many at a time."""
        if gone is None:
            return
        pool.dropped += 1
        if not pool.telling:
            pool.telling = True
            self._tell_drops(name, pool)

    def _tell_drops(self, name: str, pool: _Pool) -> None:
        if self._closed or not pool.dropped:
            pool.telling = False
            return
        dropped, pool.dropped = pool.dropped, 0
        self._publish(Kind.EVENTS_DROPPED, name, {"dropped": dropped, "buffer_size": pool.buffer.size})
        self._loop.call_later(DROPS_TOLD_SECONDS, self._tell_drops, name, pool)

    def _wake(self, name: str, pool: _Pool, seconds: float) -> None:
        def look() -> None:
            pool.waking = False
            if not self._closed:
                self.look(name)

        if not pool.waking:
            pool.waking = True
            self._loop.call_later(seconds, look)

    def _arm_ticks(self) -> None:
        """Wake for the next tick, if anybody hears of ticks."""
        if self._tick_timer is None:  # nobody heard of any until now
            self._ticked = self._wall()
        else:
            self._tick_timer.cancel()
        seconds = next_tick(self.wanted, self._wall())
        later = seconds is not None and not self._closed
        self._tick_timer = self._loop.call_later((seconds or 0) + 0.001, self._tick) if later else None

    def _tick(self) -> None:
        before, self._ticked = self._ticked, self._wall()
        self.tell(*tick_notices(before, self._ticked))
        self._arm_ticks()


def _free(pool: _Pool) -> Life | None:
    """A listener that can take an event now."""
    for life in pool.lives.values():
        ear = life.ear
        if ear is None or ear.unsent or not ear.usable or ear.listener.state is not Hearing.READY:
            continue
        if life.process.state is State.RUNNING:
            return life
    return None


def _works(pool: _Pool) -> bool:
    """Whether a listener of the pool works on an event, or is about to."""
    ears = [life.ear for life in pool.lives.values() if life.ear is not None and life.process.state is State.RUNNING]
    able = [ear for ear in ears if ear.usable and ear.listener.state is not Hearing.UNKNOWN]
    return any(ear.event is not None for ear in able) or bool(able and pool.buffer.waiting)
