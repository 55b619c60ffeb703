"""Looks at what runs: asks the daemon, and looks through the processes of the machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from queuepool.doctor.facts.running import RunningFacts
from queuepool.doctor.looks.scene import Scene
from queuepool.domain.observed import DaemonView, ProcessView, ProgramView
from queuepool.errors import DaemonUnreachable

View = TypeVar("View", DaemonView, ProgramView, ProcessView)


async def look(scene: Scene) -> RunningFacts:
    """The daemon's own account, where one answers."""
    return await asyncio.to_thread(_ask, scene)


def _ask(scene: Scene) -> RunningFacts:
    try:
        reply = scene.client.status()
    except DaemonUnreachable as error:
        return RunningFacts(unreachable=error.message)
    return RunningFacts(
        daemon=_view(DaemonView, reply["daemon"]),
        programs=tuple(_view(ProgramView, each) for each in reply["programs"] if each["name"] in scene.pools),
        processes=tuple(_view(ProcessView, each) for each in reply["processes"] if each["program"] in scene.pools),
    )


def _view(kind: type[View], told: Mapping[str, Any]) -> View:
    """A view as the daemon told it, which may be older or newer than we are: what we do not know is left out."""
    known = {item.name for item in fields(kind)} - {"work"}
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    return kind(**{name: value for name, value in values.items() if name in known})
