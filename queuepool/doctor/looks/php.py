"""Looks at the PHP of workers: runs it as their user, in their environment, without the application."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from queuepool.doctor.facts.php import PhpFacts
from queuepool.domain.pool import Launch
from queuepool.errors import SpawnError
from queuepool.laravel.answer import php_bytes
from queuepool.laravel.config import PhpRuntime
from queuepool.system import children, commands

SECONDS = 8.0
_MARK, _PLATFORM = "queuepool-php:", "queuepool-platform:"
_ASK = r"""
echo "\nqueuepool-php:", json_encode([
    'version' => PHP_VERSION, 'binary' => PHP_BINARY, 'sapi' => PHP_SAPI, 'ini' => (string) php_ini_loaded_file(),
    'extensions' => array_map('strtolower', get_loaded_extensions()), 'memory_limit' => ini_get('memory_limit'),
    'disabled' => (string) ini_get('disable_functions'), 'opcache_cli' => ini_get('opcache.enable_cli'),
    'file_cache' => (string) ini_get('opcache.file_cache'), 'zend' => get_loaded_extensions(true),
    'xdebug' => (string) (getenv('XDEBUG_MODE') ?: ini_get('xdebug.mode')),
]), "\n";
if (isset($argv[1]) && is_file($argv[1])) {
    set_error_handler(static function ($level, $message) {
        if ($level === E_USER_ERROR) {
            throw new RuntimeException($message);
        }

        return true; // PHP 8.4 thinks little of E_USER_ERROR itself
    });
    try {
        require $argv[1];
    } catch (Throwable $e) {
        echo "\nqueuepool-platform:", json_encode($e->getMessage()), "\n";
    }
}
"""
_NAME = re.compile(r"php(?:\d(?:\.?\d)?)?")
_ELSEWHERE = ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin")


async def look(launch: Launch, platform_check: str) -> PhpFacts:
    """What it says of itself. launch: of its workers, whose argv is the PHP command. platform_check: Composer's script
    for that, which need not be there."""
    facts = PhpFacts(launch.argv)
    try:
        who = children.identity(launch.user, launch.group, launch.groups)
    except SpawnError:
        return facts
    searched = children.environment(launch, who, {})["PATH"]
    facts = replace(facts, searched=searched, others=tuple(_others(launch.argv[0], searched)))
    # PHP for the command line looks for nothing in the directory where it is started.
    directory = launch.directory if "/" in launch.argv[0] and not launch.argv[0].startswith("/") else "/"
    asking = replace(launch, argv=(*launch.argv, "-r", _ASK, "--", platform_check), directory=directory)
    try:
        done = await commands.run(asking, {}, seconds=SECONDS)
    except SpawnError as error:
        return replace(facts, why=error.message)
    told = _after(_MARK, done.lines)
    if told is None:
        return await _look_again(facts, replace(asking, argv=(*launch.argv, "-v")), done)
    complaint = _after(_PLATFORM, done.lines)
    return replace(
        facts,
        runtime=_runtime(told),
        xdebug=str(told.get("xdebug") or "on") if "xdebug" in told["extensions"] else None,
        platform=" ".join(str(complaint).split()) if complaint else "",
    )


async def _look_again(facts: PhpFacts, launch: Launch, first: commands.Done) -> PhpFacts:
    """PHP for a web server knows no -r."""
    said = next((line.strip() for line in first.lines if line.strip()), "")
    if first.late:
        return replace(facts, why=f"it did not end within {SECONDS:g} s")
    done = await commands.run(launch, {}, seconds=SECONDS)
    kind = next(filter(None, (re.match(r"PHP (\S+) \(([\w-]+)\)", line) for line in done.lines)), None)
    if kind is None:
        return replace(facts, said=said, why=f"it is no PHP, or does not run: exit code {first.code}")
    return replace(facts, said=said, runtime=PhpRuntime(version=kind[1], binary=launch.argv[0], sapi=kind[2]))


def _after(mark: str, lines: tuple[str, ...]) -> Any:
    """What stands behind a mark; None when nothing does, or it is cut off."""
    for line in lines:
        if line.startswith(mark):
            try:
                return json.loads(line.removeprefix(mark))
            except ValueError:
                return None
    return None


def _runtime(told: Mapping[str, Any]) -> PhpRuntime:
    return PhpRuntime(
        version=str(told["version"]),
        binary=str(told["binary"]),
        sapi=str(told["sapi"]),
        ini=str(told["ini"]),
        extensions=frozenset(map(str, told["extensions"])) | {str(name).lower() for name in told["zend"]},
        memory_limit=php_bytes(str(told["memory_limit"])),
        disabled=frozenset(filter(None, re.split(r"[,\s]+", str(told["disabled"])))),
        opcache_cli=str(told["opcache_cli"] or "").lower() in ("1", "on", "yes", "true"),
        file_cache=str(told["file_cache"]),
    )


def _others(command: str, searched: str) -> Iterator[str]:
    """What looks like PHP here and is not the same file as the one that is used."""
    seen = {os.path.realpath(shutil.which(command, path=searched) or command)}
    for directory in dict.fromkeys([*searched.split(":"), *os.environ.get("PATH", "").split(":"), *_ELSEWHERE]):
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            continue
        for path in (os.path.join(directory, name) for name in names if _NAME.fullmatch(name)):
            if os.access(path, os.X_OK) and os.path.isfile(path) and os.path.realpath(path) not in seen:
                seen.add(os.path.realpath(path))
                yield path
