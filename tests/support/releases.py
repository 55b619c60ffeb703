"""Applications whose releases are switched by a link, as Deployer and Envoyer do: with obedient workers or Laravel."""

from __future__ import annotations

import os
import shlex
import shutil
import threading
from pathlib import Path

from tests.support.daemon import Queuepool
from tests.support.laravel import LaravelApp
from tests.support.redis import RedisServer
from tests.support.worker import Report, worker_argv


def switch(root: Path, name: str) -> None:
    """Let root/current lead to root/releases/NAME, by rename."""
    link = root / "current.new"
    link.symlink_to(root / "releases" / name)
    os.replace(link, root / "current")


class LaravelSite:
    """Releases of the example application, with shared/storage and shared/.env. app: the first one."""

    def __init__(self, root: Path, server: RedisServer, **env: str) -> None:
        self.root = root
        (root / "releases").mkdir(parents=True)
        self.app = LaravelApp(root / "releases/1", server, **env)
        (root / "shared").mkdir()
        for name in ("storage", ".env"):
            (self.app.root / name).rename(root / "shared" / name)
            (self.app.root / name).symlink_to(root / "shared" / name)
        self.switch("1")

    def make(self, name: str) -> Path:
        """Another release, with the same code."""
        return Path(shutil.copytree(self.app.root, self.root / "releases" / name, symlinks=True))

    def switch(self, name: str) -> None:
        """Let `current` lead to the release."""
        switch(self.root, name)


class Sampler:
    """Looks every 10 ms how many slots of a program have a worker that takes jobs."""

    def __init__(self, qp: Queuepool, program: str) -> None:
        self.fewest = 10_000
        self.samples = 0
        self._qp = qp
        self._program = program
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            views = self._qp.processes(self._program)
            taking = {p["slot"] for p in views if p["state"] == "RUNNING" and not p["retiring"]}
            self.fewest = min(self.fewest, len(taking))
            self.samples += 1


class Releases:
    """root/releases/N, and root/current. A worker reports under the name of its release."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.current = root / "current"
        root.mkdir(parents=True, exist_ok=True)
        self.report = Report(root / "report")

    def path(self, name: str) -> Path:
        return self.root / "releases" / name

    def make(self, name: str, script: str | None = None, **orders: object) -> Path:
        """A release whose worker obeys, or runs a shell script."""
        path = self.path(name)
        path.mkdir(parents=True)
        (path / "artisan").write_text("<?php\n")
        argv = worker_argv(report=self.report, name=name, life=300, **orders)  # type: ignore[arg-type]
        file = path / "work"
        file.write_text(f"#!/bin/sh\n{script or 'exec ' + shlex.join(argv)}\n")
        file.chmod(0o755)
        return path

    def switch(self, name: str) -> None:
        """Let `current` lead to the release, by rename."""
        switch(self.root, name)

    def to(self, name: str, script: str | None = None, **orders: object) -> str:
        """Make a release and switch to it; its real path."""
        path = self.make(name, script, **orders)
        self.switch(name)
        return str(path)


def program(name: str = "w", numprocs: int = 4, *, startsecs: float = 0.1, keys: str = "") -> str:
    """A program that runs the worker of the current release."""
    return f"""
  {name}:
    command: [./work]
    directory: current
    numprocs: {numprocs}
    startsecs: {startsecs}
    stopwaitsecs: 60
    strategy: {{max_surge: 25%, max_unavailable: 0}}
    stdout_logfile: {name}.log
{keys}"""


def config(*programs: str, deploy: str = "observe: 0.3s", more: str = "") -> str:
    """A queuepool.yml beside the link."""
    return f"app: current\nprograms:{''.join(programs or [program()])}\ndeploy: {{{deploy}}}\n{more}"
