"""The logs of a program of Supervisor -> those of queuepool.yml. PURE."""

from __future__ import annotations

import posixpath

from queuepool.formats.supervisor_model import Log
from queuepool.formats.supervisor_remarks import Verdict
from queuepool.formats.supervisor_translate import Part, Size

_DEFAULT_BYTES = 50 * 1024**2
_KEPT = "is a file in storage/logs or logs here, and kept; Supervisor wiped its own at each start"


class Logs(Part):
    """stdout and stderr."""

    def carry(self) -> None:
        """Put their keys where they belong."""
        program = self.program
        stdout, stderr = program.stdout, program.stderr
        if program.kind == "eventlistener":
            self._of_listener(stdout, stderr)
            return
        self._log("stdout", stdout)
        self._events("stdout", stdout)
        same = stdout.kind == stderr.kind == "path" and str(stdout.path) == str(stderr.path)
        if program.redirect_stderr:
            if stderr.kind == "path":
                self.wrong("stderr_logfile", "is never written, for redirect_stderr is true", "nothing: left out")
        elif same:
            what = "is the same file as stdout_logfile: two writers, each rotating it under the other"
            self.wrong("stderr_logfile", what, "nothing: stderr goes into the log of stdout here")
            self.changed("redirect_stderr", "is true here: stderr goes into the log of stdout")
        elif stderr.kind in ("path", "none"):
            self._log("stderr", stderr)
        elif stderr.capture_maxbytes or stderr.events:
            self.keys["redirect_stderr"] = False
            self.changed("stderr_logfile", _KEPT)
        else:
            self.changed("stderr_logfile", "goes into the log of stdout here; Supervisor wiped its own at each start")
            self.changed("redirect_stderr", "is true here: stderr goes into the log of stdout")

        self._events("stderr", stderr)

    def _of_listener(self, stdout: Log, stderr: Log) -> None:
        """The logs of an event listener, whose stdout is the protocol."""
        if stdout.kind == "path":
            self._log("stdout", stdout)
        elif stdout.kind == "auto":
            self.changed("stdout_logfile", "is not written here: what is in it is the protocol")
        for option in ("stdout_capture_maxbytes", "stdout_events_enabled"):
            if self.program.said(option):
                self.say(Verdict.LEFT, option, "means nothing for an event listener, in Supervisor too")
        if stderr.kind in ("path", "none"):
            self._log("stderr", stderr)
        else:
            self.changed("stderr_logfile", _KEPT)
        self._events("stderr", stderr)

    def _events(self, stream: str, log: Log) -> None:
        """What of a stream goes to event listeners."""
        apart = stream == "stdout" or "stderr_logfile" in self.keys or self.keys.get("redirect_stderr") is False
        apart = apart or self.program.kind == "eventlistener"
        for option, value in (("capture_maxbytes", Size(log.capture_maxbytes)), ("events_enabled", log.events)):
            if value and apart:
                self.keys[f"{stream}_{option}"] = value
            elif value and self.program.redirect_stderr:
                what = "has no effect, for redirect_stderr is true: all goes to stdout"
                self.wrong(f"{stream}_{option}", what, "nothing: left out")
            elif value:
                what = "was left out, for stderr goes into the log of stdout here"
                self.say(Verdict.LEFT, f"{stream}_{option}", what, "give stderr a file of its own")

    def _log(self, stream: str, log: Log) -> None:
        key = f"{stream}_logfile"
        if log.kind == "none":
            self.keys[key] = "NONE"
            return
        if log.kind == "path":
            path = self.text(log.path, key)
            if path is None:
                return
            if path.startswith("~"):
                path = self._home(path)
            elif not path.startswith(("/", "%(")):
                base = self.whole.config.directory
                what = "is relative, so it was where supervisord was started"
                self.wrong(key, what, "write the whole path" if base is None else "")
                path = path if base is None else posixpath.join(base, path)
            self.keys[key] = path
            if path in ("/dev/stdout", "/dev/stderr") or path.startswith("/dev/fd/"):
                return
        elif log.kind == "auto" and stream == "stdout":
            self.changed(key, _KEPT)
        if log.maxbytes != _DEFAULT_BYTES:
            self.keys[f"{key}_maxbytes"] = Size(log.maxbytes)
        if log.backups != 10:
            self.keys[f"{key}_backups"] = log.backups

    def _home(self, path: str) -> str:
        user, slash, rest = path[1:].partition("/")
        home = self.whole.around.home(user)
        return path if home is None else home.rstrip("/") + slash + rest

    def look(self, logs: dict[str, str]) -> None:
        """Say of a log with several writers in Supervisor. logs: path -> label of the one that has it."""
        program, path = self.program, self.keys.get("stdout_logfile")
        if not isinstance(path, str) or path == "NONE" or path.startswith("/dev/"):
            return
        todo = "nothing: a log has one writer here"
        if program.numprocs > 1 and "process_num" not in program.stdout.path.names:
            what = (
                f"is one file for {program.numprocs} processes: each rotates it under the others, lines end up anywhere"
            )
            self.wrong("stdout_logfile", what, todo)
        elif path in logs:
            self.wrong("stdout_logfile", f"is the log of {logs[path]} too", "give each program a log of its own")
        logs.setdefault(path, self.label)
