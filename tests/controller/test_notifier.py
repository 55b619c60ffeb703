"""Delivery, by real servers and real commands. When something is told is tested in domain/test_notices.py."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from queuepool.controller import notifier as delivering
from queuepool.controller import senders
from queuepool.controller.journal import Journal
from queuepool.controller.noticestate import NoticeStore
from queuepool.controller.noticeview import try_targets
from queuepool.controller.notifier import Notifier
from queuepool.controller.senders import _wish, refusal, send, signature
from queuepool.domain import outbox
from queuepool.domain.alarm import Limits, Sight
from queuepool.domain.events import Kind
from queuepool.domain.notices import DEFAULT, About, Notice, Phase, Severity
from queuepool.domain.notify import Command, Hidden, Mail, Notify, Slack, Target, Way, Webhook
from queuepool.domain.outbox import Failure, Rate
from queuepool.errors import UsageError
from queuepool.system import commands
from tests.support.receiving import Hook, Mailbox, certificate
from tests.support.turns import until
from tests.support.wait import LIMIT


class Eyes:
    """One program that is down, and nothing else."""

    def program(self, name: str) -> Sight | None:
        return Sight(2, 0, frozenset({f"{name}:0", f"{name}:1"}), 1, "exit 1: no such table", ("no such table",))

    def redis(self) -> tuple[str, ...]:
        return ("r",)

    def logs(self) -> tuple[str, ...]:
        return ()

    def supervisord(self) -> bool:
        return False


def notice(**more: Any) -> Notice:
    values: dict[str, Any] = {
        "id": "1-1", "key": "fatal:mail", "about": About.FATAL, "phase": Phase.RAISED, "severity": Severity.ERROR,
        "time": 1700000000.0, "since": 1699999000.0, "title": "mail: <1> of 4 & more", "text": "Why: x\nTry: y",
        "lines": ("a <b> ```c", "ü"), "command": "queuepool status mail", "programs": ("mail",), "host": "web-1",
        "config": "/srv/app/queuepool.yml",
    }  # fmt: skip
    return Notice(**(values | more))


def target(way: Way, name: str = "ops", **more: Any) -> Target:
    return Target(name, way, DEFAULT, Rate(), **more)


def deliver(way: Way, what: Notice | None = None) -> Failure | None:
    return asyncio.run(send(target(way), what or notice(), commands.run, 1700000000.0))


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as found:
        yield found


# --- one attempt ------------------------------------------------------------------------------------------------------


def test_a_webhook_gets_the_notice_with_its_headers_and_a_signature(hook: Hook, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer SECRET\n")
    headers = (("Authorization", Hidden(file=str(tmp_path / "token"))),)
    assert deliver(Webhook(Hidden(hook.url), headers, Hidden("key"))) is None
    [got] = hook.received
    assert got.path == "/services/SECRET-PATH?token=SECRET-TOKEN"
    assert got.value == json.loads(json.dumps(notice().to_json()))
    assert got.headers["Authorization"] == "Bearer SECRET"
    assert got.headers["X-Queuepool-Delivery"] == "1-1"
    assert got.headers["X-Queuepool-Signature"] == signature("key", got.body)
    # printf '' | openssl dgst -sha256 -hmac key
    assert signature("key", b"").startswith("sha256=5d5d139563c95b5967b9bd9a8c9b233a")


def test_slack_gets_blocks_and_a_text_in_which_nothing_is_markup(hook: Hook) -> None:
    assert deliver(Slack(Hidden(hook.url))) is None
    value = hook.received[0].value
    assert value["text"] == "\N{LARGE RED CIRCLE} mail: &lt;1&gt; of 4 &amp; more (web-1)"
    header, why, printed, context = value["blocks"]
    assert header["text"] == {"type": "plain_text", "text": "\N{LARGE RED CIRCLE} mail: <1> of 4 & more", "emoji": True}
    assert why["text"]["text"] == "Why: x\nTry: y"
    assert printed["text"]["text"] == "```a &lt;b&gt; '''c\nü```"
    assert context["elements"][0]["text"] == "*web-1*  |  since 16 min 40 s  |  `queuepool status mail`"


def test_a_long_notice_fits_into_what_slack_takes(hook: Hook) -> None:
    long = notice(title="t" * 200, text="<" * 1500, lines=("&" * 300,) * 10)
    assert deliver(Slack(Hidden(hook.url)), long) is None
    header, *sections, _ = hook.received[0].value["blocks"]
    assert len(header["text"]["text"]) <= 150
    assert all(len(section["text"]["text"]) <= 3000 for section in sections)


@pytest.mark.parametrize(
    ("code", "final"), [(400, True), (404, True), (410, True), (302, True), (408, False), (429, False), (503, False)]
)
def test_an_answer_says_whether_to_try_again_and_no_secret(hook: Hook, code: int, final: bool) -> None:
    hook.answers, hook.echo = [code], True
    hook.headers[code] = {"Location": hook.url, "Retry-After": "7"}
    failure = deliver(Webhook(Hidden(hook.url)))
    assert failure is not None
    assert (failure.final, failure.wish) == (final, 7.0)
    assert f"127.0.0.1:{hook.port} answers {code}" in failure.why
    assert "SECRET" not in failure.why
    assert len(hook.received) == 1, "a redirect is not followed"


def test_a_retry_after_may_be_a_date() -> None:
    assert _wish("Tue, 14 Nov 2023 22:14:20 GMT", 1700000000.0) == 60.0
    assert [_wish(text, 0.0) for text in (None, "", "soon", "-3")] == [0.0] * 4
    assert refusal(429, "h", "", "5", 0.0) == Failure("h answers 429", False, 5.0)


def test_a_server_that_is_away_or_no_web_server_or_not_trusted_is_said_in_words(hook: Hook, tmp_path: Path) -> None:
    hook.stop()
    assert deliver(Webhook(Hidden(hook.url))) == Failure(f"127.0.0.1:{hook.port} refuses connections")
    hook.start()
    tls = deliver(Webhook(Hidden(hook.url.replace("http:", "https:"))))
    assert tls is not None
    assert tls.why == f"127.0.0.1:{hook.port} does not speak TLS"
    with Mailbox() as box:
        other = deliver(Webhook(Hidden(f"http://127.0.0.1:{box.port}/SECRET")))
    assert other is not None
    assert other.why == f"127.0.0.1:{box.port} does not speak HTTP: BadStatusLine"
    missing = deliver(Slack(Hidden(file=str(tmp_path / "no"))))
    assert missing == Failure(f"cannot read {tmp_path}/no: No such file or directory")
    (tmp_path / "no").write_text("http://example.com/SECRET\n")
    plain = deliver(Slack(Hidden(file=str(tmp_path / "no"))))
    assert plain == Failure("its address is not an https address: whoever sees it can write there")


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("certificate"))


def test_a_webhook_by_https_is_told_only_where_its_certificate_is_trusted_and_its_own(
    trusted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Hook(tls=trusted) as hook:
        good, other = (Webhook(Hidden(f"https://{host}:{hook.port}/SECRET")) for host in ("127.0.0.1", "localhost"))
        untrusted = deliver(good)
        assert untrusted is not None
        assert untrusted.why == f"127.0.0.1:{hook.port} has a certificate that is not trusted: self-signed certificate"
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted[0]))
        assert deliver(good) is None
        wrong = deliver(other)
        assert wrong is not None
        assert "has a certificate that is not trusted: Hostname mismatch" in wrong.why
        assert len(hook.received) == 1


def test_an_email_is_text_with_headers_that_nobody_can_add_to() -> None:
    with Mailbox() as box:
        way = Mail(("ops@example.com", "b@example.com"), "queuepool@web-1", "127.0.0.1", box.port)
        evil = notice(title="größer\r\nBcc: evil@example.com", host="web\r\nX-Evil: 1")
        assert deliver(way, evil) is None
        [letter] = box.letters
    assert letter.to == ["ops@example.com", "b@example.com"]
    assert letter.message["Subject"] == "[queuepool web X-Evil: 1] größer Bcc: evil@example.com"
    assert (letter.message["Bcc"], letter.message["X-Evil"]) == (None, None)
    assert letter.message["Message-ID"] == "<1-1.queuepool@web--X-Evil--1>"
    body = letter.message.get_content().replace("\r\n", "\n")
    assert "Why: x\nTry: y\n\nWhat was printed last:\n    a <b> ```c\n    ü\n" in body
    assert "type:   queuepool status mail\n" in body


def test_an_email_by_starttls_logs_in_only_where_the_certificate_is_trusted(
    trusted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Mailbox(trusted, "SECRET-PASSWORD") as box:
        good = Mail(("a@b.c",), "q@b.c", "127.0.0.1", box.port, "starttls", "ops", Hidden("SECRET-PASSWORD"))
        failure = deliver(good)
        assert failure is not None
        assert failure.why == (f"127.0.0.1:{box.port} has a certificate that is not trusted: self-signed certificate")
        assert not failure.final
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted[0]))
        assert deliver(good) is None
        assert [(letter.secure, letter.user) for letter in box.letters] == [(True, "ops")]
        wrong = deliver(Mail(("a@b.c",), "q@b.c", "127.0.0.1", box.port, "starttls", "ops", Hidden("SECRET-WRONG")))
        assert wrong is not None
        assert wrong.final
        assert "answers 535" in wrong.why
        assert "SECRET" not in wrong.why
        plain = deliver(Mail(("a@b.c",), "q@b.c", "127.0.0.1", box.port))
        assert plain is not None
        assert plain.final
        assert len(box.letters) == 1


def test_a_mail_server_that_does_not_take_it_now_is_asked_again() -> None:
    with Mailbox() as box:
        way = Mail(("a@b.c",), "q@b.c", "127.0.0.1", box.port)
        box.refuse = "451 later"
        assert deliver(way) == Failure(f"127.0.0.1:{box.port} answers 451: later", False)
        box.refuse = "554 never"
        assert deliver(way) == Failure(f"127.0.0.1:{box.port} answers 554: never", True)
        insisting = deliver(Mail(("a@b.c",), "q@b.c", "127.0.0.1", box.port, "starttls"))
        assert insisting is not None
        assert "cannot do it: STARTTLS" in insisting.why
    assert deliver(way) == Failure(f"127.0.0.1:{box.port} refuses connections")


def test_a_command_reads_the_notice_and_says_why_it_fails(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert deliver(Command(("sh", "-c", f"cat > {out}"), str(tmp_path))) is None
    assert json.loads(out.read_text())["title"] == notice().title
    failure = deliver(Command(("sh", "-c", "echo no network >&2; exit 7"), str(tmp_path)))
    assert failure == Failure("sh ended with 7: no network")
    missing = deliver(Command(("/no/such",), str(tmp_path)))
    assert missing is not None
    assert "/no/such" in missing.why


# --- again and again --------------------------------------------------------------------------------------------------


def settings(*ways: Way, **more: Any) -> Notify:
    targets = tuple(target(way, f"t{number}") for number, way in enumerate(ways))
    return Notify(targets, Limits(**({"gather": 0.0, "calm": 0.0} | more)))


@contextlib.asynccontextmanager
async def running(tmp_path: Path, said: Notify) -> AsyncIterator[tuple[Notifier, Journal]]:
    journal, store = Journal(), NoticeStore(str(tmp_path))
    notifier = Notifier(said, store, store.load(), journal, Eyes(), commands.run, config="/c.yml", defect=_raise)
    journal.listeners.append(notifier.heard)
    try:
        yield notifier, journal
    finally:
        await notifier.close()


def _raise(error: BaseException) -> None:
    raise error


def within(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(LIMIT):
            await work()

    asyncio.run(main())


def kinds(journal: Journal) -> list[Kind]:
    return [event.kind for event in journal.events if event.kind.value.startswith("notif")]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again soon."""
    monkeypatch.setattr(outbox, "pause", lambda tries, luck: 0.01)


@pytest.mark.usefixtures("impatient")
def test_what_fails_is_tried_until_it_is_delivered_once_and_said_once(tmp_path: Path, hook: Hook) -> None:
    hook.answers = [500, 503]

    async def main() -> None:
        async with running(tmp_path, settings(Webhook(Hidden(hook.url)))) as (notifier, journal):
            journal.add(Kind.FATAL, "mail:0", {"reason": "exit 1"})
            await journal.saw(lambda event: event.kind is Kind.NOTIFY_TROUBLE, LIMIT)
            [problem] = notifier.problems()
            assert problem.startswith("cannot deliver notifications to t0: 127.0.0.1:")
            assert "answers 500" in problem
            await journal.saw(lambda event: event.kind is Kind.NOTIFY_WELL, LIMIT)
            assert notifier.problems() == []
            assert kinds(journal) == [Kind.NOTIFY_TROUBLE, Kind.NOTIFIED, Kind.NOTIFY_WELL]

    within(main)
    assert [one.answered for one in hook.received] == [500, 503, 200]
    assert len({one.headers["X-Queuepool-Delivery"] for one in hook.received}) == 1


@pytest.mark.usefixtures("impatient")
def test_a_server_that_asks_for_patience_gets_it(tmp_path: Path, hook: Hook) -> None:
    hook.answers, hook.headers = [429], {429: {"Retry-After": "1"}}

    async def main() -> None:
        async with running(tmp_path, settings(Slack(Hidden(hook.url)))) as (_, journal):
            journal.add(Kind.FATAL, "mail:0", {"reason": "exit 1"})
            refused = await journal.saw(lambda event: event.kind is Kind.NOTIFY_TROUBLE, LIMIT)
            told = await journal.saw(lambda event: event.kind is Kind.NOTIFIED, LIMIT)
            assert told.time - refused.time >= 0.95

    within(main)


def test_what_is_refused_for_good_is_not_tried_again_and_counted_in_the_next(tmp_path: Path, hook: Hook) -> None:
    hook.answers = [404]

    async def main() -> None:
        async with running(tmp_path, settings(Webhook(Hidden(hook.url)))) as (notifier, journal):
            journal.add(Kind.FATAL, "mail:0", {"reason": "exit 1"})
            lost = await journal.saw(lambda event: event.kind is Kind.NOTIFY_TROUBLE, LIMIT)
            assert str(lost.fields["lost"]).startswith("mail: 1 of 2 processes FATAL")
            assert notifier.report()["targets"][0]["lost"] == 1
            journal.add(Kind.LOG_TROUBLE, "", {"file": "/log", "reason": "full"})
            await journal.saw(lambda event: event.kind is Kind.NOTIFIED, LIMIT)
            assert notifier.report()["targets"][0]["lost"] == 0

    within(main)
    assert [one.answered for one in hook.received] == [404, 200]
    assert hook.received[1].value["held"]["lost"] == 1


def test_a_slow_server_delays_neither_the_others_nor_the_end(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.seconds = 100.0
    monkeypatch.setattr(senders, "SECONDS", 100.0)
    monkeypatch.setattr(senders, "ALL_SECONDS", 100.0)
    monkeypatch.setattr(delivering, "FLUSH_SECONDS", 0.3)

    async def main() -> None:
        with Hook() as quick:
            said = settings(Webhook(Hidden(hook.url)), Webhook(Hidden(quick.url)))
            async with running(tmp_path, said) as (_, journal):
                journal.add(Kind.FATAL, "mail:0", {"reason": "exit 1"})
                await journal.saw(lambda event: event.fields.get("target") == "t1", LIMIT)
                await until(lambda: hook.received)
                began = time.monotonic()
            assert 0.3 <= time.monotonic() - began < LIMIT / 2

    within(main)
    kept = NoticeStore(str(tmp_path)).load()
    assert (len(kept.boxes["t0"].letters), len(kept.boxes["t1"].letters)) == (1, 0)


def test_the_end_waits_for_what_was_never_tried(tmp_path: Path, hook: Hook) -> None:
    async def main() -> None:
        async with running(tmp_path, settings(Webhook(Hidden(hook.url)))) as (_, journal):
            journal.add(Kind.FATAL, "mail:0", {"reason": "exit 1"})

    within(main)
    assert len(hook.accepted()) == 1


def test_a_new_daemon_delivers_what_the_last_one_could_not_and_raises_nothing_twice(tmp_path: Path, hook: Hook) -> None:
    hook.stop()
    said = settings(Webhook(Hidden(hook.url)), calm=0.2)

    async def first() -> None:
        async with running(tmp_path, said) as (_, journal):
            journal.add(Kind.FATAL, "mail:0", {"reason": "exit 1"})
            await journal.saw(lambda event: event.kind is Kind.NOTIFY_TROUBLE, LIMIT)

    async def second() -> None:
        async with running(tmp_path, said) as (notifier, journal):
            await journal.saw(lambda event: event.kind is Kind.NOTIFIED, LIMIT)
            journal.add(Kind.FATAL, "mail:0", {"reason": "exit 1"})
            assert [one["key"] for one in notifier.report()["open"]] == ["fatal:mail"]
            journal.add(Kind.RUNNING, "mail:0", {"pid": 1})
            await until(lambda: len(hook.received) == 2)

    within(first)
    file = tmp_path / "notifications.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "SECRET" not in file.read_text()
    hook.start()
    within(second)
    assert [one["phase"] for one in hook.accepted()] == ["raised", "recovered"]


def test_state_that_cannot_be_read_is_complained_of_and_begun_anew(tmp_path: Path) -> None:
    complaints: list[str] = []
    (tmp_path / "notifications.json").write_text('{"memory": 3}')
    assert NoticeStore(str(tmp_path), complaints.append).load().boxes == {}
    assert "it is not of this version" in complaints[0]
    store = NoticeStore(str(tmp_path / "no"), complaints.append)
    for _ in range(3):
        store.save(store.load())
    assert len(complaints) == 2
    assert complaints[1].startswith(f"cannot save {tmp_path}/no/notifications.json: No such file or directory")


@pytest.mark.usefixtures("impatient")
def test_a_test_reaches_each_target_and_ends_the_waiting_of_what_it_reaches(tmp_path: Path, hook: Hook) -> None:
    hook.answers = [500] * 5

    async def main() -> None:
        async with running(tmp_path, settings(Slack(Hidden(hook.url)), Command(("false",), "/"))) as (
            notifier,
            journal,
        ):
            journal.add(Kind.FATAL, "mail:0", {"reason": "exit 1"})
            await until(lambda: len(hook.received) >= 3)
            hook.answers.clear()
            results = {one["target"]: one for one in await notifier.test(())}
            assert (results["t0"]["ok"], results["t1"]["why"]) == (True, "false ended with 1")
            await journal.saw(lambda event: event.kind is Kind.NOTIFIED, LIMIT)
            with pytest.raises(UsageError, match="cannot test nobody"):
                await notifier.test(["nobody"])

    within(main)
    with pytest.raises(UsageError, match="have no targets"):
        asyncio.run(try_targets(None, (), commands.run, config="/c", now=0.0))


def test_a_target_that_is_gone_from_the_file_is_told_nothing_more_and_what_waited_for_it_is_said(
    tmp_path: Path, hook: Hook
) -> None:
    hook.stop()

    async def main() -> None:
        async with running(tmp_path, settings(Webhook(Hidden(hook.url)))) as (notifier, journal):
            journal.add(Kind.CONFIG_APPLIED)
            journal.add(Kind.FATAL, "mail:0", {"reason": "exit 1"})
            await journal.saw(lambda event: event.kind is Kind.NOTIFY_TROUBLE, LIMIT)
            notifier.use(None)
            gone = await journal.saw(lambda event: event.fields.get("lost") == "1 that waited", LIMIT)
            assert gone.fields["reason"] == "it is no longer in the file"
            journal.add(Kind.FATAL, "other:0", {"reason": "exit 1"})
            assert notifier.report()["targets"] == []

    within(main)
    kept = NoticeStore(str(tmp_path)).load()
    assert (kept.boxes, kept.memory.up) == ({}, False), "how a daemon ends that nobody hears is no death"
    assert list(kept.memory.alarms) == ["fatal:mail"]
    hook.start()


def test_a_defect_is_told_once_and_stops_nothing(tmp_path: Path, hook: Hook) -> None:
    defects: list[BaseException] = []

    async def main() -> None:
        async with running(tmp_path, settings(Webhook(Hidden(hook.url)))) as (notifier, journal):
            notifier._defect = defects.append
            notifier._eyes.program = lambda name: 1 / 0  # type: ignore[method-assign,assignment,return-value]
            for number in range(3):
                journal.add(Kind.FATAL, f"p{number}:0", {"reason": "exit 1"})
                await asyncio.sleep(0)
            del notifier._eyes.program
            journal.add(Kind.FATAL, "mail:0", {"reason": "exit 1"})
            await until(lambda: hook.received)

    within(main)
    assert [type(error) for error in defects] == [ZeroDivisionError]


def test_a_file_without_notifications_loads_none_of_their_code(tmp_path: Path) -> None:
    (tmp_path / "queuepool.yml").write_text("programs: {w: {command: sleep 1}}\n")
    theirs = [f"queuepool.controller.{name}" for name in ("notifier", "senders", "noticestate", "sights")]
    theirs += [f"queuepool.domain.{name}" for name in ("alarms", "notices", "notification", "notify", "notifyspec")]
    code = f"""
import sys, queuepool.daemon.running
from queuepool.controller import versions
versions.read(sys.argv[1])
print({{*sys.modules}} & {{*{theirs!r}}})
"""
    argv = [sys.executable, "-c", code, str(tmp_path / "queuepool.yml")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr
