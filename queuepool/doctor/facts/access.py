"""What the users of workers may do, each really tried. PURE."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Try:
    """One thing that was tried as a user. goal: what it is to the workers: storage, logs, cache, bootstrap/cache, log,
    env, sqlite, worker_log, command, directory. act: write, append (a file, not a directory), read, execute or
    enter. path: as they name it. error: name
    of the errno, "" when it went well; words: what the system says to it. where: what refused: the path itself, or the
    nearest directory above it that is there. shown: mode and owner of that. closed: the directory on the way that
    cannot be entered, with closed_shown. allowed: whether its mode alone would allow it. subject, programs: as in a
    Note."""

    goal: str
    act: str
    path: str
    error: str = ""
    words: str = ""
    where: str = ""
    shown: str = ""
    closed: str = ""
    closed_shown: str = ""
    allowed: bool = False
    subject: str = ""
    programs: tuple[str, ...] = ()
    user: str = ""

    @property
    def evidence(self) -> str:
        """What was tried and what came of it, in a line."""
        doing = {"read": "reading", "execute": "executing", "enter": "entering"}.get(self.act, "writing to")
        mode, place = (self.closed_shown, self.closed) if self.closed else (self.shown, self.where)
        what = f"{mode} {place}".strip() if place != self.path or mode else ""
        as_whom = f" as {self.user}" if self.user else ""
        return f"{doing} {self.path}{as_whom}: {self.words or self.error}" + (f" ({what})" if what else "")


@dataclass(frozen=True, slots=True)
class UserFacts:
    """Whom some programs run as. user, group: as in the file. missing: "user x" or "group x" that does not exist; near:
    names like it. refused: why we cannot become this user, "" when we can. uid: None when it is not known. tries: what
    its programs need beside their application."""

    user: str
    programs: tuple[str, ...]
    group: str | None = None
    uid: int | None = None
    missing: str = ""
    near: tuple[str, ...] = ()
    refused: str = ""
    tries: tuple[Try, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessFacts:
    """contained: whether the first process here is queuepool itself, as in a container made for it. security: what
    besides modes may refuse: "SELinux" or "AppArmor", where it is in force."""

    users: tuple[UserFacts, ...] = ()
    contained: bool = False
    security: str = ""
