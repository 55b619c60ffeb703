"""Drafts of programs -> the text of queuepool.yml, as a person would write it: what programs share stands once, what
was wrong or lost stands beside it as a comment. PURE. What the drafts hold is supervisor_import.py's matter."""

from __future__ import annotations

import posixpath
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from queuepool.domain import command
from queuepool.domain.places import key_of
from queuepool.domain.pool import COMMANDS
from queuepool.domain.program import ARTISAN_KEYS
from queuepool.domain.spec import Program
from queuepool.domain.yamltext import comment, flow_list, scalar
from queuepool.formats.supervisor_import import Drafts
from queuepool.formats.supervisor_model import Server
from queuepool.formats.supervisor_program import Draft
from queuepool.formats.supervisor_remarks import Remark, Verdict
from queuepool.formats.supervisor_translate import Octal, Seconds, Size, Variable
from queuepool.formats.supervisor_values import size_text

MAIN = "queuepool.yml"
FOLDER = "queuepool.d"
"""Beside the main file: a file for each further application."""

_ORDER = ("type", "command", "events", "buffer_size", "connection", "queue", "numprocs")
_KEYS = (*_ORDER, *(key for key in map(key_of, Program.model_fields) if key not in _ORDER))
_OWN = frozenset(
    ["type", "command", "events", "buffer_size", "queue", "numprocs", "numprocs_start", "process_name", "directory",
     "user", "environment", "stdout_logfile", "stderr_logfile", "options", "name", "priority", "autostart",
     "autorestart", "exitcodes", "stopsignal", "stopasgroup", "killasgroup"]
)  # fmt: skip
"""Keys that say what is special about a program, so that they are no default for all."""
_WIDTH = 112

Place = tuple[str | None, tuple[str, ...]]
"""What holds for a whole file: the Laravel root and PHP."""


def render(drafts: Drafts, beside: str, sources: Sequence[str], servers: Sequence[Server] = ()) -> dict[str, str]:
    """Name of a file -> its text, the main one first. beside: directory that the main file will be in. sources: the
    files of Supervisor, as they are to be shown."""
    places = _places(drafts.programs)
    names = _names([place for place in places if place != places[0]])
    usual = _common_user(drafts.programs)
    shared = _shared(drafts.programs)
    about: dict[str, list[Remark]] = {}
    for remark in drafts.remarks:
        about.setdefault(remark.subject, []).append(remark)
    files = {}
    for place, programs in _by_place(drafts.programs, places).items():
        main = place == places[0]
        users = {draft.keys.get("user") for draft in programs}
        user = users.pop() if len(users) == 1 and not main else usual
        lines = list(_head(sources, main))
        lines += _place_lines(place, places[0] if not main else None, beside)
        if user != usual:
            lines.append(f"user: {scalar(str(user), variables=True)}")
        if main:
            lines += _user_lines(usual, drafts.programs)
            if drafts.environment:
                lines += ["environment:", *_mapping(drafts.environment, 2)]
            if len(places) > 1:
                lines.append(f"include: [{FOLDER}/*.yml]")
            if shared:
                lines += ["", "defaults:", *(f"  {key}: {value(key, item)}" for key, item in shared.items())]
        lines += ["", "programs:" if programs else "programs: {}"]
        for at, draft in enumerate(programs):
            lines += [""] if at else []
            lines += _comments(about.get(f"[{draft.program.section.name}]", ()))
            lines += _program(draft, place, user, shared, beside)
        if main and drafts.groups:
            lines += ["", "groups:", *_groups(drafts)]
        if main:
            lines += _http(servers)
        files[MAIN if main else f"{FOLDER}/{names[place]}.yml"] = "\n".join(lines) + "\n"
    return dict(sorted(files.items(), key=lambda item: item[0] != MAIN))


def _places(programs: Sequence[Draft]) -> list[Place]:
    """The place of the main file, where most workers are, and those of the others. PHP matters to artisan's own types
    alone; a command names it itself."""
    counts: Counter[Place] = Counter()
    for draft in programs:
        if draft.kind not in COMMANDS:
            counts[draft.app, draft.php] += 1
    if not counts:
        counts.update((draft.app, ("php",)) for draft in programs if draft.app is not None)
    return [place for place, _ in counts.most_common()] or [(None, ("php",))]


def _by_place(programs: Sequence[Draft], places: Sequence[Place]) -> dict[Place, list[Draft]]:
    found: dict[Place, list[Draft]] = {place: [] for place in places}
    for draft in programs:
        place = (draft.app, draft.php)
        if draft.kind in COMMANDS:
            place = next((known for known in places if known[0] == draft.app), places[0])
        found[place].append(draft)
    return found


def _names(places: Sequence[Place]) -> dict[Place, str]:
    """A file name for each further place: that of the application's directory."""
    found: dict[Place, str] = {}
    for app, php in places:
        parts = [part for part in (app or "").split("/") if part not in ("", ".", "current", "www", "public", "html")]
        name = re.sub(r"[^A-Za-z0-9_.-]", "-", parts[-1] if parts else "app").strip(".-")[:60] or "app"
        wanted, number = name, 2
        while wanted in found.values():
            wanted, number = f"{name}-{number}", number + 1
        found[app, php] = wanted
    return found


def _common_user(programs: Sequence[Draft]) -> str | None:
    """The user of most programs, if every program has one."""
    users = [draft.keys.get("user") for draft in programs]
    return None if not users or None in users else Counter(users).most_common(1)[0][0]


def _shared(programs: Sequence[Draft]) -> dict[str, Any]:
    """Keys on which all programs agree to which they reach; worth a default where there are two or more."""
    found = {}
    for key in _KEYS:
        if key in _OWN:
            continue
        reached = [d for d in programs if key not in ARTISAN_KEYS or key in command.keys(d.kind)]
        values = [d.keys.get(key) for d in reached]
        if len(values) > 1 and values[0] is not None and all(item == values[0] for item in values):
            found[key] = values[0]
    return found


def _head(sources: Sequence[str], main: bool) -> Iterator[str]:
    shown = sources[0] if sources else "supervisord.conf"
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    yield f"# Imported from Supervisor: {comment(shown)}{more}. Look it over; `queuepool config check` checks it,"
    yield "# `queuepool config show` prints what it comes to, with every default."
    if not main:
        yield f"# Included by {MAIN}: another application, or another PHP."


def _place_lines(place: Place, main: Place | None, beside: str) -> Iterator[str]:
    app, php = place
    if app is not None:
        yield f"app: {_app(app, beside if main is None else posixpath.join(beside, FOLDER))}"
    if php != (("php",) if main is None else main[1]):
        yield f"php: {flow_list(php, variables=True) if len(php) > 1 else scalar(php[0], variables=True)}"


def _app(app: str, beside: str) -> str:
    return "." if app in ("", beside) else scalar(app, variables=True)


def _user_lines(user: str | None, programs: Sequence[Draft]) -> Iterator[str]:
    if user:
        yield f"user: {scalar(user, variables=True)}"
    elif any(_of_laravel(draft) for draft in programs) and not any("user" in draft.keys for draft in programs):
        yield "# Nobody is named for the programs to run as: that was root, if supervisord ran as root."
        yield "# user: www-data"


def _of_laravel(draft: Draft) -> bool:
    return draft.kind not in COMMANDS or "artisan" in str(draft.keys["command"])


def _program(draft: Draft, place: Place, user: str | None, shared: Mapping[str, Any], beside: str) -> Iterator[str]:
    keys = {key: draft.keys[key] for key in _KEYS if key in draft.keys and key not in shared}
    if keys.get("user") == user:
        keys.pop("user", None)
    directory = keys.get("directory")
    if isinstance(directory, str) and place[0] and posixpath.normpath(directory) == place[0]:
        keys.pop("directory")
    for key in ("stdout_logfile", "stderr_logfile"):
        if key in keys and place[0]:
            keys[key] = _log(keys[key], key, draft, place[0], beside)
            if keys[key] is None:
                keys.pop(key)
    if not keys and not draft.below:
        yield f"  {scalar(draft.name)}: {{}}"
        return
    yield f"  {scalar(draft.name)}:"
    for key, item in keys.items():
        if isinstance(item, dict):
            yield f"    {key}:"
            yield from _mapping(item, 6)
        else:
            yield f"    {key}: {value(key, item)}"
    for text in draft.below:
        yield f"    # {text}"


def _comments(remarks: Sequence[Remark]) -> Iterator[str]:
    """What somebody has to decide about. What is settled, or changed for the better, is in the report alone; a missing
    user stands at the head of the file."""
    for remark in remarks:
        if remark.verdict is not Verdict.CHANGED and remark.option != "user" and not remark.settled:
            text = comment(f"{remark.option} {remark.what}".strip())
            yield from textwrap.wrap(text, _WIDTH, initial_indent="  # ", subsequent_indent="  #   ")


def _log(path: str, key: str, draft: Draft, app: str, beside: str) -> str | None:
    """The path as short as it can be: None where it is the default."""
    usual = f"{app}/storage/logs/{draft.name}{'.err' if key == 'stderr_logfile' else ''}.log"
    if path == usual and key == "stdout_logfile":
        return None
    return path.removeprefix(app + "/") if app == beside and path.startswith(app + "/") else path


def _groups(drafts: Drafts) -> Iterator[str]:
    for name, (programs, priority) in drafts.groups.items():
        listed = flow_list(programs)
        if priority is None:
            yield f"  {scalar(name)}: {listed}"
        else:
            yield f"  {scalar(name)}: {{programs: {listed}, priority: {priority}}}"


def _http(servers: Sequence[Server]) -> Iterator[str]:
    for server in servers[:1]:
        yield ""
        yield "# Control by HTTP, when Supervisor is gone and QUEUEPOOL_PASSWORD is set:"
        yield "# http:"
        yield f"#   listen: 127.0.0.1:{server.port}"
        yield f"#   username: {comment(scalar(server.username or 'admin'))}"
        yield '#   password: "${QUEUEPOOL_PASSWORD}"'


def _mapping(pairs: Mapping[str, str], indent: int) -> Iterator[str]:
    for name, text in pairs.items():
        yield f"{' ' * indent}{scalar(name)}: {scalar(text, variables=True)}"


def value(key: str, item: Any) -> str:
    """The value of a key as YAML."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, Variable):
        return scalar(str(item), variables=True)
    if isinstance(item, Octal):
        return f"{item:03o}"
    if isinstance(item, Size):
        return size_text(item)
    if isinstance(item, Seconds) or key in ("max_time", "delay"):
        return _duration(int(item))
    if isinstance(item, list):
        return f"[{', '.join(str(i) if isinstance(i, int) else scalar(i, variables=True) for i in item)}]"
    if isinstance(item, int | float):
        return str(item)
    return scalar(item, words=True, variables=True)


def _duration(seconds: int) -> str:
    return f"{seconds // 3600}h" if seconds and seconds % 3600 == 0 else str(seconds)
