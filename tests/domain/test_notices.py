from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain import outbox
from queuepool.domain.alarm import Limits, Memory, Sight
from queuepool.domain.alarms import CHECK_SECONDS, MOST_OPEN, REPEAT_SECONDS, Alarms
from queuepool.domain.deaths import explain
from queuepool.domain.events import Event, Kind
from queuepool.domain.exits import meaning
from queuepool.domain.notices import DEFAULT, About, Held, Notice, Phase, Severity, last, plain, span
from queuepool.domain.notify import Command, Target
from queuepool.domain.outbox import Failure, Outbox, Rate
from queuepool.domain.queues import QueueView

REASON = "255: PHP fatal error: Class App\\Jobs\\Mail not found"

LINES = ('Uncaught Error: Class "App\\Jobs\\Mail" not found', "\x1b[31mred\x1b[0m\x07")


@dataclass
class World:
    """Alarms, and what they see."""

    limits: Limits = field(default_factory=Limits)
    memory: Memory = field(default_factory=Memory)
    pools: dict[str, Sight] = field(default_factory=dict)
    away: Collection[str] = ()
    troubled: Collection[str] = ()
    supervisord_away: bool = False
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.alarms = Alarms(self.limits, self.memory)

    def program(self, name: str) -> Sight | None:
        return self.pools.get(name)

    def redis(self) -> Collection[str]:
        return self.away

    def logs(self) -> Collection[str]:
        return self.troubled

    def supervisord(self) -> bool:
        return self.supervisord_away

    def hear(self, kind: Kind, subject: str = "", **facts: str | int | float | bool | None) -> None:
        self.alarms.hear(Event(self.now, kind, subject, facts))

    def after(self, seconds: float) -> list[Notice]:
        """What is told within this time, looking whenever the alarms want to be looked at."""
        until, told = self.now + seconds, []
        while (due := self.alarms.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            told += self.alarms.take(self.now, self)
        self.now = until
        return told

    def titles(self, seconds: float) -> list[str]:
        return [notice.title for notice in self.after(seconds)]


def fail(world: World, count: int, wanted: int) -> None:
    names = [f"mail:{slot}" for slot in range(count)]
    world.pools["mail"] = Sight(wanted, wanted - count, frozenset(names), 255, REASON, LINES)
    for name in names:
        world.hear(Kind.FATAL, name, failures=11, reason=REASON)


# --- when something is told -------------------------------------------------------------------------------------------


def test_a_hundred_processes_that_are_given_up_are_one_notice() -> None:
    world = World()
    fail(world, 100, 100)
    [notice] = world.after(3600)
    assert notice.title == "mail: 100 of 100 processes FATAL: PHP finds no class App\\Jobs\\Mail"
    assert (notice.phase, notice.severity, notice.programs) == (Phase.RAISED, Severity.ERROR, ("mail",))
    assert "Try: composer install" in notice.text
    assert notice.lines == (LINES[0], "red")
    assert notice.command == "queuepool status mail"
    assert notice.facts == {"fatal": 100, "wanted": 100, "running": 0}


def test_it_is_told_again_after_hours_and_once_when_it_is_over() -> None:
    world = World()
    fail(world, 2, 4)
    assert world.titles(10)[0].startswith("mail: 2 of 4 processes FATAL, 2 run: PHP finds")
    assert [notice.phase for notice in world.after(4 * 3600)] == [Phase.REMINDER]
    world.pools["mail"] = Sight(4, 4)
    world.hear(Kind.RUNNING, "mail:0")
    assert world.after(20) == []
    world.hear(Kind.RUNNING, "mail:1")
    [over] = world.after(10 * 3600)
    assert over.phase is Phase.RECOVERED
    assert over.title == "mail runs again after 4 h"
    assert world.memory.alarms == {}


def test_what_is_well_for_a_moment_only_is_not_over() -> None:
    world = World()
    fail(world, 1, 1)
    assert len(world.after(60)) == 1
    for _ in range(5):
        world.hear(Kind.RUNNING, "mail:0")
        assert world.after(10) == []
        world.hear(Kind.EXITED, "mail:0", code=255, reason=REASON)
        assert world.after(3) == []
    world.hear(Kind.FATAL, "mail:0", reason=REASON)
    assert world.after(60) == []


def test_what_is_over_before_it_was_told_is_never_told() -> None:
    world = World()
    fail(world, 1, 1)
    world.now += 1
    world.hear(Kind.RUNNING, "mail:0")
    assert world.after(3600) == []


@pytest.mark.parametrize(("pool", "words"), [(None, "mail is no longer in the file"), (Sight(0, 0), "mail is stopped")])
def test_the_end_of_a_program_is_not_told_as_if_it_ran(pool: Sight | None, words: str) -> None:
    world = World()
    fail(world, 1, 1)
    world.after(60)
    world.pools = {"mail": pool} if pool else {}
    world.hear(Kind.STOPPED, "mail:0", reason="stopped")
    assert world.titles(60) == [words]


def test_what_a_daemon_missed_is_seen_by_looking() -> None:
    world = World()
    fail(world, 1, 1)
    world.after(10)
    world.pools["mail"] = Sight(1, 1)
    assert world.titles(CHECK_SECONDS + 20)[0].startswith("mail runs again")


def test_processes_that_end_badly_again_and_again_are_a_crash_loop_until_they_do_not() -> None:
    world = World(pools={"mail": Sight(3, 3)})
    for number in range(7):
        world.hear(Kind.EXITED, f"mail:{number % 3}", code=1, reason="exit 1: no such table", lived=1.0)
        world.now += 1
    [notice] = world.after(30)
    assert notice.key == "crash_loop:mail"
    assert notice.title.startswith("mail: 7 crashes in ")
    assert "3 of 3 run." in notice.text
    [over] = world.after(200)
    assert over.title.startswith("mail runs again after ")


def test_fewer_ends_clean_ends_and_ends_by_us_are_no_crash_loop() -> None:
    world = World()
    for number in range(4):
        world.hear(Kind.EXITED, f"mail:{number}", code=1, reason="exit 1")
    for number in range(20):
        world.hear(Kind.EXITED, "mail:0", code=0, reason="exit 0")
        world.hear(Kind.KILLED, f"mail:{number}", reason="did not end in time")
        world.hear(Kind.EXITED, f"mail:{number}", code=-9, reason="killed (SIGKILL)")
    assert world.after(3600) == []


def test_workers_that_end_well_far_too_often_are_a_crash_loop() -> None:
    world = World()
    for _ in range(5):
        world.hear(Kind.RECYCLED, "mail:0", code=0, reason="exit 0", lived=0.1)
        world.hear(Kind.BACKOFF, "mail:0", seconds=0.5, reason="exit 0")
    assert [notice.about for notice in world.after(60)] == [About.CRASH_LOOP]


def test_a_crash_loop_that_becomes_fatal_is_over_once_with_it() -> None:
    world = World()
    for number in range(5):
        world.hear(Kind.EXITED, f"mail:{number}", code=255, reason=REASON)
    assert [notice.key for notice in world.after(11)] == ["crash_loop:mail"]
    fail(world, 5, 5)
    assert [notice.key for notice in world.after(60)] == ["fatal:mail"]
    world.pools["mail"] = Sight(5, 5)
    for number in range(5):
        world.hear(Kind.RUNNING, f"mail:{number}")
    [over] = world.after(3600)
    assert (over.key, over.closes, over.phase) == ("fatal:mail", ("crash_loop:mail",), Phase.RECOVERED)
    only_loops = Target("a", Command(("x",), "/"), frozenset({About.CRASH_LOOP}), Rate())
    assert only_loops.wants(over)


def test_a_crash_loop_that_was_fatal_for_a_moment_only_is_over_as_a_crash_loop() -> None:
    world = World(pools={"mail": Sight(5, 5)})
    for number in range(5):
        world.hear(Kind.EXITED, f"mail:{number}", code=255, reason=REASON)
    assert len(world.after(11)) == 1
    world.hear(Kind.FATAL, "mail:0", reason=REASON)
    world.hear(Kind.RUNNING, "mail:0")
    assert [(notice.key, notice.phase) for notice in world.after(300)] == [("crash_loop:mail", Phase.RECOVERED)]


def test_crashes_just_after_redis_came_back_are_its_doing_too() -> None:
    world = World()
    world.hear(Kind.WAITING, reason="redis at r refuses connections", redis="r")
    world.after(3)
    world.hear(Kind.RESUMED, reason="redis at r answers again", redis="r")
    world.now += 5
    for number in range(20):
        world.hear(Kind.EXITED, f"mail:{number}", code=1, reason="exit 1: RedisException")
    assert [notice.key for notice in world.after(300)] == ["redis:r"]


def test_a_bad_release_is_told_as_fatal_alone() -> None:
    world = World()
    for number in range(50):
        world.hear(Kind.EXITED, f"mail:{number}", code=255, reason=REASON)
    world.now += 5
    fail(world, 3, 50)
    [notice] = world.after(3600)
    assert notice.title.startswith("mail: 3 of 50 processes FATAL, 47 run")


def test_crashes_without_redis_are_told_as_redis() -> None:
    world = World(away={"127.0.0.1:6379"})
    for number in range(20):
        world.hear(Kind.EXITED, f"mail:{number}", code=1, reason="exit 1: RedisException")
    world.now += 0.1
    world.hear(Kind.WAITING, reason="redis at 127.0.0.1:6379 refuses connections", redis="127.0.0.1:6379")
    for number in range(20):
        world.hear(Kind.EXITED, f"mail:{number}", code=1, reason="exit 1: RedisException")
    assert world.titles(60) == ["redis at 127.0.0.1:6379 refuses connections"]
    world.away = ()
    world.hear(Kind.RESUMED, reason="redis at 127.0.0.1:6379 answers again", seconds=60, redis="127.0.0.1:6379")
    assert world.titles(60) == ["redis at 127.0.0.1:6379 answers again after 1 min"]


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (-9, "killed (SIGKILL): by a job's timeout, the kernel's out-of-memory killer, or by hand", True),
        (255, "255: PHP fatal error: Allowed memory size of 134217728 bytes exhausted", True),
        (-9, "killed by the kernel: out of memory", True),
        (-9, "killed (SIGKILL): App\\Jobs\\Mail has timed out", False),
        (255, REASON, False),
        (12, "worker above its --memory limit, ended after a job", False),
    ],
)
def test_ends_for_lack_of_memory_are_told_once_an_hour(code: int, reason: str, told: bool) -> None:
    world = World()
    world.hear(Kind.EXITED, "mail:0", code=code, reason=reason)
    assert [notice.key for notice in world.after(60)] == (["memory:mail"] if told else [])
    if told:
        for number in range(3):
            world.hear(Kind.EXITED, f"mail:{number}", code=code, reason=reason)
        [again] = world.after(REPEAT_SECONDS)
        assert again.facts["times"] == 3
        assert world.after(10 * REPEAT_SECONDS) == []


def test_a_kill_by_the_kernel_is_told_as_such_and_a_mixed_lot_is_not() -> None:
    world = World()
    world.hear(Kind.EXITED, "mail:0", code=-9, reason=meaning(-9, oom=True))
    [notice] = world.after(60)
    assert notice.title == "mail: 1 process was killed by the kernel: out of memory"
    assert "lower `numprocs:` of mail" in explain("mail", -9, meaning(-9, [b"Connection refused"], oom=True)).remedy
    world.hear(Kind.EXITED, "mail:0", code=-9, reason=meaning(-9))
    [notice] = world.after(REPEAT_SECONDS)
    assert notice.title == "mail: 1 process was killed (SIGKILL)"
    assert "Why: was killed (SIGKILL): by a job's timeout, by the kernel" in notice.text
    for number, oom in enumerate((True, False, False)):
        world.hear(Kind.EXITED, f"mail:{number}", code=-9, reason=meaning(-9, oom=oom))
    [again] = world.after(REPEAT_SECONDS)
    assert again.title.startswith("mail: 3 processes were killed or out of memory: was killed (SIGKILL)")


def view(**more: object) -> QueueView:
    return replace(QueueView("redis", "mail", ready=70, workers=2, busy=2, programs=("mail",)), **more)  # type: ignore[arg-type]


def test_jobs_that_wait_too_long_are_told_when_they_do_for_a_while() -> None:
    world = World(Limits(waits={"": 600.0, "mail": 60.0}))
    for seconds in (61, 5, 61):
        world.alarms.see([view(oldest=float(seconds))], world.now)
        world.now += 1
    assert world.titles(8) == []
    world.alarms.see([view(oldest=72.0)], world.now)
    [notice] = world.after(10)
    assert notice.title == "redis:mail: jobs wait 1 min 12 s, more than 1 min, 70 ready, 2 workers (2 busy)"
    assert (notice.programs, notice.command) == (("mail",), "queuepool queues redis:mail")
    world.alarms.see([view(wait=3.0)], world.now)
    assert world.titles(30)[0].startswith("redis:mail: jobs wait no longer than they should, after ")


@pytest.mark.parametrize("other", [{"paused": True}, {"why": "redis away"}, {"programs": ("other",)}])
def test_a_queue_that_is_paused_or_unknown_or_has_no_aim_is_not_told(other: dict[str, object]) -> None:
    world = World(Limits(waits={"mail": 60.0}))
    world.alarms.see([view(oldest=500.0, **other)], world.now)
    assert world.after(60) == []


def test_a_daemon_that_died_is_told_with_what_went_on() -> None:
    first = World()
    first.hear(Kind.DAEMON_STARTED)
    assert first.after(60) == []
    second = World(memory=first.memory)
    second.hear(Kind.DAEMON_STARTED)
    for number in range(4):
        second.hear(Kind.ADOPTED, f"mail:{number}", pid=1)
    [notice] = second.after(60)
    assert notice.title == "the daemon had died and runs again"
    assert "4 processes went on without it" in notice.text


def test_a_daemon_that_was_asked_for_notifications_as_it_ran_may_die_too() -> None:
    world = World()
    world.hear(Kind.CONFIG_APPLIED, file="queuepool.yml")
    world.hear(Kind.DAEMON_STARTED)
    assert world.titles(60) == ["the daemon had died and runs again"]


@pytest.mark.parametrize("upgraded", [True, None])
def test_a_daemon_that_was_told_to_end_or_upgraded_had_not_died(upgraded: bool | None) -> None:
    world = World()
    world.hear(Kind.DAEMON_STARTED)
    if not upgraded:
        world.hear(Kind.DAEMON_STOPPING)
    world.hear(Kind.DAEMON_STARTED, upgraded=upgraded)
    assert world.after(60) == []


def test_the_end_of_all_processes_with_their_daemon_is_no_recovery() -> None:
    world = World()
    world.hear(Kind.DAEMON_STARTED)
    fail(world, 2, 2)
    world.after(60)
    world.hear(Kind.DAEMON_STOPPING)
    world.hear(Kind.STOPPED, "mail:0", reason="the daemon is stopping")
    world.hear(Kind.STOPPED, "mail:1", reason="the daemon is stopping")
    assert world.after(600) == []
    assert "fatal:mail" in world.memory.alarms


def test_deploys_are_told_as_they_ended_and_the_first_that_succeeds_again() -> None:
    world = World()
    world.hear(Kind.DEPLOY_ENDED, deploy="1", result="done")
    world.hear(Kind.DEPLOY_ENDED, deploy="2", result="rolled_back", reason="mail:0 crashed")
    world.hear(Kind.DEPLOY_ENDED, deploy="3", result="done")
    told = [(notice.about, notice.title) for notice in world.after(10 * REPEAT_SECONDS)]
    assert told == [
        (About.DEPLOYED, "deploy 1 is done"),
        (About.DEPLOY, "deploy 2 failed and was rolled back: mail:0 crashed"),
        (About.DEPLOY, "deploy 3 is done, after one that failed"),
    ]


def test_a_file_that_is_refused_is_told_with_all_its_problems_until_one_is_applied() -> None:
    world = World()
    for number in range(3):
        world.hear(Kind.CONFIG_REFUSED, reason=f"queuepool.yml:{number}: wrong")
    [notice] = world.after(60)
    assert notice.title == "queuepool.yml:0: wrong (and 2 more)"
    assert len(notice.lines) == 3
    world.hear(Kind.CONFIG_APPLIED, problem="queuepool.yml:9: a warning")
    assert world.after(60) == []
    world.hear(Kind.CONFIG_APPLIED, file="queuepool.yml")
    assert world.titles(60) == ["the file is in force again after 2 min"]


def test_logs_limits_and_defects_are_told() -> None:
    world = World(troubled={"write /log", "rotate /log"})
    world.hear(Kind.LOG_TROUBLE, file="/log", reason="No space left on device")
    world.hear(Kind.LIMIT, "mail:0", reason="600 MB is above memory_limit")
    world.hear(Kind.OPERATION, asked="scale 3")
    world.hear(Kind.DEFECT, defect="ValueError: x")
    assert world.titles(60) == [
        "cannot write /log: No space left on device",
        "mail: restarted above its memory_limit once",
        "queuepool met a defect of its own: ValueError: x",
    ]
    world.hear(Kind.LOG_WELL, file="/log", dropped=3)
    assert world.titles(60) == ["/log is written again after 1 min"]
    world.hear(Kind.LOG_TROUBLE, file="/log", doing="rotate", reason="Permission denied")
    [notice] = world.after(60)
    assert (notice.title, notice.text, notice.facts) == (
        "cannot rotate /log: Permission denied", "Nothing is lost; it takes room.", {"file": "/log"},
    )  # fmt: skip
    world.hear(Kind.LOG_WELL, file="/log", dropped=0)
    assert world.titles(60) == [], "that it can be written is something else"
    world.hear(Kind.LOG_WELL, file="/log", doing="rotate", dropped=0)
    assert world.titles(60) == ["/log is rotated again after 2 min"]


def test_a_supervisord_that_is_away_is_told_until_it_is_back_and_one_that_is_restarted_is_not() -> None:
    world = World(supervisord_away=True)
    reason = "cannot ask supervisord at unix:///run/supervisor.sock: Connection refused"
    world.hear(Kind.SUPERVISORD_TROUBLE, reason=reason)
    assert world.titles(5) == []
    world.hear(Kind.SUPERVISORD_WELL, seconds=5.0)
    assert world.titles(300) == []
    world.hear(Kind.SUPERVISORD_TROUBLE, reason=reason)
    [notice] = world.after(300)
    assert (notice.title, notice.severity) == (reason, Severity.ERROR)
    assert "nobody starts them again" in notice.text
    world.hear(Kind.SUPERVISORD_WELL, seconds=300.0)
    assert world.titles(60) == ["supervisord can be worked with again after 5 min"]
    world.hear(Kind.SUPERVISORD_TROUBLE, reason=reason)
    assert world.titles(60) == [reason]
    world.hear(Kind.DAEMON_STARTED)
    assert world.titles(60)[-1] == "supervisord can be worked with again after 1 min", "no daemon starts without it"


def test_trouble_with_a_file_of_the_daemons_own_says_nothing_of_queuepool_yml() -> None:
    world = World()
    world.hear(Kind.STATE_TROUBLE, reason="/run/record:3: not a record; skipped")
    world.hear(Kind.CONFIG_REFUSED, reason="queuepool.yml:1: wrong")
    own, config = world.after(60)
    assert (own.about, own.title, own.text) == (About.DAEMON, "/run/record:3: not a record; skipped", "")
    assert (config.about, config.title) == (About.CONFIG, "queuepool.yml:1: wrong")
    world.hear(Kind.CONFIG_APPLIED, file="queuepool.yml")
    assert world.titles(60) == ["the file is in force again after 1 min"]


@pytest.mark.parametrize("heard", [True, False])
def test_a_supervisord_that_is_away_is_told_until_it_answers(heard: bool) -> None:
    world = World(supervisord_away=True)
    world.hear(Kind.SUPERVISORD_TROUBLE, reason="supervisord at /s.sock does not answer")
    assert world.titles(300) == ["supervisord at /s.sock does not answer"]
    world.supervisord_away = False
    if heard:  # else it came back while no daemon ran
        world.hear(Kind.SUPERVISORD_WELL, seconds=300.0)
    [back] = world.after(120)
    assert (back.about, back.phase) == (About.SUPERVISORD, Phase.RECOVERED)
    assert back.title.startswith("supervisord can be worked with again after ")


def test_more_things_than_can_be_kept_are_counted() -> None:
    world = World()
    for number in range(MOST_OPEN + 7):
        world.hear(Kind.FATAL, f"p{number}:0", reason="x")
    assert len(world.after(60)) == MOST_OPEN
    assert world.memory.ignored == 7


EVENTS = st.sampled_from(
    [
        *[(Kind.FATAL, f"{pool}:{slot}") for pool in "ab" for slot in range(3)],
        *[(Kind.RUNNING, f"{pool}:{slot}") for pool in "ab" for slot in range(3)],
        *[(Kind.EXITED, f"{pool}:{slot}") for pool in "ab" for slot in range(3)],
        (Kind.STOPPED, "a:0"), (Kind.WAITING, ""), (Kind.RESUMED, ""), (Kind.DAEMON_STARTED, ""),
        (Kind.DAEMON_STOPPING, ""), (Kind.SUPERVISORD_TROUBLE, ""), (Kind.SUPERVISORD_WELL, ""),
        (Kind.CONFIG_REFUSED, ""), (Kind.CONFIG_APPLIED, ""), (Kind.LOG_TROUBLE, ""), (Kind.LOG_WELL, ""),
    ]
)  # fmt: skip
STEPS = st.lists(st.tuples(EVENTS, st.sampled_from([0.0, 0.5, 3.0, 20.0, 300.0])), max_size=60)


@given(steps=STEPS, gone=st.booleans())
def test_no_key_is_raised_twice_before_it_is_over_and_nothing_is_over_that_was_not_raised(
    steps: list[tuple[tuple[Kind, str], float]], gone: bool
) -> None:
    down = frozenset(f"{pool}:{slot}" for pool in "ab" for slot in range(3))
    world = World(
        pools={} if gone else {"a": Sight(3, 0, down), "b": Sight(3, 0, down)}, away={"r"}, troubled={"write /f"}
    )
    told: list[Notice] = []
    for (kind, subject), pause in steps:
        facts = {"redis": "r"} if kind in (Kind.WAITING, Kind.RESUMED) else {"file": "/f"}
        world.hear(kind, subject, reason="exit 1", code=1, **facts)
        told += world.after(pause)
    raised: set[str] = set()
    for notice in told:
        if notice.phase is Phase.RAISED:
            assert notice.key not in raised
            raised.add(notice.key)
        elif notice.phase is Phase.REMINDER:
            assert notice.key in raised
        elif notice.phase is Phase.RECOVERED:
            assert {notice.key, *notice.closes} <= raised
            raised -= {notice.key, *notice.closes}
    open_now = {key for one in world.memory.alarms.values() if one.ends and one.told for key in (one.key, *one.closes)}
    assert open_now >= raised, "what was raised and is not over is still known"
    assert len({notice.id for notice in told}) == len(told)


# --- on its way -------------------------------------------------------------------------------------------------------


def notice(number: int = 0, now: float = 0.0) -> Notice:
    return Notice(f"n{number}", "k", About.FATAL, Phase.RAISED, Severity.ERROR, now, now, f"title {number}")


def test_what_is_too_much_is_held_back_and_counted_in_the_next_notice() -> None:
    rate, box = Rate(interval=60.0, burst=2), Outbox()
    for number in range(5):
        box = outbox.admit(box, notice(number), 1000.0 + number, rate)
    assert [letter.notice.id for letter in box.letters] == ["n0", "n1"]
    box = outbox.admit(box, notice(9), 1100.0, rate)
    held = box.letters[-1].notice.held
    assert (held.count, held.since, held.titles) == (3, 1002.0, ("title 2", "title 3", "title 4"))
    assert outbox.before_words(held) == "3 notices before this one held back: title 2; title 3; title 4."


def test_what_was_held_back_is_told_by_itself_when_nothing_follows() -> None:
    rate, box = Rate(interval=60.0, burst=1), Outbox()
    for number in range(3):
        box = outbox.admit(box, notice(number), 1000.0, rate)
    assert outbox.own_up(box, 1030.0, rate, "h", "c") is box
    due = outbox.free_at(box, rate)
    assert due == 1060.0
    box = outbox.own_up(box, due, rate, "h", "c")
    assert box.letters[-1].notice.title == "2 notices were held back"
    assert not box.held


def test_a_target_that_refuses_everything_is_not_asked_for_ever() -> None:
    rate, box = Rate(interval=1.0, burst=1), Outbox()
    box = outbox.admit(outbox.admit(box, notice(1), 1000.0, rate), notice(2), 1000.0, rate)
    box = outbox.failed(box, "n1", Failure("404", final=True), 1001.0, 0.5)
    assert (box.letters, box.held.lost, box.trouble) == ((), 1, "404")
    assert outbox.deadline(box, rate) is None
    assert outbox.own_up(box, 9999.0, rate, "h", "c") is box
    box = outbox.admit(box, notice(3), 10000.0, rate)
    assert (box.letters[0].notice.held.count, box.letters[0].notice.held.lost) == (1, 1)


def test_what_was_held_back_before_a_lost_notice_is_still_counted() -> None:
    rate, box = Rate(interval=1.0, burst=1), Outbox()
    for number in range(3):
        box = outbox.admit(box, notice(number), 1000.0, rate)
    box = outbox.delivered(box, "n0", 1001.0)
    box = outbox.admit(box, notice(3), 1002.0, rate)
    box = outbox.failed(box, "n3", Failure("404", final=True), 1003.0, 0.5)
    assert (box.held.count, box.held.lost, box.held.since) == (2, 1, 1000.0)


def test_a_clock_that_is_set_back_holds_nothing_back() -> None:
    box = outbox.admit(Outbox(), notice(1), 1000.0, Rate(60.0, 2))
    assert len(outbox.admit(box, notice(2), 10.0, Rate(60.0, 2)).letters) == 2


def test_attempts_are_repeated_ever_more_slowly_in_order_and_given_up_after_hours() -> None:
    box, now, waits = outbox.admit(outbox.admit(Outbox(), notice(1), 0.0, Rate()), notice(2), 0.0, Rate()), 0.0, []
    while any(letter.notice.id == "n1" for letter in box.letters):
        letter = outbox.ready(box, now)
        assert letter is not None
        assert letter.notice.id == "n1", "the second waits for the first"
        box = outbox.failed(box, letter.notice.id, Failure("down"), now, 0.5)
        if box.letters[0].notice.id == "n1":
            waits.append(box.letters[0].due - now)
            now = box.letters[0].due
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(waits) == outbox.LAST_RETRY
    assert outbox.GIVE_UP_SECONDS <= now < outbox.GIVE_UP_SECONDS + 2 * outbox.LAST_RETRY
    assert box.held.lost == 1


def test_the_patience_that_a_server_asks_for_is_kept_up_to_an_hour() -> None:
    box = outbox.admit(Outbox(), notice(1), 0.0, Rate())
    assert outbox.failed(box, "n1", Failure("429", wish=30.0), 0.0, 0.5).letters[0].due == 30.0
    assert outbox.failed(box, "n1", Failure("429", wish=1e9), 0.0, 0.5).letters[0].due == outbox.LONGEST_WISH


def test_a_success_ends_the_trouble_and_the_waiting_of_the_others() -> None:
    box = outbox.admit(outbox.admit(Outbox(), notice(1), 0.0, Rate()), notice(2), 0.0, Rate())
    box = outbox.failed(box, "n1", Failure("down"), 5.0, 0.5)
    assert outbox.in_words(box, "ops", 65.0) == "cannot deliver notifications to ops: down (for 1 min, 2 waiting)"
    box = outbox.delivered(box, "n1", 9.0)
    assert (box.trouble, outbox.in_words(box, "ops", 9.0), box.delivered, box.last) == ("", "", 1, 9.0)
    assert [letter.due for letter in box.letters] == [0.0]


@given(
    steps=st.lists(st.tuples(st.sampled_from(["new", "ok", "fail", "final"]), st.floats(0.0, 100.0)), max_size=120),
    interval=st.sampled_from([0.0, 5.0, 60.0]),
    burst=st.integers(1, 5),
)
def test_each_notice_is_delivered_waiting_or_counted_and_the_rate_holds(
    steps: list[tuple[str, float]], interval: float, burst: int
) -> None:
    rate, box, now, admitted = Rate(interval, burst), Outbox(), 1000.0, []
    fate: Counter[str] = Counter()
    for number, (step, pause) in enumerate(steps):
        now += pause
        before = len(box.letters)
        if step == "new":
            fate["new"] += 1
            box = outbox.admit(box, notice(number, now), now, rate)
        else:
            box = outbox.own_up(box, now, rate, "h", "c")
        admitted += [now] * (len(box.letters) - before)
        if step != "new" and (letter := outbox.ready(box, now)):
            known = letter.notice.held.count + letter.notice.held.lost + (letter.notice.about is not About.HELD)
            if step == "ok":
                fate["told"] += known
                box = outbox.delivered(box, letter.notice.id, now)
            else:
                fate["new"] += step == "final" and letter.notice.about is About.HELD  # it is itself lost, and counted
                box = outbox.failed(box, letter.notice.id, Failure("x", final=step == "final"), now, 0.5)
    waiting = sum(
        one.notice.held.count + one.notice.held.lost + (one.notice.about is not About.HELD) for one in box.letters
    )
    assert fate["new"] == fate["told"] + waiting + box.held.count + box.held.lost
    if interval:
        for at, first in enumerate(admitted):
            most = burst + (admitted[-1] - first) / interval + 1e-6
            assert len(admitted) - at <= most


def test_a_box_wakes_up_whatever_the_clock_did_meanwhile() -> None:
    box = outbox.admit(Outbox(), notice(1), 5000.0, Rate())
    woken = outbox.woken(box, 100.0)
    assert (woken.letters[0].due, woken.letters[0].written, woken.filled) == (100.0, 100.0, 100.0)


# --- words ------------------------------------------------------------------------------------------------------------


def test_a_target_is_told_what_it_asks_for() -> None:
    target = Target("a", Command(("x",), "/"), DEFAULT, Rate(), frozenset({"mail"}))
    mine = replace(notice(), programs=("mail", "other"))
    assert target.wants(mine)
    assert target.wants(replace(notice(), about=About.REDIS))
    assert not target.wants(replace(mine, programs=("other",)))
    assert not target.wants(replace(mine, about=About.DEPLOYED))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.6, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (86400 * 3 + 4 * 3600, "3 d 4 h")],
)
def test_times_are_said_as_a_person_would(seconds: float, words: str) -> None:
    assert span(seconds) == words


@given(st.text())
def test_nothing_that_goes_out_has_control_characters_or_is_long(text: str) -> None:
    found = plain(text, 50)
    assert len(found) <= 50
    assert found.isprintable()
    assert all(line.isprintable() and line for line in last([text, "\x00", text]))


def test_what_was_lost_is_said() -> None:
    assert outbox.before_words(Held(lost=2)) == "2 before this one could not be delivered."
