"""A notice as Slack, a webhook and an e-mail take it. Sending it is controller/senders.py's, the words are
domain/noticewords.py's."""

from __future__ import annotations

import json
from typing import Any

from queuepool.domain.notices import Notice, Phase, Severity, plain, span
from queuepool.domain.outbox import before_words

MOST_HEADER = 150
"""Characters of a header block (docs.slack.dev/reference/block-kit/blocks/header-block)."""
MOST_SECTION = 2900
"""Characters of a section, of 3000 at most (docs.slack.dev/reference/block-kit/blocks/section-block)."""

_MARKS = {Severity.ERROR: "\N{LARGE RED CIRCLE}", Severity.WARNING: "\N{LARGE YELLOW CIRCLE}"}
_WELL = "\N{LARGE GREEN CIRCLE}"
_NEWS = "\N{LARGE BLUE CIRCLE}"


def mark(notice: Notice) -> str:
    """A coloured circle: red, yellow, green when it is over, blue for mere news."""
    return _WELL if notice.phase is Phase.RECOVERED else _MARKS.get(notice.severity, _NEWS)


def slack(notice: Notice) -> dict[str, Any]:
    """The payload of an incoming webhook: blocks, and as `text` what notifications and old clients show."""
    title = f"{mark(notice)} {notice.title}"
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": plain(title, MOST_HEADER), "emoji": True}}
    ]
    blocks += [_section(part) for part in (_escaped(notice.text), _code(notice), _escaped(_before(notice))) if part]
    said = [f"*{_escaped(notice.host)}*", _since(notice)]
    if notice.command:
        said.append(f"`{_escaped(notice.command)}`")
    context = "  |  ".join(part for part in said if part)
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": context[:MOST_SECTION]}]})
    return {"text": _escaped(f"{title} ({notice.host})"), "blocks": blocks}


def webhook(notice: Notice) -> bytes:
    """The body of a webhook, and what a command reads: one JSON object."""
    return json.dumps(notice.to_json(), ensure_ascii=True).encode()


def subject(notice: Notice) -> str:
    """The subject of an e-mail: one line."""
    return plain(f"[queuepool {notice.host}] {notice.title}", 200)


def body(notice: Notice) -> str:
    """The text of an e-mail."""
    parts = [plain(notice.title), notice.text]
    if notice.lines:
        parts.append("What was printed last:\n" + "\n".join(f"    {line}" for line in notice.lines))
    parts.append(_before(notice))
    facts = [f"host:   {plain(notice.host)}", f"file:   {notice.config}"]
    if notice.programs:
        facts.append(f"about:  {', '.join(notice.programs)}")
    if since := _since(notice):
        facts.append(f"since:  {since.removeprefix('since ')}")
    if notice.command:
        facts.append(f"type:   {notice.command}")
    parts.append("\n".join(facts))
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:MOST_SECTION]}}


def _code(notice: Notice) -> str:
    if not notice.lines:
        return ""
    text = "\n".join(_escaped(line).replace("```", "'''") for line in notice.lines)
    return f"```{text[: MOST_SECTION - 6]}```"


def _escaped(text: str) -> str:
    """Without what Slack would take for a mention or a link (docs.slack.dev/messaging/formatting-message-text)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _before(notice: Notice) -> str:
    return before_words(notice.held)


def _since(notice: Notice) -> str:
    """For how long it has been so, where that is more than a moment."""
    seconds = notice.time - notice.since
    return f"since {span(seconds)}" if notice.phase is not Phase.RECOVERED and seconds >= 10 else ""
