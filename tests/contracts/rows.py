"""Rows of every stream for the contract tests, extreme ones among them, and a way to play them as the detect stage does."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from detectors.base import Detector
from detectors.series import Series
from streams.batch import Batch, rounds
from streams.records import HotlineCall, Reading, VehicleFix, VideoEvent

START = 1_700_000_000_000
COLUMNS = {
    "sensor": ("value", "lat", "lon"),
    "group": ("value", "lat", "lon"),
    "vehicle": ("lat", "lon", "speed_kmh", "heading_deg", "accuracy_m", "alarm_bits", "status_bits"),
    "video": ("confidence", "lat", "lon", "count"),
    "hotline": ("lat", "lon"),
}
#: States of a truck as the detectors of vehicles read them (detectors/fixes.py); unknown is NaN.
CODED: dict[str, tuple[str, dict[str, float]]] = {
    "load": ("load_state", {"empty": 0.0, "half": 1.0, "full": 2.0}),
    "lid": ("lid_state", {"closed": 0.0, "open": 1.0}),
    "hopper": ("hopper_state", {"down": 0.0, "up": 1.0}),
}
EXTREME = (0.0, -0.0, 5e-324, -1.0, 1e-9, 1e9, 1.7976931348623157e308, -1.7976931348623157e308)
TEXTS = (
    "",
    "小区里有煤气味，很浓",
    "路面塌陷了一个大坑",
    "manhole cover missing",
    "😀" * 200,
    "\u202e燃气\u0000",
    "谢谢",
    "没水了 no water",
)


@dataclass
class Row:
    slot: int
    ts: int
    arrival: int
    record: Any


def series_of(stream: str, slots: int) -> list[Series]:
    """Series as the registry might know them: some with limits and intervals, some it has never heard of."""
    return [
        Series(
            entity=f"{stream}-{slot}",
            metric="water_pressure" if stream in ("sensor", "group") else None,
            stream=stream,
            registered=slot % 3 != 2,
            city="340100",
            lat=31.82 + slot * 0.01,
            lon=117.22,
            unit="MPa",
            kind={"video": "smoke", "vehicle": "muck_truck", "hotline": "12345"}.get(stream),
            interval_s=5.0 if slot % 3 == 0 else None,
            report_after_s=12.0 if slot % 3 == 1 else None,
            limits={"high": 0.4, "speed_kmh": 40.0} if slot % 2 == 0 else {},
            attributes={"well": "sewage", "allowed_fences": ["fence-1"]} if slot % 2 else {},
        )
        for slot in range(slots)
    ]


def generate(stream: str, seed: int, count: int, slots: int, extreme: bool = True) -> list[Row]:
    """``count`` rows in arrival order; event time is sometimes repeated and sometimes old."""
    rng = random.Random(seed)
    arrival, newest = START, [START] * slots
    rows = []
    for n in range(count):
        arrival += rng.choice((0, 0, 7, 300, 1000, 2500, 40_000 if rng.random() < 0.05 else 500))
        slot = rng.randrange(slots)
        ts = arrival - rng.choice((0, 0, 40, 2000, 90_000 if rng.random() < 0.1 else 10))
        newest[slot] = max(newest[slot], ts)
        rows.append(Row(slot, ts, arrival, _record(stream, slot, n, ts, rng, extreme)))
    return rows


def _record(stream: str, slot: int, n: int, ts: int, rng: random.Random, extreme: bool) -> Any:
    odd = extreme and rng.random() < 0.15
    lat = rng.choice((31.82 + slot * 0.01 + rng.gauss(0, 0.004), 89.9, -89.9, 0.1)) if odd else 31.82 + slot * 0.01
    lon = rng.choice((117.2, 179.99, -179.99)) if odd else 117.22 + rng.gauss(0, 0.004)
    if stream in ("sensor", "group"):
        value = rng.choice(EXTREME) if odd else round(0.3 + rng.gauss(0, 0.02), 3)
        member = f"{stream}-{slot}" if stream == "sensor" else f"member-{slot}-{rng.randrange(3)}"
        return Reading(member, ts, "water_pressure", value, "MPa", seq=n)
    if stream == "vehicle":
        return VehicleFix(
            f"vehicle-{slot}",
            ts,
            lat,
            lon,
            speed_kmh=None if rng.random() < 0.2 else rng.choice((0.0, 20.0, 39.9, 55.0, 1e9 if odd else 70.0)),
            heading_deg=rng.choice((None, 0.0, 359.9)),
            kind="muck_truck",
            alarm_bits=rng.choice((0, 1, 2, 2**31)),
            status_bits=rng.choice((None, 0, 3)),
            load_state=rng.choice(("empty", "half", "full", "unknown")),
            lid_state=rng.choice(("closed", "open", "unknown")),
            hopper_state=rng.choice(("down", "up", "unknown")),
            accuracy_m=rng.choice((None, 0.0, 8.0, 1e7)),
        )
    if stream == "video":
        return VideoEvent(
            f"event-{n}",
            f"video-{slot}",
            ts,
            "smoke",
            rng.choice((0.0, 0.3, 0.75, 0.9, 1.0)),
            lat,
            lon,
            track_id=rng.choice((None, "a", "b")),
            count=rng.choice((None, 0, 3, 2**40)),
            end_ts=rng.choice((None, ts + 1000)),
        )
    return HotlineCall(
        f"call-{n}",
        ts,
        "12345",
        rng.choice(TEXTS),
        rng.choice((None, "gas")),
        None,
        lat,
        lon,
        caller=rng.choice((None, "a***1")),
    )


def batch_of(stream: str, rows: Sequence[Row], first: int, late: Sequence[bool]) -> Batch:
    n = len(rows)
    columns = {}
    for name in COLUMNS[stream]:
        values = [getattr(row.record, name) for row in rows]
        columns[name] = np.array([np.nan if value is None else float(value) for value in values])
    for name, (attribute, codes) in CODED.items() if stream == "vehicle" else ():
        columns[name] = np.array([codes.get(getattr(row.record, attribute), np.nan) for row in rows])
    return Batch(
        stream,
        np.array([row.slot for row in rows], dtype=np.int32),
        np.array([row.ts for row in rows], dtype=np.int64),
        np.array([row.arrival for row in rows], dtype=np.int64),
        np.arange(first, first + n, dtype=np.int64),
        np.zeros(n, dtype=np.int32),
        np.array(late, dtype=np.bool_),
        [row.record for row in rows],
        columns,
    )


def sealed(batch: Batch) -> Batch:
    """The batch with arrays nobody can write into: rules that watch every row share them."""
    for array in (batch.slot, batch.ts, batch.arrival, batch.offset, batch.part, batch.late, *batch.columns.values()):
        array.setflags(write=False)
    return batch


Said = dict[tuple[Any, ...], tuple[float, float, float, str]]


class Play:
    """Shows rows to one detector as the detect stage does: ticks on the one-second grid, rounds, late rows where taken."""

    def __init__(self, detector: Detector[Any], stream: str, slots: int) -> None:
        self.detector, self.stream = detector, stream
        self.said: Said = {}
        self._tick = START // 1000 * 1000
        self._newest: dict[int, int] = {}
        self._count = 0
        detector.grow(slots)
        detector.changed(range(slots))

    def resume(self, detector: Detector[Any]) -> None:
        """Go on with another detector that has taken over the state."""
        self.detector = detector

    def show(self, rows: Sequence[Row], cuts: Iterable[int] = ()) -> Said:
        """All rows, cut into batches before the given positions and, as the stage does for detectors with timers, at every grid
        second."""
        wanted, start = set(cuts), 0
        for i in range(1, len(rows) + 1):
            ticks = type(self.detector).due is not Detector.due
            second_over = i < len(rows) and ticks and rows[i].arrival // 1000 != rows[start].arrival // 1000
            if i == len(rows) or i in wanted or second_over:
                self._pass_time(rows[start].arrival)
                self._batch(rows[start:i])
                start = i
        return self.said

    def _pass_time(self, until: int) -> None:
        while True:
            due = self.detector.due()
            if due is None:
                break
            at = max(self._tick + 1000, -(-due // 1000) * 1000)
            if at > until:
                break
            self._tick = at
            told = self.detector.tick(at)
            if told is not None:
                assert told.slot is not None
                self._note([("tick", at, int(slot)) for slot in told.slot], told)
        self._tick = max(self._tick, until // 1000 * 1000)

    def _batch(self, rows: Sequence[Row]) -> None:
        late = []
        for row in rows:
            late.append(row.ts < self._newest.get(row.slot, row.ts))
            self._newest[row.slot] = max(row.ts, self._newest.get(row.slot, row.ts))
        batch = batch_of(self.stream, rows, self._count, late)
        names = np.arange(self._count, self._count + len(rows))
        self._count += len(rows)
        if not self.detector.takes_late:
            keep = np.flatnonzero(~batch.late)
            batch, names = batch.take(keep), names[keep]
        pieces = [np.arange(len(batch))] if self.detector.repeats and len(batch) else rounds(batch.slot)
        for piece in pieces:
            told = self.detector.measure(sealed(batch.take(piece)))
            assert len(told.measure) == len(piece)
            self._note([("row", int(name)) for name in names[piece]], told)

    def _note(self, names: list[tuple[Any, ...]], told: Any) -> None:
        for i, name in enumerate(names):
            numbers = [float("nan") if part is None else float(part[i]) for part in (told.measure, told.expected, told.score)]
            text = told.explain(i) if told.explain is not None and numbers[0] == numbers[0] else ""
            self.said[name] = (numbers[0], numbers[1], numbers[2], text)


def through_bytes(snapshot: Any) -> Any:
    """A snapshot as a checkpoint keeps it: msgpack, arrays as typed bytes."""

    def out(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            assert value.dtype != object, "an array of objects cannot be kept without pickle"
            return {"__array__": [value.dtype.str, list(value.shape), value.tobytes()]}
        if isinstance(value, dict):
            return {key: out(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [out(part) for part in value]
        assert value is None or isinstance(value, (bool, int, float, str, bytes)), f"{type(value)} in a snapshot"
        return value

    def back(value: Any) -> Any:
        if isinstance(value, dict) and "__array__" in value:
            kind, shape, data = value["__array__"]
            return np.frombuffer(data, dtype=kind).reshape(shape)
        if isinstance(value, dict):
            return {key: back(part) for key, part in value.items()}
        return [back(part) for part in value] if isinstance(value, list) else value

    return back(msgspec.msgpack.decode(msgspec.msgpack.encode(out(snapshot))))


def same(a: Said, b: Said) -> bool:
    """Equal to the last digit: NaN equals NaN, and so does every word."""
    return a.keys() == b.keys() and all(
        one[3] == other[3] and np.array_equal(one[:3], other[:3], equal_nan=True)
        for one, other in ((a[name], b[name]) for name in a)
    )


def alike(a: Any, b: Any) -> bool:
    """Two snapshots equal to the last digit, whatever they are made of; NaN equals NaN."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(alike(part, b[key]) for key, part in a.items())
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return bool(a == b) or (a != a and b != b)
