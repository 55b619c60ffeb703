"""The supervisord of `engine: supervisord`. PURE."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.checks.wording import some
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.supervised import SupervisedFacts
from queuepool.doctor.finding import Note, Severity

CHECKS = Checks("supervisord", needs=("supervised",))
SUBJECT = "supervisord"


def _seen(facts: Facts) -> SupervisedFacts | None:
    return facts.supervised


@CHECKS.add("found", Severity.ERROR, "The configuration of supervisord is found, with a place for our file")
def found(facts: Facts) -> Iterator[Note]:
    """With `engine: supervisord`, queuepool writes one file among those that supervisord includes. For that it reads
    supervisord's main file: the one that `engine` names, else /etc/supervisord.conf or
    /etc/supervisor/supervisord.conf. Its `[include] files` says where the file goes; without one there is no place for
    it."""
    seen = _seen(facts)
    if seen is not None and seen.trouble:
        yield Note(SUBJECT, "cannot be used", (seen.trouble,), seen.remedy or "name its file below `engine:`")


@CHECKS.add("answers", Severity.ERROR, "supervisord answers", unless=("supervisord.found",))
def answers(facts: Facts) -> Iterator[Note]:
    """Everything that queuepool does with `engine: supervisord` is asked of supervisord by XML-RPC, on its unix socket
    or its TCP port, with the username and password of its own file. While it does not answer nothing can be changed;
    its workers go on as they are. After a supervisord was killed, its workers go on too, and the next supervisord
    starts others beside them: the next command of queuepool tells the old ones to finish."""
    seen = _seen(facts)
    if seen is not None and seen.away:
        yield Note(
            SUBJECT,
            "does not answer",
            (seen.away,),
            f"supervisorctl -c {shlex.quote(seen.config)} status; when none runs: systemctl start supervisor",
        )


@CHECKS.add("included", Severity.ERROR, "supervisord reads our file", unless=("supervisord.found",))
def included(facts: Facts) -> Iterator[Note]:
    """The file that queuepool writes is none that `[include] files` of supervisord's main file takes: supervisord would
    never see it. The classic cause is an ending, *.conf here and *.ini there, or a directory given below `engine:`."""
    seen = _seen(facts)
    if seen is not None and seen.file and not seen.covered:
        yield Note(
            SUBJECT,
            "does not read the file that queuepool writes",
            (f"file: {seen.file}", f"[include] files of {seen.config}: {' '.join(seen.patterns) or 'none'}"),
            f"add {posixpath.join(posixpath.dirname(seen.file), '*' + posixpath.splitext(seen.file)[1])} to its files, "
            "then queuepool update",
        )


@CHECKS.add(
    "file", Severity.ERROR, "Our file is as queuepool wrote it, and can be written anew", unless=("supervisord.found",)
)
def file(facts: Facts) -> Iterator[Note]:
    """The file is written anew at each scale, stop, update and deploy. One that somebody edited, or that is of another
    queuepool.yml, is left as it is, and nothing is done until it is out of the way. Neither is anything where its
    directory is missing, or not for this user to write in."""
    seen = _seen(facts)
    if seen is not None and seen.refused:
        yield Note(SUBJECT, "our file among its own cannot be used", (seen.refused,), seen.remedy or "move it away")


@CHECKS.add("names", Severity.ERROR, "No other program of supervisord has one of our names")
def names(facts: Facts) -> Iterator[Note]:
    """Supervisor merges sections of one name without a word, the last one wins. A process of queuepool.yml that another
    file has as well is not started, and the other one is not touched."""
    seen = _seen(facts)
    if seen is not None and seen.foreign:
        yield Note(
            SUBJECT,
            f"has programs of other files with our names: {', '.join(name for name, _ in seen.foreign[:3])}",
            some([f"[program:{name}] is in {path}" for name, path in seen.foreign], 4),
            "rename the program in queuepool.yml, or take the other one out: remove its section, then supervisorctl "
            "update",
        )


@CHECKS.add(
    "loaded",
    Severity.WARNING,
    "supervisord has what our file holds",
    unless=("supervisord.answers", "supervisord.included", "supervisord.file"),
)
def loaded(facts: Facts) -> Iterator[Note]:
    """Our file holds processes that supervisord does not have: a command of queuepool was ended between writing the
    file and telling supervisord, or somebody removed them there. The next command goes on."""
    seen = _seen(facts)
    if seen is not None and seen.missing and seen.where:
        yield Note(
            SUBJECT,
            f"does not have {len(seen.missing)} of the processes that our file holds",
            (f"{seen.file} holds {', '.join(seen.missing[:4])}", f"asked at {seen.where}"),
            "queuepool update",
        )
