"""What a recording is, whatever its form: a manifest, partitions that can be read in log order, and a registry."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from streams.asset_words import free_fields
from streams.batch import RawBatch
from streams.errors import Mend
from streams.records import Asset

FORMAT = 1


class Segment(Struct, kw_only=True):
    file: str
    topic: str
    partition: int
    rows: int
    bytes: int
    sha256: str
    first_offset: int
    last_offset: int
    first_arrival_ts: int
    last_arrival_ts: int


class Manifest(Struct, kw_only=True):
    """``manifest.json``. Times are epoch milliseconds of arrival; ``until`` is the arrival time up to which the recording knows
    that nothing else came (at least the last record's). ``counts`` are records per topic."""

    format: int = FORMAT
    kind: str = "citywatch bag"
    prefix: str = "city."
    cluster_id: str | None = None
    first_arrival_ts: int | None = None
    last_arrival_ts: int | None = None
    first_event_ts: int | None = None
    last_event_ts: int | None = None
    until: int | None = None
    #: Where the disk was full: the recording holds everything that arrived up to here, and readers see nothing behind it.
    cut_ts: int | None = None
    counts: dict[str, int] = {}
    rule_fingerprint: str | None = None
    registry_rows: int = 0
    registry_sha256: str | None = None
    registry_revision: int = 0
    #: Partitions per topic where the recording knows them (a topic may have partitions without a record).
    partitions: dict[str, int] = {}
    #: Per partition of ``city.signals`` ("city.signals/3"): the next record that the worker's group had yet to finish when the
    #: recording ended. What is decided from there on may not have been written any more.
    committed: dict[str, int] = {}
    origin: str | None = None
    segments: list[Segment] = []


class Recording(Protocol):
    """What can be replayed: a bag, or a directory of JSON lines."""

    path: Path
    manifest: Manifest

    def partitions(self) -> list[tuple[str, int]]:
        """All (topic, partition) that have records, sorted."""
        ...

    def read(self, topic: str, partition: int, rows: int = 8192) -> Iterator[RawBatch]:
        """The records of one partition in log order."""
        ...

    def registry(self) -> list[Asset]:
        """The assets as they were when the recording began."""
        ...


def lines_of(path: Path) -> Iterator[bytes]:
    """Lines of a plain or gzipped file without their ends; an unreadable file is a :class:`Mend`."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                yield line.rstrip(b"\r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise Mend(f"cannot be read ({error})", str(path), "the file is damaged or not what its name says") from error


def read_assets(path: Path) -> list[Asset]:
    """Assets of a ``registry.jsonl`` (plain or .gz), one a line; a line that is none is an error with its number."""
    assets: list[Asset] = []
    decoder = msgspec.json.Decoder(Asset)
    for number, line in enumerate(lines_of(path), 1):
        if not line:
            continue
        try:
            assets.append(free_fields(decoder.decode(line), line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Mend(f"is not an asset: {error}", f"{path}:{number}", "see Asset in docs/contract.md") from error
    return assets
