"""Where `top` has its news from: threads that ask the daemon, so that the screen goes on whatever that takes. What news
mean is topmodel.py's matter."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from queuepool.cli.topmodel import Answer, Data, Json, concluded, deployed, happened, lost, saw, told
from queuepool.control.client import START_HINT
from queuepool.control.messages import DeployStatus, FollowDeploy, Queues
from queuepool.errors import DaemonUnreachable, QueuepoolError

if TYPE_CHECKING:
    from queuepool.cli.topkeys import Ask
    from queuepool.control.client import Client

LEAST_SECONDS = 0.25
"""Between two questions, however much happens."""
SHARE = 10
"""Of the time, at most one part in so many is spent asking: a daemon that answers slowly is asked seldom."""

Change = Callable[[Data], Data]


class Feed:
    """Asks for the snapshot every `interval` seconds and at once when something happens, listens to the journal,
    follows a deploy, and has actions done. make_client: a client for each thread. names: selectors. wake: is called
    on news."""

    def __init__(
        self, make_client: Callable[[], Client], names: Sequence[str], interval: float, wake: Callable[[], None]
    ) -> None:
        self._make_client = make_client
        self._names = tuple(names)
        self._interval = interval
        self._wake = wake
        self._news: SimpleQueue[Json | Change] = SimpleQueue()
        self._poke = threading.Event()
        self._deploying = threading.Lock()
        self._daemon: object = None

    def start(self) -> None:
        """Begin. The threads end with the process."""
        self._thread(self._ask_again_and_again)
        self._thread(self._listen)

    def take(self, data: Data) -> Data:
        """`data` with all news in it."""
        events: list[Json] = []
        while not self._news.empty():
            item = self._news.get()
            if callable(item):
                data = item(data)
            else:
                events.append(item)
        return happened(data, events) if events else data

    def poke(self) -> None:
        """Ask soon: something happened."""
        self._poke.set()

    def ask(self, deed: Ask) -> None:
        """Have something done; the answer is news."""
        self._put(lambda data: replace(data, doing=(*data.doing, deed.shown)))
        self._thread(lambda: self._perform(deed))

    def _perform(self, deed: Ask) -> None:
        try:
            answer = told(deed.shown, self._make_client().ask(deed.request), time.time())
        except QueuepoolError as error:
            answer = Answer(error.message, time.time(), error.hint, bad=True)

        def change(data: Data) -> Data:
            left = list(data.doing)
            left.remove(deed.shown)
            return replace(data, answer=answer, doing=tuple(left))

        self._put(change)
        self._poke.set()

    def _ask_again_and_again(self) -> None:
        client = self._make_client()
        while True:
            self._poke.clear()
            began = time.monotonic()
            self._ask_once(client)
            took = time.monotonic() - began
            least = max(LEAST_SECONDS, SHARE * took)
            time.sleep(min(least, max(self._interval, LEAST_SECONDS)))
            self._poke.wait(max(0.0, self._interval - (time.monotonic() - began)))

    def _ask_once(self, client: Client) -> None:
        try:
            snapshot = client.status(self._names)
        except QueuepoolError as error:
            message, hint, now = error.message, error.hint, time.time()
            gone = isinstance(error, DaemonUnreachable) and hint.startswith(START_HINT)
            self._put(lambda data: lost(data, message, hint, now, gone=gone))
            self._daemon = None
            return
        queues, why = None, ""
        try:
            queues = client.ask(Queues())
        except QueuepoolError as error:
            why = error.message
        now = time.time()
        self._put(lambda data: saw(data, snapshot, queues, now, why))
        daemon = (snapshot["daemon"]["pid"], snapshot["daemon"]["started_at"])
        if daemon != self._daemon:
            self._daemon = daemon
            self._thread(self._follow_deploy)

    def _listen(self) -> None:
        client, newest = self._make_client(), 0.0
        while True:
            told_before = newest
            with contextlib.suppress(QueuepoolError):
                for item in client.events(0, follow=True):
                    if item["time"] <= told_before:
                        continue  # the journal is read from its beginning after each interruption
                    newest = max(newest, item["time"])
                    self._put(item)
                    self._poke.set()
                    if item["event"] == "deploy_started":
                        self._thread(self._follow_deploy)
            time.sleep(1.0)

    def _follow_deploy(self) -> None:
        """Tell of the deploy that goes on, if one does."""
        if not self._deploying.acquire(blocking=False):
            return
        try:
            client = self._make_client()
            with contextlib.suppress(QueuepoolError):
                report = client.ask(DeployStatus())
                if report["result"] == "running":
                    client.ask(FollowDeploy(), self._deploy_told)
                else:
                    self._put(lambda data: concluded(data, report, time.time()))
        finally:
            self._deploying.release()

    def _deploy_told(self, event: dict[str, Any]) -> None:
        self._put(lambda data: deployed(data, event))

    def _put(self, item: Json | Change) -> None:
        self._news.put(item)
        self._wake()

    def _thread(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised again where it is seen
                defect = error

                def fail(data: Data) -> Data:
                    raise defect

                self._put(fail)

        threading.Thread(target=guarded, daemon=True).start()
