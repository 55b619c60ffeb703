"""A whole installation in good health, for tests to break: a Laravel application owned by www-data, its Redis that
keeps what it is given, a queuepool.yml, and a daemon where a test wants one."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from queuepool.doctor.checks import CHECKS
from queuepool.doctor.examine import examine, needed
from queuepool.doctor.fixes import fixes_of, perform
from queuepool.doctor.report import Report, report
from tests.support.daemon import Queuepool
from tests.support.laravel import PHP, LaravelApp
from tests.support.redis import RedisServer
from tests.support.wait import LIMIT, eventually

USER = "www-data"


class Installation:
    """with Installation() as it:
            it.program(numprocs=4); it.doctor()

    root: its directory, which everybody may enter. machine: stands in for `/` where the doctor looks for what belongs
    to the machine (doctor/looks/places.py), so that findings do not depend on the one that tests run on. user: whom
    the workers run as: www-data when the tests run as root.
    """

    def __init__(self, *redis_options: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="qp-doctor-", dir="/tmp"))
        self.root.chmod(0o755)
        self.machine = self.root / "machine"
        self.user = USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.redis = RedisServer("--appendonly", "yes", "--maxmemory-policy", "noeviction", *redis_options)
        self.keys: dict[str, Any] = {"queue": "default", "numprocs": 1}
        self.top: dict[str, Any] = {}
        self.programs: dict[str, dict[str, Any]] = {}
        self.others: list[int] = []
        self.stack = ExitStack()
        self.app: LaravelApp
        self.qp: Queuepool
        self.found: Report

    def __enter__(self) -> Installation:
        try:
            self.redis.__enter__()
            self.app = LaravelApp(self.root / "app", self.redis, APP_ENV="production", APP_DEBUG="false")
            self.own()
            (self.root / "app/.env").chmod(0o640)
            self.machine.mkdir()
            self.qp = Queuepool(self.root / "etc", "", QUEUEPOOL_DOCTOR_ROOT=str(self.machine))
            self.write()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End and remove all of it."""
        self.end_others()
        if hasattr(self, "qp"):
            self.qp.close()
        self.redis.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def end_others(self) -> None:
        """End what is none of queuepool's."""
        for pid in self.others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.others.clear()
        self.stack.close()

    def start(self, *argv: str, cwd: str | os.PathLike[str] | None = None, forks: bool = False) -> int:
        """Start a process that is none of queuepool's, as the workers' user, in the application or in `cwd`; its pid.
        It is ended with the installation. forks: it leaves a child behind and ends itself; the child's pid, which it
        prints, is the answer."""
        who = {"user": self.user, "group": self.user, "extra_groups": []} if os.geteuid() == 0 else {}
        child = subprocess.Popen(
            argv, cwd=cwd or self.root / "app", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if forks else None,
            start_new_session=True, text=True, **who,  # type: ignore[call-overload]
        )  # fmt: skip
        pid = int(child.stdout.readline()) if forks else child.pid
        self.others.append(pid)
        if forks:
            child.wait(LIMIT)
            child.stdout.close()
        else:
            self.stack.callback(child.wait)
        return int(pid)

    def works(self) -> None:
        """Start the daemon and wait until its one worker has done a job: before PHP has booted, SIGUSR2 ends it. The
        job is there before the worker, who would sleep a while when there is none."""
        (self.app.root / "storage/app/ledger.log").touch()
        self.own("storage/app")
        self.app.dispatch("Ledger")
        self.own()
        self.qp.up()
        self.qp.running("w", 1)
        eventually(lambda: self.app.ledger().done == 1, what="it works", show=self.qp.story)
        self.own()

    def put(self, path: str, text: str = "") -> Path:
        """Write a file of the machine, `/etc/crontab` for example."""
        file = self.machine / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def own(self, *paths: str) -> None:
        """Give the application, or these paths in it, to the workers' user."""
        if os.geteuid() == 0:
            for path in paths or ("",):
                subprocess.run(["chown", "-R", f"{self.user}:", self.root / "app" / path], check=True)

    def program(self, **keys: Any) -> None:
        """Change keys of the program `w` and write the file; None takes a key away."""
        self.keys |= keys
        self.write()

    def write(self) -> None:
        """Write queuepool.yml from top, keys and programs."""
        keys = {name: value for name, value in self.keys.items() if value is not None}
        settings = {
            "app": str(self.app.root),
            "php": [*PHP],
            "user": self.user,
            **self.top,
            "programs": {"w": keys, **self.programs},
        }
        self.qp.write(json.dumps(settings, indent=2))

    def look(self, *only: str, names: Sequence[str] = ()) -> dict[str, Any]:
        """What `queuepool doctor --json` prints, without a command of its own, which costs as much as all the looks.
        only: ids of checks, as for `--only`, which looks at what they need alone. names: of programs, as for it."""
        checks = [check for check in CHECKS if not only or check.id in only]
        self.found = report(examine(str(self.qp.file), self.qp.environment, names, needed(checks)), checks)
        told: dict[str, Any] = json.loads(json.dumps(self.found.to_json()))
        return told

    def fix(self) -> None:
        """What `queuepool doctor --fix --yes` does after the look that was just made."""
        for _, fix in fixes_of(self.found.findings):
            outcome = perform(fix)
            assert not outcome.failed, outcome

    def doctor(self, *args: str) -> dict[str, Any]:
        """What `queuepool doctor --json` prints. An AssertionError when it is no report."""
        done = self.qp.try_("doctor", "--json", *args)
        try:
            told: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"doctor: {done.returncode}\n{done.stdout}{done.stderr}") from None
        return told


KEPT: list[Installation] = []
"""Those of running() that wait for the next test of this process; tests/doctor/conftest.py closes them at the end."""


@contextmanager
def running() -> Iterator[Installation]:
    """An installation whose daemon and worker run. The next test gets the same one: so each leaves daemon, file and
    application as they were, and a worker that is the daemon's child. What it put on the machine, started and set in
    the environment is undone here; where it fails, nothing is kept."""
    it = KEPT.pop() if KEPT else Installation().__enter__()
    environment = dict(it.qp.environment)
    try:
        if it.qp.run.pid() is None:
            it.works()
        it.qp.running("w", 1)
        yield it
        it.end_others()
        shutil.rmtree(it.machine)
        it.machine.mkdir()
        it.qp.environment.clear()
        it.qp.environment.update(environment)
    except BaseException:
        it.close()
        raise
    KEPT.append(it)


@dataclass(frozen=True)
class Break:
    """One way to break an installation. id: of the check that has to find it. how: does the damage. evidence: a
    regular expression that the evidence must match. severity: which it must have. redis: options of its redis-server.
    mended: what the remedy tells a person to do; "--fix": what `doctor --fix` does mends it. also: ids of findings
    that are true as well, because the one damage is really two. command: look by a command of its own: a look from
    within the test takes what the test has started for its own family. inside: which installation; a new one unless
    told otherwise."""

    id: str
    how: Callable[[Installation], object]
    evidence: str
    severity: str = "error"
    redis: tuple[str, ...] = ()
    mended: Callable[[Installation], object] | str | None = None
    also: tuple[str, ...] = ()
    name: str = ""
    command: bool = False
    inside: Callable[[], AbstractContextManager[Installation]] | None = None

    def __str__(self) -> str:
        return f"{self.id}-{self.name}" if self.name else self.id

    def prove(self) -> None:
        """Break an installation: exactly this is found, with its evidence, and is gone when it was mended."""
        with self.inside() if self.inside else Installation(*self.redis) as installation:
            self.how(installation)
            seen = installation.doctor() if self.command else installation.look()
            found = {finding["id"]: finding for finding in seen["findings"]}
            told = json.dumps(seen["findings"], indent=2)
            assert set(found) == {self.id, *self.also}, told
            finding = found[self.id]
            assert finding["severity"] == self.severity, told
            assert re.search(self.evidence, "\n".join(finding["evidence"])), told
            assert finding["what"], told
            assert finding["remedy"] or self.severity == "info", told
            if self.mended is None:
                return
            if self.mended == "--fix":
                installation.fix()
            else:
                assert callable(self.mended)
                self.mended(installation)
            ids = (self.id, *self.also)
            after = installation.doctor(f"--only={','.join(ids)}") if self.command else installation.look(*ids)
            assert after["findings"] == [], json.dumps(after["findings"], indent=2)
