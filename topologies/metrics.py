"""Every metric of the contract, with closed label sets: no entity, no free text ever becomes a label.

Base units are seconds and records. One :class:`Metrics` owns its registry, so that two workers in one test process do not
share counters. Gauges that describe many shards (lag, watermark, entities) are set when a scrape asks, by the callbacks in
``before_scrape``.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

STREAMS = ("sensor", "group", "vehicle", "video", "hotline")
OUTCOMES = ("processed", "dead_letter", "quarantined", "late", "duplicate")
STAGES = ("source_to_log", "log_to_worker", "worker_to_signal", "signal_to_incident", "incident_to_sink")
LEVELS = ("1", "2", "3", "4")
EVENTS = (
    "opened",
    "updated",
    "escalated",
    "eased",
    "acknowledged",
    "dispatched",
    "overdue",
    "resolved",
    "reopened",
    "merged",
)
RESULTS = ("delivered", "failed", "refused", "dropped")
FAILURES = ("away", "outputs", "encoding")
#: Label value of what is outside a closed set; it being there at all is worth an alert.
OTHER = "other"

#: From one hop on loopback (1 ms) to "the worker was down for an hour".
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)


def _closed(value: object, known: Iterable[str]) -> str:
    return text if (text := str(value)) in known else OTHER


# A time of creation beside every series doubles a scrape and tells nothing that the process start time does not.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The worker's figures. Times given to the ``observe_*`` methods are milliseconds, what is exposed are seconds."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, rules: Iterable[str] = (), categories: Iterable[str] = ()) -> None:
        self.registry = registry = CollectorRegistry()
        self.before_scrape: list[Callable[[], None]] = []
        self._rules, self._categories, self._reasons = set(rules), set(categories), set[str]()
        self._last_heartbeat = time.monotonic()
        self._last_checkpoint = time.monotonic()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        self.records = counter(
            "citywatch_records", "Readings after array expansion, by what became of them.", "stream", "outcome"
        )
        self.quarantined = counter("citywatch_quarantined", "Readings that were not believed.", "stream", "reason")
        self.signals = counter("citywatch_signals", "Signals of the detect stage.", "rule")
        self.incident_events = counter("citywatch_incident_events", "Revisions of incidents.", "event", "level")
        self.muted = counter("citywatch_muted", "Signals that opened or changed nothing, and why.", "reason")
        self.deliveries = counter("citywatch_deliveries", "Deliveries to sinks.", "sink", "result")
        self.checkpoint_failures = counter("citywatch_checkpoint_failures", "Checkpoints that could not be written.", "reason")
        self.rebalances = counter("citywatch_rebalances", "Assignments of partitions to this worker.")
        self.fenced = counter("citywatch_fenced", "Checkpoints refused because another worker owns the shard.")
        self.log_gaps = counter("citywatch_log_gap_records", "Offsets the log no longer had (retention, compaction).", "topic")
        self.stage_latency = Histogram(
            "citywatch_stage_latency_seconds",
            "Time between two stations of a record.",
            ("stream", "stage"),
            buckets=_SECONDS,
            registry=registry,
        )
        self.alert_latency = Histogram(
            "citywatch_alert_latency_seconds",
            "Arrival of the deciding record to acknowledged in its incident topic.",
            ("level",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.incidents_open = gauge("citywatch_incidents_open", "Open incidents.", "category", "level")
        self.outbox_depth = gauge("citywatch_outbox_depth", "Deliveries that wait.", "sink")
        self.consumer_lag = gauge("citywatch_consumer_lag_records", "Records in the log that are not decided.", "topic")
        self.watermark_lag = gauge(
            "citywatch_watermark_lag_seconds",
            "How far the slowest partition with unread records is behind, beyond the lateness its stream is allowed.",
            "stream",
        )
        self.entities = gauge("citywatch_entities", "Entities with state.", "stream")
        self.rules_reload = gauge("citywatch_rules_last_reload_successful", "1 when the rules on disk are the rules in use.")
        gauge("citywatch_checkpoint_age_seconds", "Since every shard was last checkpointed.").set_function(
            lambda: time.monotonic() - self._last_checkpoint
        )
        gauge("citywatch_heartbeat_age_seconds", "Since a heartbeat record last came back.").set_function(
            lambda: time.monotonic() - self._last_heartbeat
        )
        Info("citywatch_build", "What runs.", registry=registry).info(
            {"version": _version("citywatch"), "python": platform.python_version(), "faust": _version("faust-streaming")}
        )
        for stream in STREAMS:
            for outcome in OUTCOMES:
                self.records.labels(stream, outcome)
        for failure in FAILURES:
            self.checkpoint_failures.labels(failure)

    def expect(self, rules: Iterable[str], categories: Iterable[str]) -> None:
        """The rulebook in use closes the label sets ``rule`` and ``category``."""
        self._rules |= set(rules)
        self._categories |= set(categories)

    def count_outcomes(self, stream: str, outcomes: Mapping[str, int], reasons: Mapping[str, int]) -> None:
        for outcome, n in outcomes.items():
            self.records.labels(_closed(stream, STREAMS), _closed(outcome, OUTCOMES)).inc(n)
        for reason, n in reasons.items():
            self.quarantined.labels(_closed(stream, STREAMS), self._reason(reason)).inc(n)

    def count_signal(self, rule: str) -> None:
        self.signals.labels(_closed(rule, self._rules)).inc()

    def count_incident(self, event: str, level: int) -> None:
        self.incident_events.labels(_closed(event, EVENTS), _closed(level, LEVELS)).inc()

    def count_muted(self, reasons: Mapping[str, int]) -> None:
        for reason, n in reasons.items():
            self.muted.labels(self._reason(reason)).inc(n)

    def count_delivery(self, sink: str, result: str, n: int = 1) -> None:
        self.deliveries.labels(sink, _closed(result, RESULTS)).inc(n)

    def count_checkpoint_failure(self, reason: str) -> None:
        self.checkpoint_failures.labels(_closed(reason, FAILURES)).inc()

    def observe_stage(self, stream: str, stage: str, ms: float) -> None:
        """Clocks of devices run ahead: a negative time is observed as zero."""
        self.stage_latency.labels(_closed(stream, (*STREAMS, "incident")), _closed(stage, STAGES)).observe(
            max(ms, 0.0) / 1000.0
        )

    def observe_alert(self, level: int, ms: float) -> None:
        self.alert_latency.labels(_closed(level, LEVELS)).observe(max(ms, 0.0) / 1000.0)

    def show_open(self, counts: Mapping[tuple[str, int], int]) -> None:
        """Number of open incidents per (category, level), whole: what is not named is zero."""
        self.incidents_open.clear()
        for (category, level), n in counts.items():
            self.incidents_open.labels(_closed(category, self._categories), _closed(level, LEVELS)).inc(n)

    def heartbeat_came_back(self) -> None:
        self._last_heartbeat = time.monotonic()

    def checkpoint_written(self) -> None:
        self._last_checkpoint = time.monotonic()

    def _reason(self, reason: str) -> str:
        """Reasons are closed words in the code that names them; a runaway set is cut at 64 all the same."""
        if reason not in self._reasons and len(self._reasons) < 64:
            self._reasons.add(reason)
        return reason if reason in self._reasons else OTHER

    def exposition(self) -> bytes:
        """OpenMetrics text, served with :attr:`content_type`."""
        for refresh in self.before_scrape:
            refresh()
        text: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return text


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
