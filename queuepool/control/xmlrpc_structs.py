"""The structs of Supervisor's methods, with all their fields (supervisor/rpcinterface.py, getProcessInfo and
getAllConfigInfo). Pure; what is true of a process is gathered in xmlrpc_face.py."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from queuepool.control.xmlrpc_faults import Code
from queuepool.control.xmlrpc_names import Group, Member
from queuepool.domain.observed import ProcessView
from queuepool.domain.pool import PoolSpec, ProcessSpec
from queuepool.domain.states import State

RUNNING = frozenset({State.RUNNING, State.STARTING, State.BACKOFF})
"""States in which a process counts as started (supervisor/states.py, RUNNING_STATES)."""

STOPPED = frozenset({State.STOPPED, State.EXITED, State.FATAL, State.UNKNOWN})
"""States in which it counts as stopped (STOPPED_STATES)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one process. started: unix seconds of its last start, None when it was never started.
    logs: paths of its stdout and stderr log."""

    member: Member
    view: ProcessView
    started: float | None = None
    logs: tuple[str | None, str | None] = (None, None)

    @property
    def state(self) -> State:
        """Its state."""
        return State(self.view.statecode)


def chosen(views: Sequence[ProcessView]) -> ProcessView:
    """The life that stands for a slot with several: the one that works, though another is about to replace it; else
    the newest. views: oldest first, at least one."""
    serving = [view for view in views if view.statecode == State.RUNNING.code and not view.retiring]
    return serving[0] if serving else views[-1]


def process_info(facts: Facts, now: float) -> dict[str, Any]:
    """The struct of getProcessInfo. now: unix seconds.

    stop is the time of the last stop while it is stopped, and 0 while it runs. exitstatus is the real one in BACKOFF
    and FATAL too, where Supervisor says 0.
    """
    view, state, member = facts.view, facts.state, facts.member
    stopped = state in STOPPED or state is State.BACKOFF
    start, stop = facts.started or 0, view.changed_at or 0 if stopped and facts.started else 0
    failed = state in (State.BACKOFF, State.FATAL)
    code = view.exit_code if stopped and view.exit_code is not None else 0
    info = {
        "name": member.name,
        "group": member.group,
        "start": int(start),
        "stop": int(stop),
        "now": int(now),
        "state": state.code,
        "statename": state.name,
        "spawnerr": view.reason if failed else "",
        "exitstatus": max(code, -1),  # Supervisor's word for any signal
        "logfile": facts.logs[0] or "",
        "stdout_logfile": facts.logs[0] or "",
        "stderr_logfile": facts.logs[1] or "",
        "pid": view.pid or 0,
    }
    return info | {"description": _description(info, state)}


def _description(info: dict[str, Any], state: State) -> str:
    if state is State.RUNNING:
        uptime = timedelta(seconds=max(0, info["now"] - info["start"]))
        return f"pid {info['pid']}, uptime {uptime}"
    if state in (State.FATAL, State.BACKOFF):
        return info["spawnerr"] or f'unknown error (try "tail {info["name"]}")'
    if state in (State.STOPPED, State.EXITED):
        if not info["start"]:
            return "Not started"
        return datetime.fromtimestamp(info["stop"]).strftime("%b %d %I:%M %p")
    return ""


def config_info(
    spec: PoolSpec, process: ProcessSpec, member: Member, group: Group, uid: int | None, *, inuse: bool
) -> dict[str, Any]:
    """The struct of getAllConfigInfo for one process. uid: whom it runs as; None: the daemon's own user.

    Seconds are rounded up, since Supervisor's are whole. What queuepool has no word for has Supervisor's default.
    """
    launch, policy = process.launch, process.policy
    out, err = process.stdout, process.stderr
    return {
        "name": member.name,
        "group": group.name,
        "group_prio": group.priority,
        # Supervisor's other default for event listeners is that of their group alone.
        "process_prio": 999 if spec.listening and spec.priority == -1 else spec.priority,
        "inuse": inuse,
        "autostart": spec.autostart,
        "command": shlex.join(launch.argv),
        "directory": launch.directory,
        "uid": "none" if uid is None else uid,
        "startsecs": ceil(policy.startsecs),
        "startretries": policy.startretries,
        "stopsignal": policy.stopsignal,
        "stopwaitsecs": ceil(policy.stop_seconds),
        "killasgroup": policy.killasgroup,
        "exitcodes": sorted(policy.exitcodes),
        "redirect_stderr": launch.redirect_stderr,
        "serverurl": "none",
        "stdout_logfile": out.path or "none",
        "stdout_logfile_maxbytes": out.maxbytes,
        "stdout_logfile_backups": out.backups,
        "stdout_capture_maxbytes": process.taps[0].capture,
        "stdout_events_enabled": process.taps[0].events,
        "stdout_syslog": False,
        "stderr_logfile": (err.path if err else None) or "none",
        "stderr_logfile_maxbytes": (err or out).maxbytes,
        "stderr_logfile_backups": (err or out).backups,
        "stderr_capture_maxbytes": process.taps[1].capture,
        "stderr_events_enabled": process.taps[1].events,
        "stderr_syslog": False,
    }


def result(member: Member, code: Code = Code.SUCCESS, text: str = "OK") -> dict[str, Any]:
    """One item of the answer of a method for several processes."""
    return {"name": member.name, "group": member.group, "status": int(code), "description": text}
