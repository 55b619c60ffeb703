"""The PHP of some workers, as their user runs it. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from queuepool.laravel.config import PhpRuntime


@dataclass(frozen=True, slots=True)
class PhpFacts:
    """command: as the file gives it. searched: the PATH of the workers. others: binaries that look like PHP and are
    there. why: why it could not be run, "" when it could. said: what it printed first when it did not understand us.
    runtime: what it says of itself, without the application; None where it said nothing of use. xdebug: its mode, None
    where it is not loaded. platform: what vendor/composer/platform_check.php complains of."""

    command: tuple[str, ...]
    searched: str = ""
    others: tuple[str, ...] = ()
    why: str = ""
    said: str = ""
    runtime: PhpRuntime | None = None
    xdebug: str | None = None
    platform: str = ""

    @property
    def name(self) -> str:
        """How a finding names it."""
        return self.runtime.binary if self.runtime and self.runtime.binary else self.command[0] if self.command else ""

    @property
    def short_version(self) -> str:
        """`8.2`, as distributions name their packages; "" when it is not known."""
        return ".".join(self.runtime.version.split(".")[:2]) if self.runtime else ""

    @property
    def source(self) -> str:
        """What it is and where its settings come from, as a line of evidence."""
        if self.runtime is None:
            return self.said or self.why
        return f"{self.name} is PHP {self.runtime.version}, with {self.runtime.ini or 'no php.ini'}"
