"""Asks the booted application what is true: runs probe.php with the program's PHP, user and environment and hands back
its answer as an AppConfig. What can be known without PHP is secondhand.py's matter."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from queuepool.errors import QueuepoolError
from queuepool.laravel import php as running
from queuepool.laravel.answer import config_of
from queuepool.laravel.config import AppConfig

__all__ = ["AppConfig", "ask", "config_of", "probe"]

PROBE = Path(__file__).with_name("probe.php")
_MOST_BYTES = 8 * 1024 * 1024


async def probe(
    php: tuple[str, ...],
    app: str,
    *,
    user: str | None = None,
    group: str | None = None,
    environment: Mapping[str, str],
    timeout: float = 20.0,  # noqa: ASYNC109 - bounds a process, which then is killed
    schedule: bool = False,
) -> AppConfig:
    """Boot the application in `app` as its workers are, and return its configuration.

    php: binary and its flags. user, group: names or numbers, needs root unless they are our own. environment: the whole
    environment of the process. timeout: seconds, then the process is killed. schedule: also count scheduled tasks,
    which runs the application's code that defines them.

    Raises QueuepoolError when there is no application, PHP cannot be run, or the application does not boot; the message
    has the first line of the exception, with file and line.
    """
    facts = await ask(
        PROBE, {"schedule": schedule}, php, app, user=user, group=group, environment=environment, timeout=timeout
    )
    try:
        return config_of(facts)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:  # nobody writes such config/
        raise QueuepoolError(
            f"cannot make sense of the configuration of the application in {app}: {type(error).__name__}",
            "look over config/queue.php, config/database.php, config/cache.php and config/horizon.php",
        ) from None


async def ask(
    file: Path,
    options: Mapping[str, str | bool],
    php: tuple[str, ...],
    app: str,
    *,
    user: str | None,
    group: str | None,
    environment: Mapping[str, str],
    timeout: float,  # noqa: ASYNC109 - bounds a process, which then is killed
) -> dict[str, Any]:
    """Boot the application with a script of ours; the last object that it said, which is `complete`. options: what the
    script finds in $queuepool, beside its mark. The rest, and what is raised, is as for probe()."""
    mark = f"queuepool-{secrets.token_hex(8)}:"
    # A file without a name takes all of the script at once, where a pipe may be full.
    with tempfile.TemporaryFile(prefix="queuepool-") as script:
        script.write(running.script(file, {"mark": mark, **options}))
        script.seek(0)
        process = running.spawn(php, app, user=user, group=group, environment=environment, stdin=script)
    out, err = await _finish(process, app, timeout)
    facts = running.answer(out, mark)
    if not facts.get("complete"):
        if not facts:
            await _insist_on_cli(php, app, user=user, group=group, environment=environment)
        said = err + b"\n" + out.partition(mark.encode())[0]
        raise running.failure(facts, said, process.returncode, php, app)
    return facts


async def _finish(process: subprocess.Popen[bytes], app: str, seconds: float) -> tuple[bytes, bytes]:
    """Both outputs, once the process is gone; when that takes too long, or we are cancelled, its session is killed."""
    stdout, stderr = process.stdout, process.stderr
    assert stdout is not None, "made with a pipe"
    assert stderr is not None, "made with a pipe"
    try:
        async with asyncio.timeout(seconds), running.reader(stdout) as out, running.reader(stderr) as err:
            texts = await asyncio.gather(_read(out), _read(err))
            while not running.ended(process):  # noqa: ASYNC110 - both outputs are closed, so it is about to end
                await asyncio.sleep(0.002)
        return texts[0], texts[1]
    except TimeoutError:
        raise QueuepoolError(
            f"cannot ask the application in {app}: artisan did not end within {seconds:g} s",
            f"see where it hangs: cd {shlex.quote(app)} && php artisan --version",
        ) from None
    finally:
        await running.put_down(process)
        stdout.close()
        stderr.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """All of it; what goes beyond a limit is read and dropped, so that a babbling application cannot fill memory."""
    kept = bytearray()
    while chunk := await reader.read(65536):
        kept += chunk
        if len(kept) > _MOST_BYTES:
            del kept[: len(kept) - _MOST_BYTES]  # the answer comes last
    return bytes(kept)


async def _insist_on_cli(php: tuple[str, ...], app: str, **whose: Any) -> None:
    """Raise QueuepoolError when this is PHP for a web server, which does not know what we asked of it."""
    try:
        process = running.spawn(php, app, **whose, stdin=subprocess.DEVNULL, args=("-v",))
        out, _ = await _finish(process, app, 5)
    except QueuepoolError:
        return
    kind = re.search(rb"PHP \S+ \(([\w-]+)\)", out)
    if kind and kind[1] != b"cli":
        name = kind[1].decode()
        raise QueuepoolError(
            f"cannot ask the application in {app}: {php[0]} is PHP for a web server ({name}), not for the command line",
            f"set `php:` to the PHP of the command line, such as {os.path.join(os.path.dirname(php[0]), 'php')}",
        )
