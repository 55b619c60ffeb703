"""The requests of the control socket, shared by both ends. Plain dataclasses, because a command must be able to import
them in a few milliseconds; the server validates what arrives with pydantic against these same types. What is done with
a request is operations.py's matter; a reply is a plain object whose shape stands in the request's docstring."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class Start:
    """Run these processes; forget that they were stopped by hand. wait: answer when they are RUNNING or have failed.
    Reply of this and the next six: {"results": [{"name", "display", "result", "message"}]} where result is started,
    stopped, restarted, signalled, paused, continued, unchanged or failed."""

    names: tuple[str, ...]
    wait: bool = True


@dataclass(frozen=True, slots=True)
class Stop:
    """Drain these processes and keep them stopped. wait: answer when their whole process trees are gone.
    kill: do not let them finish, SIGKILL now."""

    names: tuple[str, ...]
    wait: bool = True
    kill: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """Replace these processes in batches, new ones first (surge). stale: only those that run an older release or older
    settings. wait: answer when all have been replaced."""

    names: tuple[str, ...]
    wait: bool = True
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal, by name with or without SIG, or by number, to these processes."""

    names: tuple[str, ...]
    signal: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Let these workers finish the current job and take no further one (SIGUSR2)."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Continue:
    """Let paused workers take jobs again (SIGCONT)."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """Run `count` processes in one pool, or what the file says again (reset). wait: answer when the missing run and
    the surplus is gone; with wait false when the change is in force.
    Reply: {"name", "was", "wanted", "numprocs", "started": [names], "stopped": [names], "message"}."""

    name: str
    count: int | None = None
    reset: bool = False
    wait: bool = True


@dataclass(frozen=True, slots=True)
class Reread:
    """Say what changed in the file, change nothing.
    Reply: {"added": [], "changed": [{"name", "what": [sentences]}], "removed": [], "sections": [], "problems": []};
    sections: keys beside `programs` that changed: http, notifications, deploy."""


@dataclass(frozen=True, slots=True)
class Update:
    """Apply what changed in the file; names: only these programs. Reply: as Reread, with "results" as Start."""

    names: tuple[str, ...] = ()
    wait: bool = True


@dataclass(frozen=True, slots=True)
class Queues:
    """How deep the queues are that programs serve; names: only those of these programs, of this name, or written
    connection:queue. Reply: {"queues": [QueueView], "redis": {where: {"up", "why"}}, "problems": []}; see
    domain/queues.py."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Redis:
    """How every Redis is that the applications use, asked now. Reply: {"servers": [RedisHealth], "problems": []}; see
    domain/queues.py. problems: applications that could not be asked which Redis they use."""


@dataclass(frozen=True, slots=True)
class Await:
    """Answer when all these processes are as wanted (RUNNING, or finished as they should), or when `seconds` are over.
    Reply: {"ready": bool, "waiting": [{"name", "display", "state", "reason"}], "problems": [what of the file is not in
    force]}."""

    names: tuple[str, ...] = ("all",)
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Drain and stop everything, then end the daemon. hurry: SIGKILL instead of draining.
    Reply: {"stopped": [names]}; then the connection closes and the socket goes away."""

    hurry: bool = False


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Replace the daemon's own code in place (execv): same pid, no worker touched. Reply: {"pid", "version": now}."""


@dataclass(frozen=True, slots=True)
class Reopen:
    """Close and open all log files again, as SIGUSR2 does. Reply: {"reopened": int}."""


@dataclass(frozen=True, slots=True)
class PlanDeploy:
    """Say what a deploy would do, change nothing. names: programs and groups, all without. stale: with the settings in
    force, whatever the file says. force: restart what is fresh too. canary: as in Deploy.
    Reply: {"changes": bool, "programs": [{"name", "added", "removed", "changed": [sentences], "release": {"from",
    "to"}, "started": [names], "restarted": [{"process", "why"}], "stopped", "kept", "canary": bool}],
    "problems": []}."""

    names: tuple[str, ...] = ()
    stale: bool = False
    force: bool = False
    canary: bool | None = None


@dataclass(frozen=True, slots=True)
class Deploy:
    """Apply the file and bring every process to the new release and settings, batch by batch, or go back. Seconds,
    counts and percentages ("2", "25%") stand in place of the file's, and so does canary. wait_drained: done only when
    no old process lives. wait: answer when it has ended; it goes on in any case. Raises Locked while another is
    under way. Progress: {"event", "time", "message", ...}. Reply: {"id", "result", "exit_code", "phase", "begun_at",
    "seconds", "started", "restarted", "stopped", "kept", "draining", "rolled_back", "failure", "trouble", "programs"};
    result is running, done, rolled_back, timed_out, aborted or failed; failure is null or {"gate", "message",
    "process", "exit_code", "meaning", "last_lines"}, and so is trouble, about the roll back."""

    names: tuple[str, ...] = ()
    stale: bool = False
    force: bool = False
    wait_drained: bool = False
    timeout: float | None = None
    observe: float | None = None
    batch: str | None = None
    max_surge: str | None = None
    max_unavailable: str | None = None
    pause_between: float | None = None
    canary: bool | None = None
    wait: bool = True


@dataclass(frozen=True, slots=True)
class DeployStatus:
    """The deploy that is under way, or the last one. Reply: as Deploy."""


@dataclass(frozen=True, slots=True)
class DeployHistory:
    """The deploys that have ended, the last one first, 50 at most.
    Reply: {"deploys": [{"id", "begun_at": unix seconds, "seconds", "result", "who", "release": {"from", "to"},
    "programs": [names], "started": count, "restarted", "stopped", "kept", "gate", "failure"}]}. who: asked for it, ""
    where that is not known. release: null where programs have several, or there is none. gate, failure: what it failed
    at, and why; null where it did not."""


@dataclass(frozen=True, slots=True)
class FollowDeploy:
    """The progress of the deploy under way from its beginning, and its end. Reply: as Deploy."""


@dataclass(frozen=True, slots=True)
class AbortDeploy:
    """End the deploy under way by going back. wait: answer when it has ended. Reply: as Deploy."""

    wait: bool = True


@dataclass(frozen=True, slots=True)
class Notify:
    """Where notifications go, and what is on its way; test: also tell these targets (none: all) that this is a test.
    Reply: {"targets": [{"name", "kind", "where", "on": [], "programs": [], "delivered": count, "last": unix seconds or
    null, "waiting": count, "held": count, "lost": count, "trouble": text, "since": unix seconds or null}], "open":
    [{"key", "about", "title", "since", "over": bool}], "ignored": count, "tests": [{"target", "ok", "why",
    "seconds"}]}. kind: slack, webhook, email or command. held: notices not told, since there were too many. lost: given
    up. trouble: why the target cannot be reached, since when; "" when it can. open: what is wrong and was told; over:
    it seems to be well again. ignored: what was wrong beyond what can be kept."""

    test: bool = False
    targets: tuple[str, ...] = ()


Request = (
    Start
    | Stop
    | Restart
    | Signal
    | Pause
    | Continue
    | Scale
    | Reread
    | Update
    | Queues
    | Redis
    | Await
    | Shutdown
    | Upgrade
    | Reopen
    | PlanDeploy
    | Deploy
    | DeployStatus
    | DeployHistory
    | FollowDeploy
    | AbortDeploy
    | Notify
)
"""What is POSTed as JSON to PREFIX/<name in lower case>. The answer is a stream of JSON lines: any number of
{"progress": {"display", "state", "message"}} (of a deploy: {"event", "time", "message", ...}), then {"reply": {...}} or
{"error": {"message", "hint", "exit_code"}}."""
