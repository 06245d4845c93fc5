"""The city of the load run, as a process of its own: readings, positions, video events and calls at a steady rate.

    python -m benchmarks.load_feed --bootstrap B --readings 50000 --positions 2000 --video 200 --calls 50 …

Prints ``ready``, then obeys its input: a line with a number feeds at so many times the rates until the next line; its end is
the end of the feed. Then one JSON line tells what was sent: ``{"sent": {topic: records}, "decided", "stretches"}``.

Sensors speak one after the other and begin anew, so each has the same interval. Those that never cross come by the block
(:mod:`benchmarks.block_feed`), for ten times the rates are more than a client can send; the wells' values are put together from
pieces of bytes. Wells of methane stand 1.5 km apart on a lattice; one after the other they cross their threshold, stay high for
a minute and are calm again. The second high reading decides (``for_count = 2`` of rule gas-methane-well): each is one incident.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import orjson

from benchmarks import machine
from benchmarks.block_feed import ANY_TIME, BlockFeed, Owe, Reading, blocks
from benchmarks.city_feed import CALM, FEEDING, HIGH, ORIGIN, SLICE_S, STEP
from replay.simulate.people import QUIET_CALLS, VIDEO_KINDS
from streams.codec import encode
from streams.kafka import PARTITIONER, Producer
from streams.records import Asset, Period
from streams.topics import topic_name

CITY = "340100"
FLEET = ("bus", "taxi", "muck_truck")
CAMERAS = 2_000
#: Vehicles go round in a circle of this radius (degrees) at 30 km/h.
_ROUND, _RADIANS_S = 0.01, 30 / 3.6 / (0.01 * 111_195)
#: Values of a sensor are drawn from so many; a prime, so that sensors and values do not beat.
_VALUES = 997
#: Blocks are made of so many readings of every sensor, each with another value.
_LAPS = 4
#: A well is high for so long: as many are at any time as cross in it.
_HIGH_S = 60.0
#: A slice that is later than this is left out: what a feeder cannot send it does not owe.
_OWED_S = 1.0


@dataclass
class Stretch:
    """``times`` the rates, for ``seconds``: how much was sent, and the latest a slice was."""

    times: float
    seconds: float = 0.0
    sent: int = 0
    late_s: float = 0.0


@dataclass(frozen=True)
class Size:
    """Rates a second; how many sensors, wells among them, and vehicles there are."""

    readings: float
    positions: float
    video: float
    calls: float
    sensors: int
    vehicles: int
    wells: int

    @property
    def records(self) -> float:
        return self.readings + self.positions + self.video + self.calls

    def words(self) -> list[str]:
        return [word for name, value in asdict(self).items() for word in (f"--{name}", str(value))]


def sensor(number: int, wells: int) -> str:
    return f"WELL-{number:06d}" if number < wells else f"POINT-{number:06d}"


def vehicle(number: int) -> str:
    return f"CAR-{number:05d}"


def metric_of(number: int, wells: int) -> tuple[str, str, float]:
    return ("ch4", "%LEL", 1.0) if number < wells else CALM[number % len(CALM)]


def assets(size: Size) -> Iterator[Asset]:
    """Sensors and vehicles with their intervals; silence is reported after ten of them."""
    every = {"sensor": size.sensors / size.readings, "vehicle": size.vehicles / size.positions}
    side = math.ceil(math.sqrt(max(1, size.wells)))
    rng = np.random.default_rng(3)
    for number in range(size.sensors):
        place = (number // side, number % side) if number < size.wells else rng.uniform(0, side, 2)
        lat, lon = (round(origin + STEP * float(steps), 6) for origin, steps in zip(ORIGIN, place, strict=True))
        metric, unit, _ = metric_of(number, size.wells)
        about = Period(0, city=CITY, lat=lat, lon=lon, metric=metric, unit=unit, **_pace(every["sensor"]))
        yield Asset(sensor(number, size.wells), "sensor", [about])
    for number in range(size.vehicles):
        yield Asset(vehicle(number), "vehicle", [Period(0, city=CITY, **_pace(every["vehicle"]))])


def register(bootstrap: str, size: Size) -> None:
    """Tell the registry of all of them."""
    with Producer(bootstrap) as producer:
        for asset in assets(size):
            producer.send(topic_name("registry"), encode(asset), asset.asset_id)
        producer.flush_acknowledged(120)


def _pace(every_s: float) -> dict[str, Any]:
    return {"interval_s": every_s, "report_after_s": max(60.0, 10 * every_s)}


class LoadFeed:
    """``times`` may be set from outside at any moment; None ends :meth:`run`."""

    def __init__(self, size: Size, producer: Any, opens: float) -> None:
        self.size, self.opens = size, opens
        self._owe: Owe | None = None
        self.times: float | None = 0.0
        self.stretches: list[Stretch] = []
        self.sent: Counter[str] = Counter()
        self.producer = producer
        self._topics = {
            base: topic_name(base) for base in ("sensor.readings", "vehicle.positions", "video.events", "hotline.calls")
        }
        self._rng = np.random.default_rng(11)
        # In an order that is nobody's: the wells come evenly among the others.
        self._wells = self._rng.permutation(size.wells).tolist()
        self._points = (size.wells + self._rng.permutation(size.sensors - size.wells)).tolist()
        self._keys = [sensor(number, size.wells).encode() for number in range(size.sensors)]
        self._heads = [b'{"sensor_id":"%s","ts":' % key for key in self._keys]
        self._tails = {metric: self._values(metric, unit, usual) for metric, unit, usual in (*CALM, ("ch4", "%LEL", 1.0))}
        self._of = [self._tails[metric_of(number, size.wells)[0]] for number in range(size.sensors)]
        self._high = _tail("ch4", "%LEL", HIGH)
        self._crossed = [0] * size.wells
        #: Records that were due so far, with the fraction of the next one.
        self._due: dict[str, float] = dict.fromkeys((*self._topics, "wells", "points"), 0.0)
        self._homes = (self._rng.uniform(0, 1, (size.vehicles, 2)) + ORIGIN).tolist()
        self._fed_s = 0.0

    def by_the_block(self, owe: Owe) -> None:
        """From now on ``owe`` sends the readings of :meth:`points`, and not the producer."""
        self._owe = owe

    @property
    def decided(self) -> int:
        """Wells whose second high reading was sent: so many incidents must be opened."""
        return sum(count >= 2 for count in self._crossed)

    def _values(self, metric: str, unit: str, usual: float) -> list[bytes]:
        noise = 0.1 if metric == "ch4" else 0.01
        return [_tail(metric, unit, usual * (1 + noise * float(one))) for one in self._rng.normal(0.0, 1.0, _VALUES)]

    # --- in real time -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        while (times := self.times) is not None:
            if times:
                self._stretch(times)
            else:
                time.sleep(SLICE_S)
        self.producer.flush(60)

    def points(self, laps: int = 1) -> Iterator[Reading]:
        """Readings of the sensors that never cross, in the order of their turns, with no time yet."""
        for number in range(laps * len(self._points)):
            who = self._points[number % len(self._points)]
            yield self._keys[who], self._heads[who] + ANY_TIME + self._of[who][number * 7919 % _VALUES]

    def _stretch(self, times: float) -> None:
        """At one rate, until another one is asked for."""
        stretch = Stretch(times)
        self.stretches.append(stretch)
        began = due = time.monotonic()
        before = self.sent.total()
        while self.times == times:
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            stretch.late_s = max(stretch.late_s, -wait)
            if wait < -_OWED_S:
                due = time.monotonic()
            self.slice(times, SLICE_S)
            due += SLICE_S
            self.producer.poll(0)
        stretch.seconds, stretch.sent = time.monotonic() - began, self.sent.total() - before

    def slice(self, times: float, seconds: float) -> None:
        """What comes in so many seconds at ``times`` the rates, with one stamp."""
        ts = time.time_ns() // 1_000_000
        size = self.size
        self._fed_s += seconds
        seconds *= times
        each = size.readings * seconds / size.sensors
        self._readings(self._count("wells", each * len(self._wells)), self._wells, b"%d" % ts)
        if self._owe is None:
            self._readings(self._count("points", each * len(self._points)), self._points, b"%d" % ts)
        else:
            self.sent[self._topics["sensor.readings"]] += self._owe(each * len(self._points), ts)
        for number in self._count("vehicle.positions", size.positions * seconds):
            self._position(number % size.vehicles, ts)
        for number in self._count("video.events", size.video * seconds):
            self._event(number, ts)
        for number in self._count("hotline.calls", size.calls * seconds):
            self._call(number, ts)

    def _count(self, base: str, more: float) -> range:
        """Numbers of the records that are due; the fraction is kept for the next slice."""
        first = math.floor(self._due[base])
        self._due[base] += more
        return range(first, math.floor(self._due[base]))

    # --- records ----------------------------------------------------------------------------------------------------------

    def _readings(self, numbers: range, turns: list[int], ts: bytes) -> None:
        size, of, topic = self.size, self._of, self._topics["sensor.readings"]
        keys, heads = self._keys, self._heads
        crossed = self._fed_s * self.opens
        calm = crossed - _HIGH_S * self.opens
        for number in numbers:
            who = turns[number % len(turns)]
            if who < size.wells and calm <= who < crossed:
                self._crossed[who] += 1
                tail = self._high
            else:
                tail = of[who][number * 7919 % _VALUES]
            self._send(topic, heads[who] + ts + tail, keys[who])

    def _position(self, who: int, ts: int) -> None:
        angle = ts / 1000 * _RADIANS_S + who
        lat, lon = self._homes[who]
        fix = {
            "vehicle_id": vehicle(who),
            "kind": FLEET[who % len(FLEET)],
            "ts": ts,
            "lat": round(lat + _ROUND * math.sin(angle), 6),
            "lon": round(lon + _ROUND * math.cos(angle), 6),
            "speed_kmh": 30.0,
        }
        self._send(self._topics["vehicle.positions"], orjson.dumps(fix), fix["vehicle_id"])

    def _event(self, number: int, ts: int) -> None:
        """What no algorithm is sure of."""
        place = number % CAMERAS
        camera = f"CAM-{place:04d}"
        kind, confidence = VIDEO_KINDS[place % len(VIDEO_KINDS)], 0.2 + 0.3 * (number % 100) / 100
        event = {"event_id": f"E-{number:08d}", "camera_id": camera, "ts": ts, "kind": kind, "confidence": confidence}
        self._send(self._topics["video.events"], orjson.dumps(event), camera)

    def _call(self, number: int, ts: int) -> None:
        line, text = QUIET_CALLS[number % len(QUIET_CALLS)]
        call = {"call_id": f"C-{number:08d}", "ts": ts, "line": line, "text": text, "caller": f"139{number % 10**8:08d}"}
        self._send(self._topics["hotline.calls"], orjson.dumps(call), call["call_id"])

    def _send(self, topic: str, value: bytes, key: Any) -> None:
        while True:
            try:
                self.producer.produce(topic, value, key)
                break
            except BufferError:
                self.producer.poll(0.01)
        self.sent[topic] += 1


def _tail(metric: str, unit: str, value: float) -> bytes:
    return f',"metric":"{metric}","value":{value:.3f},"unit":"{unit}"}}'.encode()


def _obey(feed: LoadFeed) -> None:
    for line in sys.stdin:
        feed.times = float(line)
    feed.times = None


def main() -> int:
    import confluent_kafka

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--opens", type=float, default=10.0, help="wells a second that cross their threshold (%(default)s)")
    for name in ("readings", "positions", "video", "calls"):
        parser.add_argument(f"--{name}", type=float, required=True, help="a second")
    for name in ("sensors", "vehicles", "wells"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = vars(parser.parse_args())
    machine.die_with_parent()
    bootstrap, opens = given.pop("bootstrap"), given.pop("opens")
    # Without a report per record, which would cost more than the record: what arrived is counted in the log.
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            **FEEDING,
            "partitioner": PARTITIONER,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 0,
        }
    )
    feed = LoadFeed(Size(**given), producer, opens)
    topic = topic_name("sensor.readings")
    partitions = len(producer.list_topics(topic, timeout=30).topics[topic].partitions)
    by_block = BlockFeed(bootstrap, topic, blocks(feed.points(_LAPS), partitions))
    feed.by_the_block(by_block.owe)
    print("ready", flush=True)
    threading.Thread(target=_obey, args=(feed,), daemon=True).start()
    feed.run()
    by_block.flush()
    told = {"sent": dict(feed.sent), "decided": feed.decided, "stretches": [asdict(one) for one in feed.stretches]}
    print(json.dumps(told), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
