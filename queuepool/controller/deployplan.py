"""The plan of a deploy over all programs that it concerns: domain/plan.py's, asked with what the controller sees."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from queuepool.controller.controller import Controller
from queuepool.domain.desired import desired
from queuepool.domain.plan import PoolPlan, plan_pool
from queuepool.domain.pool import Loaded, PoolSpec
from queuepool.domain.reconcile import Observed


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deploy would do. pools: a plan for each program that it concerns. target: the settings of all programs
    then. displays: process -> its name in Supervisor's form. problems: of the file that do not stop it."""

    pools: tuple[PoolPlan, ...]
    target: Mapping[str, PoolSpec] = field(repr=False)
    displays: Mapping[str, str]
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return any(self.pools)

    def to_json(self) -> dict[str, Any]:
        """The object that `deploy --plan --json` prints."""
        return {
            "changes": bool(self),
            "programs": [programs_json(plan, self.displays) for plan in self.pools],
            "problems": list(self.problems),
        }


def programs_json(plan: PoolPlan, displays: Mapping[str, str]) -> dict[str, Any]:
    """One program of a plan."""

    def shown(slots: tuple[int, ...]) -> list[str]:
        return [displays.get(f"{plan.name}:{slot}", f"{plan.name}:{slot}") for slot in slots]

    return {
        "name": plan.name,
        "added": plan.added,
        "removed": plan.removed,
        "changed": list(plan.changed),
        "release": {"from": plan.was, "to": plan.now},
        "started": shown(plan.started),
        "restarted": [
            {"process": name, "why": why}
            for name, (_, why) in zip(shown(tuple(slot for slot, _ in plan.restarted)), plan.restarted, strict=True)
        ],
        "stopped": shown(plan.stopped),
        "kept": shown(plan.kept),
        "canary": plan.canary,
    }


def make_plan(
    control: Controller,
    loaded: Loaded,
    *,
    programs: frozenset[str] | None = None,
    stale: bool = False,
    force: bool = False,
    canary: bool = False,
) -> Plan:
    """What a deploy of these programs (None: all) would do now. loaded: the file as it is. stale: with the settings in
    force, whatever the file says. force: what is fresh too. canary: workers are tried first."""
    before = control.pools
    target = dict(before) if stale else control.wanted(loaded, programs)
    plain = replace(control.store.value, rolling={})
    chosen = [name for name in dict.fromkeys([*target, *before]) if programs is None or name in programs]
    plans: list[PoolPlan] = []
    displays: dict[str, str] = {}
    observed: dict[str, Observed] = {}
    for name in chosen:
        old, new = before.get(name), target.get(name)
        seen = observed[name] = control.engine.observe(name)
        app = new.app if new is not None else None
        plan = plan_pool(
            control.desire(old) if old else None,
            desired(new, plain) if new else None,
            seen,
            os.path.realpath(app) if app is not None else None,
            force=force,
        )
        spec = new or old
        assert spec is not None
        tried = canary and spec.kind == "worker" and spec.app is not None and bool(plan.turns)
        plans.append(replace(plan, canary=tried))
        slots = {*plan.kept, *plan.turns, *plan.stopped}
        displays.update({f"{name}:{slot}": spec.process(slot).display for slot in sorted(slots)})
    return Plan(_one_former_release(plans, before, target), target, displays, loaded.problems)


def _one_former_release(
    plans: list[PoolPlan], before: Mapping[str, PoolSpec], target: Mapping[str, PoolSpec]
) -> tuple[PoolPlan, ...]:
    """A program all of whose processes run the new release already (they were recycled since the link was switched)
    goes back with the others of its application, if that has to be."""
    former: dict[str | None, Counter[str]] = {}

    def app_of(plan: PoolPlan) -> str | None:
        spec = before.get(plan.name) or target.get(plan.name)
        return spec.app if spec is not None else None

    for plan in plans:
        if plan.was is not None and plan.was != plan.now:
            former.setdefault(app_of(plan), Counter())[plan.was] += 1
    return tuple(
        replace(plan, was=former[app].most_common(1)[0][0])
        if plan.now is not None and plan.was in (None, plan.now) and (app := app_of(plan)) in former
        else plan
        for plan in plans
    )
