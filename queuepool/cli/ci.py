"""What GitHub Actions and GitLab CI show beside the log: groups, annotations with file and line, a summary of the step.
They are told by lines of standard output and a file, when their variables are there. Documented at
docs.github.com/actions/reference/workflow-commands-for-github-actions and docs.gitlab.com/ci/jobs/job_logs."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_PHP_PLACE = re.compile(r"(?: in |at |\()?(/[^\s:()]+\.php)(?:\((\d+)\)|:(\d+)| on line (\d+))")


class Ci:
    """The CI that this command runs in, if any. write: puts one line on the standard output."""

    def __init__(self, environ: Mapping[str, str], write: Callable[[str], None]) -> None:
        self.github = environ.get("GITHUB_ACTIONS") == "true"
        self.gitlab = environ.get("GITLAB_CI") == "true"
        self._environ = environ
        self._write = write
        self._section = 0

    def begin(self, title: str, now: float) -> None:
        """Begin a part of the log that can be folded."""
        if self.github:
            self._write(f"::group::{_data(title)}")
        elif self.gitlab:
            self._section += 1
            self._write(f"\x1b[0Ksection_start:{int(now)}:queuepool_{self._section}\r\x1b[0K{title}")

    def end(self, now: float) -> None:
        """End that part."""
        if self.github:
            self._write("::endgroup::")
        elif self.gitlab:
            self._write(f"\x1b[0Ksection_end:{int(now)}:queuepool_{self._section}\r\x1b[0K")

    def failed(self, report: Mapping[str, Any]) -> None:
        """Annotate the failure, at the line of PHP that it names."""
        failure = report["failure"]
        if not self.github or not failure:
            return
        text = "\n".join([failure["message"], *failure["last_lines"]])
        place = where([*failure["last_lines"], failure["message"]], self._roots(report))
        properties = f"file={_property(place[0])},line={place[1]}," if place else ""
        title = _property(f"queuepool deploy: {report['result'].replace('_', ' ')}")
        self._write(f"::error {properties}title={title}::{_data(text)}")

    def refused(self, problems: Iterable[str]) -> None:
        """Annotate a file that does not validate: problems begin with `file:line: `."""
        for problem in problems if self.github else ():
            file, _, rest = problem.partition(":")
            line, _, what = rest.partition(": ")
            properties = f"file={_property(file)},line={line}" if line.isdecimal() else ""
            self._write(f"::error {properties}::{_data(what if properties else problem)}")

    def summary(self, report: Mapping[str, Any]) -> None:
        """Write the summary of the step."""
        path = self._environ.get("GITHUB_STEP_SUMMARY")
        if not self.github or not path:
            return
        with contextlib.suppress(OSError), open(path, "a", encoding="utf-8") as file:
            file.write(markdown(report))

    def _roots(self, report: Mapping[str, Any]) -> list[str]:
        """Directories whose files are those of the checkout."""
        releases = [program["release"][end] for program in report["programs"] for end in ("to", "from")]
        return [root for root in dict.fromkeys(releases) if root]


def where(lines: Iterable[str], roots: Iterable[str]) -> tuple[str, int] | None:
    """The file and line of PHP that these lines speak of: below one of the roots, and relative to it, if any is."""
    found = [(match[1], int(match[2] or match[3] or match[4])) for line in lines for match in _PHP_PLACE.finditer(line)]
    for file, line in found:
        for root in roots:
            if file.startswith(root.rstrip("/") + "/") and "/vendor/" not in file:
                return file[len(root.rstrip("/")) + 1 :], line
    return found[0] if found else None


def markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    mark = "✅" if report["result"] == "done" else "❌"
    result = report["result"].replace("_", " ")
    lines = [f"### {mark} queuepool deploy: {result}", "", f"{report['seconds']:.1f} s", ""]
    lines += ["| program | release | started | restarted | stopped | kept |", "|---|---|---|---|---|---|"]
    for program in report["programs"]:
        was, now = (str(program["release"][end] or "").rpartition("/")[2] for end in ("from", "to"))
        release = now if was in ("", now) else f"{was} → {now}"
        counts = " | ".join(str(len(program[key])) for key in ("started", "restarted", "stopped", "kept"))
        lines.append(f"| {program['name']} | {release} | {counts} |")
    for key in ("failure", "trouble"):
        if failure := report[key]:
            quoted = "\n".join(failure["last_lines"]).replace("```", "'''")
            lines += ["", f"**{failure['gate']}**: {failure['message']}", "", "```", quoted, "```"]
    return "\n".join([*lines, "", ""])


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def here(write: Callable[[str], None]) -> Ci:
    """The CI of this process's environment."""
    return Ci(os.environ, write)
