"""Tries whether a login may run the commands of Redis that workers need, without running any."""

from __future__ import annotations

from queuepool.laravel.away import Away
from queuepool.laravel.servers import Servers
from queuepool.laravel.target import RedisTarget
from queuepool.laravel.wire import Command, reply_text


def needed(key: str) -> tuple[Command, ...]:
    """What queue:work does with a queue whose ready list is `key` (Illuminate/Queue/RedisQueue.php, LuaScripts.php).
    Redis asks the permission of each command in a script again."""
    delayed, reserved, notify = (f"{key}:{part}" for part in ("delayed", "reserved", "notify"))
    return (
        ("EVAL", "return 1", 1, key), ("RPUSH", key, 1), ("LPOP", key), ("LLEN", key), ("ZCARD", delayed),
        ("ZADD", reserved, 1, 1), ("ZREM", reserved, 1), ("ZRANGEBYSCORE", delayed, "-inf", 1),
        ("ZREMRANGEBYRANK", delayed, 0, 0), ("BLPOP", notify, 1),
    )  # fmt: skip


async def denied(target: RedisTarget, key: str) -> tuple[str, ...]:
    """The commands that `target`'s login may not run on the queue `key`, each as "EVAL: NOPERM ..."; none where that
    cannot be tried (a cluster, a login without MULTI).

    They are put in a transaction, where Redis checks each at once, and then it is thrown away. It has a connection of
    its own: what others asked meanwhile would be thrown away, too.
    """
    if target.cluster or target.sharded:
        return ()
    servers = Servers()
    try:
        begun = await servers.ask(target, [("MULTI",)])
        if isinstance(begun, Away) or begun[0] != b"OK":
            return ()
        commands = needed(key)
        replies = await servers.ask(target, [*commands, ("DISCARD",)])
    finally:
        await servers.close()
    if isinstance(replies, Away):
        return ()
    said = ((str(command[0]), reply_text(reply)) for command, reply in zip(commands, replies, strict=False))
    return tuple(f"{name}: {text}" for name, text in said if text.startswith("NOPERM"))
