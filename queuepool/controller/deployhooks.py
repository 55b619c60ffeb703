"""The commands of a deploy: before, check, after and on_failure. When they run is domain/rollout.py's, how one is run
system/commands.py's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from queuepool.controller.deploystate import Saved
from queuepool.controller.deploytold import Story
from queuepool.domain.pool import Deployment
from queuepool.domain.release import at_release
from queuepool.domain.rollout import Failure
from queuepool.errors import SpawnError

RunCommand = Callable[..., Awaitable[Any]]
"""system/commands.run."""
FAILURE_SECONDS = 600.0
"""Longest time for a command of `on_failure`, which runs when the deploy's own time may be over."""
KEPT_LINES = 20


async def run_hook(
    name: str,
    saved: Saved,
    policy: Deployment,
    run: RunCommand,
    environment: Mapping[str, str],
    story: Story,
    clock: Callable[[], float],
) -> Failure | str:
    """Run the commands of a hook, one after the other, in the new release (on_failure: in the former one); why it
    failed, or "". environment: variables that every process gets."""
    turns = saved.state.turns.values()
    was = next((turn.was for turn in turns if turn.was), None)
    now = next((turn.now for turn in turns if turn.now), None)
    names = {
        **environment,
        "QUEUEPOOL_DEPLOY": saved.id,
        "QUEUEPOOL_HOOK": name,
        "QUEUEPOOL_RELEASE": now or "",
        "QUEUEPOOL_FORMER_RELEASE": was or "",
    }
    if name == "on_failure" and saved.state.outcome:
        names["QUEUEPOOL_RESULT"] = saved.state.outcome.value
    release = was if name == "on_failure" else now
    for argv in (policy.check,) if name == "check" else getattr(policy, name):
        shown = " ".join(argv)
        story.tell("hook", f"{name}: {shown}", hook=name, command=shown)
        left = FAILURE_SECONDS if name == "on_failure" else max(1.0, saved.state.deadline - clock())
        launch = at_release(replace(policy.launch, argv=argv), policy.app, release)
        try:
            done = await run(launch, names, seconds=left, on_line=lambda line: story.tell("output", line, hook=name))
        except SpawnError as error:
            return Failure(name, f"`{shown}`: {error.message}", meaning=error.hint)
        if done.code != 0 or done.late:
            ended = "took too long and was ended" if done.late else f"ended with {done.code}"
            return Failure(name, f"`{shown}` {ended}", exit_code=done.code, last_lines=done.lines[-KEPT_LINES:])
    return ""
