"""A canary: one worker of the new release that does one job, of a queue that nobody else works, before any worker is
replaced. How it is launched and what its end means; it is run by controller/canaries.py, when is rollout.py's matter.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from queuepool.domain import command
from queuepool.domain.exits import meaning
from queuepool.domain.pool import Launch
from queuepool.domain.rollout import Failure
from queuepool.domain.work import What

KEPT_LINES = 20
ALONE_SECONDS = 5
"""How much longer than its limit a canary may live that nobody ends."""
CLEAN = (0, 12, None)
"""Exit codes that say nothing against it: done, above its memory limit (Illuminate/Queue/Worker.php), not known."""

_DROPPED = ("name", "max_jobs", "max_time", "stop_when_empty", "stop_when_empty_for", "once", "rest", "quiet")
"""Options of the program that would make a canary end too early, say nothing, or take other jobs (`Worker::popUsing`
goes by the name)."""


def queue_of(token: str, program: int, attempt: int) -> str:
    """The queue of a canary. token: random, of the deploy. program: which of its programs. attempt: each has a queue
    of its own, since the canary of a daemon that was killed may be at work still."""
    return f"queuepool-canary-{token}-{program}-{attempt}"


def as_canary(launch: Launch, queue: str, laravel: str, seconds: float) -> Launch:
    """How a worker is launched, with only this queue and one job to do. laravel: version of the application. seconds:
    the longest it may take; it ends by itself soon after, should nobody be there to end it."""
    asked = command.parse(launch.argv)
    assert asked is not None, "a worker's command line is artisan's"
    options = {key: value for key, value in asked.options.items() if key not in _DROPPED}
    # Not --once: it ends at once where a job takes a moment to appear (SQS), and is not how workers run.
    life = {"max_jobs": 1, "max_time": math.ceil(seconds) + ALONE_SECONDS}
    if command.unsupported(life, laravel):
        life = {"stop_when_empty": True}
    # Forced: applications are deployed in maintenance mode too.
    options |= {"queue": (queue,), "tries": 1, "sleep": 0.2, "force": True, **life}
    extra = tuple(word for word in asked.extra if word != "--silent")
    return replace(launch, argv=command.render(command.with_ids(replace(asked, options=options, extra=extra))))


@dataclass(frozen=True, slots=True)
class Flight:
    """What came of a canary. said: of jobs. code: exit status, or minus the signal. late: it was ended, for it took
    too long. lines: its last ones. left: jobs in its queue afterwards; None where that cannot be known. exception: of
    its failed job, as the application keeps it."""

    said: Collection[What] = ()
    code: int | None = None
    late: bool = False
    lines: tuple[str, ...] = ()
    left: int | None = None
    exception: str = ""


def verdict(program: str, flight: Flight, seconds: float) -> Failure | str:
    """Why the gate is shut, or "". seconds: the limit that there was."""
    lines = tuple(line.encode() for line in flight.lines)
    code = None if flight.late else flight.code
    why = meaning(code, lines) if code is not None else ""

    def failure(what: str) -> Failure:
        return Failure("canary", what, f"{program}:canary", code, why, flight.lines[-KEPT_LINES:])

    whose = f"the canary of {program}"
    if flight.exception or {What.FAILED, What.RELEASED} & set(flight.said):
        return failure(f"{whose} failed its job" + (f": {flight.exception}" if flight.exception else ""))
    if What.DONE in flight.said:
        return "" if code in CLEAN else failure(f"{whose} did its job and then ended: {why}")
    if flight.late:
        begun = What.STARTED in flight.said
        return failure(f"{whose} {'did not finish' if begun else 'did not begin'} its job within {seconds:g} s")
    if code not in CLEAN:
        return failure(f"{whose} ended: {why}")
    if flight.left == 0 and What.STARTED not in flight.said:
        return ""  # a worker that prints nothing about jobs, whatever made it so
    return failure(f"{whose} ended without doing its job")
