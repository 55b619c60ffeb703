"""Which file is meant. Reading it is load.py's; this is imported by every command, so it imports next to nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping

from queuepool.errors import NoConfig

NAMES = ("queuepool.yml", "queuepool.yaml")
SYSTEM_WIDE = "/etc/queuepool/queuepool.yml"


def find_config(explicit: str | None, environ: Mapping[str, str], cwd: str) -> str:
    """The absolute path of the file: `explicit`, else $QUEUEPOOL_CONFIG, else queuepool.yml in `cwd` or above (up to
    the root of the git checkout), else /etc/queuepool/queuepool.yml.

    Symlinks stay: below /srv/app/current the file is /srv/app/current/queuepool.yml, whichever release that is, so that
    it is the same file after a deploy. A directory stands for the file in it. Raises NoConfig.
    """
    where = _logical(cwd, environ)
    for named, by in ((explicit, "-c"), (environ.get("QUEUEPOOL_CONFIG"), "QUEUEPOOL_CONFIG")):
        if named:
            return _named(os.path.join(where, os.path.expanduser(named)), by)
    folder = where
    while True:
        for name in NAMES:
            if os.path.isfile(path := os.path.join(folder, name)):
                return path
        above = os.path.dirname(folder)
        if above == folder or os.path.exists(os.path.join(folder, ".git")):
            break
        folder = above
    if os.path.isfile(SYSTEM_WIDE):
        return SYSTEM_WIDE
    raise NoConfig(
        f"cannot find queuepool.yml in {where} or above, nor {SYSTEM_WIDE}",
        hint="write one with `queuepool init`, or name one with `-c FILE`",
        path=os.path.join(where, NAMES[0]),
    )


def _named(path: str, by: str) -> str:
    path = os.path.normpath(path) if ".." not in path.split("/") else path
    if os.path.isdir(path):
        inside = [os.path.join(path, name) for name in NAMES]
        path = next((file for file in inside if os.path.isfile(file)), inside[0])
    if not os.path.lexists(path):
        raise NoConfig(f"cannot find {path}, which {by} names", "write one with `queuepool init`", path)
    return path


def _logical(cwd: str, environ: Mapping[str, str]) -> str:
    """The working directory as the shell calls it, with symlinks such as `current` unresolved, where that is true."""
    shell = environ.get("PWD", "")
    try:
        if os.path.isabs(shell) and os.path.samefile(shell, cwd):
            return os.path.normpath(shell) if ".." not in shell.split("/") else cwd
    except (OSError, ValueError):
        pass
    return cwd
