"""Processes that do not stay alive, each cause a check of its own. PURE. How a cause is told from what is known of an
end is deaths.py's."""

from __future__ import annotations

from collections.abc import Iterator

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.checks.wording import some
from queuepool.doctor.facts import Facts
from queuepool.doctor.finding import Note, Severity
from queuepool.domain.deaths import DOWN, Death, explain
from queuepool.domain.observed import ProcessView

CHECKS = Checks("processes", needs=("running",))

_APPLICATION = (
    "application.boots", "application.directory", "application.artisan", "application.vendor", "php.extensions",
    "php.found", "php.cli", "php.version", "php.pcntl", "php.posix", "php.redis", "php.disabled",
)  # fmt: skip
"""What keeps every command of an application from running."""
_IDENTITY = ("permissions.user", "permissions.switch", "permissions.traverse")


def _deaths(facts: Facts, *kinds: str) -> Iterator[Note]:
    """A note per program and cause, of those that died of one of these."""
    expected = dict(facts.running.expected) if facts.running else {}
    groups: dict[tuple[str, Death], list[ProcessView]] = {}
    for view in facts.running.processes if facts.running else ():
        if view.state not in DOWN or not view.wanted or view.retiring:
            continue
        if view.state == "EXITED" and view.exit_code in (0, *expected.get(view.program, ())):
            continue  # it has done what it was for
        death = explain(view.program, view.exit_code, view.reason, view.last_lines)
        if death.kind in kinds:
            alike = next((key for key in groups if key[0] == view.program and key[1].what == death.what), None)
            groups.setdefault(alike or (view.program, death), []).append(view)
    for (program, death), views in groups.items():
        evidence = [f"{view.name} is {view.state}: {view.reason or 'no reason is known'}" for view in views]
        proof = () if not death.proof or any(death.proof in line for line in evidence) else (f"it said: {death.proof}",)
        log = tuple(dict.fromkeys(f"its log: {view.log}" for view in views if view.log))
        yield Note(
            f"program {program}",
            death.what,
            (*some(evidence, 4), *proof, *log[:1]),
            death.remedy,
            (program,),
        )


@CHECKS.add(
    "spawn", Severity.ERROR, "Every process can be started",
    unless=(*_IDENTITY, "permissions.command", "application.directory", "php.found"),
)  # fmt: skip
def spawn(facts: Facts) -> Iterator[Note]:
    """The process was never there: the kernel refused one of the steps before it. Its user or group does not exist, or
    may not be taken on; its directory does not exist, or its user may not enter it; its command does not exist, may not
    be executed, or is no program. The evidence holds the step and the kernel's word for it. Nothing that PHP or Laravel
    could say has happened yet. 126 and 127 are a shell's words for the same (POSIX, 2.8.2)."""
    yield from _deaths(facts, "spawn", "command")


@CHECKS.add("boot", Severity.ERROR, "Every process finds what it needs to boot", unless=_APPLICATION)
def boot(facts: Facts) -> Iterator[Note]:
    """PHP was started, but something that the application is made of is not there: artisan, vendor/, a class, a PHP
    extension or function, a command of artisan. It dies within a second each time, is tried again with growing pauses,
    and becomes FATAL."""
    yield from _deaths(facts, "artisan", "artisan_command", "dotenv", "vendor", "php_version", "class", "extension")


@CHECKS.add(
    "options", Severity.ERROR, "Laravel takes the options of every program",
    unless=("application.option", "application.connection", *_APPLICATION),
)  # fmt: skip
def options(facts: Facts) -> Iterator[Note]:
    """artisan refused its command line and ended with exit code 1: an option or argument that this version of Laravel
    does not know, or a queue connection that is not in config/queue.php. It cannot get better by itself."""
    yield from _deaths(facts, "option", "connection")


@CHECKS.add(
    "fatal", Severity.ERROR, "No process ends with a PHP fatal error", unless=(*_APPLICATION, "php.memory_limit")
)
def fatal(facts: Facts) -> Iterator[Note]:
    """PHP ends with exit code 255 on a fatal error: an exception that nobody caught, code that it cannot read, or more
    memory than its memory_limit. A worker that dies so in a job leaves the job reserved; queuepool gives it back at
    once, elsewhere it would wait for retry_after. The evidence is PHP's own message with file and line."""
    yield from _deaths(facts, "fatal", "memory_limit")


@CHECKS.add("memory", Severity.WARNING, "No worker ends after each job for its memory")
def memory(facts: Facts) -> Iterator[Note]:
    """A worker looks after each job whether it uses more than --memory megabytes (128 when nothing is given), and then
    ends with exit code 12 to be started anew. When the booted application alone is near that limit, it does so after
    every job: a boot of the framework per job. Exit code 12: Illuminate/Queue/Worker.php, EXIT_MEMORY_LIMIT."""
    yield from _deaths(facts, "memory")


@CHECKS.add("killed", Severity.ERROR, "No process was killed", unless=("host.oom", "timing.timeout"))
def killed(facts: Facts) -> Iterator[Note]:
    """SIGKILL leaves no chance to say anything. Three do it: Laravel's worker itself, when a job takes longer than its
    timeout (then it often says before that the job has timed out); the kernel, when memory is used up (see host.oom);
    and a person or a script. 137 is 128 + 9, a shell's way to say it."""
    yield from _deaths(facts, "killed", "timeout", "oom")


@CHECKS.add("segfault", Severity.ERROR, "PHP itself does not crash")
def segfault(facts: Facts) -> Iterator[Note]:
    """SIGSEGV, SIGBUS or SIGABRT: not the PHP code but PHP or one of its extensions, written in C, went wrong. opcache
    with JIT, a profiler, or an extension built for another PHP are the usual ones."""
    yield from _deaths(facts, "segfault")


@CHECKS.add(
    "permission", Severity.ERROR, "No process fails for want of a permission",
    unless=("permissions.*", *_APPLICATION, "application.env"),
)  # fmt: skip
def permission(facts: Facts) -> Iterator[Note]:
    """The process ended after the kernel had refused it a file. Files in storage/ and bootstrap/cache that root made
    (by an artisan command without `sudo -u www-data`) are the usual ones."""
    yield from _deaths(facts, "permission")


@CHECKS.add("redis", Severity.ERROR, "No process waits for Redis", unless=("redis.*",))
def redis(facts: Facts) -> Iterator[Note]:
    """Workers that died while their Redis did not answer wait in BACKOFF until it answers a PING, and are started then
    at once. No try is counted meanwhile, so an outage of hours makes nothing FATAL."""
    yield from _deaths(facts, "redis")


@CHECKS.add("database", Severity.ERROR, "No process fails to reach its database")
def database(facts: Facts) -> Iterator[Note]:
    """A worker needs the database from its first job on, and at once where its queue, its cache or its failed jobs are
    in it. The evidence is PDO's message."""
    yield from _deaths(facts, "database")


@CHECKS.add("port", Severity.ERROR, "No process wants a port that is taken")
def port(facts: Facts) -> Iterator[Note]:
    """A program that listens (Reverb, Octane, `artisan serve`) found its port taken: by one that was started by hand,
    by a second process of the same program (numprocs above 1), or by an older one that has not ended."""
    yield from _deaths(facts, "port")


@CHECKS.add(
    "loop", Severity.ERROR, "No process ends by itself as soon as it is up",
    unless=(*_APPLICATION, "redis.*", "application.option", "permissions.*"),
)  # fmt: skip
def loop(facts: Facts) -> Iterator[Note]:
    """The process says that all is well (exit 0), and yet ends again and again, so queuepool waits between its starts.
    Laravel's worker does so when it lost its connection and could only say so in laravel.log, when `queue:restart` is
    called all the time, and when --stop-when-empty, --max-time or --max-jobs are very short."""
    yield from _deaths(facts, "loop")


@CHECKS.add(
    "failing", Severity.ERROR, "Every process stays alive",
    unless=(*_APPLICATION, *_IDENTITY, "permissions.*", "redis.*", "application.option", "application.connection"),
)  # fmt: skip
def failing(facts: Facts) -> Iterator[Note]:
    """A process ended in a way that no other check knows. The evidence holds the exit code and the line that it wrote
    last or that speaks of an error; its log has the rest."""
    yield from _deaths(facts, "other")
