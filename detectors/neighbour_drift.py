"""Neighbour drift: a member of a group that slowly leaves the others, while each of its readings looks like the one before.

A gauge that silts up, a pressure sensor that creeps, a dust monitor whose pump tires: against their own past they are never
unusual, for that moves with them; against the median of the others they are. What all do together (weather, demand, a
drought) moves the median too and says nothing. The group is the registry's (D7), and only members of one metric are compared.

Of every member the difference to the median of the others is kept, those heard within ``fresh_s`` and each less its own usual
difference (so that who leaves moves nobody else's median): its usual value and usual
spread over ``memory_s``, which stand still while it is away, and its mean over about ``window_s``. The measure is how many
spreads that mean has left the usual value, of the member that has left farthest, so that one alarm is the group's. After
``adopt_s`` away, what is usual there is taken as usual: somebody has moved the sensor.

Six stations of Beijing give the defaults: with three days and ninety no month of eight comes near three spreads, and a creep is
told when it has made four or five; one day is told sooner and cries wolf in one hour of a hundred.

Do not use it with fewer than four members (it would not be known who left), nor where members differ by nature in when they
move (a chain of gauges along a river). Domain: drift against neighbours > 3 MAD over 7 days (DEV-02).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from detectors.base import Columns, Detector, Measures, Params, Snapshot, register
from detectors.series import Series
from streams.batch import Batch, Float64, Int64

_NEVER = np.iinfo(np.int64).min // 2
#: Rows of a member that only tell roughly where it stands; what is usual is learned from the rows after them.
_SETTLE = 10
#: A row pulls spread and usual value as if it were at most so many spreads away, and the mean of the window twice as many.
_CLIP = 5.0


class NeighbourDriftParams(Params, frozen=True):
    """``least``: others that must have been heard. ``warmup_s``: a member is not judged before it was heard so long.

    ``freeze``: in spreads. ``floor``: no spread is taken as less, in the metric's unit (half the step of a coarse sensor).
    """

    window_s: Annotated[float, Meta(gt=0)] = 3 * 86_400.0
    memory_s: Annotated[float, Meta(gt=0)] = 90 * 86_400.0
    warmup_s: Annotated[float, Meta(gt=0)] = 7 * 86_400.0
    adopt_s: Annotated[float, Meta(gt=0)] = 30 * 86_400.0
    fresh_s: Annotated[float, Meta(gt=0)] = 7200.0
    least: Annotated[int, Meta(ge=2)] = 3
    freeze: Annotated[float, Meta(gt=0)] = 3.0
    floor: Annotated[float, Meta(ge=0)] = 0.0
    max_members: Annotated[int, Meta(ge=4, le=256)] = 32


@register
class NeighbourDrift(Detector[NeighbourDriftParams]):
    """Measure: spreads by which the farthest member has left its neighbours; ``score`` is 0.5 at the freeze."""

    name: ClassVar[str] = "neighbour_drift"
    streams: ClassVar[frozenset[str]] = frozenset({"group"})
    Params: ClassVar[type[Params]] = NeighbourDriftParams

    def __init__(self, params: NeighbourDriftParams, series: Sequence[Series]) -> None:
        super().__init__(params, series)
        #: Place of every member by slot, in the order in which they were first heard.
        self._places: dict[int, dict[str, int]] = {}

    def columns(self) -> Columns:
        width = (self.params.max_members,)
        return Columns(
            value=(np.float64, np.nan, width),
            at=(np.int64, _NEVER, width),
            metric=(np.int32, -1, width),
            usual=(np.float64, 0.0, width),
            spread=(np.float64, 0.0, width),
            level=(np.float64, 0.0, width),
            rows=(np.int32, 0, width),
            compared=(np.int64, _NEVER, width),
            since=(np.int64, _NEVER, width),
            away_since=(np.int64, _NEVER, width),
            away=(np.float64, np.nan, width),
        )

    def measure(self, batch: Batch) -> Measures:
        n, value = len(batch), batch.columns.get("value")
        measure, score = np.full(n, np.nan), np.full(n, np.nan)
        if value is None:
            return Measures(measure, None, score)
        # Beyond 1e100 differences leave the range of numbers; no quantity of a city is there.
        placed = [
            (i, self._place(int(batch.slot[i]), batch.records[i])) for i in np.flatnonzero(np.abs(value) < 1e100).tolist()
        ]
        told = [(i, place) for i, place in placed if place is not None]
        if not told:
            return Measures(measure, None, score)
        rows, place = np.array([i for i, _ in told]), np.array([at for _, at in told])
        slot, ts, x = batch.slot[rows], batch.ts[rows], value[rows]
        self.state["value"][slot, place], self.state["at"][slot, place] = x, ts
        others = self._others(slot, place, ts)
        compared = np.flatnonzero(~np.isnan(others))
        self._follow(slot[compared], place[compared], ts[compared], x[compared] - others[compared])
        away = self._away(slot, ts)
        farthest = np.where(np.isnan(away), -1.0, away).argmax(axis=1)
        measure[rows] = away[np.arange(len(rows)), farthest]
        score[rows] = measure[rows] / (measure[rows] + self.params.freeze)
        known = {int(row): i for i, row in enumerate(rows.tolist())}
        state = {name: self.state[name][slot, farthest] for name in ("level", "usual")}

        def carriers(i: int) -> list[str]:
            names = self._names(int(batch.slot[i]))
            order = np.argsort(-np.nan_to_num(away[known[i]][: len(names)]), kind="stable")
            return [names[j].partition("\t")[0] for j in order.tolist() if away[known[i], j] >= self.params.freeze]

        def explain(i: int) -> str:
            k = known[i]
            name = self._names(int(batch.slot[i]))[farthest[k]].partition("\t")[0]
            return (
                f"{name} is {state['level'][k]:+.3g} from its neighbours' median, usually {state['usual'][k]:+.3g}: "
                f"{measure[i]:.1f} usual spreads"
            )

        return Measures(measure, None, score, explain, carriers)

    def _place(self, slot: int, record: Any) -> int | None:
        """A member's place; None where the group is full (it is watched by the members heard first)."""
        places = self._places.setdefault(slot, {})
        name = f"{record.sensor_id}\t{record.metric}"
        place = places.get(name)
        if place is None and len(places) < self.params.max_members:
            place = places[name] = len(places)
            metrics = list(dict.fromkeys(known.partition("\t")[2] for known in places))
            self.state["metric"][slot, place] = metrics.index(record.metric)
        return place

    def _names(self, slot: int) -> list[str]:
        return list(self._places[slot])

    def _others(self, slot: NDArray[Any], place: NDArray[Any], ts: Int64) -> Float64:
        """Median of the other members of the metric that are fresh; NaN where there are too few."""
        state, members = self.state, np.arange(self.params.max_members)
        metric = state["metric"][slot]
        same = metric == metric[np.arange(len(slot)), place][:, None]
        fresh = ts[:, None] - state["at"][slot] <= self.params.fresh_s * 1000
        takes = same & fresh & (members != place[:, None])
        count = takes.sum(axis=1)
        ordered = np.sort(np.where(takes, state["value"][slot] - state["usual"][slot], np.inf), axis=1)
        every = np.arange(len(slot))
        low, high = np.maximum((count - 1) // 2, 0), np.minimum(count // 2, self.params.max_members - 1)
        middle = ordered[every, low] / 2 + ordered[every, high] / 2
        return np.where(count >= self.params.least, middle, np.nan)

    def _follow(self, slot: NDArray[Any], place: NDArray[Any], ts: Int64, away: Float64) -> None:
        """Move level, usual value and spread of the members that spoke on to ``ts``."""
        state, params, at = self.state, self.params, (slot, place)
        rows = state["rows"][at]
        since = np.where(rows == 0, ts, state["since"][at])
        rows = np.where(rows >= _SETTLE, rows - _SETTLE, rows)
        first = rows == 0
        seconds = np.where(first, 0.0, np.maximum(ts - state["compared"][at], 0) / 1000.0)
        level = np.where(first, away, state["level"][at])
        usual = np.where(first, away, state["usual"][at])
        spread = state["spread"][at]
        held = np.maximum(spread, params.floor)
        bound = np.where((rows >= _SETTLE) & (held > 0), _CLIP * held, np.inf)
        warm = ts - since >= params.warmup_s * 1000
        # One wild reading is not a drift: it pulls the level as far as a few spreads do.
        size = np.minimum(np.abs(away - level), bound)
        level = level + -np.expm1(-seconds / params.window_s) * np.clip(away - level, -2 * bound, 2 * bound)
        gone = warm & (np.abs(level - usual) > params.freeze * held) & (held > 0)
        away_since = np.where(gone, np.where(state["away_since"][at] == _NEVER, ts, state["away_since"][at]), _NEVER)
        adopt = gone & (ts - away_since >= params.adopt_s * 1000)
        # The mean of all rows at first, then of about the last ``memory_s``.
        rate = np.maximum(1.0 / (rows + 1.0), -np.expm1(-seconds / params.memory_s))
        rate = np.where(warm, -np.expm1(-seconds / params.memory_s), rate)
        rate = np.where(gone, 0.0, rate)
        usual = np.where(adopt, level, usual + rate * np.clip(away - usual, -bound, bound))
        # About the level and not the usual value, or a drift would widen what it is judged by.
        state["spread"][at] = np.where(first, 0.0, spread + rate * (size - spread))
        state["level"][at], state["usual"][at], state["since"][at] = level, usual, since
        state["away_since"][at] = np.where(adopt, _NEVER, away_since)
        state["rows"][at] = np.minimum(state["rows"][at], 2**30) + 1
        state["compared"][at] = ts
        held = np.maximum(state["spread"][at], params.floor)
        judged = warm & (held > np.abs(usual) * 1e-12) & (state["rows"][at] >= 2 * _SETTLE)
        state["away"][at] = np.where(
            judged, np.minimum(np.divide(np.abs(level - usual), held, out=np.zeros(len(slot)), where=judged), 1e9), np.nan
        )

    def _away(self, slot: NDArray[Any], ts: Int64) -> Float64:
        """Spreads every member of the rows' groups is away; NaN where it is not judged or has been silent for a window."""
        lately = ts[:, None] - self.state["compared"][slot] <= self.params.window_s * 1000
        return np.where(lately, self.state["away"][slot], np.nan)

    def forget(self, slots: NDArray[Any]) -> None:
        super().forget(slots)
        for slot in slots.tolist():
            self._places.pop(int(slot), None)

    def snapshot(self) -> Snapshot:
        """The arrays by slot, and the members' names in the order of their places as JSON text."""
        names = {str(slot): list(places) for slot, places in sorted(self._places.items())}
        return {**super().snapshot(), "names": json.dumps(names, ensure_ascii=False)}

    def restore(self, saved: Mapping[str, Any]) -> None:
        super().restore({name: part for name, part in saved.items() if name != "names"})
        named = json.loads(saved["names"])
        self._places = {int(slot): {name: i for i, name in enumerate(names)} for slot, names in named.items()}
