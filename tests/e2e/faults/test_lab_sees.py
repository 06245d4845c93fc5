"""The lab's own judgement, without a broker: what it counts, and what its table says."""

from __future__ import annotations

import json

import msgspec
import pytest

from benchmarks.tables import markers
from streams.records import Incident
from tests.alert_sinks.incidents import incident
from tests.e2e.faults import table
from tests.e2e.faults.judge import Verdict, compare
from tests.e2e.faults.scenarios import BY_NAME, CHAINS, SCENARIOS
from tests.e2e.mirrored_logs import Told

HORIZON = 10**15


def told(*incidents: Incident, conflicts: tuple[str, ...] = ()) -> Told:
    found = Told("p.")
    for one in incidents:
        found.incidents[one.incident_id, one.revision] = one
        found.bodies[one.incident_id, one.revision] = msgspec.json.encode(one)
    found.conflicts.extend(conflicts)
    return found


def one(name: str = "340100-1", revision: int = 1, **changed: object) -> Incident:
    return msgspec.structs.replace(incident(), incident_id=name, revision=revision, **changed)


def counts(calm: Told, struck: Told) -> tuple[int, int, int, int]:
    verdict = compare(calm, struck, HORIZON)
    return verdict.expected, verdict.missing, verdict.second_ids, verdict.second_bodies


CALM = told(one(), one(revision=2), one("340100-2"))


@pytest.mark.parametrize(
    ("struck", "seen"),
    [
        (told(one(), one(revision=2), one("340100-2")), (3, 0, 0, 0)),
        (told(one(), one("340100-2")), (3, 1, 0, 0)),
        (told(one(), one(revision=2), one("340100-3")), (3, 1, 1, 0)),
        (told(one(), one(revision=2, title="other"), one("340100-2")), (3, 0, 0, 1)),
        (told(one(), one(revision=2), one(revision=3), one("340100-2")), (3, 0, 0, 1)),
        (told(one(), one(revision=2), one("340100-2"), conflicts=("two bodies",)), (3, 0, 0, 1)),
    ],
    ids=["nothing", "missing", "second id", "second body", "one revision too many", "two bodies in its own log"],
)
def test_what_a_struck_log_has_otherwise_is_counted(struck, seen):
    assert counts(CALM, struck) == seen


def test_a_run_that_compared_nothing_has_not_passed():
    from tests.e2e.faults.lab import Outcome

    assert not Outcome(1, 100, Verdict(), []).passed


OF = {"commit": "abc1234", "day": "2026-11-29"}


def outcome(name: str, recovery_s: float = 1.0, reloaded: bool = False, **verdict: int) -> dict:
    return {
        "reloaded": reloaded,
        "struck": [{"scenario": one, "recovery_s": recovery_s, "proof": ""} for one in name.split("+")],
        "records": 10,
        "seed": 5,
        **OF,
        "verdict": msgspec.to_builtins(Verdict(expected=5, details=["missing: x"] if verdict else [], **verdict)),
    }


def test_the_table_sums_runs_and_gives_median_and_worst():
    text = table.table([outcome("zombie", 1.0), outcome("zombie", 4.0, missing=2), outcome("zombie", 2.0, True)])
    assert f"| {BY_NAME['zombie'].what} | 3 | 1 | 30 | 15 | 2 | 0 | 0 | 0 | 2.0 s | 4.0 s |" in text


def test_what_a_chain_of_faults_lost_stands_in_the_row_of_each():
    text = table.table([outcome("zombie+kill-all", 3.0, missing=1), outcome("kill-all", 1.0)])
    assert f"| {BY_NAME['zombie'].what} | 1 | 0 | 10 | 5 | 1 | 0 | 0 | 0 | 3.0 s | 3.0 s |" in text
    assert f"| {BY_NAME['kill-all'].what} | 2 | 0 | 20 | 10 | 1 | 0 | 0 | 0 | 2.0 s | 3.0 s |" in text


def test_deliberate_mistakes_have_a_table_of_their_own():
    text = table.table([outcome("no-order", missing=3), outcome("no-order")])
    assert f"| {BY_NAME['no-order'].what} | 2 | 1 |" in text and "2.0 s" not in text


def test_a_run_that_was_judged_wrongly_counts_nowhere_and_is_named():
    aside = outcome("zombie", 1.0, missing=2) | {"set_aside": "judged before it could be"}
    text = table.table([aside, outcome("zombie", 4.0)])
    assert f"| {BY_NAME['zombie'].what} | 1 | 0 | " in text and "Differs" not in text
    assert f"- **Set aside:** `zombie`, seed {aside['seed']}, commit {aside['commit']}: judged before it could be" in text


def test_a_run_without_a_judgement_is_not_passed_over(tmp_path):
    why = f"AssertionError: {table.ROOT}/nobody woke"
    table.add(tmp_path / "kept.jsonl", {"seed": 7, "unjudged": "zombie+kill-all", "why": why})
    (kept,) = table.read(tmp_path / "kept.jsonl")
    text = table.table([outcome("zombie"), kept | OF])
    assert "- **No judgement:** `zombie+kill-all`, seed 7: AssertionError: nobody woke" in text
    assert "Of 2 runs, 2026-11-29, commit abc1234." in text
    assert set(kept) == {"seed", "unjudged", "why", "commit", "day"}


def test_a_run_that_differed_is_named_and_a_deliberate_mistake_is_not():
    text = table.table([outcome("zombie+kill-all", missing=1), outcome("no-order", missing=3), outcome("zombie")])
    assert "- **Differs:** `zombie+kill-all`, seed 5, commit abc1234: missing: x" in text and text.count("Differs") == 1


def test_of_what_differed_only_so_much_is_kept(tmp_path):
    verdict = {"verdict": msgspec.to_builtins(Verdict(missing=20, details=["x" * 9_999] * 20))}
    table.add(tmp_path / "kept.jsonl", outcome("zombie") | verdict)
    (kept,) = table.read(tmp_path / "kept.jsonl")
    assert kept["verdict"]["missing"] == 20 and len(json.dumps(kept)) < 6_000


def test_the_page_is_written_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    begin, end = markers(table.COMMAND)
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    table.write(page, [outcome("zombie")])
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text and "1.0 s" in text


def test_every_fault_has_a_name_of_its_own():
    assert len(BY_NAME) == len(SCENARIOS)


def test_every_fault_stands_in_one_chain_and_no_deliberate_mistake_does():
    linked = [link.name for chain in CHAINS for link in chain.links]
    assert sorted(linked) == sorted(scenario.name for scenario in SCENARIOS if not scenario.seen)


@pytest.mark.parametrize("chain", CHAINS, ids=[chain.links[0].name for chain in CHAINS])
def test_the_faults_of_a_chain_ask_for_the_same(chain):
    assert len({(link.judged, *sorted(link.settings.items())) for link in chain.links}) == 1
    assert len({link.module for link in chain.links} - {"citywatch"}) <= 1
    back = [link.set_back for link in chain.links]
    assert back == sorted(back)
    assert all(link.running for link in chain.links[1:])


def test_rules_change_in_the_middle_of_every_fault_that_is_not_about_them_nor_about_a_rebuild():
    left = [link for chain in CHAINS if (again := chain.with_rules_read_again()) for link in again.links]
    assert {link.name for link in left} == {
        link.name for link in SCENARIOS if link.judged == "calm" and not link.seen and not link.rebuilt
    }


def stream_outage(prefix: str) -> Incident:
    found = one(f"outage-of-{prefix}")
    piece = msgspec.structs.replace(found.evidence[0], entity=f"{prefix}sensor.readings")
    return msgspec.structs.replace(found, evidence=[piece])


def test_the_outage_of_a_stream_is_not_compared_for_two_logs_name_it_differently():
    assert counts(told(one(), stream_outage("calm.")), told(one(), stream_outage("struck."))) == (1, 0, 0, 0)


def test_nor_is_what_such_an_outage_took_in():
    calm, struck = (
        told(one(), stream_outage(prefix), one("device", revision=2, merged_into=f"outage-of-{prefix}"))
        for prefix in ("calm.", "struck.")
    )
    assert counts(calm, struck) == (1, 0, 0, 0)
    assert counts(told(one(merged_into="a")), told(one(merged_into="b"))) == (1, 0, 0, 1)


def moved(*partitions: int) -> Told:
    found = told(one(f"opened-by-{partitions[0]}"))
    entity = found.incidents[f"opened-by-{partitions[0]}", 1].evidence[0].entity
    for partition in partitions:
        found.signals["sensor.readings", partition, (0, 0, 0)] = json.dumps({"entity": entity}).encode()
        found.arrivals["sensor.readings", partition, (0, 0, 0)] = 1
    return found


def test_nor_is_what_a_sensor_opened_whose_records_moved_to_another_partition():
    assert counts(moved(1, 4), moved(4, 1)) == (0, 0, 0, 0)
    assert counts(moved(1), moved(4)) == (1, 2, 1, 1)
