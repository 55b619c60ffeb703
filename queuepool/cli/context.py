"""What every command finds in `ctx.find_root().obj`: the file, the daemon, how to print. No command's work is here."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from queuepool.errors import ConfigError, NoConfig, UsageError

if TYPE_CHECKING:
    from queuepool.control.client import Client


class Context:
    """The global options of one call, and the things that follow from them. Filled while click parses.

    config: the file of `-c`, None when it is to be searched. color: whether standard output gets colours.
    json: whether the command was asked for `--json`. verbose: `-v`, more detail where a command has it.
    given_host, token: of `--host` and `--token`.
    """

    def __init__(self) -> None:
        self.config: str | None = None
        self.given_host: str | None = None
        self.token: str | None = None
        self.color = False
        self.color_errors = False
        self.json = False
        self.verbose = False

    @property
    def host(self) -> str:
        """URL of a daemon on another machine: `--host`, else $QUEUEPOOL_HOST unless a file was named; "" for none."""
        if self.given_host is not None:
            return self.given_host
        return "" if self.config is not None else os.environ.get("QUEUEPOOL_HOST", "")

    def config_path(self) -> str:
        """The absolute path of queuepool.yml. Raises NoConfig when there is none, UsageError when it is another
        machine's."""
        from queuepool.config.find import find_config
        from queuepool.system.rundir import RunDirectory

        if self.host:
            self.refuse_host()

        try:
            cwd = os.getcwd()
        except FileNotFoundError:  # the release that the shell stands in was deleted by a deploy
            cwd = os.environ.get("PWD") or "/"
        try:
            return find_config(self.config, os.environ, cwd)
        except NoConfig as error:
            if error.path and RunDirectory(error.path).pid() is not None:
                return error.path  # it was taken away below a daemon, which can be asked and ended all the same
            raise

    def refuse_host(self) -> NoReturn:
        """Raise the UsageError of a command that works with the files of a machine."""
        from queuepool.control.remote import shown

        how = "leave --host out" if self.given_host is not None else "unset QUEUEPOOL_HOST"
        raise UsageError(
            f"cannot do that at {shown(self.host)}: the command works with the files of the machine it runs on",
            f"run it there, or {how}",
        )

    def client(self, timeout: float = 10.0) -> Client:
        """A client of the daemon of this file, or of another machine; where there is none, and another engine keeps the
        processes alive, what does its work in this process. Nothing is connected yet."""
        if self.host:
            from queuepool.control.remote import RemoteClient

            token = self.token if self.token is not None else os.environ.get("QUEUEPOOL_TOKEN", "")
            return RemoteClient(self.host, token, timeout)
        if self.token is not None:
            raise UsageError("--token goes with --host", "queuepool --host https://queue.example.org --token @FILE")
        from queuepool.control.client import Client
        from queuepool.system.rundir import RunDirectory

        path = self.config_path()
        directory = RunDirectory(path)
        if directory.pid() is None and _is_supervised(path):
            from queuepool.control.inprocess import InProcess

            return InProcess(path, lambda line: click.echo(line, err=True))

        def absent() -> str:
            from queuepool.cli import absence

            return absence.hint(directory)

        return Client(directory.socket, timeout, absent)

    def set_color(self, when: str) -> None:
        """Decide on colours. when: always, never or auto, which means a terminal and no NO_COLOR (no-color.org)."""
        self.color, self.color_errors = (_wants_color(when, stream) for stream in (sys.stdout, sys.stderr))

    def print_json(self, value: Any) -> None:
        """Print one object: indented for a person at a terminal, in one line for a program."""
        import json

        click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None))


def context_of(ctx: click.Context) -> Context:
    """The Context of this call, made on first need: options may set it before the group's own callback runs."""
    root = ctx.find_root()
    if not isinstance(root.obj, Context):
        root.obj = Context()
        root.obj.set_color("auto")
        root.color = root.obj.color
    return root.obj


def _is_supervised(path: str) -> bool:
    """Whether the file says `engine: supervisord`. Only one with these words is read in full, which takes longer than a
    whole `status`; where it cannot be used it counts as that, and whoever uses it is told why."""
    try:
        with open(path, "rb") as file:
            text = file.read(1 << 20)
    except OSError:
        return False
    if b"supervisord" not in text or b"engine" not in text:
        return False
    from queuepool.config.load import load

    try:
        return load(path, os.environ).engine.type != "local"
    except ConfigError:
        return True


def _wants_color(when: str, stream: Any) -> bool:
    if when != "auto":
        return when == "always"
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(stream.isatty())
