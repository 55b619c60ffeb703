"""PHP as the workers run it. PURE."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.application import ApplicationFacts
from queuepool.doctor.facts.php import PhpFacts
from queuepool.doctor.facts.program import ProgramFacts
from queuepool.doctor.finding import Note, Severity
from queuepool.domain.units import megabytes
from queuepool.laravel.composer import older
from queuepool.laravel.config import PhpRuntime

CHECKS = Checks("php", needs=("applications",))

NEEDED = ("ctype", "filter", "hash", "json", "mbstring", "openssl", "pdo", "session", "tokenizer")
"""Extensions that every Laravel asks for (https://laravel.com/docs/deployment#server-requirements); without Composer's
files they are only blamed where the application does not boot."""
OLDEST_PHP = {6: "7.2", 7: "7.2.5", 8: "7.3", 9: "8.0.2", 10: "8.1", 11: "8.2", 12: "8.2", 13: "8.3"}
"""`php` in the composer.json of each laravel/framework, for an application without Composer's files."""
SIGNALS = ("pcntl_async_signals", "pcntl_signal", "pcntl_alarm")
"""What Illuminate/Queue/Worker.php calls where pcntl is loaded."""
DEFAULT_MEMORY = "128"


def _seen(facts: Facts) -> Iterator[tuple[ApplicationFacts, PhpFacts, PhpRuntime]]:
    """Applications whose PHP told what it is, and is for the command line."""
    for app in facts.applications:
        if app.runtime and app.runtime.runtime and app.runtime.runtime.sapi == "cli":
            yield app, app.runtime, app.runtime.runtime


def _programs(facts: Facts, app: ApplicationFacts, *kinds: str) -> tuple[ProgramFacts, ...]:
    return tuple(one for one in facts.programs if one.name in app.programs and one.kind in kinds)


def _names(programs: tuple[ProgramFacts, ...]) -> tuple[str, ...]:
    return tuple(one.name for one in programs)


_DEBIAN = {"pcntl": "cli", "openssl": "cli", "dom": "xml", "simplexml": "xml"}
_IN_COMMON = ("ctype", "fileinfo", "filter", "json", "pdo", "posix", "tokenizer")
_FEDORA = {"pcntl": "process", "posix": "process", "redis": "pecl-redis6", "dom": "xml"}


def _install(extension: str, php: PhpFacts) -> str:
    """How an extension is had, on the most usual systems."""
    package = "common" if extension in _IN_COMMON else _DEBIAN.get(extension, extension)
    docker = f"docker-php-ext-install {extension}" if extension != "redis" else "pecl install redis"
    return (
        f"apt install php{php.short_version}-{package} (Debian, Ubuntu), dnf install php-"
        f"{_FEDORA.get(extension, extension)} (Fedora, RHEL), or {docker} (Docker)"
    )


def _lacks(app: ApplicationFacts, php: PhpFacts, extension: str, what: str, programs: tuple[str, ...]) -> Note:
    return Note(
        app.subject,
        what,
        (php.source, f"{shlex.join(php.command)} -m does not list {extension}"),
        _install(extension, php),
        programs,
    )


@CHECKS.add("found", Severity.ERROR, "The PHP of the workers is there and can be executed")
def found(facts: Facts) -> Iterator[Note]:
    """`php:` is looked for in the PATH that the workers get: of a program with a `user:` that is the usual one of the
    system, not that of your shell, so a PHP in ~/bin or of a version manager is not found. Nothing starts without it.
    Give the whole path: `php: /usr/bin/php8.3`. The evidence lists what looks like PHP here."""
    for app in facts.applications:
        php = app.runtime
        if php is None or not php.why:
            continue
        others = tuple(path for path in php.others if path not in php.command)
        evidence = [php.why, *([f"it said: {php.said}"] if php.said else [])]
        if others:
            evidence.append("here are: " + ", ".join(others[:6]))
        first = f"`php: {others[0]}`" if others else "`php:` with the path of PHP, or install it: apt install php-cli"
        yield Note(app.subject, f"its PHP cannot be run: {shlex.join(php.command)}", tuple(evidence),
                   f"write {first} into the file", app.programs)  # fmt: skip


@CHECKS.add("cli", Severity.ERROR, "It is the PHP of the command line")
def cli(facts: Facts) -> Iterator[Note]:
    """php-cgi and php-fpm are PHP for a web server: they do not take artisan's arguments, print HTTP headers, and have
    no pcntl, so a worker either does not start or cannot be stopped without losing its job. Use the `php` of the
    package php-cli."""
    for app in facts.applications:
        php = app.runtime
        if php is None or php.runtime is None or php.runtime.sapi == "cli":
            continue
        others = [path for path in php.others if path not in php.command]
        yield Note(
            app.subject,
            f"{shlex.join(php.command)} is PHP for a web server, not for the command line",
            (f"{shlex.join(php.command)} -v says: PHP {php.runtime.version} ({php.runtime.sapi})",),
            f"write `php: {others[0]}` into the file" if others else "install it: apt install php-cli",
            app.programs,
        )


@CHECKS.add("version", Severity.ERROR, "PHP is as new as the application needs", unless=("php.cli", "php.found"))
def version(facts: Facts) -> Iterator[Note]:
    """Composer writes down which PHP the packages need; with an older one the application ends at once ("Composer
    detected issues in your platform"), or later with a syntax error in a class that is seldom used. Often the web
    server has the new PHP and `php` in the PATH is still the old one: name the binary in `php:`."""
    for app, php, runtime in _seen(facts):
        needs = [f"{need.source} needs PHP {need.constraint}" for need in app.files.composer.needs
                 if need.what == "php" and older(runtime.version, need.constraint)]  # fmt: skip
        laravel = app.config.laravel if app.config else ""
        major = re.match(r"v?(\d{1,3})\.", laravel)
        oldest = OLDEST_PHP.get(int(major[1])) if major else None
        if not needs and oldest and older(runtime.version, f">={oldest}"):
            needs.append(f"Laravel {laravel} needs PHP {oldest} or newer")
        if "PHP version" in php.platform:
            needs.append(f"vendor/composer/platform_check.php: {php.platform}")
        if needs:
            others = [path for path in php.others if path not in php.command]
            yield Note(
                app.subject,
                f"PHP {runtime.version} is older than the application needs",
                (php.source, *needs),
                "name a newer one as `php:` in the file" + (f"; here are {', '.join(others[:6])}" if others else ""),
                app.programs,
            )


@CHECKS.add("extensions", Severity.ERROR, "PHP has the extensions that the application asks for",
            unless=("php.cli", "php.found", "php.version"))  # fmt: skip
def extensions(facts: Facts) -> Iterator[Note]:
    """What composer.json and the framework `require` as `ext-...` has to be loaded in the PHP of the command line,
    which has its own php.ini and conf.d. Without it the application does not boot, or fails in the first job that needs
    it. Install the package of the extension; on Debian `phpenmod -s cli NAME` switches on one that is installed."""
    for app, php, runtime in _seen(facts):
        asked = {need.what: f"{need.source} needs ext-{need.what}" for need in app.files.composer.needs
                 if need.what not in ("php", "pcntl", "posix", "redis") and _absent(need.what, runtime)}  # fmt: skip
        if app.failure and not asked:
            asked = {name: f"Laravel needs ext-{name}" for name in NEEDED if _absent(name, runtime)}
        if "extension" in php.platform and not asked:
            asked = {"": f"vendor/composer/platform_check.php: {php.platform}"}
        if asked:
            first = next(iter(asked))
            yield Note(
                app.subject,
                f"PHP lacks {', '.join(filter(None, asked)) or 'an extension'}, which the application needs",
                (php.source, *asked.values(), *([app.failure] if app.failure else [])),
                _install(first, php) if first else f"cd {shlex.quote(app.root)} && composer check-platform-reqs",
                app.programs,
            )


def _absent(extension: str, runtime: PhpRuntime) -> bool:
    return not {extension, extension.replace("-", " ")} & runtime.extensions


@CHECKS.add("pcntl", Severity.ERROR, "PHP can handle signals (pcntl)", unless=("php.cli", "php.found"))
def pcntl(facts: Facts) -> Iterator[Note]:
    """Without pcntl a worker hears no signal: SIGTERM kills it in the middle of its job, which then waits for
    retry_after, and `--timeout` has no effect, so a job that hangs hangs for ever (Illuminate/Queue/Worker.php,
    supportsAsyncSignals). It is part of every PHP for the command line of Debian; Docker's image lacks it."""
    for app, php, runtime in _seen(facts):
        programs = _names(_programs(facts, app, "worker", "listen", "horizon"))
        if programs and "pcntl" not in runtime.extensions:
            what = "PHP has no pcntl, so each stop kills the job that runs, and --timeout has no effect"
            yield _lacks(app, php, "pcntl", what, programs)


@CHECKS.add("posix", Severity.WARNING, "PHP can end a job that takes too long (posix)", unless=("php.cli", "php.found"))
def posix(facts: Facts) -> Iterator[Note]:
    """A worker whose job exceeds `--timeout` kills itself with posix_kill(); without the extension posix it calls
    exit() instead, which runs destructors and shutdown functions in the middle of the job and cannot interrupt a call
    that blocks (Illuminate/Queue/Worker.php, kill). Horizon asks for it in its composer.json."""
    for app, php, runtime in _seen(facts):
        programs = _names(_programs(facts, app, "worker", "listen", "horizon"))
        if programs and "posix" not in runtime.extensions:
            yield _lacks(app, php, "posix", "PHP has no posix, so a job that hangs cannot be killed cleanly", programs)


@CHECKS.add("redis", Severity.ERROR, "PHP can speak to Redis", unless=("php.cli", "php.found"))
def redis(facts: Facts) -> Iterator[Note]:
    """A worker on a Redis queue whose PHP lacks the client says nothing at all: `Class "Redis" not found` is written to
    laravel.log each second, the process stays up, and no job is ever taken. Client phpredis is the PHP extension redis,
    client predis the package predis/predis (`REDIS_CLIENT`)."""
    for app, php, runtime in _seen(facts):
        config, uses = app.config, tuple(_redis_uses(facts, app))
        if config is None or not uses:
            continue
        said = f"database.redis.client is {config.redis_client}, and Redis is used by {', '.join(uses)}"
        if config.redis_client == "predis":
            if config.redis_client_ready is False:
                remedy = f"cd {shlex.quote(app.root)} && composer require predis/predis"
                yield Note(app.subject, "the package predis/predis is not installed, so no worker reaches Redis",
                           (said, "there is no class Predis\\Client"), remedy, app.programs)  # fmt: skip
        elif config.redis_client == "phpredis" and "redis" not in runtime.extensions:
            note = _lacks(app, php, "redis", "PHP has no extension redis, so no worker reaches Redis", app.programs)
            yield Note(note.subject, note.what, (said, *note.evidence), note.remedy, note.programs)


def _redis_uses(facts: Facts, app: ApplicationFacts) -> Iterator[str]:
    """What of the application keeps its things in Redis."""
    config = app.config
    if config is None:
        return
    for name in dict.fromkeys(one.connection for one in _programs(facts, app, "worker", "listen")):
        if config.redis_of(name) is not None:
            yield f"the queue connection {name or config.default_connection}"
    if config.cache is not None and config.cache.driver == "redis":
        yield f"the cache store {config.cache.name}"
    if _programs(facts, app, "horizon"):
        yield "Horizon"


@CHECKS.add("disabled", Severity.ERROR, "php.ini takes no function away that workers call",
            unless=("php.cli", "php.found", "php.pcntl"))  # fmt: skip
def disabled(facts: Facts) -> Iterator[Note]:
    """Hosting guides put pcntl_*, posix_kill and proc_open into `disable_functions`. For a web server that is sensible,
    for workers it is not: they die at once with "Call to undefined function pcntl_async_signals()", cannot end a job
    that takes too long, and queue:listen and Horizon cannot start their workers (proc_open). The php.ini of the command
    line is another file than that of php-fpm."""
    for app, php, runtime in _seen(facts):
        workers, starters = _programs(facts, app, "worker"), _programs(facts, app, "listen", "horizon")
        taken: list[str] = []
        if workers or starters:
            taken += [name for name in (*SIGNALS, "posix_kill") if name in runtime.disabled]
        if starters and "proc_open" in runtime.disabled:
            taken.append("proc_open")
        if taken:
            yield Note(
                app.subject,
                f"php.ini forbids {', '.join(taken)}, which workers call",
                (php.source, "disable_functions: " + ", ".join(sorted(runtime.disabled)[:30])),
                f"take them out of disable_functions in {runtime.ini or 'php.ini'} (the one of the command line)",
                _names((*workers, *starters)),
            )


@CHECKS.add("memory_limit", Severity.WARNING, "PHP's memory_limit is above --memory", unless=("php.cli", "php.found"))
def memory_limit(facts: Facts) -> Iterator[Note]:
    """`--memory` (128 MB by default) is looked at after each job: above it the worker ends cleanly and is started anew.
    PHP's own memory_limit is absolute: at it PHP dies in the middle of the job with exit code 255, and the job waits
    for retry_after. Where memory_limit is not above --memory, the first never happens. Give the command line more:
    `php: [php, -d, memory_limit=512M]`."""
    for app, php, runtime in _seen(facts):
        in_force = app.asked.runtime if app.asked and app.asked.runtime else runtime
        limit = in_force.memory_limit
        suffering: dict[str, list[str]] = {}
        for program in _programs(facts, app, "worker"):
            given = program.option("memory", DEFAULT_MEMORY)
            if limit is not None and 0 < limit <= _bytes(given):
                suffering.setdefault(given, []).append(program.name)
        for given, names in suffering.items():
            command = ", ".join([*(php.command or ("php",)), "-d", f"memory_limit={_bytes(given) // (1 << 20) * 2}M"])
            yield Note(
                app.subject,
                f"PHP dies at its memory_limit before a worker can end itself at --memory={given}",
                (f"memory_limit is {(limit or 0) / (1 << 20):g} MB, --memory {given} MB", php.source),
                f"write `php: [{command}]` into the file, or raise memory_limit in {in_force.ini or 'php.ini'}",
                tuple(names),
            )


def _bytes(given: str) -> int:
    try:
        return megabytes(given) << 20
    except (ValueError, OverflowError):
        return 0


@CHECKS.add("opcache", Severity.INFO, "opcache does not slow down starts", unless=("php.cli", "php.found"))
def opcache(facts: Facts) -> Iterator[Note]:
    """With `opcache.enable_cli=1` each process compiles everything into a cache of its own that no other process sees:
    a worker then takes nearly twice as long to start (measured: 123 -> 280 ms). Together with `opcache.file_cache` it
    takes half as long, since the next process finds what the last one compiled."""
    for app, php, runtime in _seen(facts):
        if "zend opcache" in runtime.extensions and runtime.opcache_cli and not runtime.file_cache:
            yield Note(
                app.subject,
                "opcache makes each worker start slower, since it has no file_cache",
                ("opcache.enable_cli=1, opcache.file_cache is empty", php.source),
                "set opcache.file_cache to a directory that the workers' user can write to, or opcache.enable_cli=0",
                app.programs,
            )


@CHECKS.add("xdebug", Severity.WARNING, "Xdebug is not loaded", unless=("php.cli", "php.found"))
def xdebug(facts: Facts) -> Iterator[Note]:
    """Xdebug makes jobs several times slower and lets workers grow, also where nobody debugs. It belongs on the
    machines of developers: take it out of the conf.d of the command line, or set XDEBUG_MODE=off for the workers."""
    for app, php, _ in _seen(facts):
        if php.xdebug is not None and php.xdebug != "off":
            yield Note(
                app.subject,
                "Xdebug is loaded, which makes jobs slow and workers grow",
                (f"xdebug.mode is {php.xdebug}", php.source),
                "phpdismod -s cli xdebug (Debian, Ubuntu), or give the programs `environment: {XDEBUG_MODE: 'off'}`",
                app.programs,
            )
