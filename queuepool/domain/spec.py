"""What queuepool.yml holds: every key once, with its meaning and its default. The JSON Schema and docs/configuration.md
are made from these models. Reading the file is config/load.py's matter, what it means for a process resolve.py's.

The loader hands over all scalars as the text that stands in the file, and each key reads its own kind: so `umask: 022`
is octal, `FOO: yes` in an environment is "yes" and `queue: 1` is a queue named 1, whatever YAML makes of them. Values
of the right Python type are taken as well.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from queuepool.domain import units
from queuepool.domain.pool import Autorestart
from queuepool.domain.values import (
    Access,
    Address,
    Arguments,
    Backoff,
    Bytes,
    CanaryTime,
    Commands,
    Count,
    Environment,
    ExitCodes,
    HostNames,
    Kind,
    LogPrefix,
    LogTarget,
    Megabytes,
    Name,
    Names,
    Networks,
    Nice,
    Octal,
    Paths,
    Priority,
    Processes,
    RestartWhen,
    RetryPause,
    Rlimits,
    RootPath,
    Rotation,
    Seconds,
    Share,
    SignalNumber,
    Text,
    Verbosity,
    Visitor,
    WholeSeconds,
    Word,
    Words,
)


def key(default: Any, description: str, **more: Any) -> Any:
    """A key of the file. None as default: not set, and the description says what happens then."""
    return Field(default, description=description, **more)


class Model(BaseModel):
    """What all models of the file share."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        defer_build=True,
    )


class Strategy(Model):
    """How a pool is restarted."""

    max_surge: Share = key("25%", "Processes above the wanted number while restarting; a percentage is rounded up.")
    max_unavailable: Share = key(
        0, "Processes that may be missing while restarting; a percentage is rounded down. With `max_surge` 0: 1."
    )
    batch: Share | None = key(
        None,
        "Processes that a deploy replaces before it looks whether all is well; a percentage is rounded up. Unset: "
        "`max_surge` + `max_unavailable`.",
    )
    pause_between: Seconds = key(0.0, "Seconds that a deploy waits between two batches.")

    @model_validator(mode="after")
    def _moves(self) -> Self:
        if "max_unavailable" in self.model_fields_set and {self.max_surge, self.max_unavailable} <= {0, "0%"}:
            raise ValueError("has max_surge and max_unavailable 0: no process could ever be restarted")
        return self


class Deploy(Model):
    """What `queuepool deploy` does besides replacing processes. Commands run in the application's directory as its user
    (`user` of the file), without a shell, with the file's `environment` and QUEUEPOOL_RELEASE,
    QUEUEPOOL_FORMER_RELEASE, QUEUEPOOL_DEPLOY and QUEUEPOOL_HOOK beside it."""

    before: Commands = key(
        (), "Commands to run first, a text or a list of texts; one that fails ends the deploy before anything changed."
    )
    after: Commands = key((), "Commands to run when all processes have been replaced and are well.")
    on_failure: Commands = key((), "Commands to run when a deploy has failed and was rolled back.")
    check: Words | None = key(
        None, "A command that has to succeed, with the first new processes running, and with all of them."
    )
    canary: CanaryTime = key(
        0.0,
        "Whether a worker of the new release has to do a job first, from a queue of its own, before any worker of a "
        "program is replaced: `true`, or the seconds it may take (`true` is 30). For `worker` programs.",
    )
    observe: Seconds = key(
        5.0, "Seconds without a crash after which the first new processes, and then all of them, count as well."
    )
    timeout: Seconds = key(600.0, "Seconds after which a deploy that is not done is rolled back.")


class WorkKeys(Model):
    """What runs"""

    type: Kind | None = key(
        None,
        "`worker` (queue:work), `listen` (queue:listen: boots the application for every job, for development), "
        "`horizon` or `command`. Unset: `command` where `command` is given, else `worker`.",
    )
    command: Words | None = key(
        None,
        "What a `command` program runs: text, split as a shell would but run without one, or a list. "
        "`%(program_name)s` and the like expand.",
    )
    connection: Word | None = key(None, "Queue connection of config/queue.php. Unset: the application's default.")
    queue: Names | None = key(
        None, "Queues, the most urgent first: `high,default` or a list. Unset: the connection's default queue."
    )
    tries: Count | None = key(None, "`--tries`: attempts of a job before it has failed; 0: no limit.")
    timeout: WholeSeconds | None = key(
        None,
        "`--timeout`: seconds one job may take (`60`, `90s`, `1h`); 0: no limit. Keep it some seconds below the "
        "connection's `retry_after`, else a job runs twice. Unset: Laravel's 60.",
    )
    memory: Megabytes | None = key(
        None, "`--memory`: megabytes (or `256MB`) above which a worker ends itself after a job and is started anew."
    )
    sleep: Seconds | None = key(None, "`--sleep`: seconds to wait when there is no job; `500ms` is possible.")
    backoff: Backoff | None = key(
        None, "`--backoff`: seconds before a failed job is tried again; a list: one for each try. Laravel 8."
    )
    delay: WholeSeconds | None = key(None, "`--delay`: what `backoff` was called up to Laravel 7.")
    max_jobs: Count | None = key(None, "`--max-jobs`: jobs after which a worker ends and is started anew. Laravel 8.")
    max_time: WholeSeconds | None = key(
        None, "`--max-time`: age at which a worker ends after its job and is started anew. Laravel 8."
    )
    rest: Seconds | None = key(None, "`--rest`: seconds to rest between two jobs. Laravel 8.32.")
    stop_when_empty: bool | None = key(None, "`--stop-when-empty`: end when there is no job.")
    stop_when_empty_for: WholeSeconds | None = key(
        None, "`--stop-when-empty-for`: end after so many seconds without a job. Laravel 11.53, 12.60 or 13.10."
    )
    once: bool | None = key(None, "`--once`: one job, then end.")
    force: bool | None = key(None, "`--force`: work in maintenance mode too.")
    name: Word | None = key(None, "`--name`: name of the worker, for `Worker::popUsing`. Laravel 8.")
    json_: bool | None = key(None, "`--json`: report jobs as JSON lines. Laravel 11.27.", alias="json")
    horizon_environment: Word | None = key(
        None, "`horizon --environment`: which environment of config/horizon.php to run."
    )
    env: Word | None = key(None, "`--env`: the environment artisan runs in; it reads `.env.<env>`.")
    quiet: bool | None = key(None, "`--quiet`: print nothing. What a worker prints is how its jobs are known.")
    verbose: Verbosity | None = key(
        None,
        "`-v`; 2 and 3 are `-vv` and `-vvv`. Unset: `-v` for a worker without `quiet` or `json`, because since Laravel "
        "9.41 it prints the id of a job only then.",
    )
    ansi: bool | None = key(None, "`--ansi`, or with false `--no-ansi`: colours in the log.")
    options: Arguments = key((), "Further arguments for artisan, as they are.")


class RunKeys(Model):
    """How a process runs"""

    numprocs: Processes = key(
        1, "How many processes. Changing it starts the missing or drains the surplus and touches no other."
    )
    numprocs_start: Count = key(0, "The number of the first, for `%(process_num)d`.")
    process_name: Text | None = key(
        None,
        "Name of each process, with `%(program_name)s` and `%(process_num)02d`. Unset: "
        "`%(program_name)s_%(process_num)02d`, for a single command or Horizon `%(program_name)s`.",
    )
    directory: Text | None = key(
        None,
        "Where a process runs; relative to the file's directory. Unset: `app`. A symlink such as `current` is followed "
        "anew at every start.",
    )
    user: Text | None = key(None, "User to run as, `www-data` or `www-data:group`. Unset: the file's `user`.")
    group: Text | None = key(None, "Group to run as. Unset: the user's own.")
    groups: Names | None = key(None, "Supplementary groups. Unset: those of the user.")
    umask: Octal | None = key(None, "Octal, such as `022`. Unset: the daemon's.")
    nice: Nice | None = key(None, "CPU priority, -20 (first) to 19. Unset: the daemon's.")
    rlimits: Rlimits = key({}, 'Resource limits: `{nofile: 4096, core: unlimited, nproc: "100:200"}` (soft:hard).')
    environment: Environment = key(
        {},
        'Variables for the process: a mapping, or Supervisor\'s `A="1",B="2"`. They are added to those of `defaults` '
        "and of the file, and win over them.",
        repr=False,
    )
    env_file: Paths | None = key(
        None, "Files in the manner of `.env` to read variables from; what `environment` says wins over them."
    )
    clear_env: bool = key(
        True,
        "Start from a clean environment (HOME, USER, PATH... of the user), as php-fpm's `clear_env` does; false: pass "
        "the daemon's own environment on.",
    )


class LifeKeys(Model):
    """Starting, restarting, stopping"""

    priority: Priority = key(999, "Lower starts first and stops last. Unset: that of its group, else 999.")
    autostart: bool = key(True, "Start it when the daemon starts.")
    autorestart: RestartWhen = key(
        Autorestart.ALWAYS, "After an exit: true, false, or `unexpected`: only for codes not in `exitcodes`."
    )
    exitcodes: ExitCodes = key((0,), "Exit codes that are expected.")
    startsecs: Seconds = key(1.0, "Seconds a process must stay up to count as RUNNING.")
    startretries: Count = key(
        10,
        "Failed starts in a row before FATAL. The pause between them grows, so 10 rides over a few minutes without "
        "Redis or the database.",
    )
    fatal_retry: RetryPause = key(
        60.0, "Pause before a FATAL process is tried again by itself; `never`: it stays FATAL."
    )
    stopsignal: SignalNumber = key(
        15, "Signal that asks a process to end: TERM, HUP, INT, QUIT, USR1, USR2..., or a number."
    )
    stopwaitsecs: Seconds | None = key(
        None,
        "Seconds from that signal to SIGKILL. Unset: for workers `timeout` + `sleep` + 15, so that no job is killed "
        "(3600 where `timeout` is 0), for Horizon 3600, for a command 10. Add the connection's `block_for` to it.",
    )
    stopasgroup: bool = key(
        False, "Send the stop signal to the whole process group. Children of the job, an ffmpeg say, would get it too."
    )
    killasgroup: bool = key(True, "Send SIGKILL to the whole process group.")
    depends_on: Names = key((), "Programs that must be RUNNING before this one starts.")
    pace: bool = key(True, "Start it when earlier ones have booted, so that hundreds do not boot at once.")
    strategy: Strategy = key(
        Strategy.model_construct(_fields_set=set()),
        "How a pool is restarted: `{max_surge: 25%, max_unavailable: 0}`, as in a Kubernetes Deployment. Horizon and "
        "commands: 0 and 1, for two of them might do the same work twice.",
    )
    requeue: bool = key(
        True,
        "Give a job whose worker was killed in it (out of memory, a crash of PHP, SIGKILL) back to its queue at once, "
        "instead of after the connection's `retry_after`. It counts as a try. Only on Redis.",
    )
    memory_limit: Bytes = key(
        0,
        "Resident memory (`512MB`) above which a process is restarted, gracefully; 0: no limit. Unlike `memory` it "
        "sees extensions and children.",
    )


class LogKeys(Model):
    """Logs"""

    redirect_stderr: bool = key(True, "Put stderr into the log of stdout. Giving `stderr_logfile` makes it false.")
    stdout_logfile: LogTarget = key(
        "AUTO",
        "A path, relative to the file's directory; with `%(process_num)d` one log for each process. `AUTO`: "
        "`storage/logs/<program>.log` of the application (`logs/<program>.log` for a command where there is no "
        "artisan). `NONE`: thrown away.",
    )
    stdout_logfile_maxbytes: Bytes = key(50 * 1024 * 1024, "Size at which the log is rotated (`50MB`); 0: never.")
    stdout_logfile_backups: Count = key(10, "Rotated files to keep.")
    stdout_logfile_rotate: Rotation = key("never", "Also rotate at every full hour, or every midnight.")
    stdout_logfile_compress: bool = key(False, "Compress rotated files with gzip.")
    stderr_logfile: LogTarget = key(
        "AUTO", "As `stdout_logfile`, for stderr alone; `AUTO` is then `<program>.err.log`. See `redirect_stderr`."
    )
    stderr_logfile_maxbytes: Bytes = key(50 * 1024 * 1024, "As for stdout.")
    stderr_logfile_backups: Count = key(10, "As for stdout.")
    stderr_logfile_rotate: Rotation = key("never", "As for stdout.")
    stderr_logfile_compress: bool = key(False, "As for stdout.")
    log_prefix: LogPrefix = key((), "What to put before each line: `time`, `slot` or both.")
    log_format: Literal["plain", "json"] = key("plain", "`json`: every line becomes a JSON object.")


class Program(LogKeys, LifeKeys, RunKeys, WorkKeys):
    """A program of the file, or its `defaults`."""


class Group(Model):
    """A named set of programs."""

    programs: Names = key((), "The programs in it.")
    priority: Priority | None = key(None, "Priority of its programs that have none of their own.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"programs": value} if isinstance(value, str | list | tuple) else value


class Login(Model):
    """One of `http.users`: how somebody proves who he is, and what he may do."""

    password: SecretStr | None = key(None, "The password itself; best from outside: `${QUEUEPOOL_PASSWORD}`.")
    password_hash: SecretStr | None = key(None, "Its hash, as `queuepool config password` prints it.")
    password_file: Text | None = key(None, "A file that holds either, relative to the file's directory.")
    role: Access = key("viewer", "`viewer` sees everything, `operator` also acts.")

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        _need_one(self, "password", "password_hash", "password_file")
        return self


class Token(Model):
    """One of `http.tokens`: what a script sends as `Authorization: Bearer TOKEN`."""

    token: SecretStr | None = key(None, "The token itself; at least 32 characters, best from outside: `${API_TOKEN}`.")
    token_hash: SecretStr | None = key(None, "Its hash, as `queuepool config token` prints it.")
    token_file: Text | None = key(None, "A file that holds either, relative to the file's directory.")
    role: Access = key("viewer", "`viewer` sees everything, `operator` also acts.")

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        _need_one(self, "token", "token_hash", "token_file")
        return self


class Http(Model):
    """Control by TCP: the web page, the JSON API, Supervisor's XML-RPC and metrics. Without any credentials whoever
    reaches it, from this machine alone, may look and not act."""

    listen: Address = key(
        "127.0.0.1:9001", "Address and port. Anything but this machine itself needs somebody who can log in."
    )
    username: Text | None = key(
        None, "Name of an operator, with one of the next three: short for one entry in `users`."
    )
    password: SecretStr | None = key(None, "Password to log in with; best from outside: `${QUEUEPOOL_PASSWORD}`.")
    password_hash: SecretStr | None = key(None, "Its hash, as `queuepool config password` prints it.")
    password_file: Text | None = key(None, "A file that holds either, relative to the file's directory.")
    users: dict[Visitor, Login] = key({}, "Who can log in: `{alice: {password_hash: ..., role: operator}}`.")
    tokens: dict[Visitor, Token] = key({}, "What scripts can send: `{ci: {token_hash: ..., role: operator}}`.")
    tls_cert: Text | None = key(None, "Certificate chain in PEM, for https. Read again when it has changed.")
    tls_key: Text | None = key(None, "Its private key. Unset: in `tls_cert` too.")
    root_path: RootPath = key("", "Where a proxy shows it, such as `/queuepool`. Unset: at the root.")
    allowed_hosts: HostNames = key(
        (),
        "Names by which browsers may call it, `*.example.org` for all below one, beside addresses, localhost and the "
        "name of the machine. With others a foreign page could reach it.",
    )
    trusted_proxies: Networks = key(
        (),
        "Addresses or networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, beside "
        "this machine.",
    )

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        secrets = [name for name in ("password", "password_hash", "password_file") if getattr(self, name) is not None]
        if self.username is None and secrets:
            raise ValueError(f"has {secrets[0]}, and no username")
        if self.username is not None:
            _need_one(self, "password", "password_hash", "password_file")
            if self.username in self.users:
                raise ValueError(f"gives {self.username} twice, as username and in users")
            if ":" in self.username or not self.username.isprintable():
                raise ValueError("has a username that cannot be one: it holds `:` or what cannot be printed")
        if self.tls_key is not None and self.tls_cert is None:
            raise ValueError("has tls_key, and no tls_cert")
        if not (self.username or self.users or self.tokens) and not self.loopback:
            raise ValueError(f"listens on {self.listen}, which others can reach: give username and password")
        return self

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        host = self.listen.rpartition(":")[0].strip("[]")
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def _need_one(model: Model, *names: str) -> None:
    """Exactly one of these secrets, and not an empty one."""
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) > 1:
        raise ValueError(f"has both {given[0]} and {given[1]}: give one")
    value = getattr(model, given[0]) if given else ""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not text:
        raise ValueError(f"needs {', '.join(names[:-1])} or {names[-1]}")
    if given[0].endswith("_hash") and not re.match(units.HASH[given[0]], text, re.ASCII):
        command = given[0].removesuffix("_hash")
        raise ValueError(f"has a {given[0]} that is none: `queuepool config {command}` makes one")
    if given[0] == "token" and len(text) < 32:
        raise ValueError("has a token of less than 32 characters: `queuepool config token` makes one")


def _http(value: object) -> object:
    text = str(value).strip().lower() if isinstance(value, str | bool) else ""
    if text in ("true", "yes", "on"):
        return {}
    return None if text in ("false", "no", "off") else value


def _engine(value: object) -> object:
    if value in ("supervisord", "systemd", "kubernetes"):
        raise ValueError("is an engine that is not in this version; there is local")
    return value


class Section(Model):
    """The whole file, and any included one"""

    app: Text = key(".", "The Laravel root, where artisan is; relative to the file's directory. May be a symlink.")
    php: Words = key(("php",), "PHP binary, with its own flags: `php8.3` or `[php, -d, memory_limit=512M]`.")
    user: Text | None = key(None, "User of every program, `www-data` or `www-data:group`. Unset: the daemon's own.")
    group: Text | None = key(None, "Group of every program. Unset: the user's own.")
    environment: Environment = key({}, "Variables for every program.", repr=False)
    env_file: Paths | None = key(
        None, "Files in the manner of `.env`: variables for every program, and for `${X}` in this file."
    )
    defaults: Program = key(
        Program.model_construct(_fields_set=set()),
        "Options for all programs, but for `type`, `command` and `depends_on`. Options of a worker reach only workers.",
    )
    programs: dict[Name, Program] = key({}, "The programs, by name.")
    groups: dict[Name, Group] = key({}, "Named sets of programs: a list, or `{programs: [...], priority: 10}`.")


class Settings(Section):
    """Only the main file"""

    engine: Annotated[Literal["local"], BeforeValidator(_engine)] = key(
        "local", "What keeps the processes alive: `local`, queuepool itself."
    )
    http: Annotated[Http | None, BeforeValidator(_http)] = key(
        None, "Control by TCP: true, or `{listen: 127.0.0.1:9001, username: admin, password: ...}`."
    )
    deploy: Deploy = key(
        Deploy.model_construct(_fields_set=set()), "What `queuepool deploy` does besides replacing processes."
    )
    include: Paths = key((), "Further files, as paths or globs relative to this file, taken in the order of the names.")


class Included(Section):
    """An included file. What it says outside `programs` and `groups` is for its own programs."""


KIND_DEFAULTS: dict[str, dict[str, Any]] = {
    "worker": {},
    "listen": {},
    "horizon": {"strategy": Strategy.model_construct(max_surge=0, max_unavailable=1), "stopwaitsecs": 3600.0},
    "command": {
        "strategy": Strategy.model_construct(max_surge=0, max_unavailable=1),
        "stopwaitsecs": 10.0,
        "startretries": 3,
        "pace": False,
    },
}
"""Kind of program -> defaults that differ from those above."""

NO_DEFAULT = frozenset({"type", "command", "depends_on"})
"""Keys of a program that `defaults` cannot hold."""

LATER = {
    "scale": "autoscaling is not in this version; use numprocs",
    "launcher": "launchers are not in this version; every worker is a process started by itself",
    "ready": "ready checks are not in this version; see startsecs",
    "hooks": "hooks of a program are not in this version; `deploy:` of the file has some",
}
"""Keys of a program that are planned, and refused with these words."""

WITHOUT_EQUIVALENT = frozenset(
    [
        *("serverurl", "stdout_capture_maxbytes", "stderr_capture_maxbytes", "stdout_events_enabled", "stdout_syslog"),
        *("stderr_events_enabled", "stderr_syslog", "events", "buffer_size", "result_handler", "socket"),
    ]
)
"""Supervisor's options of a program that mean nothing here."""
