"""The deploys that have ended, on disk: what became of each, in a few words. The last one in full is in
deploystate.py's file."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from queuepool.controller.deploystate import Saved

KEPT = 50
NAME = "deploys.json"
LONGEST = 500
"""Characters of why one failed."""

Row = dict[str, Any]


class DeployHistory:
    """The file in the directory `state`, the last deploy first. complain: told in words when it cannot be written or
    read; a deploy does not fail for it."""

    def __init__(self, state: str, complain: Callable[[str], None] = lambda text: None) -> None:
        self.path = os.path.join(state, NAME)
        self._complain = complain
        self._rows: list[Row] | None = None

    def rows(self) -> list[Row]:
        """Those that are kept, each as messages.DeployHistory shows it. Reads the file the first time."""
        if self._rows is None:
            self._rows = self._read()
        return self._rows

    def add(self, saved: Saved, report: Mapping[str, Any]) -> None:
        """A deploy has ended. report: see deployview.report_of. The list is a new one, so that who compares sees it."""
        others = [row for row in self.rows() if row["id"] != saved.id]
        self._rows = [row_of(saved, report), *others][:KEPT]
        temporary = self.path + ".new"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                json.dump(self._rows, file)
            os.replace(temporary, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            what = f"cannot save {self.path}: {error.strerror}"
            self._complain(f"{what}; a restart of the daemon would forget this deploy")

    def _read(self) -> list[Row]:
        try:
            with open(self.path, "rb") as file:
                found = json.load(file)
            if not (isinstance(found, list) and all(isinstance(row, dict) and "id" in row for row in found)):
                raise ValueError("not a list of deploys")
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not of this version"
            self._complain(f"cannot read {self.path} ({why}); going on without the earlier deploys")
            return []
        return found


def row_of(saved: Saved, report: Mapping[str, Any]) -> Row:
    """A deploy in a few words."""
    failure = report["failure"] or report["trouble"]
    releases = [(plan.was, plan.now) for plan in saved.plans if plan.now]
    was, now = releases[0] if len(set(releases)) == 1 else (None, None)
    return {
        "id": saved.id,
        "begun_at": saved.begun,
        "seconds": report["seconds"],
        "result": report["result"],
        "who": saved.who,
        "release": {"from": was, "to": now},
        "programs": [plan.name for plan in saved.plans],
        **{word: len(report[word]) for word in ("started", "restarted", "stopped", "kept")},
        "gate": failure["gate"] if failure else None,
        "failure": failure["message"][:LONGEST] if failure else None,
    }
