"""The text of the queuepool.yml that `init` writes: pure, from facts that the caller has gathered (cli/init.py)."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from queuepool.domain.yamltext import comment, flow_list, scalar

MOST_QUEUES = 8
"""More queues than this are not listed: names made at runtime (one for each customer, say) are no pool."""

PROCESSES = 4

_FIRST = ("critical", "urgent", "high", "priority", "fast")
_LAST = ("low", "slow", "bulk", "batch", "background", "long")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an application. The defaults mean: nothing is.

    laravel: its version. app: its root as the file shall name it. php: None when plain `php` is right. user: of the
    workers; None: that of the daemon. unfit_user: one that would be better and cannot write storage/ yet. connection,
    driver: of the queue. queues: in any order. retry_after, block_for: seconds, of that connection. horizon, scheduled:
    whether it uses them. cron: the file in which cron runs the scheduler already. clear_env: False when the application
    is configured by environment variables. notes: sentences for the person, each becomes a comment.
    """

    laravel: str | None = None
    app: str = "."
    php: tuple[str, ...] | None = None
    user: str | None = None
    unfit_user: str | None = None
    connection: str | None = None
    driver: str | None = None
    queues: tuple[str, ...] = ()
    retry_after: int | None = None
    block_for: int | None = None
    horizon: bool = False
    scheduled: bool = False
    cron: str | None = None
    clear_env: bool = True
    notes: tuple[str, ...] = ()


def starter(facts: Facts) -> str:
    """A queuepool.yml for this application, with comments, as a person would write it."""
    sections = [list(_head(facts)), list(_application(facts)), ["programs:", *_programs(facts)]]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def by_urgency(queues: Iterable[str]) -> tuple[str, ...]:
    """The queues with the most urgent first, as far as their names tell; `default` stands in the middle."""

    def rank(name: str) -> int:
        words = set(re.split(r"[^a-z]+", name.lower()))
        return -1 if words & set(_FIRST) else 2 if words & set(_LAST) else 0 if name == "default" else 1

    return tuple(sorted(set(queues), key=lambda name: (rank(name), name)))


def _head(facts: Facts) -> Iterator[str]:
    version = f"Laravel {_short(facts.laravel)}" if facts.laravel else "this Laravel application"
    yield f"# The processes of {version}. `queuepool up` starts them and keeps them running, `queuepool status`"
    yield "# shows them, `queuepool update` applies an edit of this file and touches only what it changes. Every key"
    yield "# with its meaning: `queuepool config schema` (editors check and complete the file with it)."
    for note in facts.notes:
        yield "#"
        yield from textwrap.wrap(f"Note: {comment(note)}", 110, initial_indent="# ", subsequent_indent="# ")


def _application(facts: Facts) -> Iterator[str]:
    yield f"app: {scalar(facts.app)}   # where artisan is; with a directory per release, the symlink: /srv/app/current"
    if facts.php is not None:
        yield f"php: {flow_list(facts.php) if len(facts.php) > 1 else scalar(facts.php[0])}"
    if facts.user is not None:
        yield f"user: {scalar(facts.user)}"
    elif facts.unfit_user is not None:
        yield ""
        yield "# Workers would run as root, for storage/ belongs to root. Better give it to a user of the application,"
        yield f"# with `chown -R {facts.unfit_user} storage bootstrap/cache` for example, and then:"
        yield f"# user: {scalar(facts.unfit_user)}"
    if not facts.clear_env:
        yield ""
        yield "defaults:"
        yield "  # Workers see the variables of the shell or container that runs queuepool: there is no .env here."
        yield "  clear_env: false"


def _programs(facts: Facts) -> Iterator[str]:
    if facts.horizon:
        yield "  # Horizon starts and scales its own workers, as config/horizon.php says; so there is one process here."
        yield "  horizon:"
        yield "    type: horizon"
    else:
        yield from _worker(facts)
    if facts.scheduled and _major(facts.laravel) >= 8:
        yield ""
        yield from _scheduler(facts)


def _worker(facts: Facts) -> Iterator[str]:
    queues = by_urgency(facts.queues)
    shown = queues if len(queues) <= MOST_QUEUES else ("default",)
    words = ("php artisan queue:work", facts.connection or "", f"--queue={','.join(shown)}" if shown else "")
    yield f"  # {PROCESSES} processes of: {comment(' '.join(words))}"
    yield "  laravel-worker:"
    if facts.connection:
        yield f"    connection: {scalar(facts.connection)}"
    if len(queues) > MOST_QUEUES:
        yield f"    # {len(queues)} queues were found; name here those that these workers shall serve:"
        yield f"    # {comment(', '.join(queues[:MOST_QUEUES]))}, ..."
    if len(shown) == 1:
        yield f"    queue: {scalar(shown[0])}"
    elif shown:
        yield f"    queue: {flow_list(shown)}   # the most urgent first"
    yield f"    numprocs: {PROCESSES}"
    yield "    tries: 3"
    timeout = _timeout(facts.retry_after)
    below = f"; must stay below retry_after, {facts.retry_after} in config/queue.php" if facts.retry_after else ""
    yield f"    timeout: {timeout}        # seconds a job may take{below}"
    yield "    sleep: 1           # seconds to wait when there is no job"
    if _major(facts.laravel) >= 8:
        yield "    max_time: 1h       # then a worker ends, between two jobs, and a fresh one takes its place"
    if facts.block_for:
        wait = timeout + 1 + 15 + facts.block_for
        yield f"    stopwaitsecs: {wait}   # time to finish; includes block_for, {facts.block_for} in config/queue.php"


def _scheduler(facts: Facts) -> Iterator[str]:
    php = shlex.join(facts.php or ("php",))
    if facts.cron is None:
        yield "  # Laravel's scheduler. It takes the place of a cron entry for schedule:run; do not have both."
        yield "  scheduler:"
        yield "    type: command"
        yield f"    command: {scalar(f'{php} artisan schedule:work', words=True)}"
        return
    yield f"  # Laravel's scheduler is run by cron now ({comment(facts.cron)}). To let queuepool run it,"
    yield "  # remove it there and the marks here:"
    yield "  # scheduler:"
    yield "  #   type: command"
    yield f"  #   command: {scalar(f'{php} artisan schedule:work', words=True)}"


def _timeout(retry_after: int | None) -> int:
    """Laravel's 60 seconds where retry_after leaves room for them. At or above it a job would run twice."""
    if not retry_after or retry_after > 65:
        return 60
    return max(1, retry_after - 5)


def _major(version: str | None) -> int:
    found = re.match(r"v?(\d+)", version or "")
    return int(found[1]) if found else 8  # not known: then most likely not one older than 2020


def _short(version: str) -> str:
    return ".".join(version.removeprefix("v").split(".")[:2])
