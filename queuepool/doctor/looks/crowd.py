"""Looks through the processes of the machine for those that work for an application. Only command lines that name
artisan are looked at closer, so that thousands of others cost little."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from queuepool.config.explain import MASK, is_secret
from queuepool.doctor.facts.managers import SCHEDULE, WORK, OtherProcess
from queuepool.doctor.looks.places import Places, read
from queuepool.system import procstat

MOST_PROCESSES = 20_000
MOST_ANCESTORS = 64
_COMMANDS = {
    "queue:work": WORK, "queue:listen": WORK, "horizon": WORK, "horizon:work": WORK, "horizon:supervisor": WORK,
    "schedule:work": SCHEDULE,
}  # fmt: skip
"""Commands of artisan that run for long, of Laravel 6 to 13 and Horizon."""
_IN_TEXT = re.compile(
    r"\bartisan[\"']?\s+(?:-\S+\s+)*[\"']?(queue:work|queue:listen|horizon|schedule:work|schedule:run)(?![\w:-])"
)
_PATH = re.compile(r"/[^\s\"';&|()<>]*")
_URL = re.compile(r"(://[^/@\s:]*:)[^/@\s]+(?=@)")
_VALUE = re.compile(r"([\w-]+)=(\"[^\"]*\"|'[^']*'|\S+)")
_CRONS = frozenset({"cron", "CRON", "crond", "anacron", "fcron"})
_NO_SERVICES = ("user@", "ssh", "cron", "crond", "getty@", "session-")


@dataclass(slots=True)
class Crowd:
    """The processes of this moment. arguments: pid -> command line."""

    places: Places
    arguments: dict[int, list[str]] = field(default_factory=dict)
    _parents: dict[int, int] = field(default_factory=dict)

    def look(self) -> None:
        """Read all command lines: about 15 microseconds each."""
        for pid in procstat.pids()[:MOST_PROCESSES]:
            if words := procstat.arguments(pid):
                self.arguments[pid] = words

    def parent(self, pid: int) -> int:
        """The parent of a process, 0 when it is gone."""
        if pid not in self._parents:
            self._parents[pid] = procstat.parent(pid) or 0
        return self._parents[pid]

    def ancestors(self, pid: int) -> list[int]:
        """Its parent first, pid 1 last."""
        found: list[int] = []
        while (pid := self.parent(pid)) > 0 and pid not in found and len(found) < MOST_ANCESTORS:
            found.append(pid)
        return found

    def supervisords(self) -> dict[int, str]:
        """Every supervisord that runs: pid -> its configuration file, "" where the command line names none."""
        return {pid: _option(words, "-c", "--configuration") for pid, words in self.arguments.items()
                if _is(words, "supervisord")}  # fmt: skip

    def daemons(self) -> dict[int, str]:
        """Every queuepool daemon: pid -> its file, as its command line names it, else ""."""
        return {pid: _option(words, "-c", "--config") for pid, words in self.arguments.items() if _is_daemon(words)}

    def workers(self, family: Sequence[str], ours: Collection[int]) -> list[OtherProcess]:
        """The processes of an application that are not ours: neither one of `ours` nor below one. family: see
        `family`."""
        candidates = {pid: found for pid, words in self.arguments.items() if (found := _artisan(words))}
        others = []
        for pid, (command, artisan) in candidates.items():
            ancestors = self.ancestors(pid)
            if pid in ours or not candidates.keys().isdisjoint(ancestors):
                continue
            if not set(ours).isdisjoint(ancestors):
                continue
            directory = (procstat.directory(pid) or "").removesuffix(" (deleted)")
            if not belongs([os.path.dirname(os.path.join(directory, artisan))], family):
                continue
            manager, by, by_pid, config = self._manager(pid, ancestors)
            text, user, started = shown(" ".join(self.arguments[pid])), user_of(pid), procstat.started(pid)
            others.append(OtherProcess(pid, _COMMANDS[command], text, manager, by, by_pid, config, user, started))
        return others

    def _manager(self, pid: int, ancestors: Sequence[int]) -> tuple[str, str, int, str]:
        """Who keeps a process: manager, in words, pid, its file."""
        for one in ancestors:
            words = self.arguments.get(one, [])
            if _is(words, "supervisord"):
                return "supervisord", f"supervisord (pid {one})", one, _option(words, "-c", "--configuration")
            if _is_daemon(words):
                return "queuepool", f"queuepool (pid {one})", one, _option(words, "-c", "--config") or _told(pid)
            if words and os.path.basename(words[0].split(" ")[0]) in _CRONS:
                return "cron", f"cron (pid {one})", one, ""
        if unit := service_of(pid, self.places):
            return "systemd", unit, 0, ""
        if not ancestors:
            return "hand", "a process outside of this container", 0, ""
        if ancestors[0] == 1 or _is(self.arguments.get(ancestors[0], []), "systemd") or _is_left(pid, ancestors):
            return "init", "", 0, ""
        words = self.arguments.get(ancestors[0], [])
        return "hand", f"{os.path.basename(words[0]) if words else 'a process'} (pid {ancestors[0]})", ancestors[0], ""


def family(app: str) -> tuple[str, ...]:
    """The real root of an application, and where that is one of several releases (the layout of Envoyer, Forge and
    Deployer) the directory of these."""
    real = os.path.realpath(app)
    above = os.path.dirname(real)
    return (real, above) if os.path.basename(above) == "releases" else (real,)


def belongs(paths: Sequence[str], family: Sequence[str]) -> bool:
    """Whether one of these is a root of the application. What is merely below it may be another application."""
    reals = [os.path.realpath(path) for path in paths if path.startswith("/")]
    return any(real == family[0] or os.path.dirname(real) in family[1:] for real in reals)


def artisan_in(text: str) -> str | None:
    """The long-running command of artisan (or schedule:run) that a line of shell or configuration starts."""
    found = _IN_TEXT.search(text)
    return found[1] if found else None


def shown(text: str) -> str:
    """A command line for a person: in one line, not too long, and without the secrets that people write into it."""
    text = _URL.sub(rf"\1{MASK}", " ".join(text.split()))
    return _VALUE.sub(lambda found: f"{found[1]}={MASK}" if is_secret(found[1]) else found[0], text)[:200]


def paths_in(text: str) -> list[str]:
    """The absolute paths in a line."""
    return [path.removesuffix("/artisan") for path in _PATH.findall(text)[:50]]


def service_of(pid: int, places: Places) -> str:
    """The systemd service that a process runs in, "" where it runs in none, or in that of a login, cron or ssh."""
    text = read(places.kernel(f"/proc/{pid}/cgroup"), 1 << 16) or ""
    for line in text.splitlines():
        last = line.rpartition(":")[2].rstrip("/").rpartition("/")[2]
        if last.endswith(".service") and not last.startswith(_NO_SERVICES):
            return last
    return ""


def _artisan(words: Sequence[str]) -> tuple[str, str] | None:
    """(command, path of artisan) of a command line that runs artisan for long."""
    for index, word in enumerate(words[:12]):
        if word.rpartition("/")[2] == "artisan":
            command = next((after for after in words[index + 1 : index + 8] if after and after[0] != "-"), "")
            return (command, word) if command in _COMMANDS else None
    return None


def _is(words: Sequence[str], name: str) -> bool:
    """Whether a command line runs the program `name`, itself or by an interpreter."""
    return any(word.rpartition("/")[2] == name for word in words[:2])


def _is_daemon(words: Sequence[str]) -> bool:
    begins = words[:8]
    return (_is(begins, "queuepool") or ("-m" in begins and "queuepool" in begins)) and "up" in words[1:40]


def _is_left(pid: int, ancestors: Sequence[int]) -> bool:
    """Whether the process that began its session is none of its ancestors any more: then it has got another parent."""
    session = procstat.session(pid)
    return session not in (None, 0, pid) and session not in ancestors


def _option(words: Sequence[str], short: str, long: str) -> str:
    for index, word in enumerate(words):
        if word in (short, long) and index + 1 < len(words):
            return words[index + 1]
        if word.startswith(f"{long}="):
            return word.partition("=")[2]
    return ""


def _told(pid: int) -> str:
    """The file that a process of another daemon was told it comes from; nothing else of its environment is kept."""
    text = read(f"/proc/{pid}/environ", 1 << 17) or ""
    return next((item.partition("=")[2] for item in text.split("\0") if item.startswith("QUEUEPOOL_CONFIG=")), "")


def user_of(pid: int) -> str:
    """Whose process it is; "" when it is gone."""
    with suppress(OSError):
        uid = os.stat(f"/proc/{pid}").st_uid
        with suppress(KeyError):
            return pwd.getpwuid(uid).pw_name
        return str(uid)
    return ""
