"""Others that work for the same application: their processes, and what is set up to start them. PURE."""

from __future__ import annotations

from dataclasses import dataclass

WORK = "work"
SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True)
class OtherProcess:
    """A process of the application that is not ours. what: WORK or SCHEDULE. command: as a person would read it.
    manager: who keeps it: "supervisord", "queuepool", "systemd", "cron", "init" (its parent is gone) or "hand". by:
    that manager's process or unit, in words. by_pid: its pid, 0 for a unit. config: the file of that manager, where it
    names one. user: whose process it is. started: unix seconds."""

    pid: int
    what: str
    command: str
    manager: str
    by: str = ""
    by_pid: int = 0
    config: str = ""
    user: str = ""
    started: float | None = None


@dataclass(frozen=True, slots=True)
class OtherEntry:
    """Something that is set up to start such a process. manager: "supervisord", "systemd" or "cron". where:
    "file:line", or the file. name: of the program or unit; "" for a line of a crontab. active: whether it is in force:
    a supervisord that runs reads it, the unit is enabled; None: it cannot be told."""

    manager: str
    what: str
    where: str
    name: str
    command: str
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class OthersFacts:
    """app: the Laravel root as written in the file. programs: those of the file that belong to it; schedules: those of
    them that run schedule:work."""

    app: str
    programs: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    processes: tuple[OtherProcess, ...] = ()
    entries: tuple[OtherEntry, ...] = ()

    @property
    def subject(self) -> str:
        """How a finding names it."""
        return f"application {self.app}"
