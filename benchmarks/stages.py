"""What vehicles and incidents cost: the two stages behind the readings, each by itself on one core, beside its goal."""

from __future__ import annotations

import statistics

from benchmarks import incident_speed, vehicle_speed
from benchmarks.clock import warm
from benchmarks.tables import Table

GOAL_FIXES, GOAL_SIGNALS = 150_000, 20_000


def measure(*, rounds: int, quick: bool) -> Table:
    """Fixes against fences with enter, exit and dwell; each kind of signals against as many open incidents."""
    warm()
    vehicles, fences, rows = (100, 50, 4_000) if quick else (2_000, 2_000, 200_000)
    found, _ = vehicle_speed.rates(vehicles, fences, rows, 1_000, rounds)
    rates = {f"fixes of {vehicles:,} vehicles against {fences:,} fences of 30 vertices: enter, exit, dwell": found}
    goals = [GOAL_FIXES]
    open_, more = (50, 100) if quick else (incident_speed.OPEN, incident_speed.MORE)
    told: dict[str, float] = {}
    for _ in range(rounds):
        for one in incident_speed.play(open_, more)[2]:
            what = f"signals, {open_:,} open incidents: {one.what}"
            rates.setdefault(what, []).append(one.signals / one.took)
            told[what] = one.revisions / one.signals
    goals += [GOAL_SIGNALS] * len(told)
    table = [
        [
            what,
            *(f"{value:,.0f}" for value in (statistics.median(some), min(some), max(some))),
            f"{told[what]:.2f}" if what in told else "–",
            f"≥ {goal:,}",
            "met" if statistics.median(some) >= goal else "MISSED",
        ]
        for (what, some), goal in zip(rates.items(), goals, strict=True)
    ]
    notes = [
        f"{rounds} rounds. The detect stage from the bytes of the log to signals, the incident stage from signals to "
        "revisions; neither with a broker. A revision is the incident as it is published, made anew with its level, its "
        "reasons, its priority and what has changed of its evidence: where each signal makes one, that is most of the cost."
    ]
    columns = ["what", "a processor-second, median", "min", "max", "revisions a signal", "goal", "verdict"]
    return Table("Vehicles and incidents", columns, table, notes, {"rates": rates})
