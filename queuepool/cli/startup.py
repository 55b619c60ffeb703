"""`startup`: the daemon at boot, by systemd. The text of the unit is formats/systemd.py's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import click

from queuepool.cli.context import Context, context_of
from queuepool.errors import Locked, QueuepoolError, UsageError
from queuepool.formats.systemd import DaemonUnit, config_of, daemon_unit
from queuepool.system.rundir import RunDirectory

PASSED_ON = ("QUEUEPOOL_RUNTIME_DIR", "QUEUEPOOL_STATE_DIR")
"""Where the daemon keeps its socket follows from these, so the unit and the commands must agree on them."""

RUNS = "/run/systemd/system"
"""A directory that is there when systemd is the init of the machine (sd_booted(3))."""

UNITS = "/etc/systemd/system"
"""The directory of the units that an administrator made."""


@click.command()
@click.option("--user", is_flag=True, help="A unit of your own systemd, for a daemon that does not run as root.")
@click.option("--print", "print_", is_flag=True, help="Only print the unit.")
@click.option("--remove", is_flag=True, help="Stop the daemon, disable the unit and delete it.")
@click.pass_context
def startup(ctx: click.Context, user: bool, print_: bool, remove: bool) -> None:
    """Start the daemon at boot, by systemd. Writes a unit, enables it and starts it; again after a change of
    stopwaitsecs."""
    if print_ and remove:
        raise UsageError("cannot both print and remove the unit", "give one of --print and --remove")
    context = context_of(ctx)
    directory = RunDirectory(context.config_path())
    if print_:
        click.echo(_text(context, directory, user), nl=False)
        return
    manager = Manager(user)
    manager.must_run()
    if remove:
        _remove(manager, directory)
    else:
        _install(context, manager, directory)


@dataclass(frozen=True, slots=True)
class Manager:
    """The systemd of the machine, or (user) of this user."""

    user: bool

    def must_run(self) -> None:
        """Raise QueuepoolError where there is no such systemd."""
        runs = shutil.which("systemctl") and os.path.isdir(RUNS)
        if runs and self.user:
            runs = self._call("show-environment").returncode == 0
        if not runs:
            what = "no systemd of this user runs" if self.user else "systemd does not run"
            raise QueuepoolError(
                f"cannot set up the start at boot: {what} on this machine",
                "`queuepool startup --print` prints the unit; elsewhere, have `queuepool up` started by what starts "
                "your services",
            )

    @property
    def units(self) -> str:
        """The directory of units that an administrator, or the user, made."""
        if not self.user:
            return UNITS
        home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return os.path.join(home, "systemd", "user")

    def do(self, *args: str, hint: str = "") -> None:
        """Run systemctl. Raises QueuepoolError with what it said."""
        done = self._call(*args)
        if done.returncode:
            said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            raise QueuepoolError(f"systemctl {' '.join(args)} failed: {said}", hint)

    def journal(self, unit: str) -> str:
        """The command that shows what a unit said."""
        return f"journalctl {'--user ' if self.user else ''}-u {unit} -n 50"

    def _call(self, *args: str) -> subprocess.CompletedProcess[str]:
        command = ["systemctl", *(["--user"] if self.user else []), *args]
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def _install(context: Context, manager: Manager, directory: RunDirectory) -> None:
    name = unit_name(manager.units, directory)
    path = os.path.join(manager.units, name)
    text = _text(context, directory, manager.user)
    known = os.path.exists(path)
    pid = directory.pid()
    if pid is not None and not known:
        raise Locked(
            f"cannot start the unit: a daemon that was started by hand runs for {directory.config} (pid {pid})",
            "end it with `queuepool down`, then `queuepool startup` again",
        )
    _write(path, text)
    manager.do("daemon-reload")
    manager.do("enable", "--now", name, hint=f"`{manager.journal(name)}` shows why")
    if manager.user:
        _linger()
    click.echo(f"{name}: {'written anew' if known else 'written'}, enabled and started ({path})")


def _remove(manager: Manager, directory: RunDirectory) -> None:
    name = unit_name(manager.units, directory)
    path = os.path.join(manager.units, name)
    if not os.path.exists(path):
        raise QueuepoolError(f"cannot remove the unit of {directory.config}: there is none in {manager.units}")
    click.echo(f"{name}: stopping; running jobs are finished first", err=True)
    manager.do("disable", "--now", name, hint=f"`{manager.journal(name)}` shows why")
    os.unlink(path)
    manager.do("daemon-reload")
    click.echo(f"{name}: stopped, disabled and removed")


def unit_name(units: str, directory: RunDirectory) -> str:
    """The file name of the unit: `queuepool-app.service`, with a hash when another file's unit has that name."""
    instance = os.path.basename(directory.path)
    label = instance.rpartition("-")[0]
    short = "queuepool.service" if label == "queuepool" else f"queuepool-{label}.service"
    try:
        with open(os.path.join(units, short), encoding="utf-8", errors="replace") as file:
            taken = config_of(file.read()) != directory.config
    except FileNotFoundError:
        taken = False
    return f"queuepool-{instance}.service" if taken else short


def _text(context: Context, directory: RunDirectory, user: bool) -> str:
    return daemon_unit(
        DaemonUnit(
            command=_this_command(),
            config=directory.config,
            stop_seconds=_stop_seconds(directory.config),
            environment=tuple((name, os.environ[name]) for name in PASSED_ON if os.environ.get(name)),
            user=user,
        )
    )


def _stop_seconds(config: str) -> float:
    """How long stopping everything may take, by the file, whose problems are raised here. Programs of one level stop
    side by side, the levels one after the other."""
    from queuepool.config.load import load
    from queuepool.controller.controller import stop_levels

    pools = load(config, os.environ).pools
    seconds = {name: pool.process(0).policy.stop_seconds for name, pool in pools.items()}
    return sum(max(seconds[name] for name in level) for level in stop_levels(pools))


def _this_command() -> tuple[str, ...]:
    """How to run this queuepool from anywhere: the script beside its interpreter, else the module."""
    script = os.path.join(os.path.dirname(os.path.abspath(sys.executable)), "queuepool")
    return (script,) if os.access(script, os.X_OK) else (os.path.abspath(sys.executable), "-m", "queuepool")


def _write(path: str, text: str) -> None:
    new = f"{path}.new"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(new, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(new, 0o644)
        os.replace(new, path)
    except PermissionError:
        raise QueuepoolError(
            f"cannot write {path}: permission denied", "`sudo queuepool startup`, or `queuepool startup --user`"
        ) from None
    except OSError as error:
        raise QueuepoolError(f"cannot write {path}: {error.strerror}") from None


def _linger() -> None:
    """Without lingering a user's systemd starts at login, not at boot."""
    done = subprocess.run(["loginctl", "enable-linger"], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        click.echo("it starts at your login; at boot after `sudo loginctl enable-linger $USER`", err=True)
