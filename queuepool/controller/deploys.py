"""One deploy at a time: looks, asks domain/rollout.py, lays the answer over the pools, saves and tells. What a person
may ask of it is control/deploying.py's; which process is made or ended is still the controller's loop alone."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from queuepool.controller.controller import Controller
from queuepool.controller.deployhistory import DeployHistory
from queuepool.controller.deployhooks import RunCommand, run_hook
from queuepool.controller.deployplan import Plan, make_plan
from queuepool.controller.deploystate import DeployStore, Saved, Settings
from queuepool.controller.deploytold import Story
from queuepool.controller.deployview import in_force, look_at, report_of
from queuepool.controller.keeping import Complain, Recovered, nobody
from queuepool.domain.desired import Rolling
from queuepool.domain.events import Kind
from queuepool.domain.names import ProcessName
from queuepool.domain.pool import Deployment, Loaded, Strategy
from queuepool.domain.rollout import (
    Failure,
    Outcome,
    Phase,
    Rollout,
    due,
    lay,
    step,
    turn_of,
    why_held,
)
from queuepool.domain.states import State
from queuepool.domain.units import CANARY_SECONDS
from queuepool.errors import Locked

LEAVE_SECONDS = 10.0
"""How long the end of the daemon waits for a hook that was given up and cleans up."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a deploy is asked for. stale: leave the file alone. strategy of the command line: None where it says
    nothing; surge and unavailable are for workers only, since two Horizons would do the same work. canary: whether
    workers are tried first; None: as the file says."""

    programs: frozenset[str] | None = None
    stale: bool = False
    force: bool = False
    wait_drained: bool = False
    timeout: float | None = None
    observe: float | None = None
    batch: int | str | None = None
    max_surge: int | str | None = None
    max_unavailable: int | str | None = None
    pause_between: float | None = None
    canary: bool | None = None


class Deploys:
    """The deploy that goes on, or the last one.

    run: runs a hook's command. away(pool): the Redis that it needs and that does not answer, or "". complain: told in
    words what cannot be saved; recovered: when it can be again (keeping.py).
    """

    def __init__(
        self,
        control: Controller,
        directory: str,
        run: RunCommand,
        *,
        away: Callable[[str], Awaitable[str]],
        complain: Complain = nobody,
        recovered: Recovered = nobody,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.control = control
        self.store = DeployStore(directory, complain, recovered)
        self.history = DeployHistory(directory, complain, recovered)
        self.saved: Saved | None = None
        self.story = Story(clock)
        self._settings: Settings | None = None
        self._run = run
        self._away = away
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._hook: asyncio.Task[Failure | str] | None = None
        self._leaving: set[asyncio.Task[Failure | str]] = set()
        self._abort: Failure | None = None
        self._excused: dict[int, int] = {}

    # --- what is asked ------------------------------------------------------------------------------------------------

    @property
    def under_way(self) -> bool:
        """Whether a deploy goes on."""
        return self.saved is not None and self.saved.ended is None

    def refuse_while_under_way(self, what: str) -> None:
        """Raises Locked when a deploy goes on; what: cannot be done meanwhile."""
        if self.under_way and self.saved is not None:
            since = time.strftime("%H:%M:%S", time.localtime(self.saved.begun))
            raise Locked(
                f"cannot {what}: a deploy is under way since {since}",
                "watch it with `queuepool deploy --follow`, end it with `queuepool deploy --abort`",
            )

    def plan(self, loaded: Loaded, wish: Wish) -> Plan:
        """What a deploy would do now."""
        canary = bool(_with_canary(loaded.deploy, wish).canary)
        return make_plan(
            self.control, loaded, programs=wish.programs, stale=wish.stale, force=wish.force, canary=canary
        )

    def begin(self, loaded: Loaded, wish: Wish, plan: Plan, who: str = "") -> bool:
        """Begin the deploy as planned; whether there was anything to do. who: asks for it. Raises Locked."""
        self.refuse_while_under_way("deploy")
        if not plan:
            self._let_go(plan)
            return False
        now, policy = self._clock(), _with_canary(loaded.deploy, wish)
        control = self.control
        hooks = {name for name in ("before", "after", "on_failure", "check") if getattr(policy, name)}
        hooks |= {"canary"} if any(pool.canary for pool in plan.pools) else set()
        turns = {}
        for pool in plan.pools:
            spec = plan.target.get(pool.name) or control.pools[pool.name]
            ran = frozenset(
                name.slot
                for name, lives in control.engine.observe(pool.name).items()
                if any(life.wanted and life.state is State.RUNNING for life in lives)
            )
            turns[pool.name] = turn_of(pool, spec.strategy, ran, _strategy(spec.strategy, spec.kind, wish))
        state = Rollout(
            turns,
            deadline=now + (policy.timeout if wish.timeout is None else wish.timeout),
            observe=policy.observe if wish.observe is None else wish.observe,
            hooks=frozenset(hooks),
            wait_drained=wish.wait_drained,
            serial=control.store.value.serial + 1,
        )
        before = self.saved
        mine = set(turns)
        carried = {name: laid.release for name, laid in control.store.value.rolling.items() if name not in mine}
        self.saved = Saved(
            id=time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f"-{int(now * 1000) % 1000:03d}",
            begun=now,
            state=state,
            plans=plan.pools,
            displays=plan.displays,
            carried=carried,
            held=(before.held - mine) if before else frozenset(),
            token=os.urandom(6).hex(),
            who=who,
        )
        self._settings = Settings(dict(control.pools), plan.target, policy)
        control.loaded = loaded
        self.store.save_settings(self.saved.id, self._settings)
        self.store.save(self.saved)
        self.story = Story(self._clock)
        self._excused, self._abort = {}, None
        control.journal.add(Kind.DEPLOY_STARTED, "", {"deploy": self.saved.id, "programs": " ".join(turns)})
        self.story.tell("begun", f"deploy {self.saved.id} begins", deploy=self.saved.id, plan=plan.to_json())
        self._start()
        return True

    def abort(self, why: str) -> bool:
        """End the deploy that goes on, by going back; whether there was one."""
        if not self.under_way:
            return False
        self._abort = Failure("abort", why)
        self.control.poke()
        return True

    def report(self) -> dict[str, Any]:
        """What `deploy --json` prints, of the deploy that goes on or the last one."""
        assert self.saved is not None
        return report_of(self.saved, self._clock())

    def recall(self) -> bool:
        """Read the last deploy, of whatever daemon; whether there was one."""
        if self.saved is None and (found := self.store.load()) is not None:
            self.saved, self._settings = found
        return self.saved is not None

    def lift(self, names: Iterable[str] | None) -> None:
        """The file's settings come into force by an `update`: those kept by a roll back are not needed any more."""
        if self.saved is not None and self.saved.held:
            self._save(replace(self.saved, held=self.saved.held - set(names) if names else frozenset()))

    # --- over the end of a daemon -------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Take up what a former daemon left: bring in force what its deploy had in force, before anything is started.
        `resume` goes on with it."""
        if not self.store.matters() or not self.recall():
            return
        assert self.saved is not None
        if self._settings is None and (self.under_way or self.saved.held):
            self.saved = replace(self.saved, held=frozenset())
            if self.under_way:  # without the settings there is nothing to go on with, or back to
                failure = Failure("interrupted", "the daemon was ended, and the settings of the deploy are lost")
                state = replace(self.saved.state, phase=Phase.ENDED, outcome=Outcome.FAILED, failure=failure)
                self._save(replace(self.saved, state=state, ended=self._clock()))
                self.history.add(self.saved, self.report())
        self._enforce()

    def resume(self) -> None:
        """Go on with the deploy that a former daemon was in the middle of."""
        if not self.under_way or self.saved is None:
            return
        state = self.saved.state
        self.story.tell("resumed", f"deploy {self.saved.id} goes on: the daemon was ended in {state.phase}")
        self.control.journal.add(Kind.DEPLOY, "", {"deploy": self.saved.id, "phase": state.phase, "resumed": True})
        if state.asked:  # nobody knows how far the hook came, and it may not be one to be run twice
            gate = {Phase.BEFORE: "before", Phase.AFTER: "after"}.get(state.phase)
            if gate is not None:
                self._hook = _known(Failure(gate, f"the daemon was ended while the commands `{gate}` ran"))
            elif state.phase is Phase.ON_FAILURE:
                self._hook = _known(Failure("on_failure", "the daemon was ended while the commands ran"))
            else:
                self._save(replace(self.saved, state=replace(state, asked=False)))
        self._start()

    async def close(self) -> None:
        """Let go; the next daemon resumes it."""
        self._stop_hook()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=LEAVE_SECONDS)

    # --- the course ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._enforce()
        self._task = asyncio.ensure_future(self._go())

    async def _go(self) -> None:
        try:
            await self._go_on()
        except Exception as error:  # a defect must not leave a deploy that never ends
            assert self.saved is not None
            failure = Failure("defect", f"this is a defect of queuepool: {type(error).__name__}: {error}")
            self._become(replace(self.saved.state, phase=Phase.ENDED, outcome=Outcome.FAILED, failure=failure))
            raise

    async def _go_on(self) -> None:
        while self.under_way and not self.control.stopping:  # a daemon that stops leaves it to the next one
            assert self.saved is not None
            state, seen = self.saved.state, self._seen()
            self._excuse_blocked()
            look = look_at(self.control, state, self._excused, self._hook_result(), self._abort)
            self.story.progress(self.saved, look)
            after, hook = step(state, look, self._clock())
            failure = after.failure if state.failure is None else None
            if failure is not None and failure.gate in ("start", "crash") and await self._excuse():
                continue
            if after != state:
                self._become(after)
            if hook is not None:
                self._hook = asyncio.ensure_future(self._run_hook(hook))
            elif after == state:
                now = self._clock()
                await self.control.until(partial(self._differs, seen), due(state, now) - now)

    def _differs(self, seen: object) -> bool:
        return self._seen() != seen

    def _seen(self) -> object:
        """What a change of is worth a look."""
        assert self.saved is not None
        engine = self.control.engine
        lives = [
            (life.number, life.process.state, life.process.wanted, life.process.crashes, life.process.blocked)
            for pool in self.saved.state.turns
            for slot in engine.slots.get(pool, {}).values()
            for life in slot
        ]
        return lives, self._hook is not None and self._hook.done(), self._abort, self.control.stopping

    def _excuse_blocked(self) -> None:
        """What ended while the Redis that it needs was away is not to blame, also when that is back."""
        assert self.saved is not None
        for pool in self.saved.state.turns:
            for lives in self.control.engine.slots.get(pool, {}).values():
                for life in lives:
                    if life.process.blocked and life.process.crashes:
                        self._excused[life.number] = life.process.crashes

    async def _excuse(self) -> bool:
        """Whether new processes died of a Redis that does not answer: that is not the release's fault."""
        excused = False
        assert self.saved is not None
        for pool in self.saved.state.turns:
            for lives in self.control.engine.slots.get(pool, {}).values():
                for life in lives:
                    crashes = life.process.crashes
                    if crashes > self._excused.get(life.number, 0) and life.process.wanted and await self._away(pool):
                        self._excused[life.number] = crashes
                        excused = True
        return excused

    def _become(self, after: Rollout) -> None:
        """Take the next step: saved first, so that whoever comes after a SIGKILL does the same."""
        assert self.saved is not None
        before, saved = self.saved.state, replace(self.saved, state=after)
        if after.phase is not before.phase:
            self._stop_hook()  # it has ended, unless the deploy was given up meanwhile
        ended = after.phase is Phase.ENDED
        if ended:
            if not after.rolled_back:
                self.control.store.restarted(_forced(after), after.serial)
            held = frozenset(after.turns) if after.rolled_back else frozenset()
            saved = replace(saved, ended=self._clock(), held=saved.held | held, draining=self._draining(after))
        self._save(saved)
        if after.phase is not before.phase:
            facts = {"deploy": saved.id, "phase": after.phase.value}
            if not ended:
                self.control.journal.add(Kind.DEPLOY, "", facts)
        if after.failure is not None and before.failure is None:
            self.story.failed(after.failure, saved.displays)
        self._enforce()
        self.story.phase(before, after)
        if ended:
            self.control.tidy()
            if not saved.held:
                self.store.forget_settings()
            report = report_of(saved, self._clock())
            self.history.add(saved, report)
            failure = after.failure.what if after.failure else None
            self.control.journal.add(
                Kind.DEPLOY_ENDED,
                "",
                {"deploy": saved.id, "result": report["result"], "reason": failure, "seconds": report["seconds"]},
            )
            self.story.end(report)

    def _enforce(self) -> None:
        """Bring in force what follows from the state."""
        saved = self.saved
        if saved is None:
            return
        control = self.control
        if self._settings is not None:
            wanted = in_force(saved, self._settings, control.pools)
            if wanted != control.pools:
                control.impose(wanted)
        laid = lay(saved.state, "a deploy is under way")
        if saved.state.rolled_back and saved.ended is not None:
            laid = {name: replace(laid[name], why=why_held(saved.state.turns[name]), strategy=None) for name in laid}
        carried = {name: replace(control.store.value.rolling.get(name, _KEPT), release=path) for name, path in
                   saved.carried.items()}  # fmt: skip
        control.lay({**carried, **laid})

    def _let_go(self, plan: Plan) -> None:
        """A deploy that found nothing to do still ends what an earlier one had held: the link leads there again."""
        names = {pool.name for pool in plan.pools}
        if self.saved is None or not names & set(self.control.store.value.rolling):
            return
        turns = {name: turn for name, turn in self.saved.state.turns.items() if name not in names}
        carried = {name: path for name, path in self.saved.carried.items() if name not in names}
        state = replace(self.saved.state, turns=turns)
        self._save(replace(self.saved, state=state, carried=carried, held=self.saved.held - names))
        self._enforce()

    def _draining(self, state: Rollout) -> tuple[str, ...]:
        """Old processes that still finish a job."""
        return tuple(
            life.spec.display
            for pool in state.turns
            for lives in self.control.engine.slots.get(pool, {}).values()
            for life in lives
            if life.process.state is State.STOPPING and not life.process.wanted
        )

    def _save(self, saved: Saved) -> None:
        self.saved = saved
        self.store.save(saved)

    # --- hooks --------------------------------------------------------------------------------------------------------

    def _hook_result(self) -> Failure | str | None:
        return self._hook.result() if self._hook is not None and self._hook.done() else None

    def _stop_hook(self) -> None:
        if self._hook is not None and not self._hook.done():
            self._hook.cancel()
            self._leaving.add(self._hook)  # it ends what it had started
            self._hook.add_done_callback(self._leaving.discard)
        self._hook = None

    async def _run_hook(self, name: str) -> Failure | str:
        assert self.saved is not None
        assert self._settings is not None
        try:
            if name == "canary":
                send_canaries = await asyncio.to_thread(_import_canaries)
                return await send_canaries(
                    self.saved, self._settings, self._run, self._away, self.control.engine.environment, self.story
                )
            return await run_hook(
                name, self.saved, self._settings.deployment, self._run, self.control.engine.environment, self.story,
                self._clock,
            )  # fmt: skip
        finally:
            self.control.poke()


_KEPT = Rolling(why="a deploy was rolled back")


def _forced(state: Rollout) -> list[ProcessName]:
    """The slots that were restarted although nothing of them had changed."""
    return [ProcessName(pool, slot) for pool, turn in state.turns.items() for slot in turn.forced & set(turn.begun)]


def _with_canary(policy: Deployment, wish: Wish) -> Deployment:
    """What the file says of deploys, with or without a canary where the command line says so."""
    if wish.canary is None:
        return policy
    return replace(policy, canary=(policy.canary or CANARY_SECONDS) if wish.canary else 0.0)


def _import_canaries() -> Callable[..., Awaitable[Failure | str]]:
    """What boots applications is loaded beside the loop, and only by those who want it."""
    from queuepool.controller.canaries import send_canaries

    return send_canaries


def _known(result: Failure | str) -> asyncio.Task[Failure | str]:
    async def answer() -> Failure | str:
        return result

    return asyncio.ensure_future(answer())


def _strategy(said: Strategy, kind: str, wish: Wish) -> Strategy | None:
    """The strategy of this deploy alone, where the command line gives one."""
    changed = said
    if kind in ("worker", "listen"):
        surge = said.max_surge if wish.max_surge is None else wish.max_surge
        missing = said.max_unavailable if wish.max_unavailable is None else wish.max_unavailable
        changed = replace(changed, max_surge=surge, max_unavailable=missing)
    changed = replace(
        changed,
        batch=said.batch if wish.batch is None else wish.batch,
        pause_between=said.pause_between if wish.pause_between is None else wish.pause_between,
    )
    return None if changed == said else changed
