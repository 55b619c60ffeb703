"""Every section and option that Supervisor knows (4.2.5 to 4.3.0, supervisor/options.py), and the nearest one to a word
that it does not know and therefore ignores. PURE."""

from __future__ import annotations

from difflib import get_close_matches

_LOG = ("logfile", "logfile_maxbytes", "logfile_backups", "capture_maxbytes", "events_enabled", "syslog")

PROCESS = frozenset(
    [
        *("command", "process_name", "numprocs", "numprocs_start", "directory", "umask", "priority", "autostart"),
        *("autorestart", "exitcodes", "startsecs", "startretries", "stopsignal", "stopwaitsecs", "stopasgroup"),
        *("killasgroup", "user", "redirect_stderr", "environment", "serverurl"),
        *(f"{stream}_{word}" for stream in ("stdout", "stderr") for word in _LOG),
    ]
)
_AUTH = ("username", "password")
SECTIONS: dict[str, frozenset[str] | None] = {
    "program": PROCESS,
    "fcgi-program": PROCESS | {"socket", "socket_owner", "socket_mode", "socket_backlog"},
    "eventlistener": PROCESS | {"events", "buffer_size", "result_handler"},
    "group": frozenset({"programs", "priority"}),
    "include": frozenset({"files"}),
    "unix_http_server": frozenset({"file", "chmod", "chown", *_AUTH}),
    "inet_http_server": frozenset({"port", *_AUTH}),
    "supervisord": frozenset(
        [
            *("logfile", "logfile_maxbytes", "logfile_backups", "loglevel", "pidfile", "umask", "nodaemon", "silent"),
            *("minfds", "minprocs", "nocleanup", "childlogdir", "user", "directory", "strip_ansi", "environment"),
            "identifier",
        ]
    ),
    "supervisorctl": frozenset({"serverurl", "prompt", "history_file", *_AUTH}),
    "rpcinterface": None,
    "ctlplugin": None,
}
"""Kind of section -> its options; None: any."""

NAMED = frozenset({"program", "fcgi-program", "eventlistener", "group", "rpcinterface", "ctlplugin"})
"""Kinds whose sections are written `[kind:name]`."""


KEEPS_VARIABLES = frozenset({"numprocs", "autostart", "user"})
"""Options of a program which, where they are `%(ENV_X)s`, stay a variable in queuepool.yml."""

_OTHER_WORDS = {
    "directory": "cwd chdir workdir working_dir working_directory workingdirectory dir",
    "command": "cmd exec execstart run",
    "numprocs": "instances processes workers process_num numproc concurrency",
    "environment": "env envs environments",
    "stdout_logfile": "log logfile log_file stdout",
    "stderr_logfile": "error_log errorlog stderr",
    "stopwaitsecs": "stop_timeout stoptimeout stop_wait_secs stopwait killwait",
    "autorestart": "restart restart_policy",
    "stopasgroup": "stopasuser stopgroup",
    "startretries": "retries max_restarts startretry",
}
"""What an option is called elsewhere, in PM2, systemd or compose."""
_CALLED = {word: option for option, words in _OTHER_WORDS.items() for word in words.split()}


def kind_of(section: str) -> str | None:
    """The kind of a section, None for one that Supervisor ignores."""
    kind, colon, name = section.partition(":")
    if kind not in SECTIONS or (kind in NAMED) != bool(colon and name.strip()):
        # Several servers may be given, as [inet_http_server:x].
        return kind if kind in ("inet_http_server", "unix_http_server") and colon else None
    return kind


def near_section(section: str) -> str:
    """What an unknown section may have been meant to be, "" when nothing is near."""
    head, _, name = section.replace(" ", ":", 1).partition(":")
    found = get_close_matches(head.strip().lower()[:60], SECTIONS, 1)
    if not found:
        return ""
    return f"[{found[0]}:{name.strip()}]" if found[0] in NAMED else f"[{found[0]}]"


def near_option(option: str, kind: str) -> str:
    """The option of this kind of section that is nearest to an unknown one, "" when nothing is near."""
    known = SECTIONS.get(kind) or frozenset()
    if (called := _CALLED.get(option.lower().replace("-", "_"), "")) in known:
        return called
    found = get_close_matches(option.lower().replace("-", "_")[:60], sorted(known), 1, 0.7)
    return found[0] if found else ""
