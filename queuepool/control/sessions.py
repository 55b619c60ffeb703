"""The sessions on disk: they outlive the daemon, so that an upgrade logs nobody out. One file, for its owner alone, by
which nobody comes in: hashes of the ids, and of the passwords by which they were begun, so that a password that was
changed meanwhile still ends them. Whose session it is, is access.py's matter."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from queuepool.controller.keeping import Complain, KeptFile, Recovered, nobody

NAME = "sessions.json"


@dataclass(frozen=True, slots=True)
class KeptSession:
    """key: hash of its id. begun, used: unix seconds. See access.Session for the others."""

    key: str = field(repr=False)
    name: str
    role: str
    begun: float
    used: float


@dataclass(frozen=True, slots=True)
class Kept:
    """proofs: name -> hash of the password. sessions: those that were there."""

    proofs: Mapping[str, str] = field(default_factory=dict, repr=False)
    sessions: tuple[KeptSession, ...] = ()


class SessionStore:
    """The file in the directory `state`. complain: told in words when it cannot be written or read (KeptFile)."""

    def __init__(
        self,
        state: str,
        complain: Complain = nobody,
        recovered: Recovered = nobody,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = os.path.join(state, NAME)
        self.clock = clock
        loss = "whoever is logged in will have to log in again after a restart of the daemon"
        self._file = KeptFile(self.path, loss, complain, recovered)

    def load(self) -> Kept:
        """What was kept; nothing where there is none, or it cannot be read."""
        try:
            with open(self.path, "rb") as file:
                found: Any = json.load(file)
            proofs = {str(name): str(proof) for name, proof in found["proofs"].items()}
            rows = found["sessions"]
            sessions = (
                KeptSession(str(r["key"]), str(r["name"]), str(r["role"]), float(r["begun"]), float(r["used"]))
                for r in rows
            )
            return Kept(proofs, tuple(sessions))
        except FileNotFoundError:
            return Kept()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not of this version"
            self._file.unreadable(f"cannot read {self.path} ({why}); whoever was logged in has to log in again")
            return Kept()

    def save(self, proofs: Mapping[str, str], sessions: Iterable[KeptSession]) -> None:
        """Write it, by atomic replace."""
        rows = [asdict(one) for one in sessions]
        if not rows and not os.path.exists(self.path):
            return
        self._file.write(json.dumps({"proofs": dict(proofs), "sessions": rows}).encode())
