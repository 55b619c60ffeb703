"""Operations without a daemon, for engines that keep processes alive by themselves: a command builds the controller in
its own process (alone.py), has the one operation done, and leaves. It is asked like a daemon's Client (client.py).

No two commands change something at a time; one that was killed in the middle left a state with which the next one goes
on.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from queuepool.control import messages
from queuepool.control.alone import Alone, Progress
from queuepool.control.client import Client
from queuepool.errors import DaemonUnreachable
from queuepool.system.rundir import RunDirectory

if TYPE_CHECKING:
    from queuepool.control.messages import Request

LOOKS = (
    messages.Reread,
    messages.PlanDeploy,
    messages.DeployStatus,
    messages.DeployHistory,
    messages.Queues,
    messages.Redis,
)
"""What changes nothing, and so may be asked at any time."""
LEFT = "left in the middle: `queuepool status` shows what is not done yet, `queuepool update` goes on with it"
SAY_THEMSELVES = (messages.Shutdown, messages.Deploy, messages.FollowDeploy, messages.AbortDeploy)
"""Whose commands say what becomes of it when they are interrupted."""
ONLY_A_DAEMON: tuple[type[Any], ...] = (messages.Upgrade, messages.Reopen)


class InProcess(Client):
    """The operations of one queuepool.yml, without a daemon. note: told what a person should know beside the answer."""

    alone = True

    def __init__(self, config_path: str, note: Callable[[str], None] = lambda line: None) -> None:
        self.config = config_path
        self.directory = RunDirectory(config_path)
        super().__init__(self.directory.socket)
        self._note = note

    def status(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """See Client.status. Raises SupervisordUnreachable, ConfigError, UsageError."""

        async def look() -> dict[str, Any]:
            async with Alone(self.config, self.directory, self._note, touch=False) as alone:
                plain: dict[str, Any] = json.loads(json.dumps(alone.snapshot(tuple(names)).to_json()))
                return plain

        return _run(look())

    def ask(
        self, request: Request, on_progress: Progress | None = None, on_idle: Callable[[], None] | None = None
    ) -> dict[str, Any]:
        """See Client.ask."""
        if isinstance(request, ONLY_A_DAEMON):
            raise DaemonUnreachable(
                f"no daemon runs for {self.config}: supervisord runs the processes, and writes their logs",
                "`queuepool up -d` starts one",
            )
        touch = not isinstance(request, LOOKS)

        async def work() -> dict[str, Any]:
            async with Alone(self.config, self.directory, self._note, touch=touch) as alone:
                return await alone.perform(request, on_progress or (lambda item: None), on_idle)

        if not touch:
            return _run(work())
        lock = self._acquire()
        former = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that goes away leaves nothing half done
        try:
            return _run(work())
        except KeyboardInterrupt:
            if not isinstance(request, SAY_THEMSELVES):
                self._note(LEFT)
            raise
        finally:
            signal.signal(signal.SIGHUP, former)
            os.close(lock)

    def events(self, since: int = 0, follow: bool = False) -> Iterator[dict[str, Any]]:
        """See Client.events: nobody keeps them. Raises DaemonUnreachable."""
        raise DaemonUnreachable(
            f"no daemon runs for {self.config}, so nobody keeps a journal",
            f"what commands did is in {self.directory.log}; `queuepool up -d` starts a daemon",
        )

    def _acquire(self) -> int:
        """The lock of those that change something. Raises Locked."""
        self.directory.make()
        return self.directory.acquire_alone()


def _run(work: Any) -> dict[str, Any]:
    answer: dict[str, Any] = asyncio.run(work)
    return answer
