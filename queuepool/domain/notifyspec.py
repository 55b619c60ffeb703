"""The keys of `notifications:`, as spec.py's are of all others. They are apart since they are loaded only for files
that have them; what they mean is notification.py's."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema, model_validator

from queuepool.domain import notify
from queuepool.domain.spec import Model, key
from queuepool.domain.values import Name, Names, RetryPause, Seconds, Text, Words

_TEXT = WithJsonSchema({"type": "string"})
_LIST = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
MailAddress = Annotated[str, BeforeValidator(notify.mail_address), _TEXT]
MailAddresses = Annotated[tuple[str, ...], BeforeValidator(notify.mail_addresses), _LIST]
MailServer = Annotated[str, BeforeValidator(notify.mail_server), _TEXT]
NoticeKinds = Annotated[tuple[str, ...], BeforeValidator(notify.kinds), _LIST]
Burst = Annotated[int, Field(ge=1, le=1000)]
CrashCount = Annotated[int, Field(ge=2, le=1000)]
_DURATION = {"type": ["number", "string"]}
WaitLimits = Annotated[
    dict[str, float],
    BeforeValidator(notify.wait_limits),
    WithJsonSchema({"anyOf": [_DURATION, {"type": "object", "additionalProperties": _DURATION}]}),
]


class Secret(Model):
    """Something that nobody else is to see: the text itself, best as `${NAME}`, or the file that holds it."""

    text: SecretStr | None = key(None, "The text itself.")
    file: Text | None = key(None, "A file whose only line it is; it is read anew each time.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value if isinstance(value, dict | Secret) else {"text": value}

    @model_validator(mode="after")
    def _given(self) -> Self:
        if (self.file is None) == (self.text is None or not self.text.get_secret_value().strip()):
            raise ValueError("needs a text that is not empty, or `file`")
        return self


def _slack_address(secret: Secret) -> Secret:
    return _web_address(secret, safe=True)


def _web_address(secret: Secret, *, safe: bool = False) -> Secret:
    if secret.text is not None:
        notify.check_address(secret.text.get_secret_value(), safe=safe)
    return secret


class Email(Model):
    """Where an e-mail goes, and by which server."""

    to: MailAddresses = key((), "Addresses, a list or text with commas.")
    from_: MailAddress | None = key(None, "Address of the sender. Unset: `queuepool@` this host.", alias="from")
    smtp: MailServer = key("127.0.0.1:25", "Server and port. Port 465 speaks TLS from the first byte.")
    username: Text | None = key(None, "Name to log in with.")
    password: Secret | None = key(None, "Password to log in with, or `{file: ...}`.")
    starttls: bool | None = key(None, "Encrypt, and insist on it. Unset: yes, but for a server on this machine.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.to:
            raise ValueError("needs `to`: the addresses that get it")
        if (self.username is None) != (self.password is None):
            raise ValueError("needs both username and password, or neither")
        if self.password is not None and self.security == "none" and not notify.is_here(self.smtp):
            raise ValueError("would send the password as it is: leave `starttls` away")
        return self

    @property
    def security(self) -> Literal["none", "starttls", "tls"]:
        """How the connection is encrypted."""
        if self.smtp.endswith(":465"):
            return "tls"
        wanted = not notify.is_here(self.smtp) if self.starttls is None else self.starttls
        return "starttls" if wanted else "none"


class TargetKeys(Model):
    """Where notices go, and which"""

    slack: Annotated[Secret, AfterValidator(_slack_address)] | None = key(
        None, "Address of an incoming webhook of Slack (or of one that takes the same), or `{file: ...}`."
    )
    webhook: Annotated[Secret, AfterValidator(_web_address)] | None = key(
        None, "Address that gets each notice as a JSON object by POST, or `{file: ...}`."
    )
    headers: dict[str, Secret] = key({}, "Further headers for the webhook, such as `Authorization`.", repr=False)
    secret: Secret | None = key(
        None, "With it the webhook's body is signed: `X-Queuepool-Signature: sha256=` and its HMAC in hex."
    )
    email: Email | None = key(None, "E-mail: `{to: ops@example.com, smtp: mail.example.com:587, ...}`.")
    command: Words | None = key(
        None, "A command that gets each notice as a JSON object on its standard input, as the daemon's user."
    )
    on: NoticeKinds | None = key(
        None,
        "What is told: a list of `fatal`, `crash_loop`, `memory`, `memory_limit`, `wait`, `redis`, `log`, `deploy`, "
        "`deployed`, `daemon` and `config`; `default` stands for all but `deployed` and `memory_limit`, `all` for all.",
    )
    programs: Names | None = key(
        None, "Only notices about these programs or groups, and those about none, such as `redis`. Unset: all."
    )
    interval: Seconds | None = key(
        None, "Seconds for one notice, on average; what comes faster is held back and counted. Unset: 30. 0: no limit."
    )
    burst: Burst | None = key(None, "Notices that may come at once before that. Unset: 10.")

    @model_validator(mode="after")
    def _belong(self) -> Self:
        if self.webhook is None and (self.headers or self.secret):
            raise ValueError("has `headers` or `secret`, which belong to a `webhook`")
        notify.check_headers(self.headers)
        return self

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways that are given: slack, webhook, email, command."""
        return tuple(way for way in ("slack", "webhook", "email", "command") if getattr(self, way) is not None)


class NoticeTarget(TargetKeys):
    """One target."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if len(self.ways) != 1:
            found = " and ".join(self.ways)
            raise ValueError(
                f"has {found}: a target is one of them, make it several targets"
                if found
                else "needs one of slack, webhook, email and command"
            )
        return self


class CrashLoop(Model):
    """What counts as a crash loop."""

    crashes: CrashCount = key(5, "Crashes of a program's processes.")
    within: Seconds = key(60.0, "Seconds in which they come.")


class Notifications(TargetKeys):
    """Who is told when something is wrong, and when it is well again."""

    targets: dict[Name, NoticeTarget] = key(
        {}, "Targets by name. One of `slack`, `webhook`, `email` and `command` beside it is a target of that name."
    )
    wait_above: WaitLimits = key(
        {}, "Seconds that jobs may wait: one for all programs, or `{mail: 5s, reports: 10m}`. Unset: not looked at."
    )
    crash_loop: CrashLoop = key(
        CrashLoop.model_construct(_fields_set=set()),
        "So many crashes in so many seconds are a crash loop: `{crashes: 5, within: 60s}`.",
    )
    gather: Seconds = key(2.0, "Seconds that are waited for more of the same: 50 processes make one notice.")
    calm: Seconds = key(15.0, "Seconds that all must be well before that is told.")
    remind: RetryPause = key(4 * 3600.0, "Seconds after which something that goes on is told again; `never`: not.")

    @model_validator(mode="after")
    def _some_target(self) -> Self:
        if not self.targets and not self.ways:
            raise ValueError("has no target: give slack, webhook, email, command or targets")
        return self
