"""Processes that another engine of the same queuepool.yml left running: its `engine` was changed before they were
ended. Beside them nothing is started, for each worker would be there twice."""

from __future__ import annotations

import os

from queuepool.domain.pool import EngineSpec
from queuepool.engines.record import Record
from queuepool.errors import UsageError
from queuepool.system import procstat
from queuepool.system.rundir import RunDirectory


def refuse_former(engine: EngineSpec, directory: RunDirectory) -> None:
    """Raises UsageError where there are any."""
    if engine.type == "local":
        if not os.path.exists(directory.supervised):
            return
        from queuepool.engines.supervisord_link import remembered  # long to load, and rarely needed

        if sections := remembered(directory.supervised).entries:
            raise UsageError(
                f"cannot run the programs here: supervisord has {_some(list(sections))} of {directory.config}, from "
                "when its `engine` was supervisord",
                "put that `engine` back, `queuepool down`, then change it; where that supervisord is gone for good, "
                f"`rm {directory.supervised}`",
            )
        return
    record = Record(directory.record, procstat.boot_id())
    record.load()
    if living := [one.name for one in record.living()]:
        raise UsageError(
            f"cannot hand the programs over: {_some(living)} of {directory.config} still run, from when its `engine` "
            "was local",
            "put that `engine` back, `queuepool up -d` finds them again and `queuepool down` ends them; then change it",
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
