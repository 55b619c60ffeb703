"""What is said of a process that does not stay alive."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuepool.domain.deaths import explain

CASES: list[tuple[str, int | None, str, str, str, str]] = [
    # kind, exit code, reason or what was printed, part of `what`, part of `remedy`, part of `proof`
    ("spawn", None, "=cannot find the command phpx: it is not in PATH (/usr/bin:/bin) (check `php:` in the file)",
     "not in PATH", "check `php:` in the file", "phpx"),
    ("spawn", None, "=cannot run as joe: there is no such user on this machine (create it (`useradd --system joe`) or "
                    "change `user:` in the file)", "no such user", "create it (`useradd --system joe`) or ", "joe"),
    ("redis", 1, "=waiting for redis at 127.0.0.1:6379 (exit 1)", "for redis at 127.0.0.1:6379", "queuepool redis",
     "redis"),
    ("artisan", 1, "Could not open input file: artisan", "no artisan in", "`app:`", "Could not open"),
    ("dotenv", 1, 'The environment file is invalid!\nFailed to parse dotenv file. Encountered a thing at [A "b].',
     ".env cannot be read: Encountered a thing", "mend that line in .env", "Failed to parse dotenv"),
    ("artisan_command", 1, '  There are no commands defined in the "queue" namespace.  ', "namespace queue",
     "composer install", "namespace"),
    ("artisan_command", 1, 'Command "horizon" is not defined.', "Horizon is not installed", "composer require",
     "horizon"),
    ("artisan_command", 1, 'Command "queue:wrok" is not defined.', "no artisan command queue:wrok", "artisan list",
     "wrok"),
    ("option", 1, 'The "--json" option does not exist.', "no option --json", "take `json` away from mail", "--json"),
    ("connection", 1, "In QueueManager.php line 159:\n\n  The [sqz] queue connection has not been configured.  ",
     "no connection sqz", "`connection:` of mail", "The [sqz] queue"),
    ("memory_limit", 255, "PHP Fatal error:  Allowed memory size of 134217728 bytes exhausted (tried to allocate 9 "
                          "bytes) in /srv/a.php on line 3", "memory_limit (128 MB)", "memory_limit=256M", "/srv/a.php"),
    ("fatal", 255, "PHP Fatal error:  Uncaught TypeError: {0} {program} in /srv/app/x.php:12\nStack trace:\n#0 {main}",
     "Uncaught TypeError: {0} {program} at /srv/app/x.php:12", "mend /srv/app/x.php, line 12", "Uncaught"),
    ("fatal", 255, "PHP Parse error:  Unclosed '(' in /srv/app/x.php on line 12", "cannot read /srv/app/x.php:12",
     "/srv/app/x.php, line 12", "Unclosed"),
    ("fatal", 255, "Segment", "a fatal error", "queuepool logs mail", "Segment"),
    ("class", 255, 'PHP Fatal error:  Uncaught Error: Class "Redis" not found in /srv/x.php:1', "extension redis",
     "apt install php-redis", "Redis"),
    ("class", 1, "Class 'App\\Jobs\\Mail' not found", "no class App\\Jobs\\Mail", "composer", "Mail"),
    ("extension", 255, "PHP Fatal error: Uncaught Error: Call to undefined function pcntl_async_signals() in /x.php:1",
     "may not use pcntl_async_signals", "disable_functions", "pcntl"),
    ("vendor", 255, "PHP Warning:  require(/srv/app/vendor/autoload.php): Failed to open stream: No such file",
     "(/srv/app/vendor/autoload.php)", "composer install", "require"),
    ("php_version", 255, "Composer detected issues in your platform: Your Composer dependencies require a PHP version "
                         '">= 8.3.0".', "8.3.0", "`php:`", "Composer"),
    ("permission", 1, 'The stream or file "/srv/l.log" could not be opened in append mode: Failed to open stream: '
                      "Permission denied", "/srv/l.log", "chown USER: /srv/l.log", "stream"),
    ("permission", 126, "sh: 1: ./run: Permission denied", "permission denied", "queuepool logs mail", "./run"),
    ("port", 1, "Failed to listen on 127.0.0.1:8000 (reason: Address already in use)", "127.0.0.1:8000", "ss -ltnp",
     "listen"),
    ("redis", 1, "RedisException: Connection refused", "Redis", "queuepool redis", "refused"),
    ("redis", 1, "NOAUTH Authentication required.", "refuses the password", "REDIS_PASSWORD", "NOAUTH"),
    ("database", 1, "SQLSTATE[HY000] [2002] Connection refused (SQL: select 1)", "Connection refused", "DB_*", "2002"),
    ("command", 127, "sh: 1: ffmpegx: not found", "ffmpegx is not found", "install ffmpegx", "not found"),
    ("command", 126, "=126: the command was found but could not be executed", "may not be executed", "`command:`",
     "126"),
    ("memory", 12, "=worker above its --memory limit; restarting too often, waits", "--memory", "`memory:` of mail",
     "above"),
    ("timeout", -9, "App\\Jobs\\Long has timed out", "job's timeout", "`timeout:` of mail", "timed out"),
    ("killed", -9, "Processing: App\\Jobs\\Long", "SIGKILL", "killed process", ""),
    ("killed", 137, "", "SIGKILL", "timeout", ""),
    ("segfault", -11, "", "SIGSEGV", "php -m", ""),
    ("loop", 0, "=exit 0; restarting too often, waits", "without an error", "laravel.log", "exit 0"),
    ("other", 7, "=exit 7: the reason for it", "exit 7: the reason for it", "queuepool logs mail", "the reason"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[4][:20]}")
def test_a_death_is_told_with_its_cause_and_something_to_type(case: tuple[str, int | None, str, str, str, str]) -> None:
    kind, code, text, what, remedy, proof = case
    reason, lines = (text[1:], ()) if text.startswith("=") else (f"exit {code}", tuple(text.split("\n")))
    death = explain("mail", code, reason, lines)
    assert death.kind == kind
    assert what in death.what
    assert remedy in death.remedy
    assert proof in death.proof
    assert not death.what.endswith(".")


def test_a_process_of_which_only_the_reason_is_known_is_explained_by_it() -> None:
    death = explain("mail", 1, "exit 1: Could not open input file: artisan")
    assert (death.kind, death.proof) == ("artisan", "exit 1: Could not open input file: artisan")


@pytest.mark.parametrize("piece", ["x", "/", "a/", "The [", "1.1.1.1:", "Class ", "Fatal error:", "autoload.php(", " "])
def test_whatever_a_process_prints_the_explanation_comes_at_once(piece: str) -> None:
    lines = [piece * 2000] * 20 + ["Permission denied", "autoload.php", "address already in use", "not found"]
    began = time.process_time()
    explain("w", 1, "exit 1", lines)
    assert time.process_time() - began < 2


@given(st.one_of(st.none(), st.integers()), st.text(), st.lists(st.text(), max_size=20))
def test_whatever_a_process_prints_there_is_an_explanation(code: int | None, reason: str, lines: list[str]) -> None:
    death = explain("w", code, reason, lines)
    assert death.kind
    assert death.what
    assert death.remedy
