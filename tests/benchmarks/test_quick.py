"""The smoke run of the benchmarks: everything runs, everybody reads everything, the results agree. Times are not looked at."""

from __future__ import annotations

import json

import pytest

from benchmarks.job import alerts
from benchmarks.readings import readings
from benchmarks.tables import Table, markers, write_between
from streams.errors import Mend
from tests.benchmarks.smoke import quick


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return quick("benchmarks", tmp_path_factory.mktemp("bench"), 180)


@pytest.fixture(scope="module")
def runs(told):
    return {run["contender"]: run for run in told[0]["figures"]["runs"]}


def test_every_contender_reads_all_of_its_records(runs):
    assert {name: run["records"] for name, run in runs.items()} == {
        "citywatch": 20_000,
        "citywatch_five": 20_000,
        "plain_faust": 2_000,
        "aiokafka": 20_000,
        "confluent": 20_000,
        "confluent_statistics": 20_000,
        "hand_loop": 20_000,
    }


def test_contenders_that_read_the_same_find_the_same_values(runs):
    sums = {runs[name]["found"]["sum"] for name in ("aiokafka", "confluent", "confluent_statistics", "hand_loop")}
    assert sums == {sum(round(json.loads(value)["value"] * 1000) for _, value, _ in readings(20_000, 250))}


def test_the_plain_agent_finds_the_values_of_the_first_records(runs):
    first = sum(round(json.loads(value)["value"] * 1000) for _, value, _ in readings(2_000, 250))
    assert runs["plain_faust"]["found"]["sum"] == first


@pytest.mark.parametrize("name", ["citywatch", "citywatch_five"])
def test_our_agent_accounts_for_every_reading_and_raises_alarms_of_each_rule(runs, name):
    found = runs[name]["found"]
    assert found["processed"] == 20_000
    assert {f"bench-{rule} raised" for rule in ("threshold", "z", "silence", "stuck")} <= found.keys()


def test_the_loop_by_hand_raises_the_alarms_of_our_agent(runs):
    assert alerts(runs["hand_loop"]["found"]) == alerts(runs["citywatch"]["found"])
    assert runs["hand_loop"]["found"]["bench-z raised"] > 0


def test_every_well_that_crossed_became_one_incident(told):
    alerts = told[1]["figures"]["embedded"][0]["alerts"]
    assert alerts["opened"] == alerts["decided"] == len(alerts["seen"]) > 0


def test_every_record_passed_both_relays(told):
    hops = told[1]["figures"]["embedded"][0]["hops"]
    assert hops["relayed"] == hops["sent"] == 600


def test_index_and_tree_hit_the_same_fences(told):
    assert all(layout["hits"] > 0 for layout in told[2]["figures"].values())


def test_vehicles_and_incidents_were_measured(told):
    rates = told[3]["figures"]["rates"]
    assert len(rates) == 5 and all(min(some) > 0 for some in rates.values())


def test_readings_have_the_sizes_the_tables_name():
    sizes = [len(value) for _, value, _ in readings(10_000)]
    assert min(sizes) >= 55 and max(sizes) <= 120


def test_a_table_is_written_between_the_markers_and_nowhere_else(tmp_path):
    page = tmp_path / "page.md"
    begin, end = markers("python -m one")
    other = "\n".join(markers())
    page.write_text(f"above\n{other}\n{begin}\nold\n{end}\nbelow\n")
    write_between(page, Table("New", ["a"], [["1"]]).markdown(), "python -m one")
    text = page.read_text()
    assert text.startswith(f"above\n{other}\n") and text.endswith("\nbelow\n") and "### New" in text and "old" not in text


def test_a_page_without_markers_is_refused_with_the_mend(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(Mend, match="no place for the tables"):
        write_between(page, "text")
