"""Why a process does not stay alive, and what mends it, from what is known of its end: for `status`, the doctor and
notifications. Cheap to import. What an exit code means by itself is exits.py's; which findings come of it is the
doctor's (doctor/checks/ends.py)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from queuepool.domain.exits import OOM, SIGKILLED, signal_name, telling

DOWN = frozenset({"BACKOFF", "FATAL", "EXITED"})
"""States in which a process has an end to explain."""

TOO_OFTEN = "restarting too often"
"""What lifecycle.py says of a process that ends again and again, though it came up each time."""


LONGEST = 6000
"""Characters that are looked at: the end of what was said last."""


@dataclass(frozen=True, slots=True)
class Death:
    """kind: which of the causes below; "other" for one that is not among them. what: the cause as a sentence without a
    full stop. remedy: something to type, or to do. proof: the line, or the words, that it was told from."""

    kind: str
    what: str
    remedy: str
    proof: str = ""


def explain(program: str, code: int | None, reason: str, lines: Sequence[str] = ()) -> Death:
    """Why a process of `program` ended. code: exit status, or minus the signal; None when it never ran or cannot be
    known. reason: the daemon's words (ProcessView.reason). lines: what it printed last."""
    logs = f"queuepool logs {program}"
    if reason.startswith(("waiting for redis", "waiting for the redis")):
        return Death("redis", reason.partition(" (")[0], "queuepool redis", reason)
    if reason.startswith(OOM):
        return Death(
            "oom",
            "was killed by the kernel, because memory ran out",
            f"lower `numprocs:` of {program}, set `memory_limit:` below what one may use, or give the machine, or the "
            "container, more memory",
            reason,
        )
    if reason.startswith(_SPAWN):
        found = _HINT.fullmatch(reason)
        what, hint = (found[1], found[2]) if found else (reason, f"queuepool status {program}")
        return Death("spawn", what, hint, reason)
    said = [text for line in lines if (text := " ".join(line[:1000].split()))] or [reason]
    whole = " ".join(said)[-LONGEST:]
    for kind, words, pattern, tell in _causes():
        if words in whole and (found := pattern.search(whole)):
            what, remedy = tell(found, program)
            return Death(kind, what, remedy, _line(said, found[0]))
    return _by_code(program, code, reason, said, logs)


def _by_code(program: str, code: int | None, reason: str, said: Sequence[str], logs: str) -> Death:
    telltale = telling([line.encode(errors="replace") for line in said])
    if code == 12:
        return Death(
            "memory",
            "ends after nearly every job, because it is above its --memory limit",
            f"raise `memory:` of {program}, or find what its jobs keep in memory (`{logs}`)",
            reason,
        )
    if code in SIGKILLED:
        return _killed(program, reason, said)
    if code in (-11, 139, -7, 135, -6, 134):
        number = -code if code < 0 else code - 128
        return Death(
            "segfault",
            f"PHP itself crashes ({signal_name(number)}), mostly by the fault of an extension",
            "switch extensions off one by one (`php -m` lists them; `php -n` runs without any), and bring PHP up to "
            "date",
            reason,
        )
    if code in (126, 127):
        what = "is not found" if code == 127 else "may not be executed"
        return Death(
            "command",
            f"its command, or one that it runs, {what}",
            f"check `command:` of {program}, and PATH in its `environment:`",
            telltale or reason,
        )
    if code == 255:
        return Death("fatal", "PHP ends with a fatal error", logs, telltale or reason)
    if code == 0 and TOO_OFTEN in reason:
        return Death(
            "loop",
            "ends as soon as it is up, without an error (exit 0)",
            f"`tail storage/logs/laravel.log` of the application; and see that neither `queue:restart` is called all "
            f"the time nor `max_time`, `max_jobs` or `stop_when_empty` of {program} ends it",
            reason,
        )
    return Death("other", reason or "it has ended", logs, telltale)


def _killed(program: str, reason: str, said: Sequence[str]) -> Death:
    """SIGKILL: Laravel kills a worker whose job runs longer than its timeout (Illuminate/Queue/Worker.php, kill), and
    up to then says at most that the job began or failed."""
    whole = " ".join(said)
    if _TIMED_OUT.search(whole):
        return Death(
            "timeout",
            "was killed by its job's timeout",
            f"raise `timeout:` of {program} above the longest job, and retry_after of the connection above that",
            _line(said, "timed out") or reason,
        )
    return Death(
        "killed",
        "was killed (SIGKILL): by a job's timeout, by the kernel for lack of memory, or by hand",
        f"`journalctl -k | grep -i 'killed process'` shows what the kernel killed; `timeout:` of {program} must be "
        "longer than its longest job",
        reason,
    )


def _line(said: Sequence[str], found: str) -> str:
    """The line in which something was said; where it spans lines, the one in which it began."""
    start = found[:24].strip()
    return next((line for line in said if start in line), found)[:300]


Tell = Callable[[re.Match[str], str], tuple[str, str]]
"""From what a pattern found, and the program, to what is wrong and what mends it."""

_HINT = re.compile(r"(.+?)(?: \(/[^()]*\))? \((.+)\)", re.S)
"""A reason with the hint that local.py puts after it, and the PATH that may stand between."""

_TIMED_OUT = re.compile(r"has timed out|MaxAttemptsExceeded|TimeoutExceeded|TIMED OUT", re.I)
_SPAWN = (
    "cannot find the command", "cannot enter the directory", "cannot execute", "cannot start", "cannot run as",
    "cannot run with", "cannot set", "cannot make its pipes",
)  # fmt: skip

_PACKAGES = {"Redis": "redis", "Imagick": "imagick", "Memcached": "memcached", "PDO": "mysql", "DOMDocument": "xml"}
"""Classes that PHP extensions bring, and what comes after php- in the name of Debian's package."""


def _class(found: re.Match[str], program: str) -> tuple[str, str]:
    name = found[1] or found[2]
    if package := _PACKAGES.get(name):
        return f"the PHP extension {package} is missing (class {name})", f"apt install php-{package}"
    return f"PHP finds no class {name}", "composer install   (in the application; or `composer dump-autoload`)"


def _undefined(found: re.Match[str], program: str) -> tuple[str, str]:
    name = found[1]
    if name.startswith(("pcntl_", "posix_")):
        remedy = f"take {name} out of disable_functions in the CLI's php.ini (`php --ini` names it)"
        return f"PHP may not use {name}, without which a worker cannot run", remedy
    return f"PHP knows no function {name}", "`php -m` lists the extensions; install the one that brings it"


def _memory_limit(found: re.Match[str], program: str) -> tuple[str, str]:
    limit = int(found[1][:18]) >> 20
    return (
        f"PHP's memory_limit ({limit} MB) was not enough",
        f"set `php: [php, -d, memory_limit={max(256, 2 * limit)}M]`, and `memory:` of {program} below that",
    )


def _said(what: str, remedy: str) -> Tell:
    """{0} and {1}: what the pattern found. One pass, since what processes print may have braces itself."""

    def tell(found: re.Match[str], program: str) -> tuple[str, str]:
        groups = [(group or "").strip(" .'\"") for group in found.groups()]

        def fill(text: str) -> str:
            return re.sub(
                r"\{(\d|program)\}", lambda hole: program if hole[1] == "program" else groups[int(hole[1])], text
            )

        return fill(what).removesuffix(" ()").rstrip(" :"), fill(remedy)

    return tell


_TABLE: tuple[tuple[str, str, str, Tell], ...] = (
    ("artisan", "open input file", r"Could not open input file: (\S{1,200})",
     _said("there is no {0} in the directory where it starts", "set `app:` or `directory:` to where artisan is")),
    ("vendor", "autoload.php", r"([^\s('\"]{0,200}vendor/autoload\.php)\S{0,9}\): [Ff]ailed to open stream|"
                               r"require\(\): Failed opening required '(\S{0,200}autoload\.php)'",
     _said("the application's vendor directory is missing or not complete ({0}{1})",
           "composer install --no-dev   (in the application)")),
    ("php_version", "Composer detected", r"Composer detected issues in your platform:\s*(.{1,160})",
     _said("this PHP does not fit the installed packages: {0}",
           "set `php:` to a newer one, such as php8.3; or `composer update`")),
    ("dotenv", "dotenv file", r"Failed to parse dotenv file\. (Encountered .{1,200})",
     _said("the application's .env cannot be read: {0}", "mend that line in .env; `php artisan --version` tries it")),
    ("artisan_command", "namespace", r"There are no commands defined in the [\"“](\S{1,99}?)[\"”] namespace",
     _said("this application has no artisan commands in the namespace {0}", "composer install   (in the application)")),
    ("artisan_command", "is not defined", r"Command [\"“]horizon(\S{0,60})[\"”] is not defined",
     _said("Laravel Horizon is not installed in this application{0}",
           "composer require laravel/horizon   (or make it `type: worker`)")),
    ("artisan_command", "is not defined", r"Command [\"“](\S{1,99}?)[\"”] is not defined",
     _said("this application has no artisan command {0}", "`php artisan list` shows all; check `command:`")),
    ("option", "option does not exist", r"The [\"“]--?(\S{1,99}?)[\"”] option does not exist",
     _said("this Laravel's command has no option --{0}", "take `{0}` away from {program} in the file, or bring Laravel "
           "up to date")),
    ("option", "argument", r"The [\"“](\S{1,99}?)[\"”] argument does not exist|(Too many arguments\b.{0,60})",
     _said("the artisan command does not take such arguments ({0}{1})", "check `command:` of {program}")),
    ("connection", "connect",
     r"The \[([^\]]{0,99})\] queue connection has not been configured|No connector for \[(.{0,99}?)\]",
     _said("config/queue.php has no connection {0}{1}", "set `connection:` of {program} to one of config/queue.php")),
    ("memory_limit", "Allowed memory", r"Allowed memory size of (\d{1,18}) bytes exhausted", _memory_limit),
    ("redis", "", r"(NOAUTH|WRONGPASS|invalid username-password pair)[^.]{0,99}",
     _said("Redis refuses the password ({0})", "set REDIS_PASSWORD in .env; `queuepool redis` tries it")),
    ("redis", "", r"(RedisException|Predis\\\S{1,60}Exception|php_network_getaddresses|Redis::p?connect|Connection "
                  r"refused \[tcp://\S{1,99}\])",
     _said("cannot talk to Redis ({0})", "queuepool redis")),
    ("extension", "could not find driver", r"could not find driver",
     _said("the PHP extension of its database is missing", "apt install php-mysql   (or php-pgsql, php-sqlite3)")),
    ("database", "SQLSTATE", r"SQLSTATE\[(08\w{1,3}|HY000)\] \[(?:2002|2006|1045|1049|14|7)\] ([^(]{1,120})",
     _said("cannot talk to its database: {1}", "check DB_* in .env: `php artisan migrate:status` tries it")),
    ("extension", "undefined function", r"Call to undefined function \\?([\w\\]{1,120})\(\)", _undefined),
    ("class", "lass", r"Class [\"']?\\?([\w\\]{1,200})[\"']? not found|Target class \[([\w\\]{1,200})\] does not exist",
     _class),
    ("permission", "ermission denied",
     r"(/[^\s\"':]{1,200})[\"']?\)?(?: could not be opened|: [Ff]ailed to open)[^/]{0,80}Permission denied",
     _said("may not write or read {0}", "give it to the program's user: `chown USER: {0}`, and see its directories")),
    ("permission", "ermission denied", r"(?:(?<![\w./-])([\w./-]{1,200}): )?[Pp]ermission denied",
     _said("a file may not be opened or run by its user: permission denied ({0})",
           "queuepool logs {program}   (it names the file; give it to the program's user)")),
    ("port", "ddress already in use",
     r"(?:\b(port \d{1,5}|[\w.\[\]]{1,60}:\d{1,5})\b.{0,20})?[Aa]ddress already in use",
     _said("the port that it listens on is taken: {0}", "ss -ltnp   (shows by whom)")),
    ("fatal", "Parse error", r"PHP Parse error:\s*(.{1,300}?) in (\S{1,200}) on line (\d+)",
     _said("PHP cannot read {1}:{2}: {0}", "mend {1}, line {2}")),
    ("fatal", "atal error", r"(?:PHP )?Fatal error:\s*(.{1,300}?) in (\S{1,200}?)(?: on line |:)(\d+)",
     _said("PHP ends with a fatal error: {0} at {1}:{2}", "mend {1}, line {2}")),
    ("command", "not found", r"(?:line \d+|sh: \d+|exec): (\S{1,200}): (?:command )?not found",
     _said("the command {0} is not found", "install {0}, or set PATH in `environment:` of {program}")),
)  # fmt: skip
"""Kind, words without which it is not this, how it is told, and what is said of it. The texts are those of PHP 7 and 8,
Symfony's Console and Laravel 6 to 13. No pattern may take long, whatever a process prints: repetitions are bounded."""


@cache
def _causes() -> tuple[tuple[str, str, re.Pattern[str], Tell], ...]:
    return tuple((kind, words, re.compile(pattern), tell) for kind, words, pattern, tell in _TABLE)
