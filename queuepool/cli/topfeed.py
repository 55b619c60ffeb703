"""Where `top` has its news from: threads that ask the daemon, so that the screen goes on whatever that takes. What news
mean is topmodel.py's matter."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from queuepool.cli.logs import Source, sources_of
from queuepool.cli.render import clean, worker_text
from queuepool.cli.topmodel import Answer, Data, Json, Log, deployed, happened, lost, saw, told
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
KEPT_LINES = 2000
FIRST_LINES = 500

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
            gone = isinstance(error, DaemonUnreachable) and hint == START_HINT
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
                if client.ask(DeployStatus())["result"] == "running":
                    client.ask(FollowDeploy(), self._deploy_told)
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


class LogReader:
    """The last lines of a process, or of a program, and those that come. here: whether its logs are on this machine."""

    def __init__(self, data: Data, program: str, process: str, *, here: bool) -> None:
        from queuepool.logs.follow import Follower

        self._program, self._process = program, process
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._follower = Follower()
        self._sources: dict[str, Source] = {}
        self._note = ""
        self._title = process or program
        self._from_daemon = not here
        everybody = list(data.snapshot["processes"]) if data.snapshot else []
        chosen = [each for each in everybody if each["program"] == program and process in ("", each["name"])]
        if self._from_daemon:
            self._note = "the log is on the daemon's machine: these are the last lines that the daemon keeps"
            return
        try:
            for source in sources_of([dict(each) for each in chosen], [dict(each) for each in everybody]):
                self._add(source)
        except QueuepoolError as error:
            self._from_daemon = True
            self._note = f"{error.message}: these are the last lines that the daemon keeps"

    def look(self, data: Data) -> Log:
        """The log as of now."""
        if self._from_daemon:
            processes = data.snapshot["processes"] if data.snapshot else ()
            kept = [
                clean(line.expandtabs())
                for each in processes
                if each["program"] == self._program and self._process in ("", each["name"])
                for line in each["last_lines"]
            ]
            return Log(self._title, "", tuple(kept), self._note)
        try:
            for path, lines in self._follower.poll():
                self._take(self._sources[path], lines)
        except OSError as error:
            self._note = f"cannot read {error.filename}: {error.strerror}"
        return Log(self._title, ", ".join(self._sources), tuple(self._lines), self._note)

    def close(self) -> None:
        """Let go of the files."""
        self._follower.close()

    def _add(self, source: Source) -> None:
        if source.path.startswith("/dev/") and not source.path.startswith("/dev/shm/"):  # noqa: S108
            self._from_daemon = True
            self._note = f"it prints to {source.path}: these are the last lines that the daemon keeps"
            return
        self._sources[source.path] = source
        try:
            self._take(source, self._follower.add(source.path, FIRST_LINES))
        except OSError as error:
            self._note = f"cannot read {source.path}: {error.strerror}"
            del self._sources[source.path]

    def _take(self, source: Source, data: bytes) -> None:
        from queuepool.logs.lines import is_of

        several = len(self._sources) > 1
        for line in data.splitlines():
            if source.chosen:
                whose = [is_of(line, name) for name in source.chosen]
                if None in whose:
                    self._note = "the lines do not say whose they are: all are shown (`log_prefix: [slot]` lets them)"
                elif True not in whose:
                    continue
            text = shown_line(line)
            self._lines.append(f"{clean(source.title)} | {text}" if several else text)


def shown_line(line: bytes) -> str:
    """A line of a log for the screen: its colours stay, all else that could move the cursor is spelled out."""
    text = worker_text(line).expandtabs()
    return "".join(char if char.isprintable() or char == "\x1b" else f"\\x{ord(char):02x}" for char in text)
