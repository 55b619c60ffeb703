"""Every error a person can meet, and the exit codes of the command. How an error is shown is cli/main.py's matter."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the `queuepool` command ends with; a script may count on these."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_AS_WANTED = 3
    LOCKED = 4
    NO_DAEMON = 5
    NOT_ROLLED_BACK = 6
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """One line for the table in docs/exit-codes.md."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.DONE: "Done, or everything is as it should be.",
    ExitCode.FAILED: "It was tried and failed; the message says what and why.",
    ExitCode.USAGE: "The command line was wrong, or queuepool.yml does not validate. Nothing was changed.",
    ExitCode.NOT_AS_WANTED: "Something that should run does not (`status`, `up --wait`), a part of the file is not in "
    "force (`status`, `update`), it took too long, or `doctor --strict` has warnings.",
    ExitCode.LOCKED: "Another daemon already runs for this file, another deploy is under way, or another "
    "command works with its supervisord.",
    ExitCode.NO_DAEMON: "No daemon answers for this file (`queuepool up` starts it), or no supervisord where that is "
    "the engine.",
    ExitCode.NOT_ROLLED_BACK: "A deploy or a take-over failed and could not be rolled back, or a deploy failed when "
    "all new processes ran.",
    ExitCode.INTERRUPTED: "Interrupted with Ctrl-C.",
}


class QueuepoolError(Exception):
    """An error for a person: `message` says what cannot be done and names the thing, `hint` is something to type."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(QueuepoolError):
    """The request itself is wrong: an unknown name, a bad signal, options that contradict each other."""

    exit_code = ExitCode.USAGE


class ConfigError(QueuepoolError):
    """queuepool.yml cannot be used; `problems` holds every reason found, in the order of the file."""

    exit_code = ExitCode.USAGE

    def __init__(self, message: str, problems: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint)
        self.problems = problems


class NoConfig(ConfigError):
    """No queuepool.yml was found; `path` is where one would have been, "" where that is not known."""

    def __init__(self, message: str, hint: str = "", path: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


class DaemonUnreachable(QueuepoolError):
    """No daemon answers on the control socket."""

    exit_code = ExitCode.NO_DAEMON


class Locked(QueuepoolError):
    """A daemon already runs for this file."""

    exit_code = ExitCode.LOCKED


class NotRolledBack(QueuepoolError):
    """A deploy failed, and what ran before does not run again."""

    exit_code = ExitCode.NOT_ROLLED_BACK


class NotAsWanted(QueuepoolError):
    """Something that should run does not, or did not in time."""

    exit_code = ExitCode.NOT_AS_WANTED


class SpawnError(QueuepoolError):
    """A process could not be started; the message says which step failed and for whom."""
