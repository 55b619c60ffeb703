"""What is asked about notifications: where they go and what is on its way, and a test of it. The daemon's own are
notifier.py's; a command asks this without one too."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from typing import Any

from queuepool.controller.noticestate import Kept
from queuepool.controller.senders import RunCommand, send
from queuepool.domain import noticewords
from queuepool.domain.alarm import Limits
from queuepool.domain.alarms import Eyes
from queuepool.domain.notices import About, Notice, Phase, Severity
from queuepool.domain.notify import Command, Mail, Notify, Target
from queuepool.domain.outbox import Outbox
from queuepool.errors import UsageError


async def try_targets(
    settings: Notify | None, names: Sequence[str], run: RunCommand, *, config: str, now: float
) -> list[dict[str, Any]]:
    """Tell these targets, or all, that this is a test; what became of it, see messages.Notify. Raises UsageError."""
    targets = settings.targets if settings else ()
    known = {target.name: target for target in targets}
    if not known:
        raise UsageError(
            "cannot test notifications: the settings in force have no targets",
            "write `notifications: {slack: ...}` into the file, then `queuepool update`",
        )
    for name in names:
        if name not in known:
            hint = f"there is {', '.join(known)}; a new one is known after `queuepool update`"
            raise UsageError(f"cannot test {name}: there is no such target", hint)
    host = os.uname().nodename
    notice = Notice(
        id=f"{int(now)}-test-{random.randrange(10**6):06d}",  # noqa: S311
        key="test",
        about=About.TEST,
        phase=Phase.HAPPENED,
        severity=Severity.INFO,
        time=now,
        since=now,
        title=f"a test of notifications from {host}",
        text="Nothing is wrong. Somebody typed `queuepool notify --test`.",
        command="queuepool notify",
        host=host,
        config=config,
    )

    async def one(target: Target) -> dict[str, Any]:
        began = time.monotonic()
        failure = await send(target, notice, run, now)
        seconds = round(time.monotonic() - began, 3)
        return {"target": target.name, "ok": failure is None, "why": failure.why if failure else "", "seconds": seconds}

    chosen = [known[name] for name in dict.fromkeys(names)] or list(known.values())
    return list(await asyncio.gather(*map(one, chosen)))


def report(settings: Notify | None, kept: Kept, now: float, eyes: Eyes | None) -> dict[str, Any]:
    """See messages.Notify. eyes: None where nothing can be seen."""
    targets = (
        [_target(target, kept.boxes.get(target.name, Outbox())) for target in settings.targets] if settings else []
    )
    limits = settings.limits if settings else Limits()
    opened = []
    for alarm in kept.memory.alarms.values():
        if alarm.ends and alarm.told is not None:
            sight = eyes.program(alarm.subject) if eyes else None
            notice = noticewords.tell(alarm, Phase.RAISED, "", now, limits, sight)
            opened.append(
                {
                    "key": alarm.key,
                    "about": alarm.about.value,
                    "title": notice.title,
                    "since": alarm.since,
                    "over": alarm.good is not None,
                }
            )
    return {"targets": targets, "open": opened, "ignored": kept.memory.ignored}


def _target(target: Target, box: Outbox) -> dict[str, Any]:
    return {
        "name": target.name,
        "kind": target.kind,
        "where": _where(target),
        "on": sorted(target.on),
        "programs": sorted(target.programs),
        "delivered": box.delivered,
        "last": box.last or None,
        "waiting": len(box.letters),
        "held": box.held.count,
        "lost": box.held.lost,
        "trouble": box.trouble,
        "since": box.since or None,
    }


def _where(target: Target) -> str:
    """Where it goes, without a secret."""
    way = target.way
    if isinstance(way, Mail):
        return ", ".join(way.to)
    if isinstance(way, Command):
        return way.argv[0]
    host = way.url.text.partition("://")[2].replace("?", "/").replace("#", "/").partition("/")[0]
    return host or way.url.file
