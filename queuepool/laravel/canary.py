"""The queue of a canary, through the application's own queue connection of whatever driver: a job is sent to it, and it
is cleared (canary.php). Which worker does the job, and what that means, is domain/canary.py's matter."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from queuepool.errors import QueuepoolError
from queuepool.laravel.probe import ask

CANARY = Path(__file__).with_name("canary.php")
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Site:
    """Whose queue it is. php, user, group, environment: as for probe(). app: the release. connection: of
    config/queue.php; None: its default."""

    php: tuple[str, ...]
    app: str
    user: str | None
    group: str | None
    environment: Mapping[str, str]
    connection: str | None


@dataclass(frozen=True, slots=True)
class Left:
    """What was in a canary's queue in the end. jobs: also one that is reserved; None where that cannot be known.
    exception: the first line of that of its failed job."""

    jobs: int | None
    exception: str


async def send(site: Site, queue: str, former: Sequence[str] = ()) -> str:
    """Put the job on the queue, having cleared former ones; the version of Laravel. Raises QueuepoolError when the
    application does not boot or its queue takes no job."""
    facts = await _ask(site, send=queue, clear=former)
    return str(facts["laravel"])


async def clear(site: Site, queue: str, former: Sequence[str] = (), *, failed: bool) -> Left:
    """Remove whatever is in the queue, and in former ones. failed: the job may have failed: then its entry among the
    failed jobs is removed as well. Raises QueuepoolError."""
    facts = await _ask(site, clear=[queue, *former], failed=failed)
    jobs = facts["jobs"]
    return Left(jobs if isinstance(jobs, int) else None, str(facts["exception"]))


async def _ask(
    site: Site, *, send: str | None = None, clear: Sequence[str] = (), failed: bool = False
) -> Mapping[str, object]:
    question = {"connection": site.connection, "send": send, "clear": list(clear), "failed": failed}
    options = {"ask": base64.b64encode(json.dumps(question).encode()).decode()}
    facts = await ask(
        CANARY, options, site.php, site.app, user=site.user, group=site.group, environment=site.environment,
        timeout=_SECONDS,
    )  # fmt: skip
    if "refused" in facts:
        raise QueuepoolError(f"cannot use a queue of its own: {facts['refused']}", "see `connection`, or use `check:`")
    return facts
