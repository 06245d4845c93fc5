"""From sources to a bag: read every row, make its records, sort by arrival, count.

``rows = used + skipped`` and ``values = records + skipped values`` hold for every import; the summary names each reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from replay.bag import BagWriter
from replay.importer import tables
from replay.importer.clock import Clock, Unreadable
from replay.importer.fields import Cells
from replay.importer.mapping import AssetSpec, Mapping
from replay.importer.members import members
from replay.importer.records import Made, makers, wire
from replay.sorting import ArrivalSort
from streams.errors import Mend
from streams.partitioner import partition_of
from streams.records import Asset, Period

PREFIX = "city."


@dataclass(slots=True)
class Summary:
    """What became of the rows and of the values in them."""

    mapping: str
    files: int = 0
    rows: int = 0
    rows_used: int = 0
    rows_skipped: Counter[str] = field(default_factory=Counter)
    values_skipped: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    entities: int = 0
    first_ts: int | None = None
    last_ts: int | None = None
    empty_files: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        tree = {name: getattr(self, name) for name in self.__slots__}
        return {name: dict(sorted(value.items())) if isinstance(value, Counter) else value for name, value in tree.items()}


@dataclass(slots=True)
class _Seen:
    """An entity for the registry: what it is and when it was first and last heard of."""

    made: Made
    row: dict[str, Any]
    first: int
    last: int


class Importer:
    """One import of one mapping. Call :meth:`read` once, then :meth:`to_bag` or :meth:`to_jsonl`."""

    def __init__(self, mapping: Mapping, partitions: int = 1) -> None:
        self.mapping = mapping
        self.summary = Summary(mapping.name)
        self._partitions = partitions
        self._cells = Cells(mapping.source)
        self._derive = [(one.column, re.compile(one.pattern)) for one in mapping.derive]
        self._skip = [(one.column, re.compile(one.matches), one.reason) for one in mapping.skip]
        self._makers = makers(mapping)
        self._sorts: dict[tuple[str, int], ArrivalSort] = {}
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._stack = ExitStack()

    def read(self, sources: list[Path]) -> Summary:
        source = self.mapping.source
        whole = (".xlsx",) if source.format == "xlsx" else ()
        for member in members(sources, source.files, source.exclude, whole):
            before = self.summary.rows
            clock = Clock(self.mapping.time, member.name)
            origin = {"source": member.name, "stem": member.stem}
            for row in tables.rows(member, source):
                self._row(row, origin, clock)
            self.summary.files += 1
            if self.summary.rows == before:
                self.summary.empty_files.append(member.name)
        if not self.summary.files:
            raise Mend(
                f"nothing in it is called {' or '.join(source.files)}",
                ", ".join(map(str, sources)),
                f"the mapping {self.mapping.name} reads other files",
            )
        if not self.summary.records:
            reasons = self.summary.rows_skipped + self.summary.values_skipped
            empty = "its columns are not there" if self.summary.rows else "there are no rows"
            most = ", ".join(f"{reason} ({n})" for reason, n in reasons.most_common(3)) or empty
            raise Mend(f"no row became a record: {most}", ", ".join(map(str, sources)), f"is {self.mapping.name} its mapping?")
        self.summary.entities = len(self._seen)
        return self.summary

    def _row(self, row: tables.Row | tables.Bad, origin: dict[str, str], clock: Clock) -> None:
        summary = self.summary
        summary.rows += 1
        if isinstance(row, tables.Bad):
            summary.rows_skipped[row.reason] += 1
            return
        reason = self._prepare(row, origin)
        if reason is not None:
            summary.rows_skipped[reason] += 1
            return
        try:
            ts = clock.at(row)
        except Unreadable as unreadable:
            summary.rows_skipped[str(unreadable)] += 1
            return
        used = False
        reasons: Counter[str] = Counter()
        for maker in self._makers:
            for made in maker(row, ts):
                if isinstance(made, Made):
                    used = True
                    self._keep(made, row, ts)
                else:
                    reasons[made.reason] += 1
        summary.values_skipped += reasons
        if used:
            summary.rows_used += 1
        else:
            summary.rows_skipped["no_value" if reasons else "no_column"] += 1

    def _prepare(self, row: tables.Row, origin: dict[str, str]) -> str | None:
        """Add derived columns; the reason why the row is to be left out, if any."""
        row.update(origin)
        for column, pattern in self._derive:
            match = pattern.search(str(row.get(column, "")))
            row.update(dict.fromkeys(pattern.groupindex, "") if match is None else match.groupdict(default=""))
        for column, pattern, reason in self._skip:
            if pattern.search(str(row.get(column, ""))):
                return reason
        own = row.get(tables.REASON)
        return None if own is None else str(own)

    def _keep(self, made: Made, row: tables.Row, ts: int) -> None:
        topic = PREFIX + made.topic
        key = made.key.encode()
        home = (topic, partition_of(key, self._partitions))
        sort = self._sorts.get(home)
        if sort is None:
            sort = self._sorts[home] = self._stack.enter_context(ArrivalSort(*home))
        sort.add(ts + round(self.mapping.time.delay_s * 1000), ts, key, wire(made.record))
        summary = self.summary
        summary.records[topic] += 1
        summary.first_ts = ts if summary.first_ts is None else min(ts, summary.first_ts)
        summary.last_ts = ts if summary.last_ts is None else max(ts, summary.last_ts)
        if made.kind != "call":
            self._note(made, row, ts)

    def _note(self, made: Made, row: tables.Row, ts: int) -> None:
        record: Any = made.record
        entity = getattr(record, "sensor_id", None) or getattr(record, "vehicle_id", None) or record.camera_id
        seen = self._seen.get((made.kind, entity))
        if seen is None:
            self._seen[(made.kind, entity)] = _Seen(made, dict(row), ts, ts)
        else:
            seen.first, seen.last = min(seen.first, ts), max(seen.last, ts)

    def assets(self) -> Iterator[Asset]:
        """The registry of everything seen, by id."""
        for (kind, entity), seen in sorted(self._seen.items()):
            yield Asset(entity, kind, [self._period(seen)])

    def _period(self, seen: _Seen) -> Period:
        spec = seen.made.asset or AssetSpec()
        record: Any = seen.made.record

        def text(template: str | None) -> str | None:
            return None if template is None else (self._cells.template(template)(seen.row) or None)

        lat, lon = spec.lat, spec.lon
        place = text(spec.place)
        if place is not None and place in self.mapping.places:
            lat, lon = self.mapping.places[place].lat, self.mapping.places[place].lon
        attributes = {name: text(value) if isinstance(value, str) else value for name, value in spec.attributes.items()}
        return Period(
            from_=seen.first,
            to=seen.last + 1 if spec.ends else None,
            lat=lat,
            lon=lon,
            city=spec.city or self.mapping.city,
            group=text(spec.group),
            gateway=text(spec.gateway),
            metric=getattr(record, "metric", None),
            unit=getattr(record, "unit", None),
            interval_s=spec.interval_s,
            report_after_s=spec.report_after_s,
            give_up_after_s=spec.give_up_after_s,
            limits=spec.limits,
            sentinels=spec.sentinels,
            owner=spec.owner,
            department=spec.department,
            attributes=attributes,
        )

    def to_bag(self, path: Path) -> None:
        origin = "; ".join(part for part in (self.mapping.origin, self.mapping.licence) if part) or None
        with self._stack, BagWriter(path, origin=origin) as writer:
            # As many as a player will have written to city.registry: the revision of the registry that is complete.
            writer.registry(self.assets(), revision=len(self._seen))
            for home in sorted(self._sorts):
                for batch, events in self._sorts[home].sorted():
                    writer.write(batch, events)

    def to_jsonl(self, path: Path) -> None:
        """A directory of ``<topic>.jsonl`` and ``registry.jsonl``; ``arrival_ts`` stands beside the fields where it differs."""
        if path.exists() and any(path.iterdir()):
            raise Mend("is there already", str(path), "name a directory that does not exist yet")
        path.mkdir(parents=True, exist_ok=True)
        delayed = self.mapping.time.delay_s != 0
        with self._stack:
            with (path / "registry.jsonl").open("wb") as out:
                out.writelines(msgspec.json.encode(asset) + b"\n" for asset in self.assets())
            for home in sorted(self._sorts):
                with (path / f"{home[0].removeprefix(PREFIX)}.jsonl").open("ab") as out:
                    for batch, _ in self._sorts[home].sorted():
                        for arrival, value in zip(batch.arrivals, batch.values, strict=True):
                            body = value or b"null"
                            out.write((body[:-1] + b',"arrival_ts":%d}' % arrival if delayed else body) + b"\n")
