"""The `queuepool` command: the group that loads a subcommand only when it is called, and the edge at which every error
becomes a message, a hint and an exit code. What the commands do is in the other files here."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from queuepool import __version__
from queuepool.cli import trouble
from queuepool.cli.context import Context, context_of
from queuepool.cli.options import Group, accept_global_options, global_options
from queuepool.errors import ExitCode

COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Run": {
        "init": ("init:init", "Write queuepool.yml for the Laravel application here."),
        "up": ("up:up", "Run the daemon and the pools; apply the file when it is already up."),
        "down": ("down:down", "Let everything finish, stop it, then end the daemon."),
    },
    "Look": {
        "status": ("status:status", "What runs, what does not, and why."),
        "top": ("top:top", "Everything on one screen: processes, queues, what happens, and keys to act."),
        "queues": ("queues:queues", "How deep the queues are and how fast they move."),
        "doctor": ("doctor:doctor", "Find what is wrong, prove it, and say what mends it."),
        "redis": ("queues:redis", "PING and health of every Redis that the application uses."),
        "logs": ("logs:logs", "The workers' output."),
        "tail": ("logs:tail", "The last lines of one process."),
        "events": ("events:events", "What happened: the daemon's journal."),
        "notify": ("notify:notify", "Who is told when something is wrong, and whether it reaches them."),
    },
    "Control": {
        "start": ("control:start", "Start processes."),
        "stop": ("control:stop", "Let processes finish their job, then keep them stopped."),
        "restart": ("control:restart", "Replace processes, new ones first."),
        "signal": ("control:signal", "Send a signal to processes."),
        "pause": ("control:pause", "Let workers finish their job and take no further one."),
        "continue": ("control:continue_", "Let paused workers take jobs again."),
        "scale": ("scale:scale", "Run more or fewer processes of one program, touching no other."),
    },
    "Change": {
        "reread": ("update:reread", "Show what changed in the file; change nothing."),
        "update": ("update:update", "Apply what changed in the file, and only that."),
        "deploy": ("deploy:deploy", "Bring all processes to the new release and settings, or back to what worked."),
        "config": ("config:config", "Check, show and describe queuepool.yml."),
        "reopen": ("update:reopen", "Close and open all log files again, for logrotate."),
        "upgrade": ("update:upgrade", "Replace the daemon's own code; no worker is touched."),
    },
    "Set up": {
        "import": ("convert:import_", "Write queuepool.yml from the configuration of another process manager."),
        "export": ("convert:export", "Write the programs of queuepool.yml as another process manager's configuration."),
        "startup": ("startup:startup", "Start the daemon at boot, by systemd."),
        "completion": ("completion:completion", "Print the completion script of a shell."),
        "version": ("info:version", "The version of this command and of the daemon."),
        "pid": ("info:pid", "Process ids of the daemon or of processes."),
    },
}
"""Section -> command -> ("module:object" below queuepool.cli, short help). The help is here so that `--help` need not
import the commands; a test asserts that it is the first sentence of each command's own."""


LOCAL = frozenset({"init", "up", "doctor", "config", "import", "export", "startup", "completion"})
"""Commands that no daemon elsewhere can be asked for."""


class LazyGroup(Group):
    """A group whose subcommands are imported when they are called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the table."""
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        for section in COMMANDS.values():
            if cmd_name in section and cmd_name not in self.commands:
                module, _, attribute = section[cmd_name][0].partition(":")
                command = getattr(import_module(f"queuepool.cli.{module}"), attribute)
                accept_global_options(command)
                self.commands[cmd_name] = command
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As every group's, but for what no daemon elsewhere can be asked for."""
        if args[0] in LOCAL and context_of(ctx).given_host is not None:
            context_of(ctx).refuse_host()
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by section, from the table alone."""
        width = max(len(name) for name in self.list_commands(ctx))
        for section, commands in COMMANDS.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), help_) for name, (_, help_) in commands.items()])


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"queuepool {__version__}")
        ctx.exit()


@click.pass_context
def _without_command(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(ExitCode.USAGE)


cli = LazyGroup(
    name="queuepool",
    callback=_without_command,
    invoke_without_command=True,
    help="The process manager made for Laravel queues.",
    epilog="NAME is `all`, a program, a group, `program:3`, `program:*`, Supervisor's `program:program_03` or a glob.",
    params=[
        *global_options(hidden=False),
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_print_version,
            help="Print the version.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def run(args: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code. Nothing is raised: every error was shown when this returns."""
    context = Context()
    context.set_color("auto")
    try:
        result: Any = cli.main(
            args=args, prog_name="queuepool", standalone_mode=False, obj=context, color=context.color
        )
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - the edge: nothing may pass it as a traceback
        return trouble.show(error, color=context.color_errors)
    return result if isinstance(result, int) else ExitCode.DONE


def main() -> None:
    """The entry point of the `queuepool` script and of `python -m queuepool`. Everything is written and closed when a
    command has run, so the interpreter's own end is skipped: it takes 8 ms, a seventh of a whole `status`."""
    code = run()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


__all__ = ["COMMANDS", "cli", "context_of", "main", "run"]
