"""The systemd unit of the daemon. PURE: what writes and enables it is cli/startup.py.

Sources: systemd.service(5), systemd.exec(5), systemd.kill(5), systemd.unit(5), systemd.syntax(7), of systemd 252.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

STOP_MARGIN = 15
"""Seconds the daemon has beyond the longest stopwaitsecs, to kill what is left and to end itself."""


@dataclass(frozen=True, slots=True)
class DaemonUnit:
    """What the unit of one daemon depends on.

    command: absolute path of queuepool and its arguments before `-c`. config: absolute path of the file. stop_seconds:
    the longest time that stopping everything may take. environment: variables that the daemon needs to find the
    directories which the commands look in. user: for `systemctl --user`.
    """

    command: tuple[str, ...]
    config: str
    stop_seconds: float
    environment: tuple[tuple[str, str], ...] = ()
    user: bool = False


def daemon_unit(unit: DaemonUnit) -> str:
    """The text of the unit file."""
    exec_start = " ".join(quote(word) for word in (*unit.command, "-c", unit.config, "up"))
    sections = [
        _HEAD.format(config=unit.config.replace("%", "%%")),
        _SERVICE.format(exec_start=exec_start, stop=int(-(-unit.stop_seconds // 1)) + STOP_MARGIN),
        "".join(f"Environment={quote(f'{name}={value}', dollar=False)}\n" for name, value in unit.environment),
        _NOT_HARDENED_USER if unit.user else _HARDENING,
        _INSTALL.format(target="default.target" if unit.user else "multi-user.target"),
    ]
    return "".join(sections)


def config_of(text: str) -> str | None:
    """The file that a unit made by `daemon_unit` is for, None for another unit."""
    for line in text.splitlines():
        if line.startswith(_MARK):
            return line.removeprefix(_MARK)
    return None


def quote(word: str, *, dollar: bool = True) -> str:
    """One word of a command line, or of Environment= (which knows no `$`), as systemd.syntax(7) reads it."""
    escaped = "".join(_ESCAPES.get(char, char) for char in word).replace("%", "%%")
    if dollar:
        escaped = escaped.replace("$", "$$")
    return f'"{escaped}"' if _needs_quotes(word) else escaped


def _needs_quotes(characters: Iterable[str]) -> bool:
    return not characters or any(char.isspace() or char in "\"'\\;" for char in characters)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_MARK = "# queuepool startup: "

_HEAD = (
    _MARK
    + """{config}
# `queuepool startup` writes this file anew; put changes into a drop-in: `systemctl edit`.

[Unit]
Description=queuepool, Laravel queue workers of {config}
# Order alone, where these are on this machine. Workers that come before Redis wait for it.
After=network.target redis-server.service redis.service mariadb.service mysql.service postgresql.service
# With `engine: supervisord` that has to answer first.
After=supervisor.service supervisord.service
# Never give up: without the daemon nothing restarts a worker.
StartLimitIntervalSec=0
"""
)

_SERVICE = """
[Service]
Type=notify
NotifyAccess=main
ExecStart={exec_start}
# The same as `queuepool update`.
ExecReload=/bin/kill -HUP $MAINPID
# A daemon that hangs is killed and started again; it finds its workers, which went on.
WatchdogSec=30
# Soon, because what the workers print meanwhile waits in pipes of 64 kB.
Restart=always
RestartSec=200ms
# Not after `queuepool down` (0), for a file that does not validate (2), or beside a daemon started by hand (4).
RestartPreventExitStatus=0 2 4
# Only the daemon is signalled, and it drains its workers. If it crashed, they stay and are adopted.
KillMode=process
TimeoutStopSec={stop}
# The workers' pipes and pidfds, kept for the next daemon. No RuntimeDirectory=, which is emptied at every stop.
FileDescriptorStoreMax=8192
# A worker that the kernel ends for lack of memory is a matter of that worker alone.
OOMPolicy=continue
LimitNOFILE=65536
TasksMax=infinity
UMask=0022
"""

_HARDENING = """
# Hardening that a job cannot notice: what concerns the kernel itself.
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictRealtime=yes
CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYSLOG CAP_MAC_ADMIN CAP_WAKE_ALARM
# Left out, because the workers inherit it and jobs would break; add it by `systemctl edit` where yours allow it:
#   NoNewPrivileges, RestrictSUIDSGID    sudo, and mail through postfix's postdrop; chmod g+s of directories
#   User=                                the daemon starts each program as the user that the file names
#   PrivateTmp                           files and sockets that are shared with php-fpm or MySQL in /tmp
#   ProtectHome, ProtectSystem           applications in /home; jobs that write certificates or configuration
#   PrivateDevices, ProtectClock         GPU encoding, FUSE
#   MemoryDenyWriteExecute               the JIT of PHP, Node and Chromium
#   RestrictNamespaces, SystemCallFilter the sandbox of headless Chromium (PDFs, screenshots)
#   ProtectProc, PrivateNetwork          the daemon watches processes in /proc; jobs use the network
"""

_NOT_HARDENED_USER = """
# No hardening: in a user's manager each of these options brings NoNewPrivileges, which takes sudo and mail from jobs.
"""

_INSTALL = """
[Install]
WantedBy={target}
"""
