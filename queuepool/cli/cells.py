"""Text as the cells of a terminal: how wide it is, cut to a width, filled up to one. PURE. Styled text is click's: SGR
sequences take no cell, and everything else is expected to have passed render.clean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import click

from queuepool.cli import render

SGR = re.compile("\x1b\\[[0-9;:]*m")
_NARROW = re.compile("[\x20-\x7e\xa0-\u02ff\u2026\u2190-\u2193\u2500-\u259f]*").fullmatch
_COLOR = re.compile("\x1b\\[(?!0?m|1m|2m|7m)[0-9;:]*m")

_BLANKS = {0x09: " ", 0xA0: " "}  # render.clean leaves them, and a tab moves what follows

BLOCKS = " ▁▂▃▄▅▆▇█"
PLAIN_BLOCKS = " .:-=+*#@"


def width(text: str) -> int:
    """Cells that styled text takes."""
    text = SGR.sub("", text)
    return len(text) if _NARROW(text) else sum(map(_cell, text))


def clip(text: str, columns: int, mark: str = "…") -> str:
    """Styled text in at most `columns` cells. `mark` stands where something was cut off; styles end with the text."""
    if len(text) <= columns and _NARROW(text):
        return text
    if width(text) <= columns:
        return _closed(text)
    room = max(0, columns - len(mark))
    kept: list[str] = []
    at = 0
    for found in SGR.finditer(text):
        piece = text[at : found.start()]
        head = _prefix(piece, room)
        kept.append(head)
        room -= width(head)
        if head != piece:
            break
        kept.append(found[0])
        at = found.end()
    else:
        kept.append(_prefix(text[at:], room))
    return _closed("".join(kept) + mark[:columns])


def fit(text: str, columns: int, *, right: bool = False) -> str:
    """Styled text in exactly `columns` cells, filled with blanks at its end, or before it when `right`."""
    text = clip(text, columns)
    blanks = " " * (columns - width(text))
    return blanks + text if right else text + blanks


def after(text: str, columns: int) -> str:
    """Plain text without its first `columns` cells; a wide character that stood across the cut is a blank."""
    head = _prefix(text, columns)
    rest = text[len(head) :]
    return " " + rest[1:] if rest and width(head) < columns else rest


def tame(text: str) -> str:
    """Styled text with nothing in it that could move the cursor, whoever wrote it."""
    if SGR.sub("", text).isprintable():
        return text
    styles = [*SGR.findall(text), ""]
    pieces = (render.clean(piece).translate(_BLANKS) for piece in SGR.split(text))
    return "".join(piece + style for piece, style in zip(pieces, styles, strict=True))


def marked(text: str, columns: int) -> str:
    """The whole line in reverse: the one that is selected."""
    return click.style(fit(SGR.sub("", text), columns), reverse=True)


def monochrome(text: str) -> str:
    """Styled text without its colours; bold, dim and reverse stay."""
    return _COLOR.sub("", text)


def spark(values: Sequence[float | None], columns: int, blocks: str = BLOCKS) -> str:
    """Numbers, the newest last, as `columns` bars up to the largest of them; None is a blank. Where there are more
    numbers than columns, each bar shows the largest of its share."""
    if columns < 1:
        return ""
    share = max(1, -(-len(values) // columns))
    groups = [values[max(0, end - share) : end] for end in range(len(values), 0, -share)][::-1]
    tops = [max((value for value in group if value is not None), default=None) for group in groups]
    most = max((top for top in tops if top is not None), default=0.0)
    bars = "".join(" " if top is None else blocks[_step(top, most, len(blocks) - 1)] for top in tops)
    return bars.rjust(columns)


def bar(done: int, total: int, columns: int, blocks: str = BLOCKS) -> str:
    """How much of something is done."""
    share = min(1.0, max(0.0, done / total)) if total > 0 else 1.0
    full = int(share * columns)
    return blocks[-1] * full + ("░" if blocks is BLOCKS else ".") * (columns - full)


def joined(parts: Sequence[str], columns: int) -> str:
    """The first of `parts` that fit beside each other."""
    text = ""
    for part in parts:
        longer = f"{text}  {part}" if text else part
        if text and width(longer) > columns:
            break
        text = longer
    return text


def with_right(left: str, right: str, columns: int) -> str:
    """`left`, and `right` at the end of the line, where both fit."""
    gap = columns - width(left) - width(right)
    if gap < 2 and columns - width(right) - 2 < min(16, width(left)):
        return left
    if gap < 2 and right:
        left = fit(left, max(0, columns - width(right) - 2))
        gap = columns - width(left) - width(right)
    return left + " " * gap + right if gap > 0 else left


def _step(value: float, most: float, steps: int) -> int:
    if most <= 0 or value <= 0:
        return 1
    return max(1, min(steps, round(value / most * steps)))


def _prefix(text: str, columns: int) -> str:
    """The beginning of plain text that takes at most `columns` cells."""
    if columns <= 0:
        return ""
    if _NARROW(text):
        return text[:columns]
    used = 0
    for at, char in enumerate(text):
        used += _cell(char)
        if used > columns:
            return text[:at]
    return text


def _closed(text: str) -> str:
    return text if "\x1b" not in text or text.endswith("\x1b[0m") else text + "\x1b[0m"


@cache
def _cell(char: str) -> int:
    """Cells of a character, by rich's tables; they are imported for the first text that is not narrow throughout, which
    most screens never have. Where terminals do not agree, the most that one of them takes: then a line is too short."""
    from unicodedata import category

    from rich.cells import get_character_cell_size

    if "\U0001f1e6" <= char <= "\U0001f1ff" or "\U0001f3fb" <= char <= "\U0001f3ff":  # halves of flags, tones of skin
        return 2
    return get_character_cell_size(char) or int(char == "\ufe0f" or category(char) == "Mc")
