"""Pools -> the sections of a supervisord.conf, for those who only want the file. PURE. The other way is
supervisor_import.py's matter.

Supervisor reads a value twice: the file (a `;` or `#` after a blank begins a comment, even in quotes), then the value
itself (supervisor/options.py, datatypes.py). What it would misread is written so that it does not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from queuepool.domain.capture import Tap
from queuepool.domain.exits import signal_name
from queuepool.domain.expand import Template
from queuepool.domain.pool import Listening, LogPolicy, PoolSpec, ProcessSpec
from queuepool.domain.slots import Slots
from queuepool.formats.supervisor_command import by_shell
from queuepool.formats.supervisor_values import size_text

_SAFE = re.compile(r"[\w@%+=:,./()\[\]{}~^*?!-]+\Z", re.ASCII)
_COMMENT = re.compile(r"(?<=\s)([;#])")
_NOTHING = "%(program_name).0s"
"""Expands to no character: with it before them, `;` and `#` do not follow a blank."""
_LINE_BREAK = re.compile(r"[\r\n]")


class CannotExport(ValueError):
    """Something that no supervisord.conf can hold."""


@dataclass(frozen=True, slots=True)
class Exported:
    """text: of the file. lost: (program, what Supervisor has no option for). refused: (program, why it is not in)."""

    text: str
    lost: tuple[tuple[str, str], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


def render(
    pools: Mapping[str, PoolSpec],
    groups: Mapping[str, Sequence[str]],
    homes: Mapping[str, str],
    *,
    per_slot: bool = False,
) -> Exported:
    """The sections of these pools. homes: user -> home directory, which Supervisor does not set. per_slot: a section
    for each process, so that a change of their number changes no other section; groups are left out then."""
    sections, lost, refused = [], [], []
    for pool in pools.values():
        try:
            slots = range(pool.numprocs)
            made = [_per_slot(pool, slot, homes) for slot in slots] if per_slot else [_whole(pool, homes)]
        except CannotExport as error:
            refused.append((pool.name, str(error)))
            continue
        without = tuple(_without(pool))
        if without:
            lost.append((pool.name, ", ".join(without)))
            made[:1] = [f"; Supervisor has no option for: {', '.join(without)}\n{made[0]}"] if made else []
        sections += made
    if not per_slot:
        gone = {name for name, _ in refused}
        sections += _groups({name: pool for name, pool in pools.items() if name not in gone}, groups)
    head = "; Made by `queuepool export supervisor`.\n"
    return Exported("\n".join([head, *sections]), tuple(lost), tuple(refused))


def _whole(pool: PoolSpec, homes: Mapping[str, str]) -> str:
    """One section for the pool."""
    slots = pool.process
    if not isinstance(slots, Slots):
        raise CannotExport("its processes have no common form")
    name = slots.process_name
    if pool.numprocs > 1 and not name.per_slot:
        name = Template((*name.pieces, "_", ("process_num", "02d")))
    lines = {
        "process_name": _text(name),
        "numprocs": str(pool.numprocs),
        "numprocs_start": str(slots.first),
    }
    return _section(pool.name, pool, slots(0), slots, lines, homes)


def _per_slot(pool: PoolSpec, slot: int, homes: Mapping[str, str]) -> str:
    """A section for one process."""
    spec = pool.process(slot)
    name = spec.display.rpartition(":")[2]
    return section_of(name if name != pool.name or slot == 0 else f"{name}_{slot}", pool, spec, homes)


def section_of(name: str, pool: PoolSpec, spec: ProcessSpec, homes: Mapping[str, str]) -> str:
    """The section of one process, called `name`. Raises CannotExport."""
    env = tuple((name, Template((value,) if value else ())) for name, value in spec.launch.environment)
    alone = Slots(
        first=0,
        process_name=Template(()),
        argv=tuple(Template((word,) if word else ()) for word in spec.launch.argv),
        directory=Template((spec.launch.directory,)),
        environment=env,
        stdout=Template((spec.stdout.path,)) if spec.stdout.path else None,
        stderr=Template((spec.stderr.path,)) if spec.stderr and spec.stderr.path else None,
        spec=spec,
    )
    return _section(name, pool, spec, alone, {}, homes)


_USUAL = {
    "numprocs": "1", "numprocs_start": "0", "process_name": "%(program_name)s", "priority": "999",
    "autostart": "true", "autorestart": "unexpected", "exitcodes": "0", "startsecs": "1", "startretries": "3",
    "stopsignal": "TERM", "stopwaitsecs": "10", "stopasgroup": "false", "killasgroup": "false",
    "redirect_stderr": "false", "stdout_logfile_maxbytes": "50MB", "stdout_logfile_backups": "10",
    "stderr_logfile_maxbytes": "50MB", "stderr_logfile_backups": "10", "environment": "",
    "stdout_capture_maxbytes": "0", "stdout_events_enabled": "false", "stderr_capture_maxbytes": "0",
    "stderr_events_enabled": "false", "buffer_size": "10",
}  # fmt: skip
"""Supervisor's own defaults, which need not be written."""


def _section(
    name: str, pool: PoolSpec, spec: ProcessSpec, slots: Slots, own: Mapping[str, str], homes: Mapping[str, str]
) -> str:
    launch, policy = spec.launch, spec.policy
    # queuepool ends the whole tree; Supervisor would end the shell and leave what it started.
    stopasgroup = policy.stopasgroup or (policy.killasgroup and by_shell(launch.argv))
    lines = {
        "command": " ".join(_word(word) for word in _command(slots)),
        **_listening(pool.listening),
        **own,
        "directory": _text(slots.directory),
        **({"user": launch.user} if launch.user else {}),
        **({"umask": f"{launch.umask:03o}"} if launch.umask is not None else {}),
        "environment": _environment(_with_home(slots, spec, homes)),
        "priority": str(pool.priority),
        "autostart": _bool(pool.autostart),
        "autorestart": policy.autorestart.value,
        "exitcodes": ",".join(map(str, sorted(policy.exitcodes))),
        "startsecs": str(math.ceil(policy.startsecs)),
        "startretries": str(policy.startretries),
        "stopsignal": signal_name(policy.stopsignal).removeprefix("SIG").removeprefix("signal "),
        "stopwaitsecs": str(math.ceil(policy.stop_seconds)),
        "stopasgroup": _bool(stopasgroup),
        "killasgroup": _bool(policy.killasgroup),
        "redirect_stderr": _bool(launch.redirect_stderr),
        **_log("stdout", spec.stdout, slots.stdout, spec.taps[0]),
        **(_log("stderr", spec.stderr, slots.stderr, spec.taps[1]) if spec.stderr else {}),
    }
    # killasgroup follows stopasgroup, so that one is written wherever the other is.
    needed = {key: text for key, text in lines.items() if _USUAL.get(key) != text}
    if stopasgroup:
        needed["killasgroup"] = lines["killasgroup"]
    if pool.listening is not None and pool.priority == -1:
        needed.pop("priority", None)  # its own default for event listeners
    elif pool.listening is not None:
        needed["priority"] = lines["priority"]
    if own and _text(slots.process_name) == pool.name:
        needed.pop("process_name", None)
    kind = "program" if pool.listening is None else "eventlistener"
    return f"[{kind}:{name}]\n" + "".join(f"{key}={text}\n" for key, text in lines.items() if key in needed)


def _command(slots: Slots) -> Iterator[Template]:
    """The words of the command. A program with a `/` is looked for from where supervisord stands, whatever `directory`
    says (supervisor/process.py, get_execv_args), so its path is written whole."""
    program, *rest = slots.argv
    text = "".join(piece for piece in program.pieces if isinstance(piece, str))
    if "/" in text and not str(program.pieces[0]).startswith("/"):
        first = program.pieces[0]
        while isinstance(first, str) and first.startswith("./"):
            first = first[2:].lstrip("/")
        there = slots.directory.pieces
        between = "" if isinstance(there[-1], str) and there[-1].endswith("/") else "/"
        pieces = (*there, between, first, *program.pieces[1:])
        program = Template(tuple(piece for piece in pieces if piece))
    yield program
    yield from rest


def _with_home(slots: Slots, spec: ProcessSpec, homes: Mapping[str, str]) -> dict[str, Template]:
    """The variables of the file, and before them those that queuepool gives by itself and Supervisor does not."""
    user = spec.launch.user
    usual = {"HOME": homes[user], "USER": user} if user and spec.launch.clear_env and user in homes else {}
    return {**{name: Template((text,)) for name, text in usual.items()}, **dict(slots.environment)}


def _listening(listening: Listening | None) -> dict[str, str]:
    if listening is None:
        return {}
    return {"events": ",".join(listening.events), "buffer_size": str(listening.buffer_size)}


def _log(stream: str, policy: LogPolicy, path: Template | None, tap: Tap) -> dict[str, str]:
    found = {f"{stream}_logfile": "NONE"}
    found[f"{stream}_capture_maxbytes"] = size_text(tap.capture)
    found[f"{stream}_events_enabled"] = _bool(tap.events)
    if path is not None:
        # Supervisor expands the path of a log twice.
        found[f"{stream}_logfile"] = _text(_doubled(path))
    if path is not None:
        found[f"{stream}_logfile_maxbytes"] = size_text(policy.maxbytes)
        found[f"{stream}_logfile_backups"] = str(policy.backups)
    return found


def _doubled(path: Template) -> Template:
    return Template(tuple(p.replace("%", "%%") if isinstance(p, str) else p for p in path.pieces))


def _text(template: Template) -> str:
    """A value with its %(...)s."""
    text = _percent(template)
    if _LINE_BREAK.search(text):
        raise CannotExport("it holds a line break, which supervisord.conf cannot")
    if text != text.strip():
        raise CannotExport("it holds a path that begins or ends with a blank, which supervisord.conf cannot")
    return _no_comment(text)


def _no_comment(text: str) -> str:
    return _COMMENT.sub(rf"{_NOTHING}\1", text)


def _percent(template: Template) -> str:
    return "".join(
        piece.replace("%", "%%") if isinstance(piece, str) else f"%({piece[0]}){piece[1]}" for piece in template.pieces
    )


def _word(template: Template) -> str:
    """A word of a command, as shlex.split reads it back."""
    text = _percent(template)
    if _SAFE.match(text):
        return text
    if "\r" in text or (any(line != line.strip() for line in text.split("\n")) and "\n" in text):
        raise CannotExport("its command holds lines with blanks at an end, which supervisord.conf cannot")
    inside = _COMMENT.sub(r"'\\\1'", text.replace("'", "'\"'\"'"))
    return "'" + inside.replace("\n", "\n    ") + "'"  # an indented line goes on with the value


def _environment(variables: Mapping[str, Template]) -> str:
    pairs = []
    for name, template in variables.items():
        text = _percent(template)
        quote = "'" if '"' in text else '"'
        if _LINE_BREAK.search(text) or quote in text or text.strip("'\"") != text:
            raise CannotExport(f"its variable {name} holds quotes or line breaks that supervisord.conf cannot")
        pairs.append(f"{name}={quote}{_no_comment(text)}{quote}")
    return ",".join(pairs)


def _groups(pools: Mapping[str, PoolSpec], groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A program stands in the first of its groups: in two, Supervisor would run it twice."""
    taken: set[str] = set()
    for name, programs in groups.items():
        members = [program for program in programs if program in pools and program not in taken]
        members = [member for member in members if pools[member].listening is None]  # which are in no group there
        taken.update(members)
        if members:
            priority = min(pools[member].priority for member in members)
            more = f"priority={priority}\n" if priority != 999 else ""
            yield f"[group:{name}]\nprograms={','.join(members)}\n{more}"


def _without(pool: PoolSpec) -> Iterator[str]:
    """What of a pool has no option in Supervisor."""
    spec = pool.process(0)
    launch, policy = spec.launch, spec.policy
    logs = [log for log in (spec.stdout, spec.stderr) if log is not None and log.path is not None]
    checks = {
        "group": launch.group is not None,
        "groups": launch.groups is not None,
        "nice": launch.nice is not None,
        "rlimits": bool(launch.rlimits),
        "memory_limit": bool(policy.memory_limit),
        "depends_on": bool(pool.depends_on),
        "logfile_rotate": any(log.rotate_seconds for log in logs),
        "logfile_compress": any(log.compress for log in logs),
        "log_prefix and log_format": any(not log.plain for log in logs),
    }
    yield from (name for name, there in checks.items() if there)


def _bool(value: bool) -> str:
    return "true" if value else "false"
