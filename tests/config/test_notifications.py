"""The `notifications:` section: what is understood, what is refused, and that no secret is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from queuepool.config.explain import explain
from queuepool.config.load import load, read
from queuepool.config.reference import reference
from queuepool.config.schema import schema
from queuepool.domain.notices import DEFAULT, MEANING, About
from queuepool.domain.notify import Command, Hidden, Mail, Notify, Slack, Webhook
from queuepool.errors import ConfigError

PROGRAMS = "programs:\n  mail: {command: sleep 1}\n  reports: {command: sleep 1}\ngroups: {both: [mail, reports]}\n"
ENVIRON = {"URL": "https://hooks.slack.com/services/SECRET-A", "PASSWORD": "SECRET-B"}


def loaded(tmp_path: Path, text: str) -> Notify:
    (tmp_path / "queuepool.yml").write_text(PROGRAMS + text)
    found = load(str(tmp_path / "queuepool.yml"), ENVIRON)
    assert found.problems == ()
    assert found.notify is not None
    return found.notify


def problems(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "queuepool.yml").write_text(PROGRAMS + text)
    with pytest.raises(ConfigError) as error:
        load(str(tmp_path / "queuepool.yml"), ENVIRON)
    return [problem.partition("queuepool.yml:")[2] for problem in error.value.problems]


def test_two_lines_are_enough(tmp_path: Path) -> None:
    [target] = loaded(tmp_path, "notifications:\n  slack: ${URL}\n").targets
    assert (target.name, target.kind, target.way) == ("slack", "slack", Slack(Hidden(ENVIRON["URL"])))
    assert target.on == DEFAULT
    assert target.programs == frozenset()


ALL = """\
notifications:
  on: [default, deployed]
  interval: 1m
  wait_above: {mail: 5s, reports: 10m}
  crash_loop: {crashes: 3, within: 2m}
  remind: never
  email: {to: "a@b.c, d@e.f", smtp: mail.b.c:587, username: u, password: "${PASSWORD}"}
  targets:
    hook:
      {webhook: https://b.c/x, headers: {Authorization: "Bearer SECRET-C"}, secret: SECRET-D, on: all, programs: both}
    page: {command: /bin/page --now, on: fatal, burst: 2}
    kept: {slack: {file: slack.txt}}
"""


def test_each_way_is_understood_with_what_holds_for_all(tmp_path: Path) -> None:
    (tmp_path / "slack.txt").write_text("https://hooks.slack.com/services/SECRET-E\n")
    said = loaded(tmp_path, ALL)
    mail, hook, page, kept = said.targets
    assert isinstance(mail.way, Mail)
    assert (mail.way.to, mail.way.host, mail.way.port) == (("a@b.c", "d@e.f"), "mail.b.c", 587)
    assert (mail.way.security, mail.way.password) == ("starttls", Hidden("SECRET-B"))
    assert mail.on == DEFAULT | {About.DEPLOYED}
    headers = (("Authorization", Hidden("Bearer SECRET-C")),)
    assert hook.way == Webhook(Hidden("https://b.c/x"), headers, Hidden("SECRET-D"))
    assert (hook.on, hook.programs) == (frozenset(MEANING), {"mail", "reports"})
    assert page.way == Command(("/bin/page", "--now"), str(tmp_path))
    assert (page.on, page.rate.interval, page.rate.burst) == ({About.FATAL}, 60.0, 2)
    assert kept.way == Slack(Hidden(file=f"{tmp_path}/slack.txt"))
    limits = said.limits
    assert (limits.waits, limits.remind) == ({"mail": 5.0, "reports": 600.0}, 0.0)
    assert (limits.crashes, limits.within) == (3, 120.0)


def test_no_secret_is_shown_by_what_explains_the_file(tmp_path: Path) -> None:
    (tmp_path / "slack.txt").write_text("https://hooks.slack.com/services/SECRET-E\n")
    said = loaded(tmp_path, ALL)
    shown = json.dumps(explain(read(str(tmp_path / "queuepool.yml"), ENVIRON)).to_json())
    assert "SECRET" not in shown + repr(said)
    assert '"webhook": "********"' in shown
    assert '"password": "********"' in shown
    assert '"file": "slack.txt"' in shown


@pytest.mark.parametrize(
    ("smtp", "starttls", "security"),
    [("localhost", "", "none"), ("localhost:25", "true", "starttls"), ("m.b.c:25", "", "starttls"),
     ("m.b.c:25", "false", "none"), ("m.b.c:465", "", "tls"), ("[::1]:25", "", "none")],
)  # fmt: skip
def test_mail_is_encrypted_unless_it_stays_here(tmp_path: Path, smtp: str, starttls: str, security: str) -> None:
    [target] = loaded(
        tmp_path, f"notifications: {{email: {{to: a@b, smtp: '{smtp}', starttls: {starttls}}}}}\n"
    ).targets
    assert isinstance(target.way, Mail)
    assert target.way.security == security


WRONG = {
    "{}": "6: notifications: has no target: give slack, webhook, email, command or targets",
    "{slack: 'http://h.example/SECRET'}": "the value is not an https address",
    "{webhook: 'ftp://SECRET'}": "notifications.webhook: the value is not an address such as https://example.com/hook",
    "{webhook: 'https://u:SECRET@h/'}": "put the name and password into `headers`",
    "{slack: https://h/SECRET, secret: x}": "has `headers` or `secret`, which belong to a `webhook`",
    "{targets: {a: {slack: https://h/SECRET, webhook: https://h/SECRET}}}": "has slack and webhook: a target is one",
    "{targets: {a: {on: fatal}}}": "notifications.targets.a: needs one of slack, webhook, email and command",
    "{slack: https://h/SECRET, targets: {slack: {command: x}}}": "is also the name of the slack beside `targets`",
    "{command: x, on: [fatl]}": "did you mean fatal?",
    "{command: x, programs: mial}": "names mial, which is no program or group (did you mean mail?)",
    "{command: x, wait_above: {mial: 3}}": "notifications.wait_above.mial: is no program (did you mean mail?)",
    "{command: x, wait_above: soon}": "notifications.wait_above: `soon` is not a duration",
    "{command: x, remnd: 3}": "notifications.remnd: unknown key (did you mean remind?)",
    "{email: {to: nobody}}": "notifications.email.to: `nobody` is not an e-mail address",
    "{email: {to: a@b, smpt: x}}": "notifications.email.smpt: unknown key (did you mean smtp?)",
    "{email: {smtp: h}}": "needs `to`: the addresses that get it",
    "{email: {to: a@b, smtp: 'h:0'}}": "is not a mail server such as mail.example.com:587",
    "{email: {to: a@b, username: SECRET}}": "needs both username and password, or neither",
    "{email: {to: a@b, smtp: h, starttls: false, username: u, password: SECRET}}": "would send the password as it is",
    "{webhook: https://h/, headers: {'a b': SECRET}}": "cannot send a header named 'a b'",
    '{webhook: https://h/, headers: {A: "SECRET\\nX: y"}}': "cannot send the header A: its value holds a control",
    "{slack: {fil: SECRET}}": "notifications.slack.fil: unknown key (did you mean file?)",
    "{slack: {text: ''}}": "needs a text that is not empty, or `file`",
    "{slack: '${NOPE}'}": "needs the environment variable NOPE, which is not set",
}


@pytest.mark.parametrize("section", WRONG)
def test_what_is_wrong_is_said_with_its_line_and_no_secret(tmp_path: Path, section: str) -> None:
    found = problems(tmp_path, f"\nnotifications: {section}\n")
    assert any(WRONG[section] in problem for problem in found), found
    assert all(problem.startswith("6: notifications") for problem in found)
    assert "SECRET" not in "".join(found)


def test_a_secret_file_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "queuepool.yml").write_text(PROGRAMS + "notifications: {slack: {file: no}}\n")
    [problem] = load(str(tmp_path / "queuepool.yml"), {}).problems
    assert f"notifications.slack: names {tmp_path}/no, which cannot be read: no such file" in problem


def test_an_included_file_has_no_notifications(tmp_path: Path) -> None:
    (tmp_path / "more.yml").write_text("notifications: {command: x}\n")
    (tmp_path / "queuepool.yml").write_text(PROGRAMS + "include: more.yml\n")
    found = load(str(tmp_path / "queuepool.yml"), {})
    assert "notifications: can only be set in the main file" in found.problems[0]


def test_programs_of_a_broken_file_are_no_mistake_of_the_whole(tmp_path: Path) -> None:
    (tmp_path / "more.yml").write_text("programs: {other: {nonsense: 1}}\n")
    (tmp_path / "queuepool.yml").write_text(
        PROGRAMS + "include: more.yml\nnotifications: {command: x, programs: another}\n"
    )
    assert load(str(tmp_path / "queuepool.yml"), {}).notify is not None


def test_the_schema_takes_the_short_forms_and_the_reference_names_all_that_is_told() -> None:
    made = schema()["$defs"]
    assert {"type": "string"} in made["Secret"]["anyOf"]
    assert all(f"| `{about}` | " in reference() for about in MEANING)
    assert yaml.safe_load(ALL)
