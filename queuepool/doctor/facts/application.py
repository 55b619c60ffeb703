"""One application, as the user and with the PHP that its programs run with. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from queuepool.laravel.config import AppConfig


@dataclass(frozen=True, slots=True)
class ApplicationFacts:
    """root: as written in the file; release: its real path. php: the command. user: None where it is our own. programs:
    by name, those that run it so. config: what the booted application says, else what its files let one guess
    (AppConfig.source tells). failure: why it could not be asked; "" when it could."""

    root: str
    release: str
    php: tuple[str, ...]
    user: str | None
    programs: tuple[str, ...]
    config: AppConfig | None = None
    failure: str = ""

    @property
    def subject(self) -> str:
        """How a finding names it."""
        return f"application {self.root}"
