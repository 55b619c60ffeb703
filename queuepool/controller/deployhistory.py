"""The deploys that have ended, on disk: what became of each, in a few words. The last one in full is in
deploystate.py's file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from queuepool.controller.deploystate import Saved
from queuepool.controller.keeping import Complain, KeptFile, Recovered, nobody

KEPT = 50
NAME = "deploys.json"
LONGEST = 500
"""Characters of why one failed."""

Row = dict[str, Any]


class DeployHistory:
    """The file in the directory `state`, the last deploy first. complain: told in words when it cannot be written or
    read (KeptFile); a deploy does not fail for it."""

    def __init__(self, state: str, complain: Complain = nobody, recovered: Recovered = nobody) -> None:
        self.path = os.path.join(state, NAME)
        loss = "a restart of the daemon would forget this deploy"
        self._file = KeptFile(self.path, loss, complain, recovered)
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
        self._file.write(json.dumps(self._rows).encode())

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
            self._file.unreadable(f"cannot read {self.path} ({why}); going on without the earlier deploys")
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
