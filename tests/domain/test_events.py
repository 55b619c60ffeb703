from __future__ import annotations

import pytest

from queuepool.domain.amounts import count, times
from queuepool.domain.events import Event, Kind
from queuepool.domain.eventwords import WORDS

WHO = {"who": "ann", "from": "10.0.3.7", "by": "basic"}
HERE = {"who": "root", "by": "socket"}
TOLD: list[tuple[str, Event]] = [
    ("queuepool 1.2 runs /srv/queuepool.yml, pid 7",
     Event(0, Kind.DAEMON_STARTED, "", {"version": "1.2", "file": "/srv/queuepool.yml", "pid": 7, "upgraded": None})),
    ("queuepool 1.3 takes over /srv/queuepool.yml, pid 7",
     Event(0, Kind.DAEMON_STARTED, "", {"version": "1.3", "file": "/srv/queuepool.yml", "pid": 7, "upgraded": True})),
    ("the daemon ends when running jobs are done", Event(0, Kind.DAEMON_STOPPING, "", {"pid": 7})),
    ("the daemon loads its code anew: version 1.3 in place of 1.2",
     Event(0, Kind.DAEMON_UPGRADING, "", {"was": "1.2", "now": "1.3"})),
    ("the daemon loads its code anew: version 1.3", Event(0, Kind.DAEMON_UPGRADING, "", {"was": "1.3", "now": "1.3"})),
    ("q.yml is in force: added mail, sms; removed old; 1 problem",
     Event(0, Kind.CONFIG_APPLIED, "", {"file": "q.yml", "added": "mail sms", "removed": "old", "problems": 1})),
    ("q.yml is in force: added 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 90 more",
     Event(0, Kind.CONFIG_APPLIED, "", {"file": "q.yml", "added": " ".join(map(str, range(100)))})),
    ("q.yml is in force: nothing changed", Event(0, Kind.CONFIG_APPLIED, "", {"file": "q.yml", "added": None})),
    ("the file has a problem: a.yml:3: odd",
     Event(0, Kind.CONFIG_APPLIED, "", {"problem": "a.yml:3: odd"})),
    ("not applied: q.yml has 3 problems", Event(0, Kind.CONFIG_REFUSED, "", {"reason": "q.yml has 3 problems"})),
    ("root asked for stop of w:0", Event(0, Kind.OPERATION, "", {"asked": "stop", "names": "w:0", **HERE})),
    ("ann (10.0.3.7, basic) asked for scale 4 of w",
     Event(0, Kind.OPERATION, "", {"asked": "scale 4", "names": "w", **WHO})),
    ("somebody asked for reopen", Event(0, Kind.OPERATION, "", {"asked": "reopen", "names": None})),
    ("queuepool met a defect of its own and goes on: KeyError: 'x'; its traceback is in the daemon's log",
     Event(0, Kind.DEFECT, "", {"defect": "KeyError: 'x'", "traceback": "Traceback (most recent call last)"})),
    ("refused to ann (10.0.3.7, basic): POST /api/v1/scale: ann may only look",
     Event(0, Kind.REFUSED, "", {"asked": "POST /api/v1/scale", "reason": "ann may only look", **WHO})),
    ("refused to somebody (10.0.3.7): login: too many tries; 3 before it not written down",
     Event(0, Kind.REFUSED, "", {"asked": "login", "reason": "too many tries", "from": "10.0.3.7", "unwritten": 3})),
    ("listening at http://127.0.0.1:9001", Event(0, Kind.LISTENING, "", {"address": "http://127.0.0.1:9001"})),
    ("w:0 started, pid 7", Event(0, Kind.STARTED, "w:0", {"pid": 7})),
    ("w:0 was found running, pid 7", Event(0, Kind.ADOPTED, "w:0", {"pid": 7})),
    ("w:0 is running", Event(0, Kind.RUNNING, "w:0", {"pid": 7})),
    ("w:0 ended: exit 1", Event(0, Kind.EXITED, "w:0", {"code": 1, "reason": "exit 1"})),
    ("w:0 was recycled: memory limit", Event(0, Kind.RECYCLED, "w:0", {"code": 12, "reason": "memory limit"})),
    ("w:0 is tried again in 1.5 s", Event(0, Kind.BACKOFF, "w:0", {"seconds": 1.5, "reason": "exit 1"})),
    ("w:0 is FATAL, it failed once: exit 1", Event(0, Kind.FATAL, "w:0", {"failures": 1, "reason": "exit 1"})),
    ("w:0 is FATAL, it failed 4 times: exit 1", Event(0, Kind.FATAL, "w:0", {"failures": 4, "reason": "exit 1"})),
    ("w:0 could not be started: no php", Event(0, Kind.SPAWN_FAILED, "w:0", {"reason": "no php"})),
    ("w:0 is asked to stop: scaled", Event(0, Kind.STOPPING, "w:0", {"pid": 7, "reason": "scaled"})),
    ("w:0 stopped: scaled", Event(0, Kind.STOPPED, "w:0", {"reason": "scaled"})),
    ("w:0 stopped", Event(0, Kind.STOPPED, "w:0", {"reason": "stopped"})),
    ("w:0 was killed by `stop --kill`", Event(0, Kind.KILLED, "w:0", {"pid": 7, "reason": "killed by `stop --kill`"})),
    ("w:0 was killed: told to hurry", Event(0, Kind.KILLED, "w:0", {"pid": 7, "reason": "told to hurry"})),
    ("w:0 is paused: it takes no more jobs", Event(0, Kind.PAUSED, "w:0")),
    ("w:0 takes jobs again", Event(0, Kind.CONTINUED, "w:0")),
    ("waiting: redis at r refuses", Event(0, Kind.WAITING, "", {"reason": "redis at r refuses", "redis": "r"})),
    ("going on: redis at r answers again after 3.5 s",
     Event(0, Kind.RESUMED, "", {"reason": "redis at r answers again", "seconds": 3.5, "redis": "r"})),
    ("w is scaled from 2 to 4 (the file says 2)",
     Event(0, Kind.SCALED, "w", {"was": 2, "wanted": 4, "numprocs": 2})),
    ("w is scaled from 4 to 2", Event(0, Kind.SCALED, "w", {"was": 4, "wanted": 2, "numprocs": 2})),
    ("cannot write /w.log: disk full", Event(0, Kind.LOG_TROUBLE, "", {"file": "/w.log", "reason": "disk full"})),
    ("cannot rotate /w: full", Event(0, Kind.LOG_TROUBLE, "", {"file": "/w", "doing": "rotate", "reason": "full"})),
    ("/w.log is compressed again", Event(0, Kind.LOG_WELL, "", {"file": "/w.log", "doing": "compress", "dropped": 0})),
    ("/w.log is written again", Event(0, Kind.LOG_WELL, "", {"file": "/w.log", "dropped": 0})),
    ("/w.log is written again; 41 MB were lost", Event(0, Kind.LOG_WELL, "", {"file": "/w.log", "dropped": 41e6})),
    ("cannot save /o.json: full; a restart would forget this",
     Event(0, Kind.STATE_TROUBLE, "", {"reason": "cannot save /o.json: full; a restart would forget this"})),
    ("/o.json is saved again", Event(0, Kind.STATE_WELL, "", {"file": "/o.json"})),
    ("supervisord does not answer", Event(0, Kind.SUPERVISORD_TROUBLE, "", {"reason": "supervisord does not answer"})),
    ("supervisord can be worked with again after 9 s", Event(0, Kind.SUPERVISORD_WELL, "", {"seconds": 9})),
    ("w:0 is recycled: memory_limit: 600 MB of 512 MB",
     Event(0, Kind.LIMIT, "w:0", {"pid": 7, "reason": "memory_limit: 600 MB of 512 MB"})),
    ("deploy d1 begins: w, mail", Event(0, Kind.DEPLOY_STARTED, "", {"deploy": "d1", "programs": "w mail"})),
    ("deploy d1: the first batch", Event(0, Kind.DEPLOY, "", {"deploy": "d1", "phase": "first"})),
    ("deploy d1 goes on where the former daemon left it: rolling back",
     Event(0, Kind.DEPLOY, "", {"deploy": "d1", "phase": "back", "resumed": True})),
    ("deploy d1: done after 12.5 s",
     Event(0, Kind.DEPLOY_ENDED, "", {"deploy": "d1", "result": "done", "reason": None, "seconds": 12.5})),
    ("deploy d1: rolled back after 9 s: w:0 died",
     Event(0, Kind.DEPLOY_ENDED, "", {"deploy": "d1", "result": "rolled_back", "reason": "w:0 died", "seconds": 9})),
    ("w:0 died in App\\Jobs\\Mail: the job is back on default",
     Event(0, Kind.REQUEUED, "w:0", {"job": "App\\Jobs\\Mail", "id": "x", "queue": "default", "attempts": 1})),
    ("w:0 died in App\\Jobs\\Mail: requeue is off; it runs again after retry_after",
     Event(0, Kind.JOB_LEFT, "w:0", {"job": "App\\Jobs\\Mail", "reason": "requeue is off"})),
    ("w:0 died in a job: it took 11 workers with it: it runs again after retry_after",
     Event(0, Kind.JOB_LEFT, "w:0", {"reason": "it took 11 workers with it: it runs again after retry_after"})),
    ("redis at r: NOAUTH", Event(0, Kind.REDIS_TROUBLE, "", {"reason": "redis at r: NOAUTH", "redis": "r"})),
    ("redis at r can be read again", Event(0, Kind.REDIS_WELL, "", {"reason": "redis at r can be read again"})),
    ("l:0: gets no events", Event(0, Kind.LISTENER, "l:0", {"pid": 7, "reason": "gets no events"})),
    ("l dropped its oldest event: buffer_size is 10, and no listener took it in time",
     Event(0, Kind.EVENTS_DROPPED, "l", {"dropped": 1, "buffer_size": 10})),
    ("l dropped its 3 oldest events: buffer_size is 10, and no listener took them in time",
     Event(0, Kind.EVENTS_DROPPED, "l", {"dropped": 3, "buffer_size": 10})),
    ("told slack: w is FATAL", Event(0, Kind.NOTIFIED, "", {"target": "slack", "notice": "w is FATAL", "key": "k"})),
    ("cannot deliver notifications to slack: 404; lost: w is FATAL",
     Event(0, Kind.NOTIFY_TROUBLE, "", {"target": "slack", "reason": "404", "lost": "w is FATAL"})),
    ("notifications reach slack again after 60 s", Event(0, Kind.NOTIFY_WELL, "", {"target": "slack", "seconds": 60})),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "event"), TOLD)
def test_an_event_is_a_sentence_for_people(sentence: str, event: Event) -> None:
    assert event.sentence() == sentence


def test_no_kind_was_forgotten() -> None:
    assert set(WORDS) == set(Kind)
    assert {event.kind for _, event in TOLD} == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_line_and_a_sentence_without_its_facts(kind: Kind) -> None:
    event = Event(0, kind, "w:0")
    assert event.line() == f"event={kind.value} process=w:0"
    said = event.sentence()
    assert said
    assert not any(odd in said for odd in ("{", "None", "event=", "  "))


def test_numbers_of_things_are_told_as_people_do() -> None:
    assert [count(n, "job") for n in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
    assert [count(n, "process", "processes") for n in (1, 2)] == ["1 process", "2 processes"]
    assert [times(n) for n in (1, 2, 3)] == ["once", "twice", "3 times"]
