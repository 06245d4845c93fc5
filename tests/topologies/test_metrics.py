from prometheus_client.openmetrics.parser import text_string_to_metric_families

from topologies.metrics import Metrics

CONTRACT = {
    "citywatch_records": {"stream", "outcome"},
    "citywatch_quarantined": {"stream", "reason"},
    "citywatch_stage_latency_seconds": {"stream", "stage"},
    "citywatch_alert_latency_seconds": {"level"},
    "citywatch_signals": {"rule"},
    "citywatch_incidents_open": {"category", "level"},
    "citywatch_incident_events": {"event", "level"},
    "citywatch_muted": {"reason"},
    "citywatch_deliveries": {"sink", "result"},
    "citywatch_outbox_depth": {"sink"},
    "citywatch_consumer_lag_records": {"topic"},
    "citywatch_watermark_lag_seconds": {"stream"},
    "citywatch_checkpoint_age_seconds": set(),
    "citywatch_checkpoint_failures": {"reason"},
    "citywatch_rebalances": set(),
    "citywatch_fenced": set(),
    "citywatch_log_gap_records": {"topic"},
    "citywatch_heartbeat_age_seconds": set(),
    "citywatch_entities": {"stream"},
    "citywatch_rules_last_reload_successful": set(),
}


def families(metrics):
    return {family.name: family for family in text_string_to_metric_families(metrics.exposition().decode())}


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def test_every_metric_of_the_contract_is_exposed_as_openmetrics():
    found = families(Metrics())
    assert set(CONTRACT) <= set(found)
    assert "citywatch_build" in found


def test_labels_are_those_of_the_contract():
    metrics = Metrics(rules=["r"], categories=["gas"])
    metrics.count_outcomes("sensor", {"processed": 1}, {"future": 1})
    metrics.count_signal("r")
    metrics.observe_stage("sensor", "log_to_worker", 5)
    metrics.observe_alert(1, 5)
    metrics.count_incident("opened", 1)
    metrics.count_muted({"silence": 1})
    metrics.count_delivery("terminal", "delivered")
    metrics.show_open({("gas", 1): 1})
    for name, family in families(metrics).items():
        for sample in family.samples:
            assert set(sample.labels) - {"le"} <= CONTRACT.get(name, {"version", "python", "faust"})


def test_a_label_outside_its_closed_set_becomes_other():
    metrics = Metrics(rules=["known"])
    metrics.count_signal("GAS-W-00123")
    metrics.count_outcomes("sensor", {"vanished": 2}, {})
    assert value(metrics, "citywatch_signals_total", rule="other") == 1
    assert value(metrics, "citywatch_records_total", stream="sensor", outcome="other") == 2


def test_reasons_cannot_grow_without_bound():
    metrics = Metrics()
    metrics.count_muted({f"reason-{n}": 1 for n in range(1000)})
    muted = families(metrics)["citywatch_muted"].samples
    assert len(muted) <= 65
    assert sum(sample.value for sample in muted) == 1000


def test_every_outcome_stands_at_zero_before_the_first_record():
    assert value(Metrics(), "citywatch_records_total", stream="hotline", outcome="dead_letter") == 0


def test_latency_is_exposed_in_seconds():
    metrics = Metrics()
    metrics.observe_alert(1, 250)
    assert value(metrics, "citywatch_alert_latency_seconds_sum", level="1") == 0.25


def test_a_device_clock_that_runs_ahead_observes_zero():
    metrics = Metrics()
    metrics.observe_stage("sensor", "source_to_log", -5000)
    assert value(metrics, "citywatch_stage_latency_seconds_sum", stream="sensor", stage="source_to_log") == 0


def test_what_is_not_open_any_more_leaves_the_gauge():
    metrics = Metrics(categories=["gas", "water"])
    metrics.show_open({("gas", 1): 2})
    metrics.show_open({("water", 3): 1})
    assert value(metrics, "citywatch_incidents_open", category="gas", level="1") is None
    assert value(metrics, "citywatch_incidents_open", category="water", level="3") == 1


def test_callbacks_run_before_each_scrape():
    metrics = Metrics()
    metrics.before_scrape.append(lambda: metrics.entities.labels("sensor").inc())
    metrics.exposition()
    metrics.exposition()
    assert value(metrics, "citywatch_entities", stream="sensor") == 2


def test_two_workers_in_one_process_do_not_share_counters():
    first, second = Metrics(), Metrics()
    first.rebalances.inc()
    assert value(second, "citywatch_rebalances_total") == 0
