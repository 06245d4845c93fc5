"""Where vehicles were last: a tick has no position of its own, and where a vehicle is registered is where it was bought."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from streams.batch import Batch

Place = tuple[float, float]


class LastPlaces:
    """(latitude, longitude) by a rule's own slot."""

    def __init__(self) -> None:
        self._held: dict[int, Place] = {}

    def remember(self, part: Batch) -> None:
        """The places of rows that have one."""
        lat, lon = part.columns.get("lat"), part.columns.get("lon")
        if lat is not None and lon is not None:
            where = zip(part.slot.tolist(), lat.tolist(), lon.tolist(), strict=True)
            self._held.update((own, (y, x)) for own, y, x in where if y == y and x == x)

    def of(self, own: int) -> Place | None:
        return self._held.get(own)

    def forget(self, slots: Iterable[int]) -> None:
        for own in slots:
            self._held.pop(own, None)

    def snapshot(self) -> dict[str, Any]:
        held = sorted(self._held.items())
        return {
            "position_slot": np.array([slot for slot, _ in held], dtype=np.int32),
            "position": np.array([where for _, where in held], dtype=np.float64).reshape(-1, 2),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        self._held = {
            int(slot): (float(where[0]), float(where[1]))
            for slot, where in zip(saved["position_slot"], saved["position"], strict=True)
        }
