"""Every fault of the lab once, on Apache Kafka: the short of ``make faults``, by which the twenty of each stay honest.

Faults that ask for the same settings befall one group of workers one after the other and are judged together
(:data:`tests.e2e.faults.scenarios.CHAINS`). Which of them it was that lost or doubled something tells ``make faults ONLY=…``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from tests.e2e import apache_kafka
from tests.e2e.faults import __main__ as command
from tests.e2e.faults import needs
from tests.e2e.faults.lab import ONCE, Lab, Outcome
from tests.e2e.faults.scenarios import BY_NAME, CHAINS, Chain

pytestmark = pytest.mark.kafka
#: Printed by every failure, so that it can be repeated: ``make faults ONLY=zombie TIMES=1 SEED=…``. Even, so that every
#: fault is in it: no rules change meanwhile (those with a rebuild would be left out).
SEED = 2 * random.SystemRandom().randrange(10**6)
TOGETHER = [chain for chain in CHAINS if "namespace" not in chain.needs]


@pytest.fixture(scope="module", autouse=True)
def _kafka() -> None:
    reason = apache_kafka.missing()
    if reason is not None:
        pytest.skip(reason)


def report(outcome: Outcome) -> str:
    deeds = [f"{one.scenario}: {one.proof}; over after {one.recovery_s:.1f} s" for one in outcome.struck]
    return "\n".join([f"seed {outcome.seed}, {outcome.records} records, {outcome.verdict}", *deeds])


@pytest.fixture(scope="module")
def lab_of(tmp_path_factory) -> Iterator[Callable[[int], Lab]]:
    """The lab with so many brokers; one at a time."""
    held: dict[int, Lab] = {}

    def lab(nodes: int) -> Lab:
        for other in held.keys() - {nodes}:
            held.pop(other).close()
        if nodes not in held:
            held[nodes] = Lab(nodes, tmp_path_factory.mktemp("lab"))
        return held[nodes]

    yield lab
    for one in held.values():
        one.close()


@pytest.mark.parametrize("chain", TOGETHER, ids=[chain.name for chain in TOGETHER])
def test_nothing_is_lost_and_nothing_told_twice_as_news(chain: Chain, lab_of: Callable[[int], Lab]) -> None:
    possible = chain.without({need for need in chain.needs if needs.CHECKS[need]() is not None})
    outcome = lab_of(chain.nodes).run(possible, SEED, ONCE)
    print(report(outcome))
    assert [one.scenario for one in outcome.struck] == [link.name for link in possible.links]
    assert outcome.passed, report(outcome)


def test_a_network_that_is_cut_costs_nothing_either(tmp_path) -> None:
    reason = needs.namespace()
    if reason is not None:
        pytest.skip(reason)
    assert not command.in_a_namespace(BY_NAME["network-cut"], 1, SEED, tmp_path / "results.jsonl")
