"""An application whose releases are switched by a link, as Deployer and Envoyer do; its workers are obedient ones."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tests.support.worker import Report, worker_argv


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
        link = self.root / "current.new"
        link.symlink_to(self.path(name))
        os.replace(link, self.current)

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
