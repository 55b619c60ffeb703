"""What to say where no daemon is seen: that it may be somebody else's, and what goes on without it."""

from __future__ import annotations

import os

from queuepool.control.client import START_HINT
from queuepool.domain.amounts import count
from queuepool.errors import DaemonUnreachable
from queuepool.system.rundir import RunDirectory

ROOTS = "/run/queuepool"
"""Where daemons of root are, whose directories others see and cannot enter."""


def hint(directory: RunDirectory) -> str:
    """What to type when nothing answers."""
    theirs = os.path.join(ROOTS, os.path.basename(directory.path))
    if os.geteuid() != 0 and os.path.isdir(theirs) and directory.path != theirs:
        return "root may have a daemon for this file: `sudo queuepool ...`; else " + START_HINT
    if left := _survivors(directory):
        return f"{START_HINT}: it takes up the {count(left, 'process', 'processes')} that went on without it"
    return START_HINT


def none_runs(directory: RunDirectory) -> DaemonUnreachable:
    """The error of a command that wanted the daemon itself, where nobody holds its lock."""
    try:
        os.stat(directory.lock)
    except PermissionError:
        owner = _owner(directory.path)
        who = f"`sudo {f'-u {owner} ' if owner != 'root' else ''}queuepool ...`"
        return DaemonUnreachable(
            f"cannot look into {directory.path}: it belongs to {owner}", f"run this command as {owner}: {who}"
        )
    except OSError:
        pass
    left = _survivors(directory)
    on = f", and {count(left, 'process goes', 'processes go')} on without it" if left else ""
    return DaemonUnreachable(f"no daemon runs for {directory.config}{on}", hint(directory))


def _survivors(directory: RunDirectory) -> int:
    """How many processes of a daemon that was killed live."""
    from queuepool.engines.record import Record
    from queuepool.system.procstat import boot_id

    record = Record(directory.record, boot_id())
    record.load()
    return len(record.living())


def _owner(path: str) -> str:
    import pwd

    try:
        uid = os.stat(path).st_uid
        return pwd.getpwuid(uid).pw_name
    except (OSError, KeyError):
        return "another user"
