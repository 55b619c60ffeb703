"""A private copy of examples/laravel: own storage, own .env with its own Redis and prefix, own ledger.

Which Laravel runs it is the choice of tests/run: the one installed here, or another with a PHP of its own (see
docs/testing.md). So tests write PHP where they would write "php", and ask laravel_version() where versions differ."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from queuepool.domain.command import NO_TERMINAL
from tests.support.redis import RedisServer

EXAMPLE = Path(__file__).parents[2] / "examples" / "laravel"
_NOT_COPIED = shutil.ignore_patterns(
    ".env", ".run", "vendor", "run", "*.sqlite", "ledger.log", "laravel.log", "packages.php", "services.php"
)
PHP = (os.environ.get("QUEUEPOOL_TEST_PHP") or "php",)
"""The command of the PHP that these tests run with."""
OTHER_LARAVEL = os.environ.get("QUEUEPOOL_TEST_LARAVEL") or None
"""The major version asked for with `tests/run --laravel`; None: the Laravel that is installed here."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was done with the Ledger jobs; the lists hold their ids. sent: pushed, or about to be. done: finished at
    least once. missing: not finished. doubled: finished more than once. unfinished: begun more often than finished, so
    killed, or running now."""

    sent: int
    done: int
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    unfinished: tuple[str, ...]

    @property
    def exactly_once(self) -> bool:
        """Whether every job was finished once, no more and no less, and none was cut off."""
        return not (self.missing or self.doubled or self.unfinished)


class LaravelApp:
    """A Laravel application in `root`. artisan() boots it, which takes about 0.1 s; ledger() only reads a file."""

    def __init__(self, root: str | os.PathLike[str], server: RedisServer, **env: str) -> None:
        """root: directory to be made. env: more variables for .env, such as QUEUE_CONNECTION."""
        self.root = Path(root)
        self.prefix = server.prefix
        _copy_example(self.root)
        (self.root / "storage/app/database.sqlite").write_bytes(_example()[0])
        if OTHER_LARAVEL:
            _lock_version(self.root)
        settings = {"REDIS_PORT": str(server.port), "REDIS_PREFIX": server.prefix}
        if server.password:
            settings["REDIS_PASSWORD"] = server.password
        self.set_env(**settings, **env)

    @property
    def artisan_file(self) -> Path:
        """Path of artisan."""
        return self.root / "artisan"

    def set_env(self, **variables: str) -> None:
        """Append to .env: the last of several definitions counts. It begins as a copy of .env.example."""
        file = self.root / ".env"
        text = file.read_text() if file.exists() else (EXAMPLE / ".env.example").read_text()
        file.write_text(text + "".join(f'{name}="{value}"\n' for name, value in variables.items()))

    def artisan(self, *args: str, timeout: float = 60.0) -> str:
        """Run an artisan command and return what it printed; an AssertionError, with both outputs, when it fails."""
        return _artisan(self.root, *args, timeout=timeout)

    def try_artisan(self, *args: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run an artisan command, whatever its exit code."""
        return _try_artisan(self.root, *args, timeout=timeout)

    def dispatch(
        self,
        job: str,
        count: int = 1,
        *,
        queue: str | None = None,
        connection: str | None = None,
        ms: int = 0,
        mb: int = 64,
        delay: int = 0,
        how: str = "kill",
        times: int = 1,
    ) -> None:
        """Push `count` jobs of one kind: Quick, Sleeping, Failing, Hungry, Long, Ledger or Crashing. ms: how long each
        takes. mb: what Hungry keeps. delay: seconds before they may be taken. how, times: Crashing's."""
        args = [f"--count={count}", f"--ms={ms}", f"--mb={mb}", f"--delay={delay}", f"--how={how}", f"--times={times}"]
        args += [f"--queue={queue}"] if queue else []
        args += [f"--connection={connection}"] if connection else []
        self.artisan("demo:dispatch", job, *args)

    def hold(self) -> Path:
        """Let no job that takes time end while the file that this returns is there. So what is seen in the middle of
        one lasts as long as a test looks at it. To be called before workers boot, and
        again where the file is gone."""
        file = self.root / "storage/app/hold"
        file.touch()
        pause = self.root / "app/Pause.php"
        wait = f"while (file_exists('{file}')) {{ usleep(5000); clearstatcache(); }}"
        text, at = pause.read_text(), "$end = hrtime(true)"
        assert at in text
        if wait not in text:
            pause.write_text(text.replace(at, f"{wait}\n\n        {at}"))
        return file

    def ledger(self) -> Ledger:
        """What the ledger says now (see app/LedgerFile.php for the lines)."""
        file = self.root / "storage/app/ledger.log"
        lines = file.read_text().splitlines() if file.exists() else []
        sent: list[str] = []
        begun: dict[str, int] = {}
        ended: dict[str, int] = {}
        for mark, name, *rest in (line.split() for line in lines):
            if mark == "sent":
                sent += [f"{name}-{n}" for n in range(1, int(rest[0]) + 1)]
            else:
                counts = begun if mark == "begin" else ended
                counts[name] = counts.get(name, 0) + 1
        return Ledger(
            sent=len(sent),
            done=len(ended),
            missing=tuple(name for name in sent if name not in ended),
            doubled=tuple(name for name, times in ended.items() if times > 1),
            unfinished=tuple(name for name, times in begun.items() if times > ended.get(name, 0)),
        )

    def log(self) -> str:
        """storage/logs/laravel.log."""
        file = self.root / "storage/logs/laravel.log"
        return file.read_text(errors="replace") if file.exists() else ""


def laravel_version() -> tuple[int, ...]:
    """The Laravel of these tests, such as (13, 31, 0). It is asked once per test process."""
    return tuple(int(number) for number in _example()[1].split("."))


def _lock_version(root: Path) -> None:
    """Write the composer.lock that an application of one's own has, so that files alone tell its Laravel."""
    package = {"name": "laravel/framework", "version": f"v{_example()[1]}"}
    (root / "composer.lock").write_text(json.dumps({"packages": [package]}))


def _copy_example(root: Path) -> None:
    shutil.copytree(EXAMPLE, root, ignore=_NOT_COPIED)
    if (EXAMPLE / "vendor").is_dir() and not OTHER_LARAVEL:
        (root / "vendor").symlink_to(EXAMPLE / "vendor")


def _artisan(root: Path, *args: str, timeout: float = 60.0) -> str:
    result = _try_artisan(root, *args, timeout=timeout)
    assert result.returncode == 0, f"artisan {' '.join(args)}: {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


def _try_artisan(root: Path, *args: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PHP, "artisan", "--no-ansi", *args],
        cwd=root,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def _environment() -> dict[str, str]:
    """Ours without what would overrule the .env of the copy. NO_TERMINAL: else artisan starts six processes to ask
    `stty` for the width of a terminal that is not there."""
    mine = ("REDIS_", "QUEUE_", "DB_", "CACHE_", "APP_", "LOG_")
    return {**{name: value for name, value in os.environ.items() if not name.startswith(mine)}, **NO_TERMINAL}


@cache
def _example() -> tuple[bytes, str]:
    """The SQLite file with the tables jobs and failed_jobs, made by Laravel's own migrations, and Laravel's version.
    Both are asked once per test process."""
    with tempfile.TemporaryDirectory(prefix="qp-laravel-") as directory:
        root = Path(directory) / "app"
        _copy_example(root)
        shutil.copy(EXAMPLE / ".env.example", root / ".env")
        file = root / "storage/app/database.sqlite"
        file.touch()
        _artisan(root, "migrate", "--force")
        version = _artisan(root, "--version").split()[-1]
        return file.read_bytes(), version
