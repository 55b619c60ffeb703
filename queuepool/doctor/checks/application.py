"""The Laravel application: whether it is there, boots, and can do what its programs ask of it. PURE. Its queues and
caches in detail are in configuration.py, PHP is in php.py."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.application import ApplicationFacts
from queuepool.doctor.finding import GiveTo, Note, RunCommand, Severity
from queuepool.domain.command import ARTISAN, unsupported_in

CHECKS = Checks("application", needs=("applications",))

OLDEST_LARAVEL = 6
_NOT_THERE = ("application.directory", "permissions.traverse", "permissions.user", "php.found", "php.cli")
"""What keeps everything else from being asked."""
_NO_BOOT = (*_NOT_THERE, "application.artisan", "application.vendor", "php.version", "php.extensions",
            "permissions.bootstrap_cache", "permissions.artisan", "permissions.readonly")  # fmt: skip
_NOT_LISTED = ("--no-ansi", "--env")
"""Options of every artisan command that its definition does not hold, in some versions of Symfony."""


@CHECKS.add("directory", Severity.ERROR, "The directory of the application is there", unless=("permissions.traverse",))
def directory(facts: Facts) -> Iterator[Note]:
    """`app:` names the root of the application, where artisan is; by default it is the directory of queuepool.yml. A
    `current` link that points to a release which was removed (by a deploy that failed, or that keeps too few) leaves
    nothing to start from: workers that run go on, and none can be started. Point the link to a release that is
    there."""
    for app in facts.applications:
        if app.files.there:
            continue
        link = app.files.dangling
        if link:
            what = f"it is a link to {link}, which does not exist"
            newest = app.files.beside[0] if app.files.beside else "RELEASE"
            remedy = f"ln -sfn {shlex.quote(newest)} {shlex.quote(app.root)}"
        else:
            what = "it is not a directory" if app.files.blocked == app.root else "its directory does not exist"
            here = f"; an artisan is in {', '.join(app.files.beside[:3])}" if app.files.beside else ""
            remedy = f"set `app:` in the file to the directory that has artisan{here}"
        blocked = app.files.blocked
        why = f"{blocked}: it is a file" if blocked else f"{app.root}: No such file or directory"
        yield Note(app.subject, what, (f"stat {why}",), remedy, app.programs)


@CHECKS.add("artisan", Severity.ERROR, "artisan is there", unless=("application.directory", "permissions.traverse"))
def artisan(facts: Facts) -> Iterator[Note]:
    """Every worker is `php artisan queue:work`, run in the directory of the application. Without that file PHP says
    "Could not open input file: artisan" and ends with 1. Mostly `app:` is a directory too high or too low (public/), or
    a deploy is not complete."""
    for app in facts.applications:
        if app.files.there and not app.files.artisan:
            beside = app.files.beside
            near = f"set `app: {beside[0]}`" if beside else "set `app:` in the file to the directory that has artisan"
            yield Note(app.subject, "there is no artisan in its directory",
                       (f"{app.path('artisan')}: No such file or directory",), near, app.programs)  # fmt: skip


@CHECKS.add("vendor", Severity.ERROR, "What Composer installs is there and is what was locked", unless=_NOT_THERE)
def vendor(facts: Facts) -> Iterator[Note]:
    """Without vendor/autoload.php nothing boots: `composer install` was not run in this release. A composer.lock that
    says something else than vendor/composer/installed.json means that it was not run after the last pull: classes are
    missing, or old code runs (a warning)."""
    for app in facts.applications:
        composer = app.files.composer
        install = f"cd {shlex.quote(app.root)} && composer install --no-dev --optimize-autoloader"
        if not app.files.vendor and "vendor/autoload.php" in app.failure:
            yield Note(app.subject, "vendor/ is not installed, so it does not boot", (app.failure,), install,
                       app.programs)  # fmt: skip
        elif composer.drifted:
            more = len(composer.drifted) - 5
            evidence = (*composer.drifted[:5], *([f"and {more} more"] if more > 0 else []))
            what = "the packages in vendor/ are not those of composer.lock"
            yield Note(app.subject, what, evidence, install, app.programs, Severity.WARNING)


@CHECKS.add("boots", Severity.ERROR, "The application boots as its workers' user", unless=_NO_BOOT)
def boots(facts: Facts) -> Iterator[Note]:
    """Every worker boots the application first. When artisan fails, each start of a worker fails: it is BACKOFF, then
    FATAL, with the exception in its log. The evidence is the first line of that exception, with file and line."""
    for app in facts.applications:
        if app.failure.startswith("cannot boot"):
            yield Note(app.subject, "does not boot, so none of its workers can run", (_reason(app),),
                       app.artisan("--version"), app.programs)  # fmt: skip


@CHECKS.add("guessed", Severity.WARNING, "The application can be asked for its configuration",
            unless=(*_NO_BOOT, "application.boots", "permissions.switch"))  # fmt: skip
def guessed(facts: Facts) -> Iterator[Note]:
    """The doctor, and the daemon too, ask the application itself what is in force, by booting it as its workers' user.
    Where that fails, .env alone is read: config/, cached configuration and real environment variables may say
    otherwise, so findings about queues and Redis may be wrong or missing."""
    for app in facts.applications:
        if app.failure and not app.failure.startswith("cannot boot"):
            yield Note(app.subject, "it cannot be asked, so what is said of it is read from its .env alone",
                       (_reason(app),), app.artisan("--version"), app.programs)  # fmt: skip


def _reason(app: ApplicationFacts) -> str:
    return app.failure.partition("; what its .env says")[0]


@CHECKS.add("errors", Severity.WARNING, "Every part of the configuration can be read")
def errors(facts: Facts) -> Iterator[Note]:
    """A part of config/ is not in the form that Laravel expects, so that reading it raises an exception. What uses that
    part will meet the same one."""
    for app in facts.applications:
        if app.asked and app.asked.errors:
            names = dict.fromkeys(error.partition(":")[0] for error in app.asked.errors)
            yield Note(app.subject, "a part of its configuration cannot be read: " + ", ".join(names),
                       app.asked.errors[:5], "look over config/queue.php, config/cache.php and config/database.php",
                       app.programs)  # fmt: skip


@CHECKS.add("env", Severity.ERROR, "The workers can read .env", unless=("permissions.traverse",))
def env(facts: Facts) -> Iterator[Note]:
    """Laravel passes over a .env that is missing or that its user cannot read without a word: it runs as `production`
    with the defaults of config/, which is another database and another Redis, or none. With a cached configuration
    .env is not read. Give the file to the group of the workers, so that nobody else reads its passwords: mode 640."""
    for app in facts.applications:
        config = app.asked
        if config is None or config.config_cached or not config.environment_file:
            continue
        path = config.environment_file
        if config.environment_file_seen is False:
            group = app.own_group
            owner = app.files.environment_shown.rpartition(" ")[2].partition(":")[0]
            yield Note(
                app.subject,
                f"{app.user or 'its user'} cannot read .env, so the workers run with the defaults of config/",
                (f"{app.files.environment_shown} {path}", f"APP_ENV is {config.environment}, the default queue "
                 f"connection {config.default_connection}"),
                f"chgrp {group or 'GROUP'} {shlex.quote(path)} && chmod g+r {shlex.quote(path)}",
                app.programs,
                fix=GiveTo((path,), owner, group, add_mode=0o040) if group and owner else None,
            )  # fmt: skip
        elif config.environment_file_seen is None and not app.files.given & {"APP_KEY", "APP_ENV"}:
            yield Note(
                app.subject,
                "there is no .env, and the file gives its workers no APP_KEY or APP_ENV either",
                (f"{path}: No such file or directory", f"APP_ENV is {config.environment}, the default queue "
                 f"connection {config.default_connection}"),
                f"put it there, as in: ln -s /srv/shared/.env {shlex.quote(path)}; or give the programs `environment:`",
                app.programs,
            )  # fmt: skip


@CHECKS.add("key", Severity.ERROR, "The application has a key", unless=("application.env",))
def key(facts: Facts) -> Iterator[Note]:
    """APP_KEY is empty. Jobs that are encrypted (ShouldBeEncrypted), and all that use Crypt or signed URLs, fail with
    "No application encryption key has been specified". A new key makes what was encrypted with the former one
    unreadable, so take that of the other servers if there are any."""
    for app in facts.applications:
        if app.inside and not app.inside.key:
            yield Note(app.subject, "APP_KEY is empty, so every encrypted job fails", ("config app.key is empty",),
                       app.artisan("key:generate"), app.programs)  # fmt: skip


@CHECKS.add("option", Severity.ERROR, "The installed Laravel knows every option of the workers")
def option(facts: Facts) -> Iterator[Note]:
    """artisan ends with 1 at an option that it does not know (`The "--json" option does not exist.`), so no worker of
    that program ever starts. The evidence says which Laravel brings it. Take the key out of the program, or update
    Laravel."""
    for app in facts.applications:
        laravel = app.config.laravel if app.config else ""
        for program in facts.programs:
            if program.name not in app.programs:
                continue
            known = unsupported_in(program.argv, laravel)
            flags = _unknown(app, program.kind, program.argv)
            if not known and not flags:
                continue
            named = ", ".join(flags) or known[0].split("`")[1]
            listed = [
                f"`artisan {ARTISAN.get(program.kind, program.kind)} --help` does not list {flag}" for flag in flags
            ]
            yield Note(program.subject, f"its option {named} is not known to Laravel {laravel}, so it cannot start",
                       (*known, *listed), f"take it out of the program ({program.source}), or update Laravel",
                       (program.name,))  # fmt: skip


def _unknown(app: ApplicationFacts, kind: str, argv: tuple[str, ...]) -> list[str]:
    """The long options of a command line that the application's own command does not list."""
    listed = app.inside.options.get(ARTISAN.get(kind, "")) if app.inside else None
    if listed is None or "artisan" not in argv:
        return []
    flags = (word.partition("=")[0] for word in argv[argv.index("artisan") :] if word.startswith("--") and word != "--")
    return [flag for flag in dict.fromkeys(flags) if flag[2:] not in listed and flag not in _NOT_LISTED]


@CHECKS.add("laravel_version", Severity.WARNING, "The Laravel is one that queuepool knows")
def laravel_version(facts: Facts) -> Iterator[Note]:
    """queuepool is made for Laravel 6 and newer: what older workers print and which options they take it does not know,
    so jobs are not seen and rates are missing."""
    for app in facts.applications:
        laravel = app.config.laravel if app.config else ""
        major = re.match(r"v?(\d{1,6})\.", laravel)
        if major and 0 < int(major[1]) < OLDEST_LARAVEL:
            yield Note(app.subject, f"Laravel {laravel} is older than what queuepool knows (6 and newer)",
                       (f"the application says: Laravel {laravel}",), "update Laravel", app.programs)  # fmt: skip


@CHECKS.add("maintenance", Severity.WARNING, "The application is not in maintenance mode")
def maintenance(facts: Facts) -> Iterator[Note]:
    """After `artisan down` workers go on running and take no job, unless they have `--force`: the queues grow and
    nothing says why. Some deploys fail between `down` and `up`."""
    for app in facts.applications:
        idle = tuple(program.name for program in facts.programs if program.name in app.programs
                     and program.kind in ("worker", "listen", "horizon") and "--force" not in program.argv)  # fmt: skip
        if app.config and app.config.down and idle:
            yield Note(app.subject, f"it is in maintenance mode, so {', '.join(idle)} takes no jobs",
                       ("the application says that it is down", *_down_file(app)), app.artisan("up"), idle)  # fmt: skip


def _down_file(app: ApplicationFacts) -> tuple[str, ...]:
    storage = app.config.storage_path if app.config else ""
    return (f"{storage}/framework/down is there, unless the cache holds it",) if storage else ()


@CHECKS.add("debug", Severity.WARNING, "Debugging is off in production")
def debug(facts: Facts) -> Iterator[Note]:
    """With APP_DEBUG=true exceptions show passwords and environment to visitors, and packages for debugging keep every
    query of a worker in memory. It belongs into APP_ENV=local."""
    for app in facts.applications:
        if app.asked and app.asked.debug and app.asked.environment == "production":
            yield Note(app.subject, "APP_DEBUG is true in production: it shows secrets and makes workers grow",
                       ("app.debug is true, app.env is production",),
                       f"set APP_DEBUG=false in {app.asked.environment_file or '.env'}"
                       + (f", then: {app.artisan('config:cache')}" if app.asked.config_cached else ""),
                       app.programs)  # fmt: skip


def clear(app: ApplicationFacts, command: str) -> RunCommand | None:
    """The fix that runs an artisan command as the workers are run."""
    if app.launch is None:
        return None
    return RunCommand(replace(app.launch, argv=(*app.php, "artisan", command)), app.artisan(command))
