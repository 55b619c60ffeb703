"""`completion`: the script that teaches a shell to complete commands, options and the names of what runs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

INSTALL = {
    "bash": "queuepool completion bash > /etc/bash_completion.d/queuepool",
    "zsh": 'queuepool completion zsh > "${fpath[1]}/_queuepool"',
    "fish": "queuepool completion fish > ~/.config/fish/completions/queuepool.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(INSTALL)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell. To install it for bash:
    queuepool completion bash > /etc/bash_completion.d/queuepool"""
    kind = get_completion_class(shell)
    assert kind is not None, shell  # click.Choice let only these through
    click.echo(kind(ctx.find_root().command, {}, "queuepool", "_QUEUEPOOL_COMPLETE").source())
    click.echo(f"# to install it: {INSTALL[shell]}")  # last: zsh looks for #compdef in the first line
