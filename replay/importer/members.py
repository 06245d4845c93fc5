"""Files, directories and archives as streams of members.

Archives (.zip, .tar, .tar.gz, .gz, one inside the other) are read as streams: no entry's name ever becomes a path on disk, so
an entry called ``../../x`` can do nothing. What a thing is, its first bytes say; some zips hold plain tables named ``.zip``.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any, cast

from streams.errors import Mend

#: Archives inside archives, at most: more is an attack, not a recording.
DEPTH = 5
_SPOOL_BYTES = 32 << 20


@dataclass(slots=True)
class Member:
    """One file of a source: its name (``archive.zip/inner/name.csv``) and its bytes, to be read once."""

    name: str
    stream: IO[bytes]

    @property
    def stem(self) -> str:
        return Path(self.name).name.rsplit(".", 1)[0]


def members(sources: list[Path], files: list[str], exclude: list[str], whole: tuple[str, ...] = ()) -> Iterator[Member]:
    """Every member of the sources in a fixed order. ``files`` and ``exclude`` choose inside directories and archives; a file
    that is named itself is always read. Names ending in ``whole`` are not opened as archives (an .xlsx is a zip)."""
    for source in sources:
        if not source.exists():
            raise Mend("no such file", str(source), "name the recording's file, archive or directory")
        inside = source.is_dir()
        for path in sorted(p for p in source.rglob("*") if p.is_file()) if inside else [source]:
            name = str(path.relative_to(source)) if inside else path.name
            try:
                with path.open("rb") as stream:
                    for member in _open(name, stream, whole, 0):
                        named_itself = not inside and member.name in (name, name.removesuffix(".gz"))
                        if named_itself or _chosen(member.name, files, exclude):
                            yield member
            except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError) as error:
                raise Mend(f"cannot be read ({error})", str(path), "the file is damaged or not what its name says") from error


def _chosen(name: str, files: list[str], exclude: list[str]) -> bool:
    last = Path(name).name
    return any(fnmatch(name, glob) or fnmatch(last, glob) for glob in files) and not any(
        fnmatch(name, glob) or fnmatch(last, glob) for glob in exclude
    )


class _Forward(io.RawIOBase):
    """Only reads, only onwards: members of a tar that is itself a stream cannot even say that they cannot seek."""

    def __init__(self, raw: IO[bytes], name: str) -> None:
        self._raw, self._name = raw, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._raw.read(len(buffer))
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError) as error:
            raise Mend(f"cannot be read to its end ({error})", self._name, "the file is damaged; fetch it again") from error
        buffer[: len(piece)] = piece
        return len(piece)


def _open(name: str, raw: IO[bytes], whole: tuple[str, ...], depth: int) -> Iterator[Member]:
    stream = io.BufferedReader(_Forward(raw, name), 1 << 16)
    head = stream.peek(512)[:512]
    if name.lower().endswith(whole) if whole else False:
        yield Member(name, stream)
    elif depth >= DEPTH:
        raise Mend(f"archives are nested deeper than {DEPTH}", name, "unpack it by hand if you trust it")
    elif head[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield from _open(name.removesuffix(".gz"), cast(IO[bytes], unpacked), whole, depth + 1)
    elif head[:4] == b"PK\x03\x04":
        with seekable(stream) as file, zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    with archive.open(entry) as inner:
                        yield from _open(f"{name}/{entry.filename}", inner, whole, depth + 1)
    elif head[257:262] == b"ustar":
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for item in tar:
                content = tar.extractfile(item) if item.isfile() else None
                if content is not None:
                    yield from _open(f"{name}/{item.name}", content, whole, depth + 1)
    else:
        yield Member(name, stream)


@contextmanager
def seekable(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """The stream's content as a file without a name that can be read in any order (zip directories stand at the end)."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
        while piece := stream.read(1 << 20):
            spool.write(piece)
        spool.seek(0)
        yield cast(IO[bytes], spool)
