"""What several checks ask of the facts, and how they say it. PURE. No check is here."""

from __future__ import annotations

import math
import posixpath
import shlex
from collections.abc import Iterator

from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.program import ProgramFacts
from queuepool.laravel.config import APPLICATION, AppConfig, QueueConnection


def configs(facts: Facts) -> dict[str, AppConfig]:
    """The configuration of each program's application, where it was asked itself: a guess proves nothing."""
    return {
        name: app.config
        for app in facts.applications
        if app.config is not None and app.config.source == APPLICATION
        for name in app.programs
    }


def workers(facts: Facts) -> Iterator[tuple[ProgramFacts, AppConfig, str, QueueConnection]]:
    """Every program that runs queue:work or queue:listen, with its application, and the name and entry of its queue
    connection; none whose connection is not there, or never gives a job to a worker."""
    known = configs(facts)
    for program in facts.programs:
        config = known.get(program.name)
        if config is None or program.kind not in ("worker", "listen"):
            continue
        name = program.connection or config.default_connection or ""
        entry = config.connections.get(name)
        if entry is not None and entry.driver not in NO_WORKER:
            yield program, config, name, entry


NO_WORKER = ("", "sync", "null", "deferred", "background")
"""Queue drivers whose jobs never reach a worker: they run where they are pushed, or not at all."""


def option(program: ProgramFacts, name: str, default: float) -> float | None:
    """A number on the command line of a worker, or Laravel's default; None for what is no number."""
    text = program.option(name, "")
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def artisan(program: ProgramFacts | None, config_root: str, *words: str) -> str:
    """An artisan command as a person would type it, with the PHP and as the user of a program."""
    root = shlex.quote(config_root)
    php = "php"
    if program is not None:
        at = next((at for at, word in enumerate(program.argv) if posixpath.basename(word) == "artisan"), 0)
        php = shlex.join(program.argv[:at]) or "php"
    user = f"sudo -u {shlex.quote(program.user)} " if program is not None and program.user else ""
    return f"cd {root} && {user}{php} artisan {shlex.join(words)}"


def setting(config: AppConfig, what: str) -> str:
    """A change of the settings of an application, which a cached configuration would hide. what: `set X`."""
    return f"{what}, then: php artisan config:cache" if config.config_cached else what


def seconds(value: float | None) -> str:
    """A length of time for a person."""
    if value is None or not math.isfinite(value):
        return "an unknown time"
    if value < 120:
        return f"{value:.3g} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.0f} h" if value < 172_800 else (
        f"{value / 86400:.0f} days"
    )  # fmt: skip


def count(number: int, what: str = "job") -> str:
    """`1 job`, `3 jobs`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Names in a sentence."""
    return ", ".join(names)
