"""A plain directory of JSON lines as a recording: how people who have only exports bring theirs.

``<topic>.jsonl`` or ``<topic>.jsonl.gz``, the topic with or without the prefix ``city.``, one wire record (or array of one
gateway's readings) per line. Beside the wire fields a record may carry ``arrival_ts``; without it, it arrived when it
happened. A line that is not JSON is a record as well: it arrived with the line before it, and the codec makes a dead letter
of it. Lines are sorted by arrival, stable; keys are derived from the records. ``registry.jsonl`` holds assets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from replay.recording import Manifest, lines_of, read_assets
from replay.sorting import ArrivalSort
from replay.stamps import Stamp, city_stamp, gateways, stamps
from streams.batch import RawBatch
from streams.errors import Mend
from streams.partitioner import partition_of
from streams.records import Asset

PREFIX = "city."
#: Topics by which a recording is told from any other directory with .jsonl files in it.
KNOWN = frozenset(
    {
        "sensor.readings",
        "vehicle.positions",
        "video.events",
        "hotline.calls",
        "registry",
        "mutes",
        "feedback",
        "sensor.groups",
        "signals",
        "incidents",
    }
)
_CHUNK_LINES = 8192


def topic_of(path: Path) -> str | None:
    """The topic a file holds by its name, without prefix; None where it is none of ours."""
    name = path.name.removesuffix(".gz")
    if not name.endswith(".jsonl"):
        return None
    topic = name.removesuffix(".jsonl").removeprefix(PREFIX)
    return topic if topic in KNOWN else None


class JsonLines:
    """A directory of JSON lines, open for reading; its offsets count the sorted lines of each partition."""

    def __init__(self, path: Path, *, partitions: int = 1) -> None:
        if partitions < 1:
            raise Mend(f"--partitions is {partitions}", str(path), "use 1 or more")
        self.path = path
        self._partitions = partitions
        self._files: dict[str, list[Path]] = {}
        for file in sorted(path.iterdir()):
            topic = topic_of(file)
            if topic is not None and file.is_file():
                self._files.setdefault(PREFIX + topic, []).append(file)
        self._assets_files = self._files.pop(PREFIX + "registry", [])
        if not self._files:
            raise Mend(
                "holds neither manifest.json nor a <topic>.jsonl file", str(path), "name its files like sensor.readings.jsonl"
            )
        assets = self.registry()
        self._gateway = {
            asset.asset_id: period.gateway
            for asset in self.registry()
            for period in asset.periods
            if period.gateway is not None
        }
        self.manifest = Manifest(
            kind="directory of JSON lines", origin=path.name, registry_rows=len(assets), registry_revision=len(assets)
        )
        self._sorts: dict[tuple[str, int], ArrivalSort] = {}
        self._last: dict[str, int] = {}
        for topic in self._files:
            self._sort(topic)
        self.manifest.until = self.manifest.last_arrival_ts

    def registry(self) -> list[Asset]:
        return [asset for file in self._assets_files for asset in read_assets(file)]

    def partitions(self) -> list[tuple[str, int]]:
        return sorted(self._sorts)

    def read(self, topic: str, partition: int, rows: int = 8192) -> Iterator[RawBatch]:
        held = self._sorts.get((topic, partition))
        if held is None:
            return
        for batch, _ in held.sorted():
            for start in range(0, len(batch), rows):
                yield batch.cut(start, start + rows) if len(batch) > rows else batch

    def _sort(self, topic: str) -> None:
        """Read the files of one topic once, dealing lines to the sorters of its partitions."""
        by_city = topic.removeprefix(PREFIX) in ("signals", "incidents")
        total = 0
        for lines in _chunks(line for file in self._files[topic] for line in lines_of(file)):
            found = [city_stamp(line) for line in lines] if by_city else stamps(lines)
            arrivals = self._arrivals(topic, found)
            keys = [self._key(line, one) for line, one in zip(lines, found, strict=True)]
            self._deal(topic, lines, found, arrivals, keys)
            self._span(arrivals, found)
            total += len(lines)
        self.manifest.counts[topic] = total

    def _arrivals(self, topic: str, found: list[Stamp]) -> list[int]:
        last = self._last.get(topic)
        if last is None:
            # Nothing is before the first line: what has no time there arrives with the first that has one.
            last = next((one.arrival_ts for one in found if one.arrival_ts is not None), 0)
        arrivals = []
        for one in found:
            last = one.arrival_ts if one.arrival_ts is not None else last
            arrivals.append(last)
        self._last[topic] = last
        return arrivals

    def _key(self, line: bytes, one: Stamp) -> bytes | None:
        entity = gateways(self._gateway, one.entity) if line[:1] == b"[" else one.entity
        return entity.encode("utf-8", "surrogatepass") if entity is not None else None

    def _deal(self, topic: str, lines: list[bytes], found: list[Stamp], arrivals: list[int], keys: list[bytes | None]) -> None:
        events = [one.event_ts for one in found]
        if self._partitions == 1:
            self._sorter(topic, 0).extend(arrivals, events, keys, lines)
            return
        for arrival, event, key, line in zip(arrivals, events, keys, lines, strict=True):
            self._sorter(topic, partition_of(key, self._partitions)).add(arrival, event, key, line)

    def _sorter(self, topic: str, partition: int) -> ArrivalSort:
        held = self._sorts.get((topic, partition))
        if held is None:
            held = self._sorts[(topic, partition)] = ArrivalSort(topic, partition)
        return held

    def _span(self, arrivals: list[int], found: list[Stamp]) -> None:
        manifest = self.manifest
        events = [one.event_ts for one in found if one.event_ts is not None]
        first = [time for time in (manifest.first_arrival_ts, min(arrivals)) if time is not None]
        last = [time for time in (manifest.last_arrival_ts, max(arrivals)) if time is not None]
        manifest.first_arrival_ts, manifest.last_arrival_ts = min(first), max(last)
        if events:
            manifest.first_event_ts = min(t for t in (manifest.first_event_ts, min(events)) if t is not None)
            manifest.last_event_ts = max(t for t in (manifest.last_event_ts, max(events)) if t is not None)


def _chunks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    source = (line for line in lines if line.strip())
    while chunk := list(islice(source, _CHUNK_LINES)):
        yield chunk
