"""What lies first in a queue, as facts. How it is read is laravel/peek.py's matter."""

from __future__ import annotations

import os

from queuepool.doctor.facts.queues import Job
from queuepool.laravel.peek import Peek, Peeked


def jobs_of(seen: Peek, app: str) -> tuple[Job, ...]:
    """The first jobs of a queue. app: whose they would be."""
    return tuple(job_of(one, app) for one in seen.jobs)


def job_of(one: Peeked, app: str) -> Job:
    """A job, and whether it is one of the application's."""
    fits = None
    if one.job.startswith("App\\") and app:
        fits = os.path.isfile(os.path.join(app, "app", *one.job.split("\\")[1:]) + ".php")
    return Job(one.place, one.job, one.id, one.attempts, one.max_tries, one.timeout, one.retry_until, fits)
