"""Overrides in force: what operators changed at runtime, kept in a file so that it outlives the daemon. What they mean
is domain/desired.py's matter."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from queuepool.controller.keeping import Complain, KeptFile, Recovered, nobody
from queuepool.domain.desired import Overrides, Rolling
from queuepool.domain.names import ProcessName


class OverrideStore:
    """The overrides and their file. A file that cannot be read counts as empty, and is said so through `complain`; see
    KeptFile for one that cannot be written."""

    def __init__(self, path: str, complain: Complain = nobody, recovered: Recovered = nobody) -> None:
        self.path = path
        self._file = KeptFile(path, "a restart of the daemon would forget this", complain, recovered)
        self.value = self._load()

    def scale(self, pool: str, count: int | None) -> None:
        """Run `count` processes in the pool; None: what the file says."""
        scale = {name: number for name, number in self.value.scale.items() if name != pool}
        if count is not None:
            scale[pool] = count
        self._set(replace(self.value, scale=scale))

    def hold(self, names: Iterable[ProcessName]) -> None:
        """Keep these stopped."""
        chosen = frozenset(names)
        self._set(replace(self.value, held=self.value.held | chosen, started=self.value.started - chosen))

    def release(self, names: Iterable[ProcessName], *, manual: Iterable[ProcessName] = ()) -> None:
        """Let these run again. manual: those that autostart would not start."""
        chosen = frozenset(names)
        started = self.value.started | frozenset(manual)
        self._set(replace(self.value, held=self.value.held - chosen, started=started))

    def restart(self, names: Iterable[ProcessName]) -> int:
        """Ask for a new process in each of these slots; the number of this request."""
        serial = self.value.serial + 1
        restarts = dict(self.value.restarts) | dict.fromkeys(names, serial)
        self._set(replace(self.value, restarts=restarts, serial=serial))
        return serial

    def restarted(self, names: Iterable[ProcessName], serial: int) -> None:
        """These slots were restarted by a deploy, with that number."""
        restarts = dict(self.value.restarts) | dict.fromkeys(names, serial)
        self._set(replace(self.value, restarts=restarts, serial=max(self.value.serial, serial)))

    def roll(self, rolling: Mapping[str, Rolling]) -> None:
        """What a deploy lays over pools. It is not saved here: the deploy itself is (deploystate.py)."""
        self.value = replace(self.value, rolling=dict(rolling))

    def forget(self, known: Mapping[str, int]) -> None:
        """Drop what concerns others than these programs, or slots beyond their number."""

        def there(name: ProcessName) -> bool:
            return name.slot < known.get(name.pool, 0)

        self._set(
            replace(
                self.value,
                scale={name: n for name, n in self.value.scale.items() if name in known},
                held=frozenset(filter(there, self.value.held)),
                started=frozenset(filter(there, self.value.started)),
                restarts={name: n for name, n in self.value.restarts.items() if there(name)},
            )
        )

    def end(self) -> None:
        """A clean end of the daemon: what was stopped or started by hand is as the file says the next time; a scale
        stays."""
        self._set(replace(self.value, held=frozenset(), started=frozenset(), restarts={}))

    def _set(self, value: Overrides) -> None:
        if value == self.value:
            return
        self.value = value
        text = json.dumps(
            {
                "scale": dict(value.scale),
                "held": sorted(map(str, value.held)),
                "started": sorted(map(str, value.started)),
                "restarts": {str(name): serial for name, serial in value.restarts.items()},
                "serial": value.serial,
            }
        )
        self._file.write(text.encode())

    def _load(self) -> Overrides:
        try:
            with open(self.path) as file:
                value = json.load(file)
            return Overrides(
                scale={str(name): int(count) for name, count in value["scale"].items()},
                held=frozenset(map(ProcessName.parse, value["held"])),
                started=frozenset(map(ProcessName.parse, value["started"])),
                restarts={ProcessName.parse(name): int(n) for name, n in value["restarts"].items()},
                serial=int(value["serial"]),
            )
        except FileNotFoundError:
            return Overrides()
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self._file.unreadable(
                f"cannot read {self.path} ({error}); going on without what was scaled or stopped by hand"
            )
            return Overrides()
