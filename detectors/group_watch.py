"""Group deviation as a detector: sensors that belong together, from their readings to one measure (:mod:`group_deviation`).

Use it where single values are normal and their combination is not, and where one of many sensors of a machine, a bridge span
or a district says something the others do not. Rounds are made of readings by :mod:`detectors.group_rounds`; the row that
completes a round carries its verdict, other rows say nothing.

``tell = "deviation"``: the measure is the deviation in thresholds, 1 or more exactly while an episode is open, so a rule raises
at 1 and clears below it. ``tell = "change"``: 1 or more at the round at which a change point is told, for momentary rules.

Do not use it for sensors that merely stand near each other (:mod:`detectors.robust_z` watches each by itself), nor for groups
whose rounds take longer than what is to be found. Cost: 0.2 ms a round, about 0.7 kB a member.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import Detector, Measures, Params, Snapshot, register
from detectors.group_deviation import GroupDeviation, GroupDeviationParams, GroupVerdict
from detectors.group_rounds import Rounds
from detectors.series import Series
from streams.batch import Batch


class GroupWatchParams(GroupDeviationParams, frozen=True):
    """``share``: of the members that makes a round. ``max_members`` at once. ``away``: rounds of silence that let one go."""

    tell: Literal["deviation", "change"] = "deviation"
    share: Annotated[float, Meta(gt=0, le=1)] = 0.6
    max_members: Annotated[int, Meta(ge=1, le=256)] = 32
    away: Annotated[int, Meta(ge=2)] = 20


class Group:
    """What is held of one slot."""

    def __init__(self, params: GroupWatchParams) -> None:
        self.rounds = Rounds(params.share, params.max_members, params.away)
        self.deviation = GroupDeviation([], params)

    def hear(self, name: str, value: float, ts: int) -> GroupVerdict | None:
        """The verdict on the round a reading completes, or None."""
        vector = self.rounds.hear(name, value)
        taken = self.rounds.taken
        if taken is not None:
            self.deviation.replace(taken, name)
        for new in self.rounds.names[len(self.deviation.names) :]:
            self.deviation.join(new)
        if vector is None:
            return None
        # A member that joined with the reading that ends a round before it has no part in that round.
        vector = np.append(vector, np.full(len(self.deviation.names) - len(vector), np.nan))
        return self.deviation.step(ts, vector)

    def snapshot(self) -> Snapshot:
        return {
            **{f"rounds_{name}": array for name, array in self.rounds.snapshot().items()},
            **{name: array for name, array in self.deviation.snapshot().items() if name != "names"},
        }

    def restore(self, names: list[str], saved: Mapping[str, Any]) -> None:
        self.rounds.restore(names, {name[7:]: part for name, part in saved.items() if name.startswith("rounds_")})
        self.deviation.restore({**saved, "names": names})


@register
class GroupWatch(Detector[GroupWatchParams]):
    """Measure: see above; NaN for rows that complete no round, and until the group has been heard for ``warmup`` rounds."""

    name: ClassVar[str] = "group_deviation"
    streams: ClassVar[frozenset[str]] = frozenset({"group", "sensor"})
    Params: ClassVar[type[Params]] = GroupWatchParams

    def __init__(self, params: GroupWatchParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        self._groups: dict[int, Group] = {}

    def measure(self, batch: Batch) -> Measures:
        n = len(batch)
        measure, score = np.full(n, np.nan), np.full(n, np.nan)
        value = batch.columns.get("value")
        said: dict[int, str] = {}
        if value is None:
            return Measures(measure)
        for i in np.flatnonzero(np.isfinite(value)).tolist():
            group = self._groups.get(int(batch.slot[i]))
            if group is None:
                group = self._groups[int(batch.slot[i])] = Group(self.params)
            record = batch.records[i]
            verdict = group.hear(f"{record.sensor_id}:{record.metric}", float(value[i]), int(batch.ts[i]))
            if verdict is None or group.deviation.learned < self.params.warmup:
                continue
            measure[i], score[i] = self._told(group, verdict)
            if measure[i] >= 1:
                said[i] = _words(group, verdict, int(batch.ts[i]))
        return Measures(measure, None, score, lambda i: said.get(i, "the group is as usual"))

    def _told(self, group: Group, verdict: GroupVerdict) -> tuple[float, float]:
        if self.params.tell == "deviation":
            return verdict.deviation, verdict.score
        size = group.deviation.change.size / self.params.change.threshold
        size = max(size, 1.0) if verdict.change else min(size, 0.999)
        return size, size / (1 + size)

    def forget(self, slots: NDArray[Any]) -> None:
        for slot in slots.tolist():
            self._groups.pop(int(slot), None)

    def snapshot(self) -> Snapshot:
        """Names as JSON text; each array of all groups one after the other, in the order of the slots."""
        slots = sorted(self._groups)
        parts = [self._groups[slot].snapshot() for slot in slots]
        keys = Group(self.params).snapshot()
        return {
            "slots": np.array(slots, dtype=np.int64),
            "names": json.dumps([self._groups[slot].deviation.names for slot in slots], ensure_ascii=False),
            **{key: np.concatenate([blank.ravel(), *(part[key].ravel() for part in parts)]) for key, blank in keys.items()},
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        self._groups = {}
        at = {key: blank.size for key, blank in Group(self.params).snapshot().items()}
        for slot, names in zip(np.asarray(saved["slots"]).tolist(), json.loads(saved["names"]), strict=True):
            group = self._groups[int(slot)] = Group(self.params)
            for name in names:
                group.deviation.join(name)
                group.rounds.hear(name, 0.0)
            shapes = {key: blank.shape for key, blank in group.snapshot().items()}
            parts = {}
            for key, shape in shapes.items():
                size = int(np.prod(shape))
                parts[key] = np.asarray(saved[key])[at[key] : at[key] + size].reshape(shape)
                at[key] += size
            group.restore(names, parts)


def _words(group: Group, verdict: GroupVerdict, ts: int) -> str:
    held = group.deviation
    carriers = "; ".join(held.words(i) for i in held.carriers()[:4])
    if verdict.since is None:
        return f"changed: {carriers}"
    return f"unusual together for {(ts - verdict.since) / 1000:g} s: {carriers}"
