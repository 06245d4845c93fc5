"""How an incident is printed for a person: one to three lines with level, place, reason, evidence and latency."""

from __future__ import annotations

import math
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TextIO

from alert_sinks.sink import CLOSED, Delivery
from streams.records import Evidence, Incident

#: SGR codes per level: white on red, black on orange (256 colours), black on yellow, white on blue.
_COLOURS = {1: "97;41;1", 2: "30;48;5;208;1", 3: "30;43", 4: "97;44"}
_QUIET = "2"
#: Civil time of the cities this is for; the records themselves are UTC.
_CIVIL = timezone(timedelta(hours=8))


def lines(incident: Incident, *, colour: bool = False, latency_ms: float | None = None) -> list[str]:
    """The incident as one to three lines without line ends.

    First line: level, event, title, place, id and revision. Second: why. Third: the latest evidence, unless it is over.
    """
    mark = f" {incident.colour.upper():<6} "
    what = f"{incident.event:<9} {_printable(incident.title)}"
    head = f"{_clock(incident.updated_ts)} {_paint(mark, _COLOURS[incident.level], colour)} {what}"
    place = _place(incident)
    flags = "".join(f" [{word}]" for word, on in (("EXERCISE", incident.exercise), ("HISTORICAL", incident.historical)) if on)
    late = f" · {_duration(latency_ms)}" if latency_ms is not None else ""
    out = [f"{head}{flags} · {place} · " + _paint(f"{incident.incident_id} r{incident.revision}{late}", _QUIET, colour)]
    why, lead = _printable(incident.rule.reason), _printable(incident.dispatch.lead)
    out.append(f"         {why} [{incident.hazard} {incident.rule.name}] → {lead}")
    if incident.status not in CLOSED and incident.evidence:
        shown = [_evidence(item) for item in incident.evidence[-2:]]
        more = len(incident.evidence) - len(shown)
        out.append("         " + "; ".join(shown) + (f"; and {more} more" if more else ""))
    return out


def _clock(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).astimezone(_CIVIL).strftime("%H:%M:%S")


def _paint(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


def _place(incident: Incident) -> str:
    parts = []
    if incident.location is not None:
        lon, lat = incident.location.coordinates
        parts.append(f"{lat:.5f},{lon:.5f} ±{incident.radius_m:.0f} m")
    if incident.grid_code:
        parts.append(incident.grid_code)
    return " ".join(parts) or f"city {incident.city}"


def _evidence(item: Evidence) -> str:
    words = _printable(item.explanation)
    if item.value is not None and math.isfinite(item.value):
        unit = f" {item.unit}" if item.unit and item.unit != "1" else ""
        against = f" (limit {item.threshold:g})" if item.threshold is not None else ""
        return f"{item.stream} {item.entity}: {item.metric or ''} {item.value:g}{unit}{against}".replace(":  ", ": ")
    return f"{item.stream} {item.entity}" + (f": {words}" if words else "")


def _printable(text: str) -> str:
    """A caller's words must not move the cursor or forge a second incident."""
    return "".join(c if c.isprintable() else " " for c in text)


def _duration(ms: float) -> str:
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


class Terminal:
    """Sink ``terminal``: prints each revision it is given once it is decided; colours only where a person looks."""

    name = "terminal"
    wants_tombstones = False

    def __init__(self, stream: TextIO | None = None, *, colour: bool | None = None, show_latency: bool = True) -> None:
        self._stream = stream or sys.stdout
        self._colour = self._stream.isatty() if colour is None else colour
        self._show_latency = show_latency

    async def deliver(self, delivery: Delivery) -> None:
        incident = delivery.incident
        if incident is None:
            return
        latency = max(0.0, time.time() * 1000 - incident.updated_ts) if self._show_latency else None
        try:
            print("\n".join(lines(incident, colour=self._colour, latency_ms=latency)), file=self._stream, flush=True)
        except (BrokenPipeError, ValueError):
            # Nobody looks any more; incidents go on.
            return

    async def close(self) -> None:
        """The stream belongs to the process."""
