"""``python -m tests.e2e.faults``: run faults, keep the outcomes, write the table; exit 1 where a count is not zero."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from tests.e2e import apache_kafka
from tests.e2e.faults import needs, table
from tests.e2e.faults.lab import ALONE, CHAINED, Lab, Outcome, Pace
from tests.e2e.faults.scenarios import BY_NAME, CHAINS, SCENARIOS, Chain, Scenario
from tests.e2e.worker_group import ROOT

PAGE = ROOT / "docs" / "reliability.md"
#: Beside the page, and kept with it: each run with its seed and its commit, so that twenty of each may be of several days.
RESULTS = PAGE.with_suffix(".jsonl")

#: The rows of faults, then the deliberate mistakes one by one.
ROWS = (*CHAINS, *(Chain((scenario,)) for scenario in SCENARIOS if scenario.seen))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.faults", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], choices=[*BY_NAME, []], metavar="FAULT", help="|".join(BY_NAME))
    numbers = range(1, len(ROWS) + 1)
    parser.add_argument("--rows", nargs="+", type=int, default=[], choices=numbers, metavar="N", help=f"of 1 to {len(ROWS)}")
    parser.add_argument("--times", type=int, default=20, help="how often each (default %(default)s)")
    parser.add_argument("--seed", type=int, help="of the first run of each fault; printed, so that it can be repeated")
    parser.add_argument("--keep", action="store_true", help="add to the outcomes of earlier runs instead of beginning anew")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the outcomes are kept (default %(default)s)")
    parser.add_argument("--write", action="store_true", help="write the table into docs/reliability.md")
    arguments = parser.parse_args()
    reason = apache_kafka.missing()
    if reason is not None:
        print(f"no faults without Apache Kafka: {reason}", file=sys.stderr)
        return 2
    results: Path = arguments.results
    results.parent.mkdir(parents=True, exist_ok=True)
    if not arguments.keep:
        results.unlink(missing_ok=True)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    failed = False
    for chain, pace, times in _asked(arguments.only, arguments.rows, arguments.times):
        if _elsewhere(chain):
            failed |= in_a_namespace(chain.links[0], times, seed, results)
        else:
            failed |= _strike(chain, pace, times, seed, results)
    if arguments.write:
        table.write(PAGE, table.read(results))
    print(table.table(table.read(results)))
    return 1 if failed else 0


def _asked(only: list[str], rows: list[int], times: int) -> list[tuple[Chain, Pace, int]]:
    """Faults that are named alone, one by one; else every row, and each deliberate mistake a quarter as often."""
    if only:
        return [(Chain((BY_NAME[name],)), ALONE, times) for name in only]
    asked = [ROWS[number - 1] for number in rows] if rows else ROWS
    return [(row, ALONE, max(1, times // 4)) if row.links[0].seen else (row, CHAINED, times) for row in asked]


def _elsewhere(chain: Chain) -> bool:
    return "namespace" in chain.needs and not os.environ.get("CITYWATCH_FAULTS_ALONE")


def _strike(chain: Chain, pace: Pace, times: int, seed: int, results: Path) -> bool:
    """Whether any run failed."""
    missing = {need: why for need in chain.needs if (why := needs.CHECKS[need]()) is not None}
    possible = chain.without(missing)
    for link in chain.links:
        if link not in possible.links:
            print(f"{link.name}: left out, {next(missing[need] for need in link.needs if need in missing)}", flush=True)
    if not possible.links:
        return False
    failed = False
    with tempfile.TemporaryDirectory(prefix="citywatch-faults-", ignore_cleanup_errors=True) as folder:
        lab = Lab(possible.nodes, Path(folder))
        try:
            for number in range(times):
                failed |= not _once(lab, possible, pace, seed + number, results)
        finally:
            lab.close()
    return failed


def _once(lab: Lab, chain: Chain, pace: Pace, seed: int, results: Path) -> bool:
    print(f"{chain.name} seed {seed}: {'; '.join(link.what for link in chain.links)}", flush=True)
    try:
        outcome = lab.run(chain, seed, pace)
    except Exception as failure:
        traceback.print_exc()
        table.add(results, {"seed": seed, "unjudged": chain.name, "why": f"{type(failure).__name__}: {failure}"})
        return False
    table.add(results, outcome.facts())
    _tell(outcome)
    return outcome.passed != chain.links[0].seen


def _tell(outcome: Outcome) -> None:
    for one in outcome.struck:
        print(f"  {one.scenario}: {one.proof}; recovered in {one.recovery_s:.1f} s", flush=True)
    verdict = outcome.verdict
    print(
        f"  {outcome.records} records, {verdict.expected} revisions expected, {verdict.missing} missing, "
        f"{verdict.second_ids} second ids, {verdict.second_bodies} second bodies, {verdict.went_back} marks that fell",
        flush=True,
    )
    for line in verdict.details[:5]:
        print(f"    {line[:600]}", flush=True)


def in_a_namespace(scenario: Scenario, times: int, seed: int, results: Path) -> bool:
    """In a network of its own, whose one interface may be cut without harm to anybody else."""
    missing = needs.namespace()
    if missing is not None:
        print(f"{scenario.name}: left out, {missing}", flush=True)
        return False
    words = [
        sys.executable,
        "-m",
        "tests.e2e.faults",
        "--only",
        scenario.name,
        "--times",
        str(times),
        "--seed",
        str(seed),
        "--keep",
        "--results",
        str(results),
    ]
    inside = 'ip link set lo up && exec "$@"'
    run = subprocess.run(
        ["unshare", "-n", "sh", "-c", inside, "faults", *words], cwd=ROOT, env=os.environ | {"CITYWATCH_FAULTS_ALONE": "1"}
    )
    return run.returncode != 0


if __name__ == "__main__":
    sys.exit(main())
