"""Looks at the daemon from outside: its run directory, its record, its log, and how it comes up at boot."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from glob import glob

from queuepool.doctor.facts.running import BootFacts, Crashes, PlaceFacts, Survivor, UnitFacts
from queuepool.doctor.looks import journal
from queuepool.doctor.looks.crowd import Crowd, service_of, user_of
from queuepool.doctor.looks.managers import UNITS
from queuepool.doctor.looks.places import Places, read
from queuepool.engines.record import Record
from queuepool.formats.systemd import config_of
from queuepool.system import procstat
from queuepool.system.rundir import RunDirectory, canonical

CRASH_SECONDS = 600.0
"""How far back crashes are counted."""
SYSTEMCTL_SECONDS = 3.0
_ASKED = frozenset({0, -15, 143})
"""Exits that follow a stop signal, so that they may have been asked for."""


def survivors(directory: RunDirectory) -> tuple[Survivor, ...]:
    """Processes of the record that live; to be asked when no daemon tells."""
    record = Record(directory.record, procstat.boot_id())
    record.load()
    return tuple(Survivor(entry.name, entry.pid) for entry in record.living())


def place(directory: RunDirectory, *, denied: bool, pid: int | None, crowd: Crowd) -> PlaceFacts:
    """The run directory. pid: of the daemon that holds the lock."""
    same = same_file(directory, crowd) if pid is None else ()
    return PlaceFacts(
        directory.path,
        directory.socket,
        *_owned(directory.path),
        *_owned(directory.socket),
        denied=denied,
        lost=next((one for one in same if _uses(one, directory)), 0),
        foreign=next((user_of(one) for one in same if _owned(f"/proc/{one}")[1] not in (None, os.geteuid())), ""),
    )


def _owned(path: str) -> tuple[int | None, int | None]:
    """Mode and owner of a file that is there."""
    with suppress(OSError):
        found = os.lstat(path)
        return found.st_mode & 0o7777, found.st_uid
    return None, None


def same_file(directory: RunDirectory, crowd: Crowd) -> tuple[int, ...]:
    """Pids of the daemons whose command line names this file, whatever their run directory: also those of other
    users."""
    named = {one: os.path.join(procstat.directory(one) or "/", file) for one, file in crowd.daemons().items() if file}
    return tuple(one for one, file in named.items() if canonical(file) == directory.config)


def _uses(pid: int, directory: RunDirectory) -> bool:
    """Whether a daemon has the lock file of this run directory open, though that was removed."""
    for fd in glob(f"/proc/{pid}/fd/*"):
        with suppress(OSError):
            if os.readlink(fd).removesuffix(" (deleted)") == directory.lock:
                return True
    return False


def boot(directory: RunDirectory, places: Places, environ: Mapping[str, str], pid: int | None) -> BootFacts:
    """How the daemon comes up at boot. pid: of the one that runs."""
    systemd = os.path.isdir(places.of("/run/systemd/system"))
    system = [(places.of(path), "system") for path in UNITS]
    found = [
        _unit(path, folder, scope, systemd, environ)
        for folder, scope in [*system, (places.user_units(), "user")]
        for path in sorted(glob(os.path.join(folder, "queuepool*.service")))
        if (file := config_of(read(path, 1 << 16) or "")) is not None and canonical(file) == directory.config
    ]
    return BootFacts(
        systemd,
        tuple(found),
        detached=pid is not None and not _has_terminal(pid),
        unit=service_of(pid, places) if pid is not None else "",
        container=_in_container(places),
    )


def _unit(path: str, folder: str, scope: str, systemd: bool, environ: Mapping[str, str]) -> UnitFacts:
    name = os.path.basename(path)
    enabled = bool(glob(os.path.join(folder, "*.wants", name)) or glob(os.path.join(folder, "*.requires", name)))
    state = result = ""
    command = shutil.which("systemctl", path=environ.get("PATH", os.defpath))
    if systemd and command:
        user = ["--user"] if scope == "user" else []
        asked = [command, *user, "show", "--property=ActiveState,Result", name]
        with suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(
                asked, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SYSTEMCTL_SECONDS, check=False,
                env=dict(environ),
            )  # fmt: skip
            told = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
            state, result = told.get("ActiveState", ""), told.get("Result", "")
    return UnitFacts(name, path, scope, enabled, state, result)


def _has_terminal(pid: int) -> bool:
    """Whether a process has a controlling terminal (proc_pid_stat(5), tty_nr)."""
    text = read(f"/proc/{pid}/stat", 4096) or ""
    fields = text.rpartition(")")[2].split()
    return len(fields) > 4 and fields[4] != "0"


def _in_container(places: Places) -> bool:
    """Docker and Podman leave a file; systemd-nspawn, LXC and Podman say it in pid 1's environment."""
    return any(os.path.exists(places.of(path)) for path in ("/.dockerenv", "/run/.containerenv"))


def crashes(directory: RunDirectory, now: float | None = None) -> tuple[Crashes, ...]:
    """How often each process ended by itself lately, by the daemon's log. now: unix seconds."""
    since = (time.time() if now is None else now) - CRASH_SECONDS
    ends: dict[tuple[str, bool], list[journal.Said]] = {}
    for said in journal.tail(directory.log, frozenset({"exited", "recycled"})):
        code, recycled = said.number("code"), said.event == "recycled"
        if said.time >= since and code is not None and (recycled or code not in _ASKED):
            ends.setdefault((said.fields.get("process", ""), recycled), []).append(said)
    return tuple(
        Crashes(
            name,
            name.rpartition(":")[0],
            len(found),
            found[-1].time - found[0].time,
            found[-1].number("code"),
            recycled,
            found[-1].fields.get("reason", ""),
        )
        for (name, recycled), found in ends.items()
    )
