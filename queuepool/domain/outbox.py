"""What is on its way to one target: how much it is told, in which order, and when a failed attempt is repeated. Nothing
is sent here; controller/notifier.py does, and keeps this over the daemon's end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from queuepool.domain.notices import NOTHING, About, Held, Notice, Phase, Severity, span

MOST_LETTERS = 100
"""Waiting at a time; of further ones only the number is told."""
MOST_TITLES = 5
GIVE_UP_SECONDS = 6 * 3600.0
FIRST_RETRY = 1.0
LAST_RETRY = 600.0
LONGEST_WISH = 3600.0
"""A server may ask for so much patience at most (Retry-After)."""
JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Rate:
    """interval: seconds in which a target is told one notice, on average; 0: any number. burst: how many at once."""

    interval: float = 30.0
    burst: int = 10


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, in words without a secret. final: it would fail again. wish: seconds that the server asks
    to be left alone."""

    why: str
    final: bool = False
    wish: float = 0.0


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice on its way. written: when it was put here. due: when it is to be tried. tries: so far."""

    notice: Notice
    written: float
    due: float
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Outbox:
    """tokens, filled: of the token bucket, and when that was counted; filled 0: it is full. held: what is not told for
    now. trouble, since: why nothing can be delivered, and since when; "" when it can. delivered: so many notices in
    all, the last one `last`. All times are unix seconds."""

    letters: tuple[Letter, ...] = ()
    tokens: float = 0.0
    filled: float = 0.0
    held: Held = NOTHING
    trouble: str = ""
    since: float = 0.0
    delivered: int = 0
    last: float = 0.0


def admit(box: Outbox, notice: Notice, now: float, rate: Rate) -> Outbox:
    """Put a notice on its way, with what was held back before it; or hold it back, when there were too many."""
    box = _refilled(box, now, rate)
    if box.tokens < 1 or len(box.letters) >= MOST_LETTERS:
        return replace(box, held=_more(box.held, notice.title, now))
    letter = Letter(replace(notice, held=box.held), now, now)
    return replace(box, letters=(*box.letters, letter), tokens=box.tokens - 1, held=NOTHING)


def own_up(box: Outbox, now: float, rate: Rate, host: str, config: str) -> Outbox:
    """Tell by itself what was held back, as soon as the rate allows and nothing else did."""
    if not _owes(box) or now < free_at(box, rate):
        return box
    count = box.held.count
    what = "1 notice was" if count == 1 else f"{count} notices were"
    notice = Notice(
        id=f"{int(now)}-held-{box.delivered + len(box.letters)}",
        key="held",
        about=About.HELD,
        phase=Phase.HAPPENED,
        severity=Severity.WARNING,
        time=now,
        since=box.held.since or now,
        title=f"{what} held back" if count else "notices could not be delivered",
        command="queuepool events",
        host=host,
        config=config,
    )
    return admit(box, notice, now, rate)


def deadline(box: Outbox, rate: Rate) -> float | None:
    """When something is to be done; None: not before the next notice."""
    times = [box.letters[0].due] if box.letters else []
    if _owes(box):
        times.append(free_at(box, rate))
    return min(times, default=None)


def _owes(box: Outbox) -> bool:
    """Whether what was held back is to be told. While nothing can be delivered it waits for the next notice: a target
    that refuses everything must not be asked for ever."""
    return bool(box.held) and not box.trouble and len(box.letters) < MOST_LETTERS


def free_at(box: Outbox, rate: Rate) -> float:
    """When the rate allows another notice."""
    if not box.filled or not rate.interval or box.tokens >= 1:
        return box.filled
    return box.filled + (1 - box.tokens) * rate.interval


def woken(box: Outbox, now: float) -> Outbox:
    """As a new daemon begins with it: everything is tried at once. The clock may have been set back meanwhile."""
    letters = tuple(replace(one, due=now, written=min(one.written, now)) for one in box.letters)
    return replace(box, letters=letters, filled=min(box.filled, now))


def ready(box: Outbox, now: float) -> Letter | None:
    """What is to be tried now: the oldest, for they go out in order."""
    return box.letters[0] if box.letters and box.letters[0].due <= now else None


def delivered(box: Outbox, id_: str, now: float) -> Outbox:
    """An attempt succeeded. The others need wait no longer."""
    rest = tuple(replace(one, due=min(one.due, now)) for one in box.letters if one.notice.id != id_)
    return replace(box, letters=rest, trouble="", since=0.0, delivered=box.delivered + 1, last=now)


def relieved(box: Outbox, now: float) -> Outbox:
    """The target was reached otherwise, by a test: what waits is tried at once."""
    letters = tuple(replace(one, due=min(one.due, now)) for one in box.letters)
    return replace(box, letters=letters, trouble="", since=0.0, last=now)


def failed(box: Outbox, id_: str, failure: Failure, now: float, luck: float) -> Outbox:
    """An attempt failed. What fails for good, or for hours, is given up and counted. luck: a random number, 0 to 1."""
    box = replace(box, trouble=failure.why, since=box.since or now)
    letters = []
    held = box.held
    for letter in box.letters:
        if letter.notice.id != id_:
            letters.append(letter)
        elif failure.final or now - letter.written >= GIVE_UP_SECONDS:
            before = letter.notice.held
            held = replace(
                held,
                count=held.count + before.count,
                since=before.since or held.since,
                titles=(*before.titles, *held.titles)[:MOST_TITLES],
                lost=held.lost + before.lost + 1,
            )
        else:
            wait = pause(letter.tries + 1, luck)
            due = now + max(wait, min(failure.wish, LONGEST_WISH))
            letters.append(replace(letter, tries=letter.tries + 1, due=due))
    return replace(box, letters=tuple(letters), held=held)


def pause(tries: int, luck: float) -> float:
    """Seconds before the next attempt after `tries` failed ones: 1 s doubled each time up to 10 min, +- 20 %."""
    return float(min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(tries - 1, 32))) * (1 - JITTER + 2 * JITTER * luck)


def before_words(held: Held) -> str:
    """What was not told before a notice, as a sentence; "" when nothing was."""
    said = []
    if held.count:
        count = "1 notice" if held.count == 1 else f"{held.count} notices"
        titles = f": {'; '.join(held.titles)}" + ("; ..." if held.count > len(held.titles) else "")
        said.append(f"{count} before this one held back{titles if held.titles else ''}.")
    if held.lost:
        said.append(f"{held.lost} before this one could not be delivered.")
    return " ".join(said)


def _refilled(box: Outbox, now: float, rate: Rate) -> Outbox:
    if not box.filled or not rate.interval:
        return replace(box, tokens=float(rate.burst), filled=now)
    if now <= box.filled:
        return box
    tokens = min(float(rate.burst), box.tokens + (now - box.filled) / rate.interval)
    return replace(box, tokens=tokens, filled=now)


def _more(held: Held, title: str, now: float) -> Held:
    titles = (*held.titles, title) if len(held.titles) < MOST_TITLES else held.titles
    return Held(held.count + 1, held.since or now, titles, held.lost)


def in_words(box: Outbox, target: str, now: float) -> str:
    """The trouble of a target as a sentence; "" when there is none."""
    if not box.trouble:
        return ""
    waiting = f", {len(box.letters)} waiting" if box.letters else ""
    return f"cannot deliver notifications to {target}: {box.trouble} (for {span(now - box.since)}{waiting})"
