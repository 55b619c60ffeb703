"""The supervisord of `engine: supervisord`: where it is, and what is between it and queuepool.yml. PURE."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SupervisedFacts:
    """config: supervisord's main file. where: it answers there; "" when it does not, and `away` says why. patterns: of
    its [include]. file: ours. covered: whether a pattern takes it. written: whether it is there. refused: why it cannot
    be used, and remedy: what then. foreign: name of a process of ours -> the file of somebody else that has it too.
    missing: what our file holds and supervisord does not have. trouble: why none of it can be known."""

    config: str = ""
    where: str = ""
    away: str = ""
    patterns: tuple[str, ...] = ()
    file: str = ""
    covered: bool = True
    written: bool = False
    refused: str = ""
    remedy: str = ""
    foreign: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    trouble: str = ""
