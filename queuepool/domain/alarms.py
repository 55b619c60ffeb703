"""Which events are worth a notice: one for each thing that is wrong, however many processes say so, until it is over.
The words are noticewords.py's. Nothing is sent here, and the time is always told from outside."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import inf
from typing import Protocol

from queuepool.domain import noticewords as words
from queuepool.domain.alarm import Alarm, Limits, Memory, Sight
from queuepool.domain.deaths import explain
from queuepool.domain.events import Event, Kind
from queuepool.domain.exits import SIGKILLED
from queuepool.domain.notices import About, Notice, Phase, plain
from queuepool.domain.queues import QueueView

CHECK_SECONDS = 60.0
"""How often what is wrong is compared with what is seen: an event may have been missed while no daemon ran."""
WAIT_HOLDS = 10.0
"""So long jobs must wait too long before it is told."""
AWAY_HOLDS = 10.0
"""So long supervisord must be away before it is told: one that is restarted is back sooner."""
LOOP_HOLDS = 10.0
"""So long a crash loop is not told: processes that are given up meanwhile are told as FATAL, once."""
REPEAT_SECONDS = 3600.0
"""How often something that has no end, such as a worker killed for lack of memory, is told of one program."""
AFTERMATH_SECONDS = 10.0
"""Crashes within this time after Redis was away are its doing."""
MOST_MEMBERS = 20
"""Of more processes than these only the names are kept, not what each of them said."""
MOST_OPEN = 500
"""So many things can be wrong at a time; of further ones only the number is told."""


class Eyes(Protocol):
    """What is seen of the world at this moment."""

    def program(self, name: str) -> Sight | None:
        """A program; None: there is none of that name."""

    def redis(self) -> Collection[str]:
        """The addresses of those that are away or cannot be read."""

    def logs(self) -> Collection[str]:
        """What cannot be done to logs, each as in `write /srv/worker.log`."""

    def supervisord(self) -> bool:
        """Whether the Supervisor of `engine: supervisord` is in trouble."""


class Alarms:
    """Hears every event, and says what is to be told, and when to be asked again (`deadline`)."""

    def __init__(self, limits: Limits, memory: Memory) -> None:
        self.limits = limits
        self.memory = memory
        self._stopping = False
        self._killed: set[str] = set()

    # --- what is heard ------------------------------------------------------------------------------------------------

    def hear(self, event: Event) -> bool:
        """Something happened; whether it may matter."""
        handler = _HANDLERS.get(event.kind)
        if handler is None or (self._stopping and event.kind is not Kind.DAEMON_STARTED):
            return False
        handler(self, event)
        return True

    def see(self, queues: Iterable[QueueView], now: float) -> None:
        """The queues were looked at; says nothing of those that could not be asked."""
        seen = set()
        for view in queues:
            key = f"wait:{view.connection}:{view.queue}" + (f"@{view.app}" if view.app else "")
            seen.add(key)
            aims = [aim for name in view.programs if (aim := self._aim(name)) is not None]
            if view.why or self._stopping:
                continue
            longest = max(view.oldest or 0.0, view.wait or 0.0)
            if aims and not view.paused and longest > min(aims):
                name = f"{view.connection}:{view.queue}"
                alarm = self._bad(key, About.WAIT, name, name, words.waiting(view, longest, min(aims)), now, WAIT_HOLDS)
                if alarm is not None:
                    alarm.programs = view.programs
            elif (known := self.memory.alarms.get(key)) is not None and known.told is None:
                del self.memory.alarms[key]  # it did not hold
            else:
                self._good(key, None, now)
        for key, alarm in self.memory.alarms.items():
            if alarm.about is About.WAIT and key not in seen and not self._stopping:
                self._good(key, None, now)

    def _aim(self, program: str) -> float | None:
        return self.limits.waits.get(program, self.limits.waits.get(""))

    def _started(self, event: Event) -> None:
        self._stopping = False
        if self.memory.up and not event.fields.get("upgraded"):
            self._happen("daemon:died", About.DAEMON, "", "", "", event.time)
        self.memory.up = True
        self._good(_SUPERVISORD, None, event.time)  # without it the daemon would not have started

    def _adopted(self, event: Event) -> None:
        alarm = self.memory.alarms.get("daemon:died")
        if alarm is not None and alarm.told is None:
            alarm.members[event.subject] = ""

    def _ending(self, event: Event) -> None:
        self.memory.up = False
        self._stopping = True

    def _fatal(self, event: Event) -> None:
        pool = _pool(event.subject)
        alarm = self._bad(f"fatal:{pool}", About.FATAL, pool, event.subject, _reason(event), event.time)
        if alarm is not None and (loop := self.memory.alarms.pop(f"crash_loop:{pool}", None)):
            alarm.since = min(alarm.since, loop.since)
            alarm.closes = (loop.key,) if loop.told is not None else ()
        self.memory.crashes.pop(pool, None)

    def _well(self, event: Event) -> None:
        self._killed.discard(event.subject)
        self._good(f"fatal:{_pool(event.subject)}", event.subject, event.time)

    def _kill(self, event: Event) -> None:
        self._killed.add(event.subject)  # by us: its end is no accident

    def _limit(self, event: Event) -> None:
        pool = _pool(event.subject)
        key = f"memory_limit:{pool}"
        self._happen(key, About.MEMORY_LIMIT, pool, event.subject, _reason(event), event.time)

    def _exited(self, event: Event) -> None:
        code, pool = event.fields.get("code"), _pool(event.subject)
        ours = event.subject in self._killed
        self._killed.discard(event.subject)
        if ours or not isinstance(code, int) or code in (0, 12):
            return
        reason = _reason(event)
        if code in (*SIGKILLED, 255) and explain(pool, code, reason).kind in ("oom", "killed", "memory_limit"):
            self._happen(f"memory:{pool}", About.MEMORY, pool, event.subject, reason, event.time)
        self._crash(pool, event.subject, reason, event.time)

    def _not_started(self, event: Event) -> None:
        self._crash(_pool(event.subject), event.subject, _reason(event), event.time)

    def _waits(self, event: Event) -> None:
        reason = _reason(event)
        if "failures" not in event.fields and reason.startswith(_CLEAN):  # it ends well, and far too often
            self._crash(_pool(event.subject), event.subject, reason, event.time)

    def _crash(self, pool: str, subject: str, reason: str, now: float) -> None:
        if self._redis_is_why(now):
            return
        if (fatal := self.memory.alarms.get(f"fatal:{pool}")) is not None:
            if fatal.good is not None:  # it was up for a moment: not calm yet
                fatal.good = now
            return
        crashes = self.memory.crashes.setdefault(pool, [])
        crashes.append((now, subject, reason))
        del crashes[: -self.limits.crashes]
        key = f"crash_loop:{pool}"
        if key in self.memory.alarms:
            self._bad(key, About.CRASH_LOOP, pool, subject, reason, now)
        elif len(crashes) == self.limits.crashes and now - crashes[0][0] <= self.limits.within:
            for _, who, why in crashes:
                alarm = self._bad(key, About.CRASH_LOOP, pool, who, why, now, LOOP_HOLDS)
                if alarm is not None:
                    alarm.since = crashes[0][0]

    def _redis_is_why(self, now: float) -> bool:
        return any(
            alarm.about is About.REDIS and (alarm.good is None or now - alarm.good < AFTERMATH_SECONDS)
            for alarm in self.memory.alarms.values()
        )

    def _away(self, event: Event) -> None:
        where = str(event.fields.get("redis") or "redis")
        self.memory.crashes.clear()  # those of a moment ago were its doing
        self._bad(f"redis:{where}", About.REDIS, where, event.kind.value, _reason(event), event.time)

    def _back(self, event: Event) -> None:
        where = str(event.fields.get("redis") or "redis")
        self._good(f"redis:{where}", _OPPOSITE[event.kind], event.time)

    def _log(self, event: Event) -> None:
        what = f"{event.fields.get('doing', 'write')} {event.fields.get('file', '')}"
        if event.kind is Kind.LOG_WELL:
            self._good(f"log:{what}", None, event.time)
        else:
            self._bad(f"log:{what}", About.LOG, what, what, _reason(event), event.time)

    def _supervisord(self, event: Event) -> None:
        if event.kind is Kind.SUPERVISORD_WELL:
            self._good(_SUPERVISORD, None, event.time)
        else:
            reason = _reason(event)
            self._bad(_SUPERVISORD, About.SUPERVISORD, "", event.kind.value, reason, event.time, AWAY_HOLDS)

    def _refused(self, event: Event) -> None:
        reason = _reason(event)
        if reason.startswith(_BAD_MOMENT):
            self._happen(f"config:{reason}"[:200], About.CONFIG, "", reason, reason, event.time)
        else:
            self._bad("config", About.CONFIG, "", reason, reason, event.time)

    def _applied(self, event: Event) -> None:
        self.memory.up = True  # the file may have begun to ask for notifications when the daemon ran already
        if "problem" not in event.fields:
            self._good("config", None, event.time)

    def _defect(self, event: Event) -> None:
        defect = str(event.fields.get("defect"))
        self._happen("daemon:defect", About.DAEMON, "", defect, defect, event.time)

    def _unkept(self, event: Event) -> None:
        reason = _reason(event)
        self._happen(f"daemon:state:{reason}"[:200], About.DAEMON, "", reason, reason, event.time)

    def _deployed(self, event: Event) -> None:
        result, id_ = str(event.fields.get("result")), str(event.fields.get("deploy"))
        again = result == "done" and self.memory.failed
        about = About.DEPLOYED if result == "done" and not again else About.DEPLOY
        self.memory.failed = result != "done"
        member = "again" if again else result
        self._happen(f"deploy:{id_}", about, id_, member, _reason(event), event.time)

    # --- what follows -------------------------------------------------------------------------------------------------

    def _bad(
        self, key: str, about: About, subject: str, who: str, why: str, now: float, gather: float = 0.0
    ) -> Alarm | None:
        """Something is wrong. who says so, and why."""
        alarm = self._open(key, about, subject, now, max(gather, self.limits.gather))
        if alarm is not None:
            if alarm.good is not None:
                alarm.good = None
                alarm.due = alarm.due if alarm.told is None else self._next(alarm, now)
            self._note(alarm, who, why)
        return alarm

    def _happen(self, key: str, about: About, subject: str, who: str, why: str, now: float) -> None:
        """Something happened that has no end."""
        alarm = self._open(key, about, subject, now, self.limits.gather)
        if alarm is not None:
            alarm.ends = False
            alarm.since = alarm.since if alarm.members or alarm.told is None else now
            if who or not alarm.members:
                self._note(alarm, who, why)

    def _open(self, key: str, about: About, subject: str, now: float, gather: float) -> Alarm | None:
        alarm = self.memory.alarms.get(key)
        if alarm is None:
            if len(self.memory.alarms) >= MOST_OPEN:
                self.memory.ignored += 1
                return None
            alarm = self.memory.alarms[key] = Alarm(key, about, subject, now, now + gather)
        return alarm

    def _note(self, alarm: Alarm, who: str, why: str) -> None:
        alarm.total += 1
        if who:
            crowded = len(alarm.members) >= MOST_MEMBERS and who not in alarm.members
            alarm.members[who] = "" if crowded else plain(why, 300)

    def _good(self, key: str, who: str | None, now: float) -> None:
        """It is over for one who said so, or (None) as a whole."""
        alarm = self.memory.alarms.get(key)
        if alarm is None or alarm.good is not None:
            return
        if who is None:
            alarm.members.clear()
        else:
            alarm.members.pop(who, None)
        if not alarm.members:
            alarm.good = now
            alarm.due = min(alarm.due, now + self.limits.calm) if alarm.told is not None else alarm.due

    def _next(self, alarm: Alarm, now: float) -> float:
        """When to look again at something that was told and goes on."""
        assert alarm.told is not None
        remind = alarm.told + self.limits.remind if self.limits.remind else inf
        return max(now, min(remind, now + CHECK_SECONDS))

    # --- what is to be told -------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When to `take` again, by the clock of the events; None: not before something is heard."""
        return min((alarm.due for alarm in self.memory.alarms.values()), default=None)

    def take(self, now: float, eyes: Eyes) -> list[Notice]:
        """What is to be told now."""
        found = []
        for alarm in [alarm for alarm in self.memory.alarms.values() if alarm.due <= now]:
            phase = self._judge(alarm, now, eyes)
            if phase is not None:
                self.memory.serial += 1
                id_ = f"{int(now)}-{self.memory.serial}"
                found.append(words.tell(alarm, phase, id_, now, self.limits, eyes.program(alarm.subject)))
                if not alarm.ends:
                    alarm.members.clear()
                    alarm.total = 0
        return found

    def _judge(self, alarm: Alarm, now: float, eyes: Eyes) -> Phase | None:
        """What is to be told of an alarm that is due."""
        if not alarm.ends:
            if alarm.told is not None and not alarm.total:
                del self.memory.alarms[alarm.key]
                return None
            alarm.told, alarm.due = now, now + REPEAT_SECONDS
            return Phase.HAPPENED
        if alarm.told is None:
            return self._judge_new(alarm, now)
        self._compare(alarm, now, eyes)
        if not alarm.members and alarm.good is None:
            alarm.good = now
        if alarm.good is not None:
            if now - alarm.good >= self.limits.calm:
                del self.memory.alarms[alarm.key]
                return Phase.RECOVERED
            alarm.due = alarm.good + self.limits.calm
            return None
        if self.limits.remind and now - alarm.told >= self.limits.remind:
            alarm.told = now
            alarm.due = self._next(alarm, now)
            return Phase.REMINDER
        alarm.due = self._next(alarm, now)
        return None

    def _judge_new(self, alarm: Alarm, now: float) -> Phase | None:
        if not alarm.members and alarm.closes:
            self._only_looped(alarm)
            return None
        redis = alarm.about in (About.CRASH_LOOP, About.WAIT) and self._redis_is_why(now)
        if not alarm.members or (redis and alarm.about is About.CRASH_LOOP):
            del self.memory.alarms[alarm.key]  # over before it was told, or told already as something else
            return None
        if redis:
            alarm.due = now + WAIT_HOLDS
            return None
        alarm.told = now
        alarm.due = self._next(alarm, now)
        return Phase.RAISED

    def _only_looped(self, alarm: Alarm) -> None:
        """A crash loop that was told became FATAL, and that was over before it was told: it is a crash loop still."""
        [key] = alarm.closes
        del self.memory.alarms[alarm.key]
        alarm.key, alarm.about, alarm.closes, alarm.told = key, About.CRASH_LOOP, (), alarm.since
        self.memory.alarms[key] = alarm

    def _compare(self, alarm: Alarm, now: float, eyes: Eyes) -> None:
        """Take what is seen for true, where an event may have been missed."""
        if alarm.about is About.FATAL:
            sight = eyes.program(alarm.subject)
            down = sight.down if sight is not None else frozenset()
            for who in [who for who in alarm.members if who not in down]:
                self._good(alarm.key, who, now)
        elif alarm.about is About.CRASH_LOOP:
            last = self.memory.crashes.get(alarm.subject) or [(alarm.since, "", "")]
            quiet = last[-1][0] + self.limits.within
            if now >= quiet:
                self._good(alarm.key, None, quiet)
        elif (
            (alarm.about is About.REDIS and alarm.subject not in eyes.redis())
            or (alarm.about is About.LOG and alarm.subject not in eyes.logs())
            or (alarm.about is About.SUPERVISORD and not eyes.supervisord())
        ):
            self._good(alarm.key, None, now)


def _pool(subject: str) -> str:
    return subject.rpartition(":")[0] or subject


def _reason(event: Event) -> str:
    return str(event.fields.get("reason") or "")


_BAD_MOMENT = "SIGHUP:"
"""Beginning of reasons that are not the file's, and that the next one that is applied does not end."""

_CLEAN = ("exit 0", "worker above")
"""Beginnings of exits.py's words for ends that are no failure."""

_SUPERVISORD = "supervisord"
"""The key of the one alarm about it."""

_OPPOSITE = {Kind.RESUMED: Kind.WAITING.value, Kind.REDIS_WELL: Kind.REDIS_TROUBLE.value}

_HANDLERS = {
    Kind.DAEMON_STARTED: Alarms._started,
    Kind.DAEMON_STOPPING: Alarms._ending,
    Kind.ADOPTED: Alarms._adopted,
    Kind.FATAL: Alarms._fatal,
    Kind.RUNNING: Alarms._well,
    Kind.STOPPED: Alarms._well,
    Kind.KILLED: Alarms._kill,
    Kind.LIMIT: Alarms._limit,
    Kind.EXITED: Alarms._exited,
    Kind.SPAWN_FAILED: Alarms._not_started,
    Kind.BACKOFF: Alarms._waits,
    Kind.WAITING: Alarms._away,
    Kind.REDIS_TROUBLE: Alarms._away,
    Kind.RESUMED: Alarms._back,
    Kind.REDIS_WELL: Alarms._back,
    Kind.SUPERVISORD_TROUBLE: Alarms._supervisord,
    Kind.SUPERVISORD_WELL: Alarms._supervisord,
    Kind.LOG_TROUBLE: Alarms._log,
    Kind.LOG_WELL: Alarms._log,
    Kind.CONFIG_REFUSED: Alarms._refused,
    Kind.CONFIG_APPLIED: Alarms._applied,
    Kind.DEFECT: Alarms._defect,
    Kind.STATE_TROUBLE: Alarms._unkept,
    Kind.DEPLOY_ENDED: Alarms._deployed,
}
