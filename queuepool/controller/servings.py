"""What the workers of a program do for its queues, as the engine sees it. What follows for a queue is
domain/queues.py's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from queuepool.domain.pool import PoolSpec
from queuepool.domain.queues import QueueName, Serving
from queuepool.domain.states import State
from queuepool.domain.work import CountsView, WorkView

if TYPE_CHECKING:
    from queuepool.engines.base import Engine


def serving_of(engine: Engine, pool: PoolSpec, queues: tuple[QueueName, ...]) -> Serving:
    """What the workers of `pool` do. A paused one takes no jobs and does not count; Horizon's are its own matter."""
    lives = [life for found in engine.slots.get(pool.name, {}).values() for life in found]
    taking = [life for life in lives if life.process.wanted and life.process.state is State.RUNNING and not life.paused]
    work = engine.work(pool.name)
    counts = counts_by_queue(work, queues) if work and pool.says else {}
    return Serving(
        program=pool.name,
        queues=queues,
        workers=len(taking),
        busy=sum(life.desk.busy for life in lives if life.desk is not None),
        seconds=work.all.runtime.mean if work and work.all.runtime else None,
        finished={name: seen.done + seen.failed for name, seen in counts.items()},
        failed={name: seen.failed for name, seen in counts.items()},
    )


def counts_by_queue(work: WorkView, queues: tuple[QueueName, ...]) -> Mapping[QueueName, CountsView]:
    """What was done in each queue; nothing for programs of several queues whose lines do not tell (before Laravel
    12.20)."""
    if len(queues) == 1:
        return {queues[0]: work.all}
    return {name: work.queues[name.queue] for name in queues if name.queue in work.queues}
