"""The Laravel application. PURE."""

from __future__ import annotations

from collections.abc import Iterator

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.facts import Facts
from queuepool.doctor.finding import Note, Severity

CHECKS = Checks("application")


@CHECKS.add("boots", Severity.ERROR, "The application boots as its workers' user")
def boots(facts: Facts) -> Iterator[Note]:
    """Every worker boots the application first. When artisan fails, each start of a worker fails: it is BACKOFF, then
    FATAL, with the exception in its log. The evidence is the first line of that exception, with file and line."""
    for app in facts.applications:
        if app.failure:
            yield Note(
                app.subject,
                "does not boot, so none of its workers can run",
                (app.failure,),
                f"cd {app.root} && {' '.join(app.php)} artisan --version",
                app.programs,
            )
