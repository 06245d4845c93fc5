"""An outsider's account of a run: what stands in the topics, counted by whoever reads them, not by the worker about itself.

Feed it every record of every topic in any interleaving that keeps the order of each partition. It knows rows in (arrays
expanded), what became of them (dead letters and quarantine from their topics, the rest from the accounts in the
``tick`` controls), incidents by their last revision, and the latency a subscriber sees.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streams.codec import ARRAY_STREAMS, MAX_BYTES
from streams.kafka import LogRecord
from streams.records import Control, Incident
from streams.topics import BY_STREAM, topic_name

INPUTS = ("sensor", "vehicle", "video", "hotline")
#: Revisions whose cause is a record and not a timer or a person: those have an alert latency.
_ALERTING = frozenset({"opened", "escalated"})
_incident = msgspec.json.Decoder(Incident)
_control = msgspec.json.Decoder(Control)
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_STREAM_OF = {BY_STREAM[stream].base: stream for stream in INPUTS}


def rows_of(value: bytes | None, stream: str = "sensor") -> int:
    """Rows a raw record stands for: the elements of an array where the stream may send arrays, else one.

    An array that is read by nobody (too large, cut off) is one row.

    >>> rows_of(b'[{"a": 1}, 2]'), rows_of(b"[1, 2]", "video"), rows_of(b"[NaN, 2]"), rows_of(b"[1, 2")
    (2, 1, 2, 1)
    """
    if value is None or stream not in ARRAY_STREAMS or len(value) > MAX_BYTES or value.lstrip()[:1] != b"[":
        return 1
    try:
        return max(1, len(_parts.decode(value)))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        # NaN is no JSON, but a device's word for "nothing": the row is there.
        found = json.loads(value)
    except (ValueError, RecursionError):
        return 1
    return max(1, len(found))


@dataclass(slots=True)
class Audit:
    """Counts of one run; ``prefix`` is that of the topics."""

    prefix: str = "city."
    records: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    signals: int = 0
    repeated: int = 0
    #: Two bodies under one (id, revision): must stay empty.
    conflicts: list[str] = field(default_factory=list)
    incidents: dict[str, Incident] = field(default_factory=dict)
    revisions: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    _bodies: dict[tuple[str, int], int] = field(default_factory=dict)
    _accounts: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)

    def take(self, record: LogRecord, received_ms: float | None = None) -> Incident | None:
        """Count one record; returns the incident where it is news (a revision not seen before)."""
        base = record.topic.removeprefix(self.prefix)
        self.records[base] += 1
        if base == "signals":
            self._signal(record.value)
        elif base == "incidents":
            return self._revision(record.value, received_ms)
        elif (stream := _STREAM_OF.get(base)) is not None:
            self.rows[base] += rows_of(record.value, stream)
        return None

    def _signal(self, value: bytes | None) -> None:
        if value is None:
            return
        if b'"control"' not in value[:200]:
            self.signals += 1
            return
        try:
            control = _control.decode(value)
        except msgspec.DecodeError:
            return
        if control.control == "tick" and control.outcomes is not None:
            key = (control.source.topic, control.source.partition)
            # Accounts only grow; a control re-sent after a crash repeats an old one.
            if sum(control.outcomes.values()) >= sum(self._accounts.get(key, {}).values()):
                self._accounts[key] = control.outcomes

    def _revision(self, value: bytes | None, received_ms: float | None) -> Incident | None:
        if value is None:
            return None
        incident = _incident.decode(value)
        key = (incident.incident_id, incident.revision)
        body = hash(value)
        if key in self._bodies:
            self.repeated += 1
            if self._bodies[key] != body:
                self.conflicts.append(f"{incident.incident_id} revision {incident.revision}")
            return None
        self._bodies[key] = body
        self.revisions += 1
        known = self.incidents.get(incident.incident_id)
        if known is None or incident.revision > known.revision:
            self.incidents[incident.incident_id] = incident
        if received_ms is not None and incident.event in _ALERTING and not incident.historical:
            self.latencies_ms.append(max(0.0, received_ms - incident.updated_ts))
        return incident

    # --- the account ------------------------------------------------------------------------------------------------------

    @property
    def outcomes(self) -> dict[str, int]:
        """Rows by outcome over the input streams, as the accounts in the log say."""
        inputs = {topic_name(BY_STREAM[stream].base, self.prefix) for stream in INPUTS}
        total: Counter[str] = Counter()
        for (topic, _), account in self._accounts.items():
            if topic in inputs:
                total.update(account)
        return {name: total.get(name, 0) for name in ("processed", "dead_letter", "quarantined", "late", "duplicate")}

    @property
    def settled(self) -> bool:
        """Every row that came in has been accounted for (law 8)."""
        return sum(self.outcomes.values()) == sum(self.rows.values())

    def by_level(self) -> dict[str, int]:
        count = Counter(str(incident.level) for incident in self.incidents.values())
        return {level: count.get(level, 0) for level in ("1", "2", "3", "4")}

    def by_stream(self) -> dict[str, int]:
        """Incidents by input stream; one with several kinds of evidence counts under each."""
        count = Counter(stream for i in self.incidents.values() for stream in {e.stream for e in i.evidence})
        return {stream: count.get(stream, 0) for stream in INPUTS}

    def latency(self) -> dict[str, float | None]:
        return {"p50": quantile(self.latencies_ms, 0.50), "p99": quantile(self.latencies_ms, 0.99)}

    def summary(self) -> dict[str, Any]:
        """The figures of the demo's last line, without those that need the truth."""
        return {
            "records": sum(self.rows.values()),
            "outcomes": self.outcomes,
            "signals": self.signals,
            "incidents": len(self.incidents),
            "by_level": self.by_level(),
            "by_stream": self.by_stream(),
            "alert_latency_ms": self.latency(),
        }


def quantile(values: Sequence[float], q: float) -> float | None:
    """Nearest-rank quantile, None of nothing.

    >>> quantile([1, 2, 3, 4], 0.5), quantile([], 0.5)
    (2, None)
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(q * 1000) * len(ordered) // 1000) - 1))]
