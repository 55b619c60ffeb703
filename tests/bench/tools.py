"""What the benchmarks need and do not measure: the compiled worker, a private venv for the peers written in Python."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
REQUIREMENTS = ("supervisor==4.3.0", "circus")


def cache() -> Path:
    """The directory kept between runs, made when missing: $QUEUEPOOL_BENCH_CACHE, or queuepool-bench in ~/.cache."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "queuepool-bench"
    path = Path(os.environ.get("QUEUEPOOL_BENCH_CACHE") or default)
    path.mkdir(parents=True, exist_ok=True)
    return path


def program(name: str) -> Path:
    """worker or check, compiled when its source has changed. Static, so that its start costs next to nothing."""
    source = HERE / f"{name}.c"
    target = cache() / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not target.exists():
        made = target.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O2", "-static", "-o", made, source], check=True)
        made.rename(target)
    return target.resolve()


def peers_bin() -> Path | None:
    """bin/ of the venv with Supervisor and circus; None where they cannot be installed (no network, say)."""
    venv = cache() / f"peers-{hashlib.sha256(' '.join(REQUIREMENTS).encode()).hexdigest()[:8]}"
    if not (venv / "complete").exists():
        shutil.rmtree(venv, ignore_errors=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, stdout=subprocess.DEVNULL)
            command = [str(venv / "bin/pip"), "install", "--quiet", *REQUIREMENTS]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        except subprocess.CalledProcessError as error:
            print(f"cannot install {' and '.join(REQUIREMENTS)}: {error}", file=sys.stderr)
            return None
        (venv / "complete").touch()
    return venv / "bin"


def queuepool() -> list[str]:
    """The command under test, of the Python that runs this and the checkout that holds this file."""
    script = Path(sys.executable).with_name("queuepool")
    return [str(script)] if script.exists() else [sys.executable, "-m", "queuepool"]
