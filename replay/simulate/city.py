"""The simulated city: one stream of wire records in the order of arrival, with registry and truth.

>>> city = City(seed=1, start_ts=1_750_000_000_000, hours=0.1, sensors=60, vehicles=10, cameras=5, recipes=())
>>> wires = list(city.stream())
>>> all(a.arrival_ts <= b.arrival_ts for a, b in zip(wires, wires[1:]))
True
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from replay.simulate.effects import Hazard
from replay.simulate.faults import FaultRates, Network
from replay.simulate.fleet import Fleet
from replay.simulate.hazards import LASTS_MIN, LEARNED_MIN, RECIPES, Scene
from replay.simulate.layout import Layout
from replay.simulate.people import QuietCameras, QuietPeople
from replay.simulate.rhythm import Rhythm

CHUNK_MS = 300_000
READINGS, POSITIONS, VIDEO, CALLS = "sensor.readings", "vehicle.positions", "video.events", "hotline.calls"


@dataclass(slots=True)
class Wire:
    """One record as a producer would send it; ``topic`` without prefix."""

    arrival_ts: int
    topic: str
    key: bytes | None
    value: bytes


class City:
    """A city of a given size for some hours.

    ``recipes`` are names of :data:`replay.simulate.hazards.RECIPES`, each injected once (default: all that the city has time
    for), at times drawn between ``quiet_s`` after the start and early enough before the end; ``at_s`` fixes the seconds.
    ``pace`` divides the intervals of sensors (and shortens nothing else), ``fix_s`` is the interval of vehicle fixes.
    """

    def __init__(
        self,
        seed: int,
        start_ts: int,
        hours: float = 24.0,
        sensors: int = 2_000,
        vehicles: int = 300,
        cameras: int = 100,
        recipes: Sequence[str] | None = None,
        at_s: Sequence[float] | None = None,
        pace: float = 1.0,
        fix_s: float = 20.0,
        faults: FaultRates | None = None,
        quiet_s: float = 1_800.0,
    ) -> None:
        streams = np.random.default_rng(seed).spawn(7)
        self.seed, self.start_ts, self.end_ts = seed, start_ts, start_ts + int(hours * 3_600_000)
        self.layout = Layout(streams[0], sensors, vehicles, cameras, pace, fix_s)
        self._rhythm = Rhythm(streams[1], self.layout.sensors, start_ts)
        self._fleet = Fleet(streams[2], self.layout, fix_s)
        self._people = QuietPeople(streams[3], self.layout)
        self._cameras = QuietCameras(streams[4], self.layout)
        self._network = Network(streams[5], faults or FaultRates(), len(self.layout.sensors))
        self.hazards = self._plan(streams[6], list(RECIPES) if recipes is None else list(recipes), at_s, quiet_s)
        self._heads = [
            orjson.dumps({"sensor_id": s.id, "metric": s.facts["metric"], "unit": s.facts["unit"]})[:-1] + b',"ts":'
            for s in self.layout.sensors
        ]
        self._keys = [s.id.encode() for s in self.layout.sensors]
        decimals = [
            max(0, len(f"{s.sensor_kind.step:.6f}".rstrip("0").split(".")[1])) for s in self.layout.sensors if s.sensor_kind
        ]
        self._decimals = decimals
        #: Of each sensor: whether it shows a hazard.
        self._shown = np.zeros(len(self.layout.sensors), dtype=np.bool_)
        for hazard in self.hazards:
            self._shown[[bend.sensor for bend in hazard.bends]] = True
            self._shown[[loss.sensor for loss in hazard.losses]] = True
            for setback in hazard.setbacks:
                self._rhythm.set_back(setback.sensor, setback.at_ts, setback.share)

    def _plan(self, rng: np.random.Generator, names: list[str], at_s: Sequence[float] | None, quiet_s: float) -> list[Hazard]:
        unknown = sorted(set(names) - set(RECIPES))
        if unknown:
            raise ValueError(f"no recipe is called {', '.join(unknown)}; there are {', '.join(RECIPES)}")
        scene = Scene(rng, self.layout, self._people, self._cameras)
        if at_s is None:
            names, at_s = self._times(rng, names, quiet_s)
        return [RECIPES[name](scene, self.start_ts + int(1000 * at)) for name, at in zip(names, at_s, strict=True)]

    def _times(self, rng: np.random.Generator, names: list[str], quiet_s: float) -> tuple[list[str], list[float]]:
        """When each recipe begins; those that last or learn longer than the city has room for are left out.

        The last two hours stay free: every hazard has ended, and every incident had time to resolve.
        """
        whole_s = (self.end_ts - self.start_ts) / 1000
        end_s = whole_s - 7_200.0
        plan = []
        for name in names:
            first = max(quiet_s, 60.0 * LEARNED_MIN[name])
            room = end_s - first - 60.0 * LASTS_MIN[name]
            draw = rng.random()
            learned = LEARNED_MIN[name] == 0 or 60.0 * (LEARNED_MIN[name] + LASTS_MIN[name]) <= whole_s
            if room > 0 or (LASTS_MIN[name] <= 120.0 and learned):
                plan.append((first + draw * max(room, 60.0), name))
        plan.sort()
        return [name for _, name in plan], [at for at, _ in plan]

    @property
    def registry(self) -> list[dict[str, Any]]:
        """Wire assets for ``city.registry``."""
        return self.layout.assets()

    @property
    def truth(self) -> list[dict[str, Any]]:
        """Rows of truth.jsonl."""
        return [hazard.truth() for hazard in self.hazards]

    def stream(self) -> Iterator[Wire]:
        """Every record of the city, in the order of arrival."""
        waiting: list[Wire] = []
        for start in range(self.start_ts, self.end_ts, CHUNK_MS):
            stop = min(start + CHUNK_MS, self.end_ts)
            waiting.extend(self._chunk(start, stop))
            waiting.sort(key=lambda wire: wire.arrival_ts)
            ready = next((i for i, wire in enumerate(waiting) if wire.arrival_ts >= stop), len(waiting))
            yield from waiting[:ready]
            waiting = waiting[ready:]
        # What would arrive after the end is left out: a log that goes on with late records only looks like an outage of all.

    def _chunk(self, start: int, stop: int) -> Iterator[Wire]:
        active = [h for h in self.hazards if h.from_ts < stop and start < h.to_ts + 3_600_000]
        yield from self._readings(start, stop, active)
        yield from self._fixes(start, stop, active)
        calls = self._people.between(start, stop) + [c for h in active for c in h.calls if start <= c["ts"] < stop]
        events = self._cameras.between(start, stop) + [v for h in active for v in h.video if start <= v["ts"] < stop]
        yield from self._records(CALLS, "call_id", calls)
        yield from self._records(VIDEO, "camera_id", events)

    def _readings(self, start: int, stop: int, active: Sequence[Hazard]) -> Iterator[Wire]:
        bends = [b for h in active for b in h.bends if b.from_ts < stop and start < b.to_ts]
        hushes = [q for h in active for q in h.hushes if q.from_ts < stop and start < q.to_ts]
        losses = [loss for h in active for loss in h.losses if loss.from_ts < stop and start < loss.to_ts]
        bent = {bend.sensor for bend in bends}
        sent = 0
        for drawn in self._rhythm.between(start, stop):
            interval = self._rhythm.intervals[drawn.index]
            # A hazard must not be undone by an accidental gap of the very sensor that shows it.
            keep = self._network.kept(drawn.index, drawn.ts, interval) | self._shown[drawn.index]
            for hush in hushes:
                keep &= ~(np.isin(drawn.index, list(hush.sensors)) & (drawn.ts >= hush.from_ts) & (drawn.ts < hush.to_ts))
            for loss in losses:
                own = drawn.index == loss.sensor
                keep[own] &= loss.passes(drawn.ts[own], self._rhythm.interval_ms(loss.sensor))
            if bent:
                for bend in bends:
                    keep &= ~((drawn.index == bend.sensor) & (drawn.ts >= bend.from_ts) & (drawn.ts < bend.to_ts))
            index, ts, value = drawn.index[keep], drawn.ts[keep], drawn.value[keep]
            sent += len(index)
            yield from self._wires(index, ts, value)
        for bend in bends:
            yield from self._bend(bend, start, stop)
        for garbage in self._network.garbage(sent):
            yield Wire(int(self._network.rng.integers(start, stop)), READINGS, b"garbage", garbage)

    def _bend(self, bend: Any, start: int, stop: int) -> Iterator[Wire]:
        step = min(bend.interval_ms or 2**60, self._rhythm.interval_ms(bend.sensor))
        first = bend.from_ts + -(-(max(start, bend.from_ts) - bend.from_ts) // step) * step
        ts = np.arange(first, min(stop, bend.to_ts), step, dtype=np.int64)
        if not len(ts):
            return
        kind = self.layout.sensors[bend.sensor].sensor_kind
        normal = float(self._rhythm.normal[bend.sensor])
        noise = self._rhythm.rng.standard_normal(len(ts)) * (kind.noise if kind else 0.0) * 0.3
        value = np.array([bend.shape((t - bend.from_ts) / 1000.0, normal) for t in ts.tolist()])
        # Noise may blur the plateau but not carry it back under the threshold it stands above.
        if not bend.still:
            value = value + np.sign(value - normal) * np.abs(noise)
        if kind is not None:
            value = np.clip(value, kind.floor, kind.ceiling)
        yield from self._wires(np.full(len(ts), bend.sensor), ts, value)

    def _wires(self, index: Any, ts: Any, value: Any) -> Iterator[Wire]:
        arrival = self._network.arrivals(ts)
        again = self._network.duplicated(len(ts))
        heads, keys, decimals = self._heads, self._keys, self._decimals
        for i, t, v, a, twice in zip(
            index.tolist(), ts.tolist(), value.tolist(), arrival.tolist(), again.tolist(), strict=True
        ):
            body = b'%b%d,"value":%b}' % (heads[i], t, f"{v:.{decimals[i]}f}".encode())
            yield Wire(a, READINGS, keys[i], body)
            if twice:
                yield Wire(a + 1_500, READINGS, keys[i], body)

    def _fixes(self, start: int, stop: int, active: Sequence[Hazard]) -> Iterator[Wire]:
        detours = [d for h in active for d in h.detours if d.from_ts < stop and start < d.to_ts]
        hushes = [q for h in active for q in h.hushes if q.vehicles and q.from_ts < stop and start < q.to_ts]
        step = int(self._fleet.fix_s * 1000)
        for base in range(-(-(start - self.start_ts) // step) * step + self.start_ts, stop, step):
            self._fleet.step()
            records = []
            for vehicle in range(len(self._fleet.vehicles)):
                ts = base + (vehicle * 7_919) % step
                record = self._fleet.fix(vehicle) | {"ts": ts}
                for detour in detours:
                    if detour.vehicle == vehicle and detour.from_ts <= ts < detour.to_ts:
                        record = detour.drive((ts - detour.from_ts) / 1000.0, record)
                if not any(vehicle in q.vehicles and q.from_ts <= ts < q.to_ts for q in hushes):
                    records.append(record)
            yield from self._records(POSITIONS, "vehicle_id", records)

    def _records(self, topic: str, key: str, records: Iterable[dict[str, Any]]) -> Iterator[Wire]:
        rows = list(records)
        if not rows:
            return
        arrival = self._network.arrivals(np.array([row["ts"] for row in rows], dtype=np.int64))
        again = self._network.duplicated(len(rows))
        for row, a, twice in zip(rows, arrival.tolist(), again.tolist(), strict=True):
            body = orjson.dumps(row)
            yield Wire(a, topic, row[key].encode(), body)
            if twice:
                yield Wire(a + 1_500, topic, row[key].encode(), body)
