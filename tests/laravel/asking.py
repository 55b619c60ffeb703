"""The application's own queue, driven through one PHP process (asking.php) that boots it once."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.laravel import PHP, LaravelApp, _environment

SCRIPT = Path(__file__).with_name("asking.php")


class Php:
    """ask("push", queue="high") does it and returns what PHP answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, do: str, queue: str = "default", **more: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, "queue": queue, **more}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        try:
            return json.loads(line)
        except ValueError:
            raise AssertionError(f"PHP: {line}{self._process.stdout.read()}") from None


@contextlib.contextmanager
def booted(app: LaravelApp) -> Iterator[Php]:
    """The application, booted."""
    with subprocess.Popen(
        [*PHP, str(SCRIPT)],
        cwd=app.root,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Php(process)
        finally:
            process.kill()
