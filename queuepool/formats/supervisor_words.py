"""The words of a command as they were meant: what blogs, word processors and a shell's habits put into them, and what
neither Supervisor nor artisan takes. PURE. What the words mean is supervisor_command.py's matter.

None of these forms works under Supervisor, which hands the words over as they are; so mending one changes nothing that
ran before.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Sequence

from queuepool.formats.supervisor_remarks import quoted

_EDITED = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2018\u2019\u201a", "'"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u202f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u2060\ufeff", None),
    }
)
_DASH = re.compile(r"(?<!\S)[\u2012-\u2015\u2212](?=[A-Za-z])")
_COMMENT = re.compile(r"(?:^|\s)[\uff1b\uff03].*\Z", re.DOTALL)
_EXPANSION = re.compile(r"\$\([^)]*\)?|\$\{[^}]*\}?|\$[A-Za-z_][A-Za-z0-9_]*|`[^`]*`?")

Wrong = Callable[[str, str], None]


def mended(command: str, wrong: Wrong) -> str:
    """The command, one to be split as shlex does. wrong: what is said of what was not as it stands there: what, todo.
    Raises ValueError for a quote that is not closed."""
    text = _without_marks(_without_end(command, wrong), wrong)
    words = _joined(_whole_lines(text, wrong), wrong)
    return text if words == _split(text) else shlex.join(words)


def shell_only(words: Sequence[str]) -> str:
    """What of these words only a shell would replace, "" for nothing."""
    found = (_EXPANSION.search(word) for word in words)
    return next((match[0] for match in found if match), "")


def _without_end(command: str, wrong: Wrong) -> str:
    """Without the quotes around all of it, and without a `;` at its end, which is no more than a part of the last
    word."""
    words = _split(command) or []
    if len(words) == 1 and any(posixpath.basename(word) == "artisan" for word in (_split(words[0]) or ())[:-1]):
        wrong("stands in quotes, so that all of it is the name of one program", "nothing: they were left out")
        return words[0]
    end = re.search(r"(?<=[^\s\\;]);\s*\Z", command)
    if end is None or not words or _split(command[: end.start()]) is None:
        return command
    wrong("ends with a `;`, which is part of its last word", "nothing: it was left out")
    return command[: end.start()]


def _without_marks(command: str, wrong: Wrong) -> str:
    """Without what a word processor makes of quotes, blanks and `--`, and without a comment in full width."""
    text = _COMMENT.sub("", command)
    if text != command:
        wrong("holds a comment that begins with a full-width mark, which is none", "nothing: it was left out")
    plain = _DASH.sub("--", text.translate(_EDITED))
    if plain == text:
        return text
    if _split(plain) is None:
        return text
    what = "holds dashes, quotes or blanks of a word processor, which artisan takes for part of a word"
    wrong(what, 'nothing: read as they were typed, `--` and `"`')
    return plain


def _split(text: str) -> list[str] | None:
    try:
        return shlex.split(text)
    except ValueError:
        return None


def _whole_lines(text: str, wrong: Wrong) -> list[str]:
    r"""The words, where a `\` at the end of a line was to join it with the next one."""
    stripped = text.rstrip()
    dangling = re.search(r"(?<!\\)\\\Z", stripped) is not None
    words = shlex.split(stripped[:-1] if dangling else text)
    whole = [word.lstrip("\n") for word in words]
    if whole != words or dangling:
        what = "goes on after a `\\`: Supervisor hands the end of the line over as part of the next word"
        wrong(what, "nothing: the lines were joined")
    return [word for word, was in zip(whole, words, strict=True) if word or not was]


def _joined(words: list[str], wrong: Wrong) -> list[str]:
    """With the parts of a list for artisan that a blank after a comma took apart: `--queue=high, low`."""
    at = next((at for at, word in enumerate(words) if posixpath.basename(word) == "artisan"), len(words))
    made = [[word] for word in words[: at + 1]]
    goes_on = False
    for word in words[at + 1 :]:
        if goes_on and not word.startswith("-"):
            made[-1].append(word)
            wrong(f"has a blank in a list, so that {quoted(word)} is a word of its own", "nothing: it was joined")
        else:
            made.append([word])
        goes_on = word.endswith(",") and (goes_on or word.startswith("--queue=") or not word.startswith("-"))
    return ["".join(parts) for parts in made]
