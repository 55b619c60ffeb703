"""The `notifications:` section of the file, resolved: who is told what, and by which way. Its keys are spec.py's; when
something is to be told is alarms.py's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from queuepool.domain.alarm import Limits
from queuepool.domain.notices import DEFAULT, MEANING, About
from queuepool.domain.notify import Command, Hidden, Mail, Notify, Slack, Target, Way, Webhook, nearest
from queuepool.domain.notifyspec import Notifications, Secret, TargetKeys
from queuepool.domain.outbox import Rate
from queuepool.domain.places import Fault, File, Path, absolute
from queuepool.domain.spec import Settings


def notifications(file: File, groups: Mapping[str, Iterable[str]]) -> Notify | None:
    """What the main file says of notifications; None: nothing. groups: of all files, name -> programs."""
    said = _said(file)
    if said is None:
        return None
    targets = [_target(way, way, said, said, file, groups) for way in said.ways]
    targets += [_target(name, one.ways[0], one, said, file, groups) for name, one in said.targets.items()]
    limits = Limits(
        gather=said.gather,
        calm=said.calm,
        remind=said.remind,
        crashes=said.crash_loop.crashes,
        within=said.crash_loop.within,
        waits=dict(said.wait_above),
    )
    return Notify(tuple(targets), limits)


def _said(file: File) -> Notifications | None:
    """The section, where it was understood."""
    found = file.section.notifications if isinstance(file.section, Settings) else None
    return found if isinstance(found, Notifications) else None


def _target(
    name: str, way: str, one: TargetKeys, all_: TargetKeys, file: File, groups: Mapping[str, Iterable[str]]
) -> Target:
    def first(key: str) -> Any:
        own = getattr(one, key)
        return getattr(all_, key) if own is None else own

    on: set[About] = set()
    for word in first("on") or ("default",):
        on |= DEFAULT if word == "default" else set(MEANING) if word == "all" else {About(word)}
    programs: set[str] = set()
    for named in first("programs") or ():
        programs |= set(groups.get(named, (named,)))
    interval, burst = first("interval"), first("burst")
    usual = Rate()
    rate = Rate(usual.interval if interval is None else interval, burst or usual.burst)
    return Target(name, _way(way, one, file), frozenset(on), rate, frozenset(programs))


def _way(way: str, said: TargetKeys, file: File) -> Way:
    def hidden(secret: Secret) -> Hidden:
        if secret.file is not None:
            return Hidden(file=absolute(file.place.here, secret.file))
        return Hidden((secret.text.get_secret_value() if secret.text else "").strip())

    if way == "slack" and said.slack is not None:
        return Slack(hidden(said.slack))
    if way == "webhook" and said.webhook is not None:
        headers = tuple((name, hidden(value)) for name, value in said.headers.items())
        return Webhook(hidden(said.webhook), headers, hidden(said.secret) if said.secret else None)
    if way == "email" and said.email is not None:
        mail = said.email
        host, _, port = mail.smtp.rpartition(":")
        sender = mail.from_ or f"queuepool@{file.place.host or 'localhost'}"
        password = hidden(mail.password) if mail.password else None
        return Mail(mail.to, sender, host.strip("[]"), int(port), mail.security, mail.username or "", password)
    assert said.command is not None, "a target has one of these"
    return Command(said.command, file.place.here)


def mistakes(file: File, programs: Collection[str], groups: Collection[str], *, missing: bool) -> Iterator[Fault]:
    """Names that nothing has. missing: an included file cannot be used, so they may be there."""
    said = _said(file)
    if said is None:
        return
    taken: list[tuple[Path, tuple[str, ...] | None]] = [(("notifications", "programs"), said.programs)]
    for name, one in said.targets.items():
        taken.append((("notifications", "targets", name, "programs"), one.programs))
        if name in said.ways:
            yield Fault(
                ("notifications", "targets", name), f"is also the name of the {name} beside `targets`", "rename it"
            )
    for where, names in taken:
        for unknown in [named for named in names or () if named not in programs and named not in groups]:
            yield Fault(where, f"names {unknown}, which is no program or group", nearest(unknown, programs), missing)
    for unknown in [named for named in said.wait_above if named and named not in programs]:
        yield Fault(("notifications", "wait_above", unknown), "is no program", nearest(unknown, programs), missing)


def secret_files(file: File) -> Iterator[tuple[Path, str]]:
    """Where a file is named that holds a secret, and its path."""
    said = _said(file)
    holders: list[tuple[Path, TargetKeys]] = []
    if said is not None:
        holders = [(("notifications",), said)]
        holders += [(("notifications", "targets", name), one) for name, one in said.targets.items()]
    for where, keys in holders:
        found: dict[Path, Secret | None] = {(way,): getattr(keys, way) for way in ("slack", "webhook", "secret")}
        found |= {("headers", name): value for name, value in keys.headers.items()}
        found |= {("email", "password"): keys.email.password if keys.email else None}
        for inside, secret in found.items():
            if secret is not None and secret.file is not None:
                yield (*where, *inside), absolute(file.place.here, secret.file)
