"""Whether a job whose worker died is given back to its queue: at once, but not for ever. Giving it back is
laravel/requeue.py's matter."""

from __future__ import annotations

from collections import OrderedDict

MOST_TIMES = 10
"""How often one job is given back at once. A job that may be tried without end and kills each worker would else take
the pool down with it; after that Laravel's own retry_after is its brake."""
REMEMBERED = 10_000


class Deaths:
    """How many workers each job took with it; the last REMEMBERED jobs that did."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def again(self, job: str) -> int:
        """One more worker died in this job; how many that makes."""
        count = self._counts.pop(job, 0) + 1
        self._counts[job] = count
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        return count


def why_not(*, wanted: bool, driver: str, id_known: bool, deaths: int) -> str:
    """Why a job is left where it is, in words; "" when it is to be given back. wanted: the program's `requeue`."""
    if not wanted:
        return "requeue is off"
    if driver != "redis":
        return f"the {driver} driver gives it back itself, after retry_after" if driver else "its connection is unknown"
    if not id_known:
        return "its worker did not print which one it was"
    if deaths > MOST_TIMES:
        return f"it took {deaths} workers with it: it runs again after retry_after"
    return ""
