"""A deploy on disk: it outlives the daemon, and when it was rolled back it stays in force until the next one. Two
files: the state, written at each step by atomic replace, and the settings before and after, written once. The latter
hold the environments of programs, so only their owner may read them. How a deploy goes is domain/rollout.py's."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, get_type_hints

import pydantic  # what of it is used is loaded when it is used
from pydantic_core import ValidationError

from queuepool.controller.keeping import Complain, KeptFile, Recovered, nobody
from queuepool.domain.plan import PoolPlan
from queuepool.domain.pool import Deployment, PoolSpec
from queuepool.domain.rollout import Rollout
from queuepool.domain.slots import Slots
from queuepool.system.rundir import DEPLOY


@dataclass(frozen=True, slots=True)
class Settings:
    """All programs before and after a deploy, and what it runs. In a file of their own."""

    former: Mapping[str, PoolSpec] = field(repr=False)
    target: Mapping[str, PoolSpec] = field(repr=False)
    deployment: Deployment = field(repr=False)


@dataclass(frozen=True, slots=True)
class Saved:
    """A deploy and what it has come to. Times are unix seconds. displays: names of the processes it concerns, in
    Supervisor's form. carried: pools that are not its own -> release at which an earlier one left them. held: programs
    whose former settings stand although the file says otherwise. draining: old processes that still finish a job.
    token: random, in the names of the queues of its canaries. who: asked for it; "" where that is not known."""

    id: str
    begun: float
    state: Rollout
    plans: tuple[PoolPlan, ...]
    displays: Mapping[str, str] = field(default_factory=dict)
    carried: Mapping[str, str | None] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    ended: float | None = None
    draining: tuple[str, ...] = ()
    token: str = ""
    who: str = ""


class DeployStore:
    """The two files in the directory `path`. complain: told in words when one cannot be read or written (KeptFile)."""

    def __init__(self, directory: str, complain: Complain = nobody, recovered: Recovered = nobody) -> None:
        self.path = os.path.join(directory, DEPLOY)
        self.settings_path = os.path.join(directory, "deploy-settings.json")
        loss = "a restart of the daemon would forget this deploy"
        self._file = KeptFile(self.path, loss, complain, recovered)
        self._settings_file = KeptFile(self.settings_path, loss, complain, recovered)

    def warm(self) -> None:
        """Get ready to save; that takes a tenth of a second, so not in the loop."""
        _saved()
        _settings()

    def save(self, saved: Saved) -> None:
        """Write the state."""
        self._file.write(_saved().dump_json(saved))

    def save_settings(self, id_: str, settings: Settings) -> None:
        """Write the settings; before the state of that deploy."""
        value = {
            "id": id_,
            "former": {name: _plain(spec) for name, spec in settings.former.items()},
            "target": {name: _plain(spec) for name, spec in settings.target.items()},
            "deployment": settings.deployment,
        }
        self._settings_file.write(_settings()(**value).model_dump_json().encode())

    def forget_settings(self) -> None:
        """They are of no use any more, and hold what nobody else should read."""
        self._settings_file.remove()

    def matters(self) -> bool:
        """Whether the last deploy has anything in force still: it goes on, or was rolled back. Reading it in full takes
        the start of a daemon a fifth of a second."""
        try:
            with open(self.path, "rb") as file:
                value = json.load(file)
            return bool(value["ended"] is None or value["state"]["rolled_back"] or value["held"] or value["carried"])
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError):
            return True  # `load` says what is wrong with it

    def load(self) -> tuple[Saved, Settings | None] | None:
        """The last deploy, with its settings where they are kept; None when there was none. What cannot be read is
        complained of and counts as none."""
        try:
            with open(self.path, "rb") as file:
                saved = _saved().validate_json(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            self._file.unreadable(f"cannot read {self.path} ({_short(error)}); going on without the last deploy")
            return None
        try:
            with open(self.settings_path, "rb") as file:
                value: Any = _settings().model_validate_json(file.read())
        except FileNotFoundError:
            return saved, None
        except (OSError, ValidationError) as error:
            self._settings_file.unreadable(
                f"cannot read {self.settings_path} ({_short(error)}); going on with what the file says"
            )
            return saved, None
        if value.id != saved.id:  # of a deploy that was about to begin
            return saved, None
        return saved, Settings(_specs(value.former), _specs(value.target), value.deployment)


_NAMES = tuple(item.name for item in fields(PoolSpec))


def _plain(spec: PoolSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in _NAMES}


def _specs(pools: Mapping[str, Any]) -> dict[str, PoolSpec]:
    return {name: PoolSpec(**{key: getattr(pool, key) for key in _NAMES}) for name, pool in pools.items()}


@cache
def _saved() -> pydantic.TypeAdapter[Saved]:
    return pydantic.TypeAdapter(Saved)


@cache
def _settings() -> type[pydantic.BaseModel]:
    pools = (_pools(), ...)
    return pydantic.create_model("Settings", id=(str, ...), former=pools, target=pools, deployment=(Deployment, ...))


@cache
def _pools() -> Any:
    """A pool's `process` is a function to everybody else; here it is the Slots that it always is in a file's pools."""
    kinds = {name: (kind, ...) for name, kind in get_type_hints(PoolSpec).items() if name in _NAMES}
    pool = pydantic.create_model("Pool", **(kinds | {"process": (Slots, ...)}))  # type: ignore[call-overload]
    return dict[str, pool]


@cache
def _pools_adapter() -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(_pools())


def pools_to_json(pools: Mapping[str, PoolSpec]) -> bytes:
    """Pools as JSON."""
    adapter = _pools_adapter()
    return adapter.dump_json(adapter.validate_python({name: _plain(spec) for name, spec in pools.items()}))


def pools_from_json(content: bytes) -> dict[str, PoolSpec]:
    """The other way. Raises ValidationError."""
    return _specs(_pools_adapter().validate_json(content))


def _short(error: Exception) -> str:
    return getattr(error, "strerror", None) or f"{type(error).__name__}: it is not of this version"
