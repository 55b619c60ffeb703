"""Jobs whose worker died in them: given back to their queue, and told of in the journal. Whether that is right is
domain/requeueing.py's matter, how it is done laravel/requeue.py's; that the process is gone for sure the engine's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from queuepool.controller.applications import Applications
from queuepool.controller.journal import Journal
from queuepool.controller.monitor import served
from queuepool.domain.events import Kind
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import PoolSpec
from queuepool.domain.requeueing import Deaths, why_not
from queuepool.domain.work import Job
from queuepool.laravel.away import Away
from queuepool.laravel.config import RETRY_AFTER, AppConfig
from queuepool.laravel.requeue import Requeued
from queuepool.laravel.target import RedisTarget

RETRY_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
"""How long a Redis that is away is tried again; the job then comes back by itself, after retry_after."""
CLOCK_SECONDS = 2.0
"""How far the time of a job's beginning, as the worker printed it or we read it, may lie before it was taken."""

GiveBack = Callable[[RedisTarget, str, str, str, float], Awaitable[Requeued | Away]]
"""(target, queue, laravel, id of the job, latest score of its reservation) -> what became of it."""


class Requeuer:
    """pools: those in force. give_back: see GiveBack. working(id): whether a living worker has begun this very job."""

    def __init__(
        self,
        pools: Callable[[], Mapping[str, PoolSpec]],
        applications: Applications,
        give_back: GiveBack,
        working: Callable[[str], bool],
        journal: Journal,
    ) -> None:
        self._pools = pools
        self._applications = applications
        self._give_back = give_back
        self._working = working
        self._journal = journal
        self._deaths = Deaths()
        self._tasks: set[asyncio.Task[None]] = set()

    def crashed(self, name: ProcessName, job: Job, code: int | None) -> None:
        """The process of a slot is gone, its whole tree too, and it had begun a job and not ended it."""
        pool = self._pools().get(name.pool)
        if pool is None or pool.kind not in ("worker", "listen"):
            return
        task = asyncio.ensure_future(self._handle(name, pool, job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give nothing back any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _handle(self, name: ProcessName, pool: PoolSpec, job: Job) -> None:
        config = await self._applications.of(pool) if pool.requeue else None
        connection = job.connection or pool.connection or (config.default_connection if config else None) or ""
        entry = config.connections.get(connection) if config else None
        deaths = self._deaths.again(job.id) if job.id else 1
        driver = entry.driver if entry else ""
        why = why_not(wanted=pool.requeue, driver=driver, id_known=job.id is not None, deaths=deaths)
        about = {"job": job.class_name or "a job", "id": job.id, "queue": job.queue}
        if why or config is None or job.id is None:
            self._journal.add(Kind.JOB_LEFT, str(name), {**about, "reason": why or self._applications.why(pool)})
            return
        queues = [job.queue] if job.queue else [one.queue for one in served(pool, config)]
        expires = entry.expires if entry else RETRY_AFTER
        found = await self._patiently(config, connection, queues, job, job.since + CLOCK_SECONDS + expires)
        if isinstance(found, Away):
            self._journal.add(Kind.JOB_LEFT, str(name), {**about, "reason": f"{found.why}: it runs after retry_after"})
        elif found is not None:
            queue, done = found
            facts = {**about, "queue": queue, "attempts": done.attempts}
            self._journal.add(Kind.REQUEUED, str(name), facts)

    async def _patiently(
        self, config: AppConfig, connection: str, queues: list[str], job: Job, latest: float
    ) -> tuple[str, Requeued] | Away | None:
        """Give it back, as soon as Redis answers: the queue it was in, and what is known of it; None when it was in
        none, for its worker had ended it, or somebody else has it by now."""
        target = config.redis_of(connection)
        assert job.id is not None, "checked by why_not"
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            away = None
            for queue in queues if target else []:
                if self._working(job.id):
                    return None
                seen = await self._give_back(target, queue, config.laravel, job.id, latest)  # type: ignore[arg-type]
                if isinstance(seen, Away):
                    away = seen
                elif seen.found:
                    return queue, seen
            if away is None or asyncio.get_running_loop().time() > until:
                return away
            await asyncio.sleep(RETRY_SECONDS)
