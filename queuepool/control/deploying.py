"""What a person may ask of deploys: plan, begin, follow, abort, and what became of the last one. Part of operations.py;
how a deploy goes is controller/deploys.py's matter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from queuepool.control import messages, visiting
from queuepool.control.choosing import note, refuse_while_stopping
from queuepool.control.following import Progress, Reply
from queuepool.controller.controller import announce_refusal
from queuepool.controller.deploys import Deploys, Wish
from queuepool.controller.deployview import nothing_done
from queuepool.domain import units
from queuepool.domain.pool import Loaded
from queuepool.errors import ConfigError, QueuepoolError, UsageError

if TYPE_CHECKING:
    from queuepool.control.operations import Operator


async def plan(operator: Operator, request: messages.PlanDeploy, progress: Progress) -> Reply:
    """See messages.PlanDeploy."""
    loaded = await _load(operator, request.stale)
    wish = Wish(
        _programs(operator, loaded, request.names), stale=request.stale, force=request.force, canary=request.canary
    )
    return operator.deploys.plan(loaded, wish).to_json()


async def deploy(operator: Operator, request: messages.Deploy, progress: Progress) -> Reply:
    """See messages.Deploy. It goes on when nobody listens any more."""
    deploys, control = operator.deploys, operator.controller
    refuse_while_stopping(control, "deploy")
    deploys.refuse_while_under_way("deploy")
    try:
        loaded = await _load(operator, request.stale)
        await asyncio.to_thread(deploys.store.warm)
    except ConfigError as error:
        announce_refusal(control.journal, error)
        raise
    wish = Wish(
        _programs(operator, loaded, request.names),
        stale=request.stale,
        force=request.force,
        wait_drained=request.wait_drained,
        timeout=request.timeout,
        observe=request.observe,
        batch=_share("batch", request.batch),
        max_surge=_share("max-surge", request.max_surge),
        max_unavailable=_share("max-unavailable", request.max_unavailable),
        pause_between=request.pause_between,
        canary=request.canary,
    )
    if {wish.max_surge, wish.max_unavailable} <= {0, "0%"} and None not in (wish.max_surge, wish.max_unavailable):
        raise UsageError(
            "cannot deploy with --max-surge 0 and --max-unavailable 0: no process could ever be replaced",
            "give one of them 1",
        )
    if not control.engine.surges and wish.max_surge not in (None, 0, "0%"):
        raise UsageError(
            f"cannot deploy with --max-surge {request.max_surge}: supervisord replaces a process in its place",
            "`--max-unavailable 2` replaces two at a time",
        )
    deploys.refuse_while_under_way("deploy")  # another may have begun while the file was read
    what = deploys.plan(loaded, wish)
    note(operator, "deploy", request.names)
    if not deploys.begin(loaded, wish, what, str(visiting.facts().get("who") or "")):
        programs = what.to_json()["programs"]
        return nothing_done([name for program in programs for name in program["kept"]], programs)
    if not request.wait:
        return deploys.report()
    return await _follow(deploys, progress)


async def status(operator: Operator, request: messages.DeployStatus, progress: Progress) -> Reply:
    """See messages.DeployStatus."""
    return (await _last(operator.deploys)).report()


async def history(operator: Operator, request: messages.DeployHistory, progress: Progress) -> Reply:
    """See messages.DeployHistory."""
    return {"deploys": await asyncio.to_thread(operator.deploys.history.rows)}


async def follow(operator: Operator, request: messages.FollowDeploy, progress: Progress) -> Reply:
    """See messages.FollowDeploy."""
    return await _follow(await _last(operator.deploys), progress)


async def abort(operator: Operator, request: messages.AbortDeploy, progress: Progress) -> Reply:
    """See messages.AbortDeploy."""
    deploys = operator.deploys
    note(operator, "deploy --abort", ())
    if not deploys.abort("it was aborted by an operator"):
        raise QueuepoolError("cannot abort: no deploy is under way", "`queuepool deploy --status` shows the last one")
    return await _follow(deploys, progress) if request.wait else deploys.report()


Handler = Callable[..., Any]
OPERATIONS: Mapping[str, tuple[type[Any], Handler]] = {
    "plandeploy": (messages.PlanDeploy, plan),
    "deploy": (messages.Deploy, deploy),
    "deploystatus": (messages.DeployStatus, status),
    "deployhistory": (messages.DeployHistory, history),
    "followdeploy": (messages.FollowDeploy, follow),
    "abortdeploy": (messages.AbortDeploy, abort),
}


# --- pieces -----------------------------------------------------------------------------------------------------------


async def _load(operator: Operator, stale: bool) -> Loaded:
    return operator.controller.loaded if stale else await asyncio.to_thread(operator.load)


async def _follow(deploys: Deploys, progress: Progress) -> Reply:
    if not deploys.under_way:
        return deploys.report()
    async for event in deploys.story.follow():
        progress(event)
    return deploys.report()


async def _last(deploys: Deploys) -> Deploys:
    if deploys.saved is None:
        await asyncio.to_thread(deploys.store.warm)
    if not deploys.recall():
        raise QueuepoolError("there was no deploy yet", "`queuepool deploy --plan` shows what one would do")
    return deploys


def _share(option: str, text: str | None) -> int | str | None:
    if text is None:
        return None
    try:
        return units.share(text)
    except ValueError as error:
        raise UsageError(f"cannot take --{option} {text}: it {error}", f"--{option} 2, or --{option} 25%") from None


def _programs(operator: Operator, loaded: Loaded, names: Iterable[str]) -> frozenset[str] | None:
    """The programs that the selectors name; None: all. Raises UsageError."""
    names = tuple(names)
    if not names or "all" in names:
        return None
    control = operator.controller
    known = dict.fromkeys([*control.pools, *loaded.pools])
    groups = {**control.loaded.groups, **loaded.groups}
    chosen: set[str] = set()
    for text in names:
        name = text.removesuffix(":*").removesuffix(":")
        if ":" in name:
            raise UsageError(
                f"cannot deploy {text}: a deploy concerns whole programs",
                f"`queuepool deploy {name.partition(':')[0]}`, or `queuepool restart {text}`",
            )
        found = set(groups.get(name, ())) | {program for program in known if fnmatchcase(program, name)}
        if not found:
            from difflib import get_close_matches

            near = get_close_matches(name, [*known, *groups], 1)
            hint = f"did you mean {near[0]}?" if near else f"the programs are: {', '.join(known) or 'none'}"
            raise UsageError(f"cannot find {text}: there is no such program or group", hint)
        chosen |= found
    return frozenset(chosen & set(known))
