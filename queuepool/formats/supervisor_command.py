"""The command of a Supervisor program -> what queuepool runs: a worker, queue:listen, Horizon with its options, or a
command as it stands. PURE. Everything else of a program is supervisor_import.py's matter."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from queuepool.domain import command as artisan
from queuepool.formats.supervisor_model import Program, Surroundings
from queuepool.formats.supervisor_remarks import Verdict, quoted
from queuepool.formats.supervisor_values import Template, template
from queuepool.formats.supervisor_words import mended, shell_only
from queuepool.formats.supervisor_wrappers import SHELLS, Unwrapped, unwrap

_PHP = re.compile(r"(?:ea-|ls)?php[0-9.]*(-cli)?\Z")
_SCHEDULE_RUN = re.compile(r"(?:^|[\s(\"'])((?:[\w./-]*/)?php[0-9.]*)\s+([\w./%()-]*artisan)\s+schedule:run\b")
_WITH_VALUE = frozenset({"-d", "-c"})
_ELSEWHERE = frozenset({"docker", "docker-compose", "podman", "kubectl", "ssh", "sail", "ddev", "lando", "nsenter"})
"""What runs a command in a container, or on another machine."""
_REDIRECTION = re.compile(r"(?:[0-9]*>>?&?[0-9]*|&&?|<)\Z|[0-9&]*>>?&?[^=]*\Z|\|[^=]*\Z")
ENDLESS = frozenset(
    [
        *("schedule:work", "reverb:start", "pulse:check", "pulse:work", "octane:start", "websockets:serve"),
        *("nightwatch:agent", "inertia:start-ssr", "serve"),
    ]
)
"""Artisan commands that run until they are stopped; when one ends by itself it is to be started again."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be run. keys: of queuepool.yml. app: the Laravel root, None when the command has none. directory:
    where it runs, None for the app. shell: whether it is `sh -c`. endless: whether it is to run for ever. environment,
    user: what the command line itself set. instead: a command that does the same better, "" for none."""

    kind: str
    keys: dict[str, Any] = field(repr=False)
    app: str | None = None
    php: tuple[str, ...] = ("php",)
    directory: str | None = None
    shell: bool = False
    endless: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    user: str | None = None
    instead: str = ""


Say = Callable[..., None]


def understand(
    program: Program, base: str | None, text: Callable[[Template, str], str | None], say: Say, around: Surroundings
) -> Command | None:
    """The command, or None where it cannot be carried; why has been said. base: where supervisord itself runs, where
    that is known. text: a template in queuepool's words. say: verdict, option, what, todo."""
    written = text(_whole(program, say), "command")
    directory = text(program.directory, "directory") if program.directory is not None else None
    if written is None:
        return None
    try:
        written = mended(written, lambda what, todo: say(Verdict.WRONG, "command", what, todo))
        words = shlex.split(written)
    except ValueError:
        what = "has a quote that is not closed, so Supervisor could never start it"
        say(Verdict.LEFT, "command", what, "write it anew, as a list: `command: [sh, -c, ...]`")
        return None
    if not words or not words[0]:
        say(Verdict.LEFT, "command", "is empty", "write it anew")
        return None
    if len(words) > 3 and words[0] == "cd" and words[2] == "&&":
        what = f"begins with `cd {words[1]} &&`, but there is no shell that would understand it"
        if len(words[1]) <= 200 and words[1].isprintable():
            say(Verdict.WRONG, "command", what, f"nothing: it runs with `directory: {words[1]}` here")
        directory, words = words[1], words[3:]
        written = shlex.join(words)
    directory = _absolute(directory, base, say)
    if program.kind != "eventlistener":
        found = _unwrapped(words, directory, program, say, around)
        if found is not None:
            return found
    return _as_it_stands(words, written, directory, say, around)


def _unwrapped(
    words: Sequence[str], directory: str | None, program: Program, say: Say, around: Surroundings
) -> Command | None:
    """As a program of its own type, without what stands before it; None when it is not one."""
    bare = unwrap(words)
    there = directory if bare.directory is None else posixpath.join(directory or "", bare.directory)
    found = _artisan(bare.words, there, program, say, around)
    if found is None or not bare.names:
        return found
    _say_unwrapped(bare, program, say)
    if directory is not None and there is not None and posixpath.normpath(there) != posixpath.normpath(directory):
        say(Verdict.CHANGED, "directory", "is where the shell of its command went")
    keys = found.keys if bare.nice is None else {**found.keys, "nice": bare.nice}
    shell = "exec" not in bare.names and any(name.endswith(" -c") for name in bare.names)
    return replace(found, keys=keys, environment=bare.environment, user=bare.user, shell=shell)


def _say_unwrapped(bare: Unwrapped, program: Program, say: Say) -> None:
    ways = [name for name in bare.names if not name.endswith("=")]
    if ways:
        what = f"runs without {', '.join(f'`{name}`' for name in ways)}: stops and signals reach the worker itself"
        say(Verdict.CHANGED, "command", what)
    if bare.output:
        say(Verdict.CHANGED, "command", "sent its output elsewhere: here it goes to the log, `stdout_logfile`")
    if bare.environment:
        what = f"has {', '.join(bare.environment)} now, which stood in the command"
        say(Verdict.CHANGED, "environment", what)
    if "=" in bare.names[0]:
        what = f"begins with {quoted(bare.names[0])}, but there is no shell that would understand it"
        say(Verdict.WRONG, "command", what, "nothing: it is in `environment` here")
    if bare.user is not None and bare.user != program.user:
        say(Verdict.CHANGED, "user", f"is {quoted(bare.user)}, as which the command ran")


def _as_it_stands(words: list[str], written: str, directory: str | None, say: Say, around: Surroundings) -> Command:
    """A command, with a remark on what its own program would not understand."""
    shell = by_shell(words)
    if shell and "artisan" in written:
        what = "was left a command: a shell runs it, so its options are not understood"
        todo = "write it as a worker, with `queue`, `tries` and so on"
        if "schedule:run" in written:
            todo = "run `php artisan schedule:work` instead, which needs no shell"
        say(Verdict.CHANGED, "type", what, todo)
    elif not shell and (strange := next((word for word in words if _REDIRECTION.match(word)), None)):
        what = f"holds {quoted(strange)}, but there is no shell that would understand it"
        say(Verdict.WRONG, "command", what, "remove it, or run it by `sh -c`; logs have `stdout_logfile`")
    at = next((at for at, word in enumerate(words) if posixpath.basename(word) == "artisan"), None)
    if at is not None and posixpath.basename(words[0]) in _ELSEWHERE:
        what = f"runs artisan by {quoted(posixpath.basename(words[0]))}: a stop ends that, and the worker there runs on"
        say(Verdict.WRONG, "command", what, "run queuepool where the application is")
        at = None
    elif at is not None and not shell:
        if "schedule:run" in words[at + 1 :]:
            what = "is schedule:run, which ends as soon as it has looked once"
            say(Verdict.WRONG, "command", what, "run `php artisan schedule:work`, which looks every minute")
        _say_shell_only(words, say)
    app = _known(_app(words[at], directory), around) if at is not None and not shell else None
    keys = {"command": _one_line(written)}
    endless = at is not None and not shell and any(word in ENDLESS for word in words[at + 1 :])
    runs = _SCHEDULE_RUN.search(written)
    instead = f"{runs[1]} {runs[2]} schedule:work" if runs else ""
    return Command("command", keys, app, directory=directory, shell=shell, endless=endless, instead=instead)


def _say_shell_only(words: Sequence[str], say: Say) -> None:
    if strange := shell_only(words):
        what = f"holds {quoted(strange)}, but there is no shell that would replace it"
        say(Verdict.WRONG, "command", what, "write what it stands for; a variable is `${NAME}` here")


def by_shell(words: Sequence[str]) -> bool:
    """Whether this is `sh -c ...` or the like, so that the program itself is a child of what is started."""
    return posixpath.basename(words[0]) in SHELLS and any(re.match(r"-[a-z]*c\Z", word) for word in words[1:3])


def _whole(program: Program, say: Say) -> Template:
    """The command; with what an inline comment took away, where it makes no sense without."""
    said = program.said("command")
    if said is None or not said.cut:
        return program.command
    try:
        shlex.split(said.value)
    except ValueError:
        pass
    else:
        return program.command
    complete = f"{said.value} {said.cut}"
    what = "is cut off by Supervisor at a `;` or `#` after a blank, which begins a comment even in quotes"
    say(Verdict.WRONG, "command", what, "nothing: the whole of it was taken")
    return template(complete)


def _absolute(directory: str | None, base: str | None, say: Say) -> str | None:
    if directory is None or directory.startswith(("/", "%(", "~")):
        return directory
    what = "is relative, so it depends on where supervisord was started"
    say(Verdict.WRONG, "directory", what, "write the whole path")
    return directory if base is None else posixpath.join(base, directory)


def _artisan(
    words: Sequence[str], directory: str | None, program: Program, say: Say, around: Surroundings
) -> Command | None:
    """As a program of its own type, None when it is not one."""
    if posixpath.basename(words[0]) == "artisan":
        words = ["php", *words]
    elif not _is_php(words):
        return None
    end = next((at for at, word in enumerate(words) if at and _REDIRECTION.match(word)), None)
    parsed = artisan.parse(tuple(words[:end]))
    if parsed is None or not _is_php((*parsed.php, "artisan")) or "%(" in "".join(parsed.php):
        return None
    app = _known(_app(parsed.artisan, directory), around)
    if app is None:
        return None
    if end is not None:
        what = f"holds {quoted(words[end])}, but there is no shell that would understand it"
        say(Verdict.WRONG, "command", what, "nothing: it was left out; the log is `stdout_logfile`")
    if "--daemon" in words:
        say(Verdict.CHANGED, "command", "had --daemon, which means nothing since Laravel 5.3")
    if parsed.kind == "listen":
        what = "is queue:listen, which boots the application for every job"
        say(Verdict.WRONG, "command", what, "remove `type: listen`; then it is a worker")
    _say_shell_only(words[:end], say)
    keys: dict[str, Any] = {} if parsed.kind == "worker" else {"type": parsed.kind}
    for key, value in parsed.options.items():
        keys[key] = _simple(value)
    if parsed.extra:
        keys["options"] = list(parsed.extra)
    if not posixpath.isabs(parsed.artisan) and directory is None:
        what = "is `artisan` with no directory: it depends on where supervisord was started"
        say(Verdict.WRONG, "command", what, "check `app` in the file")
    elsewhere = directory is not None and posixpath.normpath(directory) != app
    return Command(parsed.kind, keys, app, parsed.php, directory if elsewhere else None)


def _is_php(words: Sequence[str]) -> bool:
    """Whether this is PHP and its own flags up to artisan."""
    if not _PHP.match(posixpath.basename(words[0])):
        return False
    at = 1
    while at < len(words) and posixpath.basename(words[at]) != "artisan":
        if not words[at].startswith("-"):
            return False
        at += 2 if words[at] in _WITH_VALUE else 1
    return at < len(words)


def _app(script: str, directory: str | None) -> str | None:
    """The Laravel root: where artisan is. "" for one that is relative to an unknown directory."""
    folder = posixpath.dirname(script)
    whole = posixpath.join(directory or "", folder)
    return posixpath.normpath(whole) if whole else ""


def _known(path: str | None, around: Surroundings) -> str | None:
    """A path of `app`, in which %(...)s do not expand, but ${X} does. None where something in it is not known."""
    if path is None or "%(" not in path:
        return path
    parts = template(path)
    unset = {name: f"${{{name[4:]}}}" for name in parts.names if name.startswith("ENV_")}
    try:
        return parts.render({**unset, **{f"ENV_{name}": value for name, value in around.environ.items()}})
    except (KeyError, ValueError):
        return None


def _simple(value: Any) -> Any:
    """An option as a person would write it."""
    if isinstance(value, tuple):
        items = [_simple(item) for item in value]
        return items[0] if len(items) == 1 else items
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _one_line(text: str) -> str:
    """The command in one line, where its lines mean no more than a blank."""
    joined = " ".join(text.split())
    return joined if "\n" in text and shlex.split(joined) == shlex.split(text) else text
