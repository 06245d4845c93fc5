"""Opening a recording by its path, whichever form it has."""

from __future__ import annotations

from pathlib import Path

from replay.bag import MANIFEST, Bag
from replay.jsonl import JsonLines
from replay.recording import Recording
from streams.errors import Mend


def open_recording(path: str | Path, *, partitions: int = 1) -> Recording:
    """Bag or directory of JSON lines at ``path``; ``partitions`` is how many the latter is dealt to.

    Raises :class:`Mend` where there is neither.
    """
    place = Path(path)
    if (place / MANIFEST).is_file():
        return Bag(place)
    partial = Path(f"{place}.partial")
    if not place.exists() and partial.is_dir():
        raise Mend("was not finished: its writer was killed", str(partial), "record or import it again")
    if not place.is_dir():
        raise Mend("no such bag", str(place), "name a directory with manifest.json, or with <topic>.jsonl files")
    return JsonLines(place, partitions=partitions)
