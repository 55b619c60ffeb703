"""What the doctor looked at, as frozen values. PURE. How it is looked at is looks/'s matter, what follows checks/'s."""

from __future__ import annotations

from dataclasses import dataclass

from queuepool.doctor.facts.access import AccessFacts
from queuepool.doctor.facts.application import ApplicationFacts
from queuepool.doctor.facts.host import HostFacts
from queuepool.doctor.facts.program import FileFacts, ProgramFacts
from queuepool.doctor.facts.queues import QueuesFacts
from queuepool.doctor.facts.running import RunningFacts
from queuepool.doctor.facts.supervised import SupervisedFacts


@dataclass(frozen=True, slots=True)
class Unseen:
    """What could not be looked at. what: in words, "the application /srv/app". why: in words. remedy: what lets it be
    seen, where that is known."""

    what: str
    why: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that checks may know. now: unix seconds. uid: who looked. programs: those that were asked for.
    applications: each application as each user and PHP that its programs run with. access: what their users may do
    beside. None: not looked at, or it failed, and then it is among `unseen`."""

    now: float
    uid: int
    file: FileFacts
    programs: tuple[ProgramFacts, ...] = ()
    applications: tuple[ApplicationFacts, ...] = ()
    access: AccessFacts | None = None
    queues: QueuesFacts | None = None
    host: HostFacts | None = None
    running: RunningFacts | None = None
    supervised: SupervisedFacts | None = None
    unseen: tuple[Unseen, ...] = ()
