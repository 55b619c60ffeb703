"""The slots of a pool: from what is the same for all of them to the ProcessSpec of any one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from queuepool.domain.expand import Template
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import LogPolicy, ProcessSpec


@dataclass(frozen=True, slots=True)
class Slots:
    """Makes the ProcessSpec of any slot. Everything but the slot's number is already filled in."""

    first: int
    process_name: Template
    argv: tuple[Template, ...]
    directory: Template
    environment: tuple[tuple[str, Template], ...] = field(repr=False)
    stdout: Template | None
    stderr: Template | None
    spec: ProcessSpec
    _made: dict[int, ProcessSpec] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, slot: int) -> ProcessSpec:
        """The spec of slot 0, 1, 2, ..., also beyond numprocs."""
        if slot not in self._made:
            self._made[slot] = self._make(slot)
        return self._made[slot]

    def _make(self, slot: int) -> ProcessSpec:
        number, pool_name = self.first + slot, self.spec.name.pool
        values = {"process_num": number}
        shown = self.process_name.render(values)
        if slot and not self.process_name.per_slot:
            shown += f"_{number:02d}"
        launch = self.spec.launch
        if self.launch_per_slot:
            launch = replace(
                launch,
                argv=tuple(word.render(values) for word in self.argv),
                directory=self.directory.render(values),
                environment=tuple((name, value.render(values)) for name, value in self.environment),
            )
        return replace(
            self.spec,
            name=ProcessName(pool_name, slot),
            display=pool_name if shown == pool_name else f"{pool_name}:{shown}",
            launch=launch,
            stdout=at(self.spec.stdout, self.stdout, values),
            stderr=self.spec.stderr and at(self.spec.stderr, self.stderr, values),
        )

    @property
    def launch_per_slot(self) -> bool:
        """Whether the command line, directory or environment differs from slot to slot."""
        return (
            any(word.per_slot for word in self.argv)
            or self.directory.per_slot
            or any(value.per_slot for _, value in self.environment)
        )


def at(policy: LogPolicy, path: Template | None, values: Mapping[str, str | int]) -> LogPolicy:
    """The policy with the path of one slot."""
    return replace(policy, path=path.render(values)) if path is not None and path.per_slot else policy
