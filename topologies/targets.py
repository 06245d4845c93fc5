"""Important targets near a place: schools, hospitals, dense housing of the registry (``attributes.target`` of a site)."""

from __future__ import annotations

from topologies.incident_settings import IncidentSettings
from topologies.reference import Assets

#: Places asked for again and again are few (sensors do not move); beyond this the memory starts anew.
_REMEMBERED = 8192
#: As many as a person reads.
_SHOWN = 3


class TargetsNear:
    """What lies near, in plain words, nearest first; remembered for as long as the registry stays the same."""

    def __init__(self, registry: Assets, settings: IncidentSettings) -> None:
        self._registry = registry
        self._wanted = frozenset(settings.targets)
        self._default_m = settings.target_near_m
        self._known: dict[tuple[float, float, float], tuple[str, ...]] = {}

    def near(self, lat: float | None, lon: float | None, radius_m: float | None) -> tuple[str, ...]:
        """``("school within 210 m", …)``, at most three; empty where nothing important lies within ``radius_m``."""
        if lat is None or lon is None:
            return ()
        key = (lat, lon, radius_m or self._default_m)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._ask(*key)
        return found

    def _ask(self, lat: float, lon: float, radius_m: float) -> tuple[str, ...]:
        hits = []
        for facts, distance in self._registry.near(lat, lon, radius_m, ("site",)):
            target = (getattr(facts, "attributes", None) or {}).get("target")
            if isinstance(target, str) and target in self._wanted:
                hits.append((distance, target.replace("_", " ")))
        if not hits:
            return ()
        return tuple(f"{target} within {round(distance)} m" for distance, target in sorted(hits)[:_SHOWN])
