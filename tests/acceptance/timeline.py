"""A timeline of signals and controls, and what is wanted of it: push at 2.2 s, want an incident at 3 s or between 3 and 3.5 s.

    city = Timeline()
    city.push(2.2, alarm("gas-well", "W1", level=3))
    city.push(30, clear("gas-well", "W1"))
    city.want(2.2, event="opened", level=3)
    city.want(between(330, 331), event="resolved")
    city.run(until=400)

``run`` feeds the stage in order of arrival with the progress records real sources send, and compares every revision: what is
not wanted must not come. Seconds are arrival time after the start, Monday 2023-11-13 09:00 +08:00.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from detectors.families import Families, Family, FamilyTable
from detectors.rule import Rule
from streams.records import Control, Feedback, Incident, Matchers, Mute, Point, Signal, Source
from topologies.cells import metres_between
from topologies.incident import IncidentStage
from topologies.incident_settings import IncidentSettings

CITY = "340100"
T0 = 1_699_837_200_000
HOME = (31.82, 117.22)
PROGRESS_S = 5.0
#: Degrees of latitude and longitude of a metre at HOME.
NORTH = 1 / 111_195.08
EAST = NORTH / 0.8497


@dataclass(frozen=True)
class Book:
    rules: tuple[Rule, ...]
    families: Families
    fingerprint: str = "test"


@dataclass
class Assets:
    """A registry as a table: assets with attributes, and who hangs on which gateway."""

    sites: list[tuple[float, float, str]] = field(default_factory=list)
    gateways: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    #: Interval of devices in seconds; silence is reported after three and a half of them.
    every_s: dict[str, float] = field(default_factory=dict)
    revision: int = 0

    def at(self, asset_id: str, ts: int) -> Any:
        group = self.groups.get(asset_id)
        every = self.every_s.get(asset_id)
        if not group and every is None:
            return None
        return _Facts(group, interval_s=every, report_after_s=None if every is None else 3.5 * every)

    def near(self, lat: float, lon: float, radius_m: float, kinds: Any) -> list[tuple[Any, float]]:
        found = [(_Facts(None, {"target": target}), metres_between(lat, lon, y, x)) for y, x, target in self.sites]
        return [hit for hit in found if hit[1] <= radius_m]

    def behind(self, gateway: str) -> list[str]:
        return self.gateways.get(gateway, [])


@dataclass(frozen=True)
class _Facts:
    group: str | None
    attributes: dict[str, Any] = field(default_factory=dict)
    lat: float | None = None
    lon: float | None = None
    interval_s: float | None = None
    report_after_s: float | None = None


def rule(name: str, hazard: str, category: str, family: str, **more: Any) -> Rule:
    tree: dict[str, Any] = {
        "name": name,
        "version": "1",
        "hazard": hazard,
        "category": category,
        "title": more.pop("title", name),
        "title_zh": name,
        "match": {"stream": more.pop("stream", "sensor")},
        "detector": {"use": "threshold"},
        "levels": [{"level": 3, "raise": 1.0}],
        "family": family,
        "department": {"lead": f"{category}_company", "assist": ["police"]},
        "deadlines": {"confirm_min": 15, "dispatch_min": 30, "handle": "2uh"},
        "provenance": [{"what": "all", "source": "test", "tag": "P"}],
    }
    return msgspec.convert(tree | more, Rule)


RULES = (
    rule("gas-well", "GAS-01", "gas", "gas", title="Methane in a well"),
    rule("gas-smell-call", "GAS-04", "gas", "gas", stream="hotline", momentary=True, resolve_after_s=600),
    rule("ponding-depth", "PND-01", "ponding", "ponding"),
    rule("ponding-video", "PND-01", "ponding", "ponding", stream="video", momentary=True, resolve_after_s=600),
    rule("fire-video", "SMK-01", "fire", "fire", stream="video", momentary=True, resolve_after_s=600),
    rule("cover", "MHC-01", "cover", "cover", resolve_after_s=60),
    rule("overspeed", "MUC-05", "muck", "muck", stream="vehicle"),
    rule("trial", "CON-02", "site", "street", shadow=True),
    rule("strain", "BRG-01", "bridge", "bridge"),
    rule(
        "device-silence",
        "DEV-01",
        "device",
        "device",
        detector={"use": "silence"},
        deadlines={"confirm_min": 60, "dispatch_min": 60, "handle": "1ud"},
    ),
    rule("platform-stream-silent", "PLT-01", "platform", "platform", levels=[{"level": 2, "raise": 1.0}]),
    rule("order-call", "STR-01", "order", "street", stream="hotline", momentary=True, resolve_after_s=600),
)


def _family(name: str, radius_m: float, within_s: float, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "title_zh": name,
        "categories": [name],
        "radius_m": radius_m,
        "within_s": within_s,
    } | more


CALLERS_AND_METHANE = {
    "name": "callers-and-methane",
    "level": 1,
    "hazard": "GAS-03",
    "reason": "2 callers within 300 m in 30 min, and methane",
    "needs": [
        {"streams": ["hotline"], "witnesses": 2},
        {"hazards": ["GAS-01"], "min_value": 10.0},
    ],
}
FAMILIES = Families(
    msgspec.convert(
        {
            "family": [
                _family("gas", 300, 1800, related=["fire"], escalate=[CALLERS_AND_METHANE]),
                _family("ponding", 200, 1800, agree_raises=True),
                _family("fire", 500, 900),
                _family("cover", 50, 7200, target_radius_m=200.0),
                _family("muck", 300, 1800),
                _family("street", 100, 7200),
                _family("bridge", 300, 1800),
                _family("device", 100, 1800),
                _family("platform", 100, 1800),
            ]
        },
        FamilyTable,
    )
)
BOOK = Book(RULES, FAMILIES)
_RULES = {one.name: one for one in RULES}
assert all(isinstance(FAMILIES[name], Family) for name in FAMILIES)

#: Where each stream's records come from when the timeline does not say.
TOPICS = {
    "sensor": "city.sensor.readings",
    "group": "city.sensor.groups",
    "vehicle": "city.vehicle.positions",
    "video": "city.video.events",
    "hotline": "city.hotline.calls",
}


def place(east_m: float = 0.0, north_m: float = 0.0) -> Point:
    return Point((HOME[1] + east_m * EAST, HOME[0] + north_m * NORTH))


@dataclass
class Draft:
    """A signal or control whose times and source the timeline fills in."""

    record: Signal | Control
    topic: str
    partition: int
    delay_s: float = 0.0


def alarm(
    name: str,
    entity: str,
    *,
    level: int = 3,
    phase: str = "raised",
    at: tuple[float, float] | None = (0.0, 0.0),
    raised: float | None = None,
    partition: int = 0,
    delay_s: float = 0.0,
    **more: Any,
) -> Draft:
    """A signal of a rule's alarm at an entity; ``raised`` (seconds) names the raise a later phase belongs to."""
    about = _RULES.get(name) or rule(name, "UNK-01", "unknown", "unknown")
    signal = Signal(
        signal_id=f"{name}:{entity}:{'' if raised is None else T0 + round(raised * 1000)}",
        city=more.pop("city", CITY),
        category=about.category,
        hazard=about.hazard,
        rule=name,
        rule_version="1",
        entity=entity,
        stream=about.match.stream,
        ts=0,
        arrival_ts=0,
        level=level,
        phase=phase,  # type: ignore[arg-type]
        source=Source("", 0, 0),
        location=None if at is None else place(*at),
        momentary=about.momentary,
        explanation=more.pop("explanation", f"{name} at {entity}"),
        **more,
    )
    return Draft(signal, TOPICS[about.match.stream], partition, delay_s)


def update(name: str, entity: str, **more: Any) -> Draft:
    return alarm(name, entity, phase="updated", **more)


def clear(name: str, entity: str, **more: Any) -> Draft:
    return alarm(name, entity, phase="cleared", **more)


def call(name: str, call_id: str, caller: str | None = None, **more: Any) -> Draft:
    draft = alarm(name, call_id, witness=caller, **more)
    assert isinstance(draft.record, Signal)
    draft.record.signal_id = f"{name}:{call_id}:{call_id}"
    return draft


def _control(kind: str, topic: str, **more: Any) -> Draft:
    return Draft(Control(control=kind, city=CITY, arrival_ts=0, source=Source("", 0, 0), **more), topic, 0)  # type: ignore[arg-type]


def mute(mute_id: str, start: float, stop: float, kind: str = "maintenance", ended: bool = False, **matchers: Any) -> Draft:
    record = Mute(mute_id, kind, Matchers(**matchers), T0 + round(start * 1000), T0 + round(stop * 1000), "duty")  # type: ignore[arg-type]
    return _control("mute", "city.mutes", mute=record, mute_ended=ended)


def feedback(action: str, incident: int | str = 0, **more: Any) -> Draft:
    """``incident``: the n-th incident the timeline has opened so far, or an id."""
    record = Feedback(str(incident), action, "duty", 0, **more)  # type: ignore[arg-type]
    return _control("feedback", "city.feedback", feedback=record)


def silent_share(share: float, partition: int = 0, topic: str = TOPICS["sensor"]) -> Draft:
    draft = _control("tick", topic, silent_fraction=share)
    draft.partition = partition
    return draft


@dataclass(frozen=True)
class between:
    start: float
    stop: float


@dataclass
class Want:
    window: between
    fields: dict[str, Any]


class Timeline:
    """Pushes and wants by seconds; :meth:`run` raises AssertionError with both lists where they differ."""

    def __init__(self, assets: Assets | None = None, book: Any = BOOK, **settings: Any) -> None:
        self.book, self.assets = book, assets or Assets()
        self.stage = IncidentStage(CITY, book, self.assets, msgspec.convert(settings, IncidentSettings))
        self._pushes: list[tuple[float, int, Draft]] = []
        self._wants: list[Want] = []
        self._offsets: dict[tuple[str, int], int] = {}
        self._progressed_s = 0.0
        self.incidents: list[Incident] = []
        self.muted: dict[str, int] = {}
        self.noted: dict[str, int] = {}

    def push(self, at_s: float, *drafts: Draft) -> Timeline:
        self._pushes += [(at_s, len(self._pushes) + i, draft) for i, draft in enumerate(drafts)]
        return self

    def want(self, when: float | between, **fields: Any) -> Timeline:
        """A revision at this time (to the millisecond, or within the window) with these fields, in the order of wanting."""
        self._wants.append(Want(when if isinstance(when, between) else between(when, when), fields))
        return self

    def run(self, until: float) -> list[Incident]:
        self.play(until)
        got = [(round((one.updated_ts - T0) / 1000, 3), one) for one in self.incidents]
        left = list(got)
        for want in self._wants:
            hit = next((entry for entry in left if _is(entry, want)), None)
            assert hit is not None, f"wanted {want}\ngot {_told(got)}"
            left.remove(hit)
        assert not left, f"not wanted {_told(left)}\nof {_told(got)}"
        return self.incidents

    def play(self, until: float) -> list[Incident]:
        """As :meth:`run`, without comparing."""
        for at_s, _, draft in sorted(self._pushes, key=lambda push: push[:2]):
            self._progress(at_s)
            self._process(self.record(at_s, draft))
        self._progress(until + 0.001)
        return self.incidents

    def record(self, at_s: float, draft: Draft) -> Signal | Control:
        """The draft with its times and its place in the log."""
        arrival = T0 + round(at_s * 1000)
        key = (draft.topic, draft.partition)
        self._offsets[key] = offset = self._offsets.get(key, -1) + 1
        source = Source(draft.topic, draft.partition, offset)
        record = msgspec.structs.replace(draft.record, arrival_ts=arrival, source=source)
        if isinstance(record, Signal):
            record.ts = arrival - round(draft.delay_s * 1000)
            if record.signal_id.endswith(":"):
                record.signal_id += str(record.ts)
        elif record.feedback is not None and record.feedback.incident_id.isdigit():
            opened = [one.incident_id for one in self.incidents if one.event == "opened"]
            name = opened[int(record.feedback.incident_id)]
            record.feedback = msgspec.structs.replace(record.feedback, incident_id=name, ts=arrival)
        return record

    def _progress(self, at_s: float) -> None:
        """What sources send while their arrival time moves on: a record every few seconds, and one now."""
        while self._progressed_s < at_s:
            self._progressed_s = min(self._progressed_s + PROGRESS_S, at_s)
            self._process(self.record(self._progressed_s, _control("tick", "city.progress")))

    def _process(self, record: Signal | Control) -> None:
        decided = self.stage.process([record])
        self.incidents += decided.incidents
        for counts, more in ((self.muted, decided.muted), (self.noted, decided.noted)):
            for reason, n in more.items():
                counts[reason] = counts.get(reason, 0) + n


def _is(entry: tuple[float, Incident], want: Want) -> bool:
    at, incident = entry
    if not want.window.start <= at <= want.window.stop:
        return False
    return all(_value(incident, name) == value for name, value in want.fields.items())


def _value(incident: Incident, name: str) -> Any:
    if name == "sources":
        return incident.counts.sources
    if name == "signals":
        return incident.counts.signals
    return getattr(incident, name)


def _told(entries: list[tuple[float, Incident]]) -> str:
    return "\n".join(
        f"  {at:9.3f} {one.event:12} {one.status:12} level {one.level} {one.hazard} {one.why} r{one.revision} {one.incident_id}"
        for at, one in entries
    )
