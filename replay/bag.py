"""Bags: recordings as a directory of Parquet segments and a manifest.

``Bag.open(path)`` reads bags and plain directories of JSON lines alike (:mod:`replay.jsonl`); :class:`BagWriter` writes one as
a stream, with bounded memory. A bag is written beside its place (``NAME.partial``) and moved there when complete, so what
bears its name is whole. docs/replay.md describes the format.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from replay import bag_segments
from replay.recording import FORMAT, Manifest, Segment, read_assets
from streams.batch import RawBatch
from streams.errors import Mend
from streams.records import Asset

MANIFEST = "manifest.json"
REGISTRY = "registry.jsonl"
SEGMENT_ROWS = 262_144
SEGMENT_BYTES = 64 << 20
#: Kept free for a bag whose disk becomes full: for the manifest, and for what is held of small topics (perhaps all there is).
RESERVE_BYTES = 32 << 20
#: All partitions together hold at most this many bytes of values before the largest is written out.
HELD_BYTES = 192 << 20


class Bag:
    """A bag on disk, open for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=Manifest)
        except OSError as error:
            raise Mend(error.strerror or "cannot be read", str(path / MANIFEST), "a bag needs its manifest") from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Mend(f"is not a bag's manifest ({error})", str(path / MANIFEST), "copy or record the bag again") from error
        if self.manifest.format > FORMAT:
            raise Mend(
                f"has format {self.manifest.format}, this citywatch reads up to {FORMAT}",
                str(path / MANIFEST),
                "use a newer citywatch",
            )
        for segment in self.manifest.segments:
            file = self._file(segment)
            if not file.is_file():
                raise Mend("is missing", str(file), "a bag keeps all of its segments; copy it again")
            if file.stat().st_size != segment.bytes:
                raise Mend(
                    f"has {file.stat().st_size} bytes, the manifest says {segment.bytes}",
                    str(file),
                    "the bag is truncated or was changed; copy it again",
                )

    def _file(self, segment: Segment) -> Path:
        file = self.path / segment.file
        if not file.resolve().is_relative_to(self.path.resolve()):
            raise Mend(
                f"names a segment outside of the bag: {segment.file}", str(self.path / MANIFEST), "do not trust this bag"
            )
        return file

    def verify(self) -> int:
        """Compare every hash with the manifest; the number of files compared. Raises :class:`Mend` at the first difference."""
        for segment in self.manifest.segments:
            self._compare(self._file(segment), segment.sha256)
        if self.manifest.registry_sha256 is not None:
            self._compare(self.path / REGISTRY, self.manifest.registry_sha256)
        return len(self.manifest.segments) + (self.manifest.registry_sha256 is not None)

    def _compare(self, file: Path, expected: str) -> None:
        found = bag_segments.sha256(file)
        if found != expected:
            raise Mend(
                f"has SHA-256 {found[:16]}…, the manifest says {expected[:16]}…",
                str(file),
                "the bag was changed or damaged; copy it again",
            )

    def partitions(self) -> list[tuple[str, int]]:
        return sorted({(segment.topic, segment.partition) for segment in self.manifest.segments})

    def read(self, topic: str, partition: int, rows: int = 8192) -> Iterator[RawBatch]:
        own = [s for s in self.manifest.segments if (s.topic, s.partition) == (topic, partition)]
        cut = self.manifest.cut_ts
        for segment in sorted(own, key=lambda s: s.first_offset):
            for batch in bag_segments.read_segment(self._file(segment), topic, partition, rows):
                kept = len(batch) if cut is None else bag_segments.before(batch.arrival_array, cut)
                if kept == len(batch):
                    yield batch
                    continue
                if kept:
                    yield batch.cut(0, kept)
                return

    def registry(self) -> list[Asset]:
        return read_assets(self.path / REGISTRY) if self.manifest.registry_rows else []


class NoRoom(Mend):
    """The disk is full: :meth:`BagWriter.close_cut` keeps what has been written."""


class BagWriter:
    """Writes a bag as records come. ``write`` takes records of one partition in log order; ``close`` makes the bag appear.
    Both raise :class:`NoRoom` where what was read cannot be written any more.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with BagWriter(Path(folder) / "bag") as writer:
    ...         writer.write(RawBatch("city.sensor.readings", 0, [0], [1_700_000_000_000], [b"{}"], [b"S1"]))
    ...     Bag(Path(folder) / "bag").manifest.counts
    {'city.sensor.readings': 1}
    """

    def __init__(
        self,
        path: str | Path,
        *,
        prefix: str = "city.",
        cluster_id: str | None = None,
        rule_fingerprint: str | None = None,
        origin: str | None = None,
        segment_rows: int = SEGMENT_ROWS,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.path = Path(path)
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise Mend("is there already", str(self.path), "name a directory that does not exist yet")
        # Resolved, because "." and ".." have no name to put it beside.
        whole = self.path.resolve()
        self._partial = whole.with_name(whole.name + ".partial")
        self._reserve = self._partial / "reserve"
        try:
            if self._partial.exists():
                shutil.rmtree(self._partial)
            (self._partial / "segments").mkdir(parents=True)
            with self._reserve.open("wb") as kept:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(kept.fileno(), 0, RESERVE_BYTES)
                else:
                    kept.write(bytes(RESERVE_BYTES))
        except OSError as error:
            raise Mend(error.strerror or "cannot be made", str(self._partial), "name a place that can be written to") from error
        self.manifest = Manifest(
            prefix=prefix, cluster_id=cluster_id, rule_fingerprint=rule_fingerprint, origin=origin, counts={}, segments=[]
        )
        self._segment_rows, self._segment_bytes = segment_rows, segment_bytes
        self._held: dict[tuple[str, int], list[Any]] = {}
        self._rows: dict[tuple[str, int], int] = {}
        self._bytes: dict[tuple[str, int], int] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._closed = False

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            if not self._closed:
                shutil.rmtree(self._partial, ignore_errors=True)

    def registry(self, assets: Iterable[Asset], revision: int = 0) -> None:
        """The registry snapshot the recording begins with; call once."""
        file = self._partial / REGISTRY
        with self._room(), file.open("wb") as out:
            for asset in assets:
                out.write(msgspec.json.encode(asset) + b"\n")
                self.manifest.registry_rows += 1
        self.manifest.registry_sha256 = bag_segments.sha256(file)
        self.manifest.registry_revision = revision

    def write(self, batch: RawBatch, event_ts: Sequence[int | None] | None = None) -> None:
        """Append records; without ``event_ts`` the event times are read from the values."""
        if not len(batch):
            return
        if event_ts is None:
            from replay.stamps import stamps

            event_ts = [one.event_ts for one in stamps(batch.values)]
        rows = bag_segments.table(batch, event_ts)
        key = (batch.topic, batch.partition)
        self._held.setdefault(key, []).append(rows)
        self._rows[key] = self._rows.get(key, 0) + len(batch)
        self._bytes[key] = self._bytes.get(key, 0) + rows.nbytes
        self._span(batch.arrivals, event_ts)
        self.manifest.counts[batch.topic] = self.manifest.counts.get(batch.topic, 0) + len(batch)
        if self._rows[key] >= self._segment_rows or self._bytes[key] >= self._segment_bytes:
            self._flush(key)
        elif sum(self._bytes.values()) > HELD_BYTES:
            self._flush(max(self._bytes, key=lambda held: self._bytes[held]))

    def _span(self, arrivals: Sequence[int], events: Sequence[int | None]) -> None:
        known = [event for event in events if event is not None]
        manifest = self.manifest
        manifest.first_arrival_ts = _over(min, manifest.first_arrival_ts, min(arrivals))
        manifest.last_arrival_ts = _over(max, manifest.last_arrival_ts, max(arrivals))
        if known:
            manifest.first_event_ts = _over(min, manifest.first_event_ts, min(known))
            manifest.last_event_ts = _over(max, manifest.last_event_ts, max(known))

    def _flush(self, key: tuple[str, int]) -> None:
        tables = self._held.pop(key, [])
        self._rows.pop(key, None)
        self._bytes.pop(key, None)
        if not tables:
            return
        topic, partition = key
        number = self._numbers.get(key, 0)
        self._numbers[key] = number + 1
        name = f"segments/{topic}-{partition:04d}-{number:06d}.parquet"
        file = self._partial / name
        try:
            with self._room():
                bag_segments.write_segment(file, tables)
        except NoRoom:
            file.unlink(missing_ok=True)
            self._held[key] = tables
            raise
        arrivals = [table.column("arrival_ts").cast("int64") for table in tables]
        self.manifest.segments.append(
            Segment(
                file=name,
                topic=topic,
                partition=partition,
                rows=sum(table.num_rows for table in tables),
                bytes=file.stat().st_size,
                sha256=bag_segments.sha256(file),
                first_offset=tables[0].column("offset")[0].as_py(),
                last_offset=tables[-1].column("offset")[-1].as_py(),
                first_arrival_ts=arrivals[0][0].as_py(),
                last_arrival_ts=arrivals[-1][-1].as_py(),
            )
        )

    def close(self, until: int | None = None) -> None:
        """Write what is held and the manifest, and move the bag to its place. ``until``: see :class:`Manifest`."""
        if self._closed:
            return
        for key in sorted(self._held):
            self._flush(key)
        manifest = self.manifest
        manifest.until = _over(max, manifest.last_arrival_ts, until) if until is not None else manifest.last_arrival_ts
        self._appear()

    def close_cut(self, known: int) -> int | None:
        """Close a bag that has no more room. It holds all that arrived up to the time (ms) that is returned; ``known``: up to
        where everything had been read. None, and no bag, where that is in front of its first record.
        """
        self._reserve.unlink()
        for key in sorted(self._held, key=lambda held: self._bytes.get(held, HELD_BYTES)):
            with contextlib.suppress(NoRoom):
                self._flush(key)
        lost = [int(pc.min(one.column("arrival_ts").cast("int64")).as_py()) - 1 for held in self._held.values() for one in held]
        manifest = self.manifest
        cut = min([known, *lost])
        if manifest.first_arrival_ts is None or cut < manifest.first_arrival_ts:
            self._closed = True
            shutil.rmtree(self._partial, ignore_errors=True)
            return None
        self._held.clear()
        manifest.cut_ts = manifest.until = cut
        manifest.counts = {}
        times = []
        for home in {(segment.topic, segment.partition) for segment in manifest.segments}:
            for segment in (one for one in manifest.segments if (one.topic, one.partition) == home):
                times.append(bag_segments.times_until(self._partial / segment.file, cut))
                manifest.counts[segment.topic] = manifest.counts.get(segment.topic, 0) + len(times[-1])
                if len(times[-1]) < segment.rows:
                    break
        arrivals, events = (pc.min_max(pa.concat_tables(times).column(name)).as_py() for name in ("arrival_ts", "event_ts"))
        manifest.first_arrival_ts, manifest.last_arrival_ts = arrivals["min"], arrivals["max"]
        manifest.first_event_ts, manifest.last_event_ts = events["min"], events["max"]
        self._appear()
        return cut

    def _appear(self) -> None:
        self._reserve.unlink(missing_ok=True)
        self.manifest.segments.sort(key=lambda s: (s.topic, s.partition, s.first_offset))
        self.manifest.counts = dict(sorted(self.manifest.counts.items()))
        text = msgspec.json.format(msgspec.json.encode(self.manifest), indent=2)
        with self._room():
            (self._partial / MANIFEST).write_bytes(text + b"\n")
        if self.path.exists():
            self.path.rmdir()
        self._partial.rename(self.path.resolve())
        self._closed = True

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise NoRoom(os.strerror(error.errno or errno.EIO), str(self.path), "make room, or name another place") from error


def _over(which: Callable[[int, int], int], held: int | None, new: int) -> int:
    return new if held is None else which(held, new)
