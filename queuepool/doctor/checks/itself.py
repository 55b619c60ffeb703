"""The doctor itself: what it could not see, and checks that failed. PURE."""

from __future__ import annotations

from collections.abc import Iterator

from queuepool.doctor.checks.base import Check, Checks
from queuepool.doctor.facts import Facts
from queuepool.doctor.finding import Finding, Note, Severity

CHECKS = Checks("doctor", needs=())


@CHECKS.add("unseen", Severity.WARNING, "Everything could be looked at")
def unseen(facts: Facts) -> Iterator[Note]:
    """A part of the installation could not be looked at, so that the checks about it say nothing, which does not mean
    that it is well. Each part is looked at beside the others, with its own limit of time: one that hangs hides nothing
    else. Usual reasons: a disk or a server that does not answer, or a command of an ordinary user that only root may
    run (`sudo queuepool doctor` sees more)."""
    for one in facts.unseen:
        remedy = one.remedy or "see what keeps it from answering, then run `queuepool doctor` again"
        yield Note(one.what, "could not be looked at, so nothing is known of it", (one.why,), remedy)


@CHECKS.add("defect", Severity.WARNING, "Every check itself works")
def defect(facts: Facts) -> Iterator[Note]:
    """One of the doctor's checks failed: a defect of queuepool, not of this installation. What that check would have
    found is not known; all others are not touched by it. Please report it with what the finding says; `--skip` with
    the id of the check leaves it out."""
    yield from ()  # report.py says it, with defect_of


def defect_of(check: Check, error: Exception) -> Finding:
    """What is said of a check that failed. The text of the error stays out: it may hold any value of the facts."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {place.tb_frame.f_code.co_filename.rpartition('/')[2]}:{place.tb_lineno}" if place else ""
    mine = next(one for one in CHECKS if one.id == "doctor.defect")
    return mine.finding(
        Note(
            f"check {check.id}",
            "failed by a defect of queuepool, so it found nothing",
            (f"{type(error).__name__}{where}",),
            f"report it, please; `queuepool doctor --skip {check.id}` leaves it out",
        )
    )
