"""``python -m tests.topologies.checkpoints_of_before.make``: checkpoints as this version writes them, for those that come.

Run by the last commit before :data:`topologies.checkpoints.FORMAT` is raised. Three hours of a small simulated city go through
the default rulebook; beside the checkpoints stand the rules and the registry they were decided with.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec

from alert_sinks.outbox import Outbox
from alert_sinks.routing import Route, Routing
from detectors.rulebook import RuleBook
from replay.simulate.city import City
from streams.batch import RawBatch
from streams.records import Asset
from streams.registry import Registry
from tests.alert_sinks.incidents import Scripted
from topologies.checkpoints import FORMAT, MemoryStore, ShardKey, encode
from topologies.crash_points import CrashPoints
from topologies.detect import DetectStage
from topologies.incident import IncidentStage
from topologies.metrics import Metrics
from topologies.settings_stages import DetectSettings
from topologies.worker_detect import DetectShard
from topologies.worker_incident import IncidentShard
from topologies.worker_shard import ShardPlace
from topologies.worker_versions import Versions

FOLDER = Path(__file__).parent
DETECT = ShardKey("detect", "city.sensor.readings", 0)
INCIDENT = ShardKey("incident", "city.signals", 0)
SETTINGS = DetectSettings(default_city="340100")
START = 1_700_000_000_000
_HAZARDS = ("GAS-01", "GAS-02", "MHC-01", "LGT-01", "RD-01", "GAS-01")


def write(folder: Path) -> None:
    at_s = [1_800.0 + 900.0 * number for number in range(len(_HAZARDS))]
    city = City(7, START, 3.0, sensors=150, vehicles=30, cameras=20, pace=4.0, recipes=_HAZARDS, at_s=at_s)
    rules = RuleBook.default()
    assets = msgspec.convert(city.registry, list[Asset])
    registry = Registry.from_assets(assets, 1)
    versions = Versions(MemoryStore(), lambda _: registry)
    versions.use(rules, registry)
    said: list[bytes] = []
    detect = DetectShard(
        ShardPlace(DETECT, 3, "a-cluster", 1, 0), DetectStage(DETECT.topic, 0, rules, registry, SETTINGS), rules, registry,
        send=lambda topic, value, *_: said.append(value) if topic == INCIDENT.topic else None,
        metrics=Metrics(), prefix="city.", skew_ms=0, playback=False, points=CrashPoints(),
    )  # fmt: skip
    readings = [wire for wire in city.stream() if wire.topic == "sensor.readings"]
    for first in range(0, len(readings), 100):
        some = readings[first : first + 100]
        stamps = [wire.arrival_ts for wire in some]
        offsets = list(range(first, first + len(some)))
        detect.decide(RawBatch(DETECT.topic, 0, offsets, stamps, [w.value for w in some], [w.key for w in some]), stamps[-1])
        detect.mark = offsets[-1] + 1
    incident = IncidentShard(
        ShardPlace(INCIDENT, 3, "a-cluster", 1, 0), {}, Outbox({"scripted": Scripted()}, Routing(Route(["scripted"]))),
        fresh=IncidentStage, revived=lambda _, kept, *version: IncidentStage.restore(kept, *version), versions=versions,
        send=lambda *_: None, metrics=Metrics(), prefix="city.", playback=True, points=CrashPoints(),
    )  # fmt: skip
    batch = RawBatch(INCIDENT.topic, 0, list(range(len(said))), [readings[-1].arrival_ts] * len(said), said, [b"k"] * len(said))
    incident.decide(batch, readings[-1].arrival_ts)
    incident.mark = len(said)
    folder.mkdir()
    for shard in (detect, incident):
        (folder / f"{shard.key.stage}.gz").write_bytes(gzip.compress(encode(shard.capture().checkpoint), mtime=0))
    (folder / "rules.gz").write_bytes(gzip.compress(rules.to_bytes(), mtime=0))
    (folder / "registry.gz").write_bytes(gzip.compress(msgspec.json.encode(assets), mtime=0))
    open_ones = len(incident.open_incidents())
    print(f"{folder}: {len(readings)} readings, {len(said)} signals and controls, {open_ones} open incidents")


if __name__ == "__main__":
    write(FOLDER / str(FORMAT))
