"""One supervisord as `engine: supervisord` works with it: looks, and performs what was decided, in calls that block and
so belong into a thread. What is to be done is formats/supervisor_steps.py's decision, when it is asked
supervisord.py's."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from queuepool.domain.pool import EngineSpec, LogPolicy
from queuepool.engines.supervisord_client import Supervisord, SupervisordAway, SupervisordRefuses, reach
from queuepool.engines.supervisord_files import Installed, OurFile, find
from queuepool.errors import QueuepoolError, UsageError
from queuepool.formats import supervisor_slots as slots
from queuepool.formats.supervisor_sight import Info
from queuepool.formats.supervisor_steps import Steps
from queuepool.logs.opening import find_owner, open_log
from queuepool.system.rundir import RunDirectory, replace_file

ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What is there at one moment. supervisord: its pid. infos: of the sections that are ours, by name. strangers:
    names that it has and that are not ours. entries: what our file holds. lost: the file is gone, and they are what it
    held."""

    supervisord: int
    infos: Mapping[str, Info]
    strangers: frozenset[str]
    entries: Mapping[str, slots.Entry]
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """What was there when it was last written down, for when our file is gone or supervisord was killed: entries,
    section -> (pid, birth), pid and birth of supervisord. paused: sections whose process, with that pid, was told to
    take no jobs."""

    entries: Mapping[str, slots.Entry] = field(default_factory=dict)
    pids: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    supervisord: tuple[int, str] = (0, "")
    paused: frozenset[str] = frozenset()


class Link:
    """The way to one supervisord. owner: the queuepool.yml. directory: ours."""

    def __init__(self, engine: EngineSpec, directory: RunDirectory) -> None:
        self.engine, self.owner = engine, directory.config
        self.instance = os.path.basename(directory.path)
        self.where = ""
        """Where it answered."""
        self._memory_path = directory.supervised
        self.memory = remembered(self._memory_path)
        self._client: Supervisord | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._installed: Installed | None = None

    @property
    def installed(self) -> Installed:
        """What supervisord's files say. Raises UsageError."""
        if self._installed is None:
            self._installed = find(self.engine, self.instance, os.environ)
        return self._installed

    @property
    def file(self) -> OurFile:
        """The one file that is ours."""
        return OurFile(self.installed.file, self.owner)

    def reread(self) -> None:
        """Look at supervisord's files anew, the next time they are needed."""
        self._installed = None

    @contextlib.contextmanager
    def _client_of_ours(self) -> Iterator[Supervisord]:
        """supervisord itself, for one of us at a time. A call may still run in its thread when nobody waits for it any
        more. Raises QueuepoolError."""
        with self._lock:
            if self._closed:
                raise SupervisordAway("nobody asks any more")
            try:
                if self._client is None:
                    self._client = reach(self.installed.endpoints, ANSWER_SECONDS)
                yield self._client
            except SupervisordAway:
                self._drop()  # whoever answers next may be another one
                raise
            except SupervisordRefuses as error:
                raise SupervisordRefuses(
                    error.message,
                    "give them below `engine` in queuepool.yml, `username: ...` and `password: ...`; or restart "
                    "supervisord, when its file has others than it began with",
                ) from None
            finally:
                if self._closed:
                    self._drop()

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        """Let the connection go, at the latest when the call that still runs has ended."""
        self._closed = True
        if self._lock.acquire(timeout=0.2):
            self._drop()
            self._lock.release()

    def look(self) -> Seen:
        """What is there now. Raises QueuepoolError, SupervisordAway when it does not answer."""
        written = self.file.read()
        entries = dict(written.entries) if written is not None else dict(self.memory.entries)
        with self._client_of_ours() as client:
            infos, pid = client.infos(), client.pid
            self.where = str(client.endpoint)
        ours = {one.group: one for one in infos if one.group == one.name and one.group in entries}
        strangers = frozenset(one.group for one in infos) - set(ours)
        return Seen(pid, ours, strangers, entries, lost=written is None and bool(entries))

    def log(self) -> str:
        """The end of supervisord's own log."""
        with self._client_of_ours() as client:
            return client.log()

    def write(self, entries: Mapping[str, slots.Entry], supervisord: int) -> None:
        """Let our file hold these, and let the supervisord of that pid be able to read it. Raises QueuepoolError."""
        if not entries:  # it goes away, and is not to be taken for one that was lost
            self.remember(Memory(supervisord=self.memory.supervisord))
        uid = None
        with contextlib.suppress(OSError):
            uid = os.stat(f"/proc/{supervisord}").st_uid
        self.file.write(entries, uid)

    def perform(self, steps: Steps, logs: Mapping[str, tuple[LogPolicy, ...]]) -> dict[str, str]:
        """Do the steps, but for the file; section -> why it cannot be started. logs: section -> where it prints; the
        directories are made, for Supervisor refuses all of its files for one that is missing. Raises QueuepoolError."""
        failed: dict[str, str] = {}
        with self._client_of_ours() as client:
            for section in steps.stop:
                client.try_stop(section)
            for section in steps.remove:
                client.remove(section)
            for section in steps.add:
                for policy in logs.get(section, ()):
                    _make_room(policy)
            if steps.reload:
                client.reload()
            for section in steps.add:
                if not client.add(section):
                    raise self._not_covered()
                if why := client.try_start(section):
                    failed[section] = why
            for section in steps.start:
                if why := client.try_start(section):
                    failed[section] = why
        return failed

    def signal(self, section: str, number: int) -> None:
        """Send a signal to a process."""
        with self._client_of_ours() as client:
            client.signal(section, number)

    def check(self) -> None:
        """Raises UsageError where supervisord would not read our file."""
        if not self.installed.covered:
            raise self._not_covered()

    def _not_covered(self) -> UsageError:
        installed = self.installed
        said = " ".join(installed.patterns) or "nothing"
        return UsageError(
            f"supervisord does not read {installed.file}: [include] of {installed.config} names {said}",
            f"add {os.path.join(os.path.dirname(installed.file), '*' + os.path.splitext(installed.file)[1])} to its "
            "`files`, nothing has to be restarted; or `engine: {type: supervisord, directory: ...}` in queuepool.yml",
        )

    # --- memory -------------------------------------------------------------------------------------------------------

    def remember(self, memory: Memory) -> None:
        """Keep it for the next one who looks."""
        if memory == self.memory:
            return
        self.memory = memory
        value = {
            "entries": slots.to_json(memory.entries.values()),
            "pids": memory.pids,
            "supervisord": memory.supervisord,
            "paused": sorted(memory.paused),
        }
        with contextlib.suppress(OSError):  # it is a help, and not what anything rests on
            replace_file(self._memory_path, json.dumps(value).encode())


def remembered(path: str) -> Memory:
    """What was kept in the file of that path."""
    try:
        with open(path) as file:
            value = json.load(file)
        pids = {str(name): (int(pid), str(birth)) for name, (pid, birth) in value["pids"].items()}
        pid, birth = value["supervisord"]
        paused = frozenset(map(str, value.get("paused", ())))
        return Memory(slots.from_json(value["entries"]), pids, (int(pid), str(birth)), paused)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Memory()


def _make_room(policy: LogPolicy) -> None:
    if policy.path is None or policy.path.startswith("/dev/"):
        return
    try:
        opened = open_log(policy.path, find_owner(policy.user, policy.group), policy.mode, lambda path: None)
        os.close(opened.fd)
    except (OSError, LookupError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise QueuepoolError(
            f"cannot make the log {policy.path}: {why}",
            "make its directory, or set stdout_logfile; Supervisor takes no program without it",
        ) from None
