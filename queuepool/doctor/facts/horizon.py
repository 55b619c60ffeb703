"""Laravel Horizon of one application. PURE. What its keys mean is domain/horizon.py's matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from queuepool.domain.horizon import HorizonView, Trouble
from queuepool.laravel.config import HorizonSupervisor


@dataclass(frozen=True, slots=True)
class HorizonFacts:
    """app: the Laravel root. programs: of type horizon, those that were asked for. others: its other programs. view:
    what Redis shows; None: it could not be asked. troubles: what that means. environment: in force, by program;
    supervisors: those that Horizon starts there. environments: all that config/horizon.php knows. version: of the
    package; laravel: of the framework; None: not known. snapshot: unix seconds of the last `horizon:snapshot`; None:
    never. running: seconds since a program of type horizon runs; None: none does."""

    app: str
    programs: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    view: HorizonView | None = None
    troubles: tuple[Trouble, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    supervisors: Mapping[str, tuple[HorizonSupervisor, ...]] = field(default_factory=dict)
    environments: tuple[str, ...] = ()
    version: str | None = None
    laravel: str = ""
    snapshot: float | None = None
    running: float | None = None

    @property
    def subject(self) -> str:
        """How a finding names it."""
        return f"horizon of {self.app}"
