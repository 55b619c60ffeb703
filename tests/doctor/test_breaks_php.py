"""Real PHP, started in each way that its checks look for."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.installation import Break, Installation
from tests.support.laravel import PHP

pytestmark = pytest.mark.php


def php(it: Installation, *words: str) -> None:
    """Run the programs with this PHP."""
    it.top["php"] = list(words)
    it.write()


def whole(it: Installation) -> None:
    """Run them with the PHP of these tests again."""
    php(it, *PHP)


def without(it: Installation, *extensions: str) -> None:
    """Run the programs with all extensions but these."""
    said = subprocess.run([*PHP, "-r", "echo php_ini_loaded_file(), ',', php_ini_scanned_files();"],
                          capture_output=True, text=True, check=True).stdout  # fmt: skip
    files = [Path(name.strip()) for name in said.split(",") if name.strip()]
    text = "\n".join(file.read_text(errors="replace") for file in files)
    for name in extensions:
        text = re.sub(rf"(?m)^\s*(zend_)?extension\s*=\s*\"?(\S*/)?{name}(\.so)?\"?\s*$", "", text)
    (it.root / "php.ini").write_text(text)
    php(it, *PHP, "-n", "-c", str(it.root / "php.ini"))


def script(it: Installation, text: str, mode: int = 0o755) -> str:
    file = it.root / "php-other"
    file.write_text(text)
    file.chmod(mode)
    return str(file)


def php_is_not_there(it: Installation) -> None:
    php(it, "/usr/bin/php9.9")


def php_is_not_in_the_path_of_workers(it: Installation) -> None:
    php(it, "php-of-my-home")


def php_is_not_executable(it: Installation) -> None:
    php(it, script(it, "#!/bin/sh\n", 0o644))


def php_is_no_php(it: Installation) -> None:
    php(it, script(it, "#!/bin/sh\necho no licence >&2\nexit 3\n"))


def php_is_that_of_a_web_server(it: Installation) -> None:
    # As php-cgi behaves: it knows no -r, and prints its usage.
    text = '[ "$1" = -v ] && echo "PHP 8.2.1 (cgi-fcgi) (built: Jan  1 2026 00:00:00)" && exit 0\n'
    php(it, script(it, f"#!/bin/sh\n{text}echo 'Usage: php [-q] [-h]'\n"))


def php_is_older_than_composer_json_wants(it: Installation) -> None:
    requires(it, "php", "^99.1 || ^100.0")


def requires(it: Installation, what: str, constraint: str) -> None:
    file = it.root / "app/composer.json"
    content = json.loads(file.read_text())
    content["require"][what] = constraint
    file.write_text(json.dumps(content))


def php_is_older_than_the_packages_want(it: Installation) -> None:
    # As Composer 2 generates it.
    check = it.root / "app/vendor/composer/platform_check.php"
    check.parent.mkdir(parents=True)
    check.write_text("""<?php
$issues = array();
if (!(PHP_VERSION_ID >= 990100)) {
    $issues[] = 'Your Composer dependencies require a PHP version ">= 99.1.0". You are running ' . PHP_VERSION . '.';
}
if ($issues) {
    trigger_error('Composer detected issues in your platform: ' . implode(' ', $issues), E_USER_ERROR);
}
""")


def mbstring_and_tokenizer_are_off(it: Installation) -> None:
    # The framework's Str is made with mbstring; a polyfill may stand in where Debian's autoloader finds one.
    without(it, "mbstring", "tokenizer", "iconv", "ctype")


OPCACHE_ALONE = ("-d", "opcache.enable_cli=1", "-d", "opcache.file_cache_only=0", "-d", "opcache.file_cache=")

BREAKS = [
    Break("php.found", php_is_not_there, "cannot find the command /usr/bin/php9.9", mended=whole, name="path"),
    Break("php.found", php_is_not_in_the_path_of_workers, "not in PATH", name="name"),
    Break("php.found", php_is_not_executable, "ermission denied", name="mode"),
    Break("php.found", php_is_no_php, "it said: no licence", name="no php"),
    Break("php.cli", php_is_that_of_a_web_server, r"PHP 8\.2\.1 \(cgi-fcgi\)", mended=whole),
    Break("php.version", php_is_older_than_composer_json_wants, r"composer.json needs PHP \^99\.1"),
    Break("php.version", php_is_older_than_the_packages_want, "platform_check.php: .*>= 99.1.0", name="platform"),
    Break("php.extensions", lambda it: requires(it, "ext-imap", "*"), "composer.json needs ext-imap", name="asked"),
    Break("php.posix", lambda it: without(it, "posix"), "-m does not list posix", severity="warning", mended=whole),
    Break("php.redis", lambda it: without(it, "redis"), "(?s)client is phpredis.*connection redis.*not list redis",
          mended=whole, name="phpredis"),
    Break("php.disabled", lambda it: php(it, *PHP, "-d", "disable_functions=exec,pcntl_alarm"),
          "disable_functions: exec, pcntl_alarm", mended=whole),
    Break("php.memory_limit", lambda it: php(it, *PHP, "-d", "memory_limit=100M"), "memory_limit is 100 MB",
          severity="warning", mended=lambda it: it.program(memory=64)),
    Break("php.opcache", lambda it: php(it, *PHP, *OPCACHE_ALONE), "enable_cli=1", severity="info", mended=whole),
]  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_php_that_is_not_fit_for_workers_is_found(broken: Break) -> None:
    broken.prove()


def test_extensions_without_which_laravel_does_not_boot_are_named() -> None:
    with Installation() as it:
        mbstring_and_tokenizer_are_off(it)
        report = it.look()
        assert [finding["id"] for finding in report["findings"]] == ["php.extensions"], report
        assert "Laravel needs ext-" in "\n".join(report["findings"][0]["evidence"])


def test_a_redis_that_nobody_uses_needs_no_extension() -> None:
    with Installation() as it:
        it.program(connection="database")
        without(it, "redis")
        assert it.look()["findings"] == []
