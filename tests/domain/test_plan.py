from __future__ import annotations

from dataclasses import replace

from queuepool.domain.desired import Overrides, desired
from queuepool.domain.names import ProcessName
from queuepool.domain.plan import former_release, plan_pool
from queuepool.domain.pool import Launch
from queuepool.domain.reconcile import Seen
from queuepool.domain.states import State
from tests.domain.test_reconcile import pool


def lives(*releases: str | None, argv: str = "one", state: State = State.RUNNING) -> dict[ProcessName, list[Seen]]:
    revision = desired(pool(1, argv=argv), Overrides()).slots[0]
    return {ProcessName("w", n): [Seen(n, revision, state, True, path)] for n, path in enumerate(releases)}


def want(numprocs: int, argv: str = "one", **overrides: object):  # type: ignore[no-untyped-def]
    return desired(pool(numprocs, argv=argv, app="/app"), Overrides(**overrides))  # type: ignore[arg-type]


def test_what_runs_the_new_release_already_is_kept() -> None:
    plan = plan_pool(want(3), want(3), lives("/r/1", "/r/2", "/r/1"), "/r/2")
    assert plan.kept == (1,)
    assert plan.restarted == ((0, "release 1 -> 2"), (2, "release 1 -> 2"))
    assert (plan.was, plan.now) == ("/r/1", "/r/2")
    assert plan


def test_a_changed_option_is_the_reason_of_a_restart_and_values_of_the_environment_are_not_shown() -> None:
    plan = plan_pool(want(1), want(1, argv="two"), lives("/r/1"), "/r/1")
    assert plan.restarted == ((0, "argv one -> two"),)

    def secret(spec, value: str):  # type: ignore[no-untyped-def]
        process = spec.process(0)
        launch = replace(process.launch, environment=(("PASSWORD", value),))
        return replace(spec, process=lambda slot: replace(process, launch=launch))

    old, new = secret(pool(1, app="/app"), "old"), secret(pool(1, app="/app"), "hush")
    seen = lives("/r/1")
    seen[ProcessName("w", 0)] = [replace(seen[ProcessName("w", 0)][0], revision=desired(old, Overrides()).slots[0])]
    plan = plan_pool(desired(old, Overrides()), desired(new, Overrides()), seen, "/r/1")
    assert plan.restarted == ((0, "environment"),)
    assert Launch(("x",), "/").environment == ()


def test_what_changes_without_a_restart_is_still_something_to_do() -> None:
    plan = plan_pool(want(1), want(2), lives("/r/1"), "/r/1")
    assert (plan.kept, plan.started, plan.restarted, plan.changed) == ((0,), (1,), (), ("numprocs 1 -> 2",))
    assert plan_pool(want(2), want(1), lives("/r/1", "/r/1"), "/r/1").stopped == (1,)
    assert not plan_pool(want(1), want(1), lives("/r/1"), "/r/1")


def test_a_program_comes_or_goes() -> None:
    assert plan_pool(None, want(2), {}, "/r/1").started == (0, 1)
    assert plan_pool(None, want(2), {}, "/r/1").added
    gone = plan_pool(want(2), None, lives("/r/1", "/r/1"), None)
    assert (gone.removed, gone.stopped, gone.turns) == (True, (0, 1), ())


def test_what_was_stopped_by_hand_stays_stopped_and_what_cannot_run_is_tried_anew() -> None:
    held = frozenset({ProcessName("w", 0)})
    assert plan_pool(want(2, held=held), want(2, held=held), {}, "/r/2").turns == (1,)
    plan = plan_pool(want(1), want(1), lives("/r/2", state=State.FATAL), "/r/2")
    assert plan.restarted == ((0, "does not run (FATAL)"),)
    assert plan.forced == {0}


def test_force_restarts_all_and_counts_them_as_forced() -> None:
    plan = plan_pool(want(2), want(2), lives("/r/2", "/r/1"), "/r/2", force=True)
    assert plan.restarted == ((0, "forced"), (1, "release 1 -> 2"))
    assert plan.forced == {0}


def test_the_former_release_is_what_most_run_beside_the_new_one() -> None:
    assert former_release(lives("/r/1", "/r/0", "/r/1", "/r/2", "/r/2", "/r/2"), "/r/2") == "/r/1"
    assert former_release(lives("/r/2"), "/r/2") == "/r/2"
    assert former_release({}, "/r/2") is None
