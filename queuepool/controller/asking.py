"""Asking an application as its workers are run: the same PHP, user and environment, in a process of its own.
Remembering the answer is applications.py's matter, the question laravel/probe.py's."""

from __future__ import annotations

from queuepool.controller.applications import Application
from queuepool.domain.pool import Launch
from queuepool.errors import QueuepoolError
from queuepool.laravel.config import AppConfig
from queuepool.system import children


async def ask_application(who: Application) -> AppConfig:
    """The configuration in force. Raises QueuepoolError when the application does not boot or cannot be run."""
    from queuepool.laravel.probe import probe

    return await probe(who.php, who.app, user=who.user, group=who.group, environment=environment_of(who))


def guess_application(who: Application) -> AppConfig | None:
    """What the files of an application that cannot be asked let one guess; None when its user is unknown, or when .env
    cannot be read: Laravel's default addresses may be nobody's then, and not what is wrong."""
    from queuepool.laravel.secondhand import second_hand

    try:
        found = second_hand(who.app, environment_of(who))
    except QueuepoolError:
        return None
    return None if found.blind else found


def environment_of(who: Application) -> dict[str, str]:
    """The environment that the workers of an application get. Raises QueuepoolError for its user."""
    launch = Launch(
        who.php, who.app, who.user, who.group, who.groups, environment=who.environment, clear_env=who.clear_env
    )
    return children.environment(launch, children.identity(who.user, who.group, who.groups), {})
