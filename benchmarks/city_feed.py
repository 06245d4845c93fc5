"""The city of the latency run: 2,000 sensors with one reading a second each; some cross their threshold every second.

Methane wells stand on a lattice 1.5 km apart, so every one that crosses is an incident of its own; the other sensors tell of
water pressure, flow and noise and stay calm. A well that crosses stays high: its second reading above 20 %LEL decides
(``for_count = 2`` of rule gas-methane-well).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from streams.codec import encode
from streams.kafka import Producer
from streams.records import Asset, Period

#: A spoonful every so often: what a collecting gateway sends.
SLICE_S = 0.01
ORIGIN = (31.4, 116.6)
STEP = 0.015
CALM = (("water_pressure", "MPa", 0.32), ("water_flow", "m3/h", 80.0), ("noise", "dB", 52.0))
HIGH = 62.5

#: How feeders write, as librdkafka takes it: one request at a time, so that order holds without idempotence. An idempotent
#: producer of librdkafka looks for the broker's answers without ever waiting. Here it shares a core with the broker, and the
#: two were seen to stand still.
FEEDING: dict[str, Any] = {"enable.idempotence": False, "max.in.flight.requests.per.connection": 1}


class CityFeed:
    """``rate`` readings a second for ``seconds``, of which ``opens`` wells a second cross after ``calm_s``."""

    def __init__(self, rate: int, opens: int, seconds: float, calm_s: float) -> None:
        self.rate, self.opens, self.seconds, self.calm_s = rate, opens, seconds, calm_s
        self.wells = min(rate, round(opens * (seconds - calm_s)) + opens)
        self.sent = 0
        #: Longest a slice was late: a feeder that lags measures itself.
        self.late_s = 0.0
        #: High readings of each well; the second one decides.
        self.high = [0] * self.wells

    @property
    def decided(self) -> int:
        """Wells whose second high reading was sent: so many incidents must be opened."""
        return sum(count >= 2 for count in self.high)

    def _place(self, number: int) -> tuple[float, float]:
        side = int(np.ceil(np.sqrt(self.rate)))
        return ORIGIN[0] + STEP * (number // side), ORIGIN[1] + STEP * (number % side)

    def assets(self) -> list[Asset]:
        found = []
        for number in range(self.rate):
            metric, unit, _ = ("ch4", "%LEL", 0.0) if number < self.wells else CALM[number % len(CALM)]
            lat, lon = self._place(number)
            found.append(
                Asset(
                    self._name(number),
                    "sensor",
                    [Period(0, lat=lat, lon=lon, city="340100", metric=metric, unit=unit, interval_s=1.0)],
                )
            )
        return found

    def _name(self, number: int) -> str:
        return f"WELL-{number:05d}" if number < self.wells else f"POINT-{number:05d}"

    def send_registry(self, producer: Producer, topic: str) -> None:
        for asset in self.assets():
            producer.send(topic, encode(asset), asset.asset_id)
        producer.flush_acknowledged(30)

    def run(self, producer: Producer, topic: str, stop: Callable[[], bool]) -> None:
        """Feed in real time; each sensor has its own moment of the second."""
        rng = np.random.default_rng(11)
        slices = round(1 / SLICE_S)
        per_slice = self.rate // slices
        began = time.monotonic()
        for number in range(round(self.seconds * slices)):
            due = began + number * SLICE_S
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self.late_s = max(self.late_s, -wait)
            if stop():
                return
            second = number / slices
            crossed = max(0.0, second - self.calm_s) * self.opens
            noise = rng.normal(0.0, 1.0, per_slice)
            ts = time.time_ns() // 1_000_000
            for k in range(per_slice):
                # 73 has no factor with the slices of a second: neighbours speak far apart, so crossings come evenly.
                sensor = (number * 73) % slices + slices * k
                if sensor < self.wells:
                    high = sensor < crossed
                    self.high[sensor] += high
                    metric, unit, value = "ch4", "%LEL", HIGH if high else 1.0 + 0.1 * float(noise[k])
                else:
                    metric, unit, usual = CALM[sensor % len(CALM)]
                    value = usual * (1 + 0.01 * float(noise[k]))
                name = self._name(sensor)
                record = {"sensor_id": name, "ts": ts, "metric": metric, "value": round(value, 3), "unit": unit}
                producer.send(topic, orjson.dumps(record), name)
                self.sent += 1


def keep_feeding(feed: CityFeed, producer: Producer, topic: str, stop: threading.Event) -> threading.Thread:
    """Run the feed in a thread of its own."""
    thread = threading.Thread(target=feed.run, args=(producer, topic, stop.is_set), name="bench-feed", daemon=True)
    thread.start()
    return thread
