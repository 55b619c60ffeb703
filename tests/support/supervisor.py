"""The real Supervisor, in both versions that people have, and what it makes of configuration files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.tools import cache

PYPI = "4.3.0"
SUPERLANCE = "2.0.0"


def debian_python() -> str | None:
    """The Python that runs the supervisord of the system (4.2.5 on Debian 12); None where there is none."""
    script = shutil.which("supervisord", path="/usr/bin:/usr/local/bin")
    if script is None:
        return None
    words = Path(script).read_text(errors="replace").partition("\n")[0].removeprefix("#!").split()
    return words[0] if len(words) == 1 else "/usr/bin/python3"


def pypi_python() -> str | None:
    """The Python of a venv with Supervisor 4.3.0, kept between runs; None where it cannot be installed."""
    return _venv(f"supervisor-{PYPI}", f"supervisor=={PYPI}")


def superlance_python() -> str | None:
    """The Python of a venv with superlance, kept between runs; None where it cannot be installed."""
    return _venv(f"superlance-{SUPERLANCE}", f"supervisor=={PYPI}", f"superlance=={SUPERLANCE}")


def _venv(name: str, *requirements: str) -> str | None:
    venv = cache() / f"{name}-py{sys.version_info.major}{sys.version_info.minor}"
    if not (venv / "complete").exists():
        made = venv.with_suffix(f".{os.getpid()}")
        try:
            subprocess.run([sys.executable, "-m", "venv", str(made)], check=True, stdout=subprocess.DEVNULL)
            command = [str(made / "bin/python"), "-m", "pip", "install", "--quiet", *requirements]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
            (made / "complete").touch()
            if not venv.exists():
                made.rename(venv)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"cannot install {' and '.join(requirements)}: {error}", file=sys.stderr)
            return None
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return str(venv / "bin/python")


def understood(python: str, files: Sequence[Path], environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """What this Supervisor makes of each file: {"processes": [...]} as getAllConfigInfo gives it, with what that leaves
    out beside it, or {"refused": message}."""
    done = subprocess.run(
        [python, "-c", _DUMP, *map(str, files)],
        capture_output=True, text=True, env={"PATH": os.environ["PATH"], **environ}, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


_DUMP = r"""
import json, sys, warnings
warnings.simplefilter("ignore")
from supervisor.options import ServerOptions
from supervisor.rpcinterface import SupervisorNamespaceRPCInterface

class Refused(Exception):
    pass

class Daemon:
    process_groups = {}

def usage(message):
    raise Refused(str(message))

def dump(path):
    options = ServerOptions()
    options.usage = usage
    options.realize(["-c", path], doc="")
    daemon = Daemon()
    daemon.options = options
    more = {}
    from supervisor.events import getEventNameByType
    for group in options.process_group_configs:
        events = sorted(map(getEventNameByType, getattr(group, "pool_events", ())))
        for one in group.process_configs:
            restart = one.autorestart
            more[group.name, one.name] = {
                "events": events, "buffer_size": getattr(group, "buffer_size", None),
                "environment": one.environment, "umask": one.umask, "stopasgroup": one.stopasgroup,
                "autorestart": {"RestartUnconditionally": "true", "RestartWhenExitUnexpected": "unexpected"}.get(
                    getattr(restart, "__name__", ""), "false"),
            }
    infos = SupervisorNamespaceRPCInterface(daemon).getAllConfigInfo()
    return {"processes": [dict(info, **more[info["group"], info["name"]]) for info in infos]}

answers = []
for path in sys.argv[1:]:
    try:
        answers.append(dump(path))
    except Exception as error:
        answers.append({"refused": "%s: %s" % (type(error).__name__, error)})
print(json.dumps(answers))
"""
