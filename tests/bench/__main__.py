"""The command of tests/bench/run."""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import queuepool
from tests.bench import php, table
from tests.bench.bench import Bench
from tests.bench.peers import PEERS
from tests.bench.scenarios import SCENARIOS, steps


def main() -> int:
    """Run what was asked for and print the table. 0: measured; 1: something broke, or with --check a goal failed."""
    scenarios = (*SCENARIOS, "php")
    about = "Speeds of queuepool and of other process managers, side by side in one run."
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=about)
    parser.add_argument("--quick", action="store_true", help="once instead of three times, shorter windows (<= 90 s)")
    parser.add_argument("--only", metavar="S1,S2", help=f"some of {','.join(scenarios)}")
    others = [peer for peer in PEERS if peer != table.OWN]
    parser.add_argument("--peers", metavar="P1,P2", help=f"some of {','.join(others)} (--quick: the first)")
    parser.add_argument("--without-queuepool", action="store_true", help="the peers alone")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal is not met")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the table there, too")
    options = parser.parse_args()
    chosen = _chosen(parser, options.only, scenarios)
    names = [] if options.without_queuepool else [table.OWN]
    for peer in _chosen(parser, options.peers, others)[: 1 if options.quick and not options.peers else None]:
        if reason := PEERS[peer].missing():
            print(f"without {peer}: {reason}", file=sys.stderr)
        else:
            names.append(peer)

    # pip compiles what it installs; a checkout may not be, and then each start of a daemon or command would do it.
    compileall.compile_dir(str(Path(queuepool.__file__).parent), quiet=2)
    load = os.getloadavg()[0]
    bench = Bench(options.quick)
    begun = time.monotonic()
    for scenario in chosen:
        since = time.monotonic()
        bench.perform(scenario, php.steps(bench, names) if scenario == "php" else steps(scenario, bench, names, chosen))
        print(f"{scenario}: {time.monotonic() - since:.0f} s", file=sys.stderr)
    found = table.medians(bench.values)
    print(table.render(found, names))
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    took = f"{time.monotonic() - begun:.0f} s on {machine}"
    print(f"\nx: how many times better than the other. {took}")
    if load > (os.cpu_count() or 1) / 2:
        print(f"The machine was busy before it began (load {load:.1f}): read ratios, not milliseconds.")
    if options.markdown:
        options.markdown.write_text(table.render(found, names, markdown=True) + f"\n\n{took}\n")
    for (scenario, name), failure in bench.broken.items():
        print(f"{scenario} with {name} broke: {failure}", file=sys.stderr)
    goals = table.failed(found)
    print(f"goals not met: {', '.join(goals) or 'none'}")
    return 1 if bench.broken or (options.check and goals) else 0


def _chosen(parser: argparse.ArgumentParser, text: str | None, known: Sequence[str]) -> list[str]:
    words = text.split(",") if text else list(known)
    if unknown := sorted(set(words) - set(known)):
        parser.error(f"cannot do {', '.join(unknown)}: known are {', '.join(known)}")
    return words


if __name__ == "__main__":
    sys.exit(main())
