"""Sends one notice by one way, HTTP, SMTP or a command: nothing, or why not in words without a secret. What is sent is
made by formats/notices.py; when it is tried again is domain/outbox.py's."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import re
import threading
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from queuepool import __version__
from queuepool.domain.notices import Notice, plain
from queuepool.domain.notify import Command, Hidden, Mail, Slack, Target, Webhook
from queuepool.domain.outbox import Failure
from queuepool.domain.pool import Launch
from queuepool.errors import SpawnError
from queuepool.formats import notices
from queuepool.laravel.away import of_system
from queuepool.system.commands import Done

SECONDS = 10.0
"""For each step of talking to a server, and for a command."""
ALL_SECONDS = 20.0
"""For all of one attempt."""
MOST_SECRET = 8192
MASK = "********"

T = TypeVar("T")
RunCommand = Callable[..., Awaitable[Done]]
"""system/commands.run."""


class CannotSend(Exception):
    """Something is wrong with the settings; says so in words."""


async def send(target: Target, notice: Notice, run: RunCommand, now: float) -> Failure | None:
    """Deliver a notice; None when it was. now: unix seconds, for a Retry-After that is a date."""
    way = target.way
    try:
        async with asyncio.timeout(ALL_SECONDS):
            match way:
                case Command():
                    return await _command(way, notice, run)
                case Mail():
                    return await _in_thread(lambda: _mail(way, notice))
                case Slack() | Webhook():
                    return await _in_thread(lambda: _post(way, notice, now))
    except TimeoutError:
        return Failure(f"did not answer within {ALL_SECONDS:g} s")
    except CannotSend as error:
        return Failure(str(error))


async def _in_thread(work: Callable[[], T]) -> T:
    """What `work` returns or raises. Not asyncio.to_thread: its few threads are everybody's, and asyncio waits for them
    at the end of the daemon; nobody waits for one of these."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error is not None else done.set_result(result)  # type: ignore[arg-type]

    def perform() -> None:
        result, failed = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(tell, result, failed)

    threading.Thread(target=perform, name="queuepool-notify", daemon=True).start()
    return await done


def reveal(secret: Hidden) -> str:
    """The secret itself. Raises CannotSend when its file cannot be read."""
    if not secret.file:
        return secret.text
    try:
        with open(secret.file, encoding="utf-8") as file:
            text = file.read(MOST_SECRET).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CannotSend(f"cannot read {secret.file}: {why}") from None
    if not text or not text.isprintable():
        raise CannotSend(f"cannot use {secret.file}: it does not hold one line of text")
    return text


# --- HTTP -------------------------------------------------------------------------------------------------------------


def _post(way: Slack | Webhook, notice: Notice, now: float) -> Failure | None:
    from queuepool.domain.notify import check_address

    url = reveal(way.url)
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": f"queuepool/{__version__}"}
    try:
        check_address(url, safe=isinstance(way, Slack))
    except ValueError as error:
        raise CannotSend(f"its address {error}") from None
    if isinstance(way, Slack):
        body = json.dumps(notices.slack(notice), ensure_ascii=True).encode()
    else:
        body = notices.webhook(notice)
        headers["X-Queuepool-Delivery"] = notice.id
        headers |= {name: reveal(value) for name, value in way.headers}
        if way.secret is not None:
            headers["X-Queuepool-Signature"] = signature(reveal(way.secret), body)
    secrets = [url, *(headers[name] for name, _ in (way.headers if isinstance(way, Webhook) else ()))]
    return _answered(url, body, headers, secrets, now)


def signature(secret: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256 of the body in hex, as GitHub signs."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _answered(url: str, body: bytes, headers: dict[str, str], secrets: list[str], now: float) -> Failure | None:
    import ssl
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    class Stay(urllib.request.HTTPRedirectHandler):
        """Follows no redirect: it would take the secrets elsewhere."""

        def redirect_request(self, *_: object) -> None:
            return None

    where = re.split(r"[/?#]", url.partition("://")[2])[0]
    try:
        tls = ssl.create_default_context() if url.lower().startswith("https:") else None
        opener = urllib.request.build_opener(Stay, *([urllib.request.HTTPSHandler(context=tls)] if tls else ()))
        request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - http or https, as checked
        with opener.open(request, timeout=SECONDS):
            return None
    except urllib.error.HTTPError as error:
        with error:
            said = ""
            with contextlib.suppress(OSError, HTTPException):
                said = error.read1(400).decode("utf-8", "replace")
            return refusal(error.code, where, _without(said, secrets), error.headers.get("Retry-After"), now)
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason))
        return Failure(f"{where} {_without(of_system(reason), secrets)}")
    except OSError as error:
        return Failure(f"{where} {_without(of_system(error), secrets)}")
    except (HTTPException, ValueError) as error:
        return Failure(f"{where} does not speak HTTP: {_without(type(error).__name__, secrets)}")


def refusal(code: int, where: str, said: str, retry_after: str | None, now: float) -> Failure:
    """What an answer other than 2xx means. 4xx would come again, but for 408 and 429."""
    what = f"{where} answers {code}" + (f": {plain(said, 200)}" if said.strip() else "")
    if 300 <= code < 400:
        what = f"{where} answers {code}: it sends us elsewhere, and that is not followed"
    return Failure(what, 300 <= code < 500 and code not in (408, 429), _wish(retry_after, now))


def _wish(text: str | None, now: float) -> float:
    """Seconds of a Retry-After, which may be a number or a date (RFC 9110, 10.2.3)."""
    text = (text or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - now) if text else 0.0
    return 0.0


def _without(text: str, secrets: list[str]) -> str:
    """The text without secrets, and without the parts of an address that a server may repeat."""
    hidden = {part for secret in secrets for part in (secret, *re.split(r"[/?&=#]", secret)[3:]) if len(part) >= 6}
    for part in sorted(hidden, key=len, reverse=True):
        text = text.replace(part, MASK)
    return text


# --- SMTP -------------------------------------------------------------------------------------------------------------


def _mail(way: Mail, notice: Notice) -> Failure | None:
    import smtplib
    import ssl
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import formatdate

    message = EmailMessage(SMTP)
    message["From"] = way.sender
    message["To"] = ", ".join(way.to)
    message["Subject"] = notices.subject(notice)
    message["Date"] = formatdate(notice.time, localtime=True)
    host = re.sub(r"[^A-Za-z0-9.-]", "-", notice.host) or "localhost"
    message["Message-ID"] = f"<{notice.id}.queuepool@{host}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Queuepool-Key"] = plain(notice.key, 200)
    message.set_content(notices.body(notice))
    where = f"{way.host}:{way.port}"
    password = reveal(way.password) if way.password else ""
    context = ssl.create_default_context()
    server: smtplib.SMTP | None = None
    try:
        if way.security == "tls":
            server = smtplib.SMTP_SSL(way.host, way.port, host, timeout=SECONDS, context=context)
        else:
            server = smtplib.SMTP(way.host, way.port, host, SECONDS)
        if way.security == "starttls":
            server.starttls(context=context)
        if way.username:
            server.login(way.username, password)
        refused = server.send_message(message)
        with contextlib.suppress(OSError, smtplib.SMTPException):  # it has the mail: how it says good-bye is all one
            server.quit()
    except smtplib.SMTPNotSupportedError as error:
        return Failure(f"{where} cannot do it: {_without(plain(str(error), 200), [password])}", final=True)
    except smtplib.SMTPRecipientsRefused as error:
        codes = {code for code, _ in error.recipients.values()}
        return Failure(f"{where} takes mail for none of {', '.join(way.to)}", final=min(codes, default=0) >= 500)
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return Failure(
            f"{where} answers {error.smtp_code}: {_without(plain(said, 200), [password])}", error.smtp_code >= 500
        )
    except smtplib.SMTPException as error:
        return Failure(f"{where} {_without(plain(str(error), 200), [password])}")
    except OSError as error:
        return Failure(f"{where} {of_system(error)}")
    finally:
        if server is not None:
            server.close()
    if refused:
        return Failure(f"{where} takes no mail for {', '.join(refused)}", final=True)
    return None


# --- a command --------------------------------------------------------------------------------------------------------


async def _command(way: Command, notice: Notice, run: RunCommand) -> Failure | None:
    launch = Launch(way.argv, way.directory)
    names = {"QUEUEPOOL_CONFIG": notice.config}
    try:
        done = await run(launch, names, seconds=SECONDS, given=notices.webhook(notice) + b"\n")
    except SpawnError as error:
        return Failure(error.message)
    name = os.path.basename(way.argv[0])
    said = f": {plain(done.lines[-1], 200)}" if done.lines else ""
    if done.late:
        return Failure(f"{name} took longer than {SECONDS:g} s and was ended")
    return Failure(f"{name} ended with {done.code}{said}") if done.code != 0 else None
