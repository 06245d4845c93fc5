"""What every detector is: a measure over batches.

A detector *measures*, the ladder *judges*, the alarm *holds* (see :mod:`detectors.ladder` and :mod:`detectors.alarm`). A
detector turns each row it is shown into one number, the measure, which grows with the trouble (or falls, where the rule says
``direction = "below"``): a value, a rate, a distance outside a fence, seconds of silence, the number of frames that agree.
Levels, hysteresis, hold times and signals are the same for all detectors and live elsewhere.

The laws, checked for every registered detector by ``tests/contracts``:

* the same rows in other batches give the same measures (law 2);
* ``restore(snapshot())`` changes nothing, and snapshots hold only numbers, text, bytes and numpy arrays;
* a row is measured before it is learned from, and a row beyond the detector's own freeze bound is not learned from (law 6);
* state grows with the number of slots, never with the number of rows (law 7);
* no row, whatever it holds, raises (law 4);
* no clock, no randomness without a fixed seed, no input or output.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.series import Series
from streams.batch import Batch, Float64, Int32, Int64
from streams.series import grown

Snapshot = dict[str, Any]


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of a detector's typed parameters, as they stand under ``[detector]`` in a rule; an unknown name is an error."""


P = TypeVar("P", bound=Params)


@dataclass(slots=True)
class Measures:
    """Measures of some slots at one moment each; arrays of one length.

    ``measure`` is NaN where the detector says nothing of the row (the alarm keeps its state). ``expected`` and ``score``
    (0 to 1) are NaN where the detector has none; a score of 0.5 is where the detector itself would flag the row
    (``citywatch score`` does). ``explain(i)`` is called only for rows that become a signal.
    """

    measure: Float64
    expected: Float64 | None = None
    score: Float64 | None = None
    explain: Callable[[int], str] | None = None
    #: Of a group: which members carry what row ``i`` measures, the strongest first.
    carriers: Callable[[int], list[str]] | None = None
    #: Only from :meth:`Detector.tick`: which slots are spoken of.
    slot: Int32 | None = None
    #: Of a silence: whether it is the whole stream's, the gateway's or the device's own (:mod:`detectors.neighbours`).
    outage: Callable[[int], str | None] | None = None

    def numbers(self, row: int) -> tuple[float | None, float | None, float | None]:
        """(measure, expected, score) of one row, None where the detector has none."""
        return _number(self.measure, row), _number(self.expected, row), _number(self.score, row)


def _number(array: Float64 | None, row: int) -> float | None:
    if array is None:
        return None
    number: float = array.item(row)
    return number if isfinite(number) else None


class Columns:
    """Named arrays with one row per slot, the only state most detectors need: grown, forgotten, saved and restored alike.

    >>> columns = Columns(mean=(np.float64, np.nan), seen=(np.int32, 0))
    >>> columns.grow(3); columns["seen"][1] = 5; columns.forget(np.array([1]))
    >>> columns["seen"][:3].tolist()
    [0, 0, 0]
    """

    def __init__(self, **kinds: tuple[Any, Any] | tuple[Any, Any, tuple[int, ...]]) -> None:
        self._kinds = kinds
        self._arrays: dict[str, NDArray[Any]] = {name: self._blank(name, 0) for name in kinds}
        self.size = 0

    def _blank(self, name: str, rows: int) -> NDArray[Any]:
        kind = self._kinds[name]
        width: tuple[int, ...] = kind[2] if len(kind) == 3 else ()
        return np.full((rows, *width), kind[1], dtype=kind[0])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def all(self) -> tuple[NDArray[Any], ...]:
        """The arrays in the order they were named, as a compiled loop takes them; until the next growth or restoring."""
        return tuple(self._arrays.values())

    def grow(self, size: int) -> None:
        """Room for slots 0 … size-1, and some more."""
        if size <= self.size:
            return
        self.size = size
        self._arrays = {name: grown(array, size, self._kinds[name][1]) for name, array in self._arrays.items()}

    def forget(self, slots: NDArray[Any]) -> None:
        for name, array in self._arrays.items():
            array[slots] = self._kinds[name][1]

    def snapshot(self) -> Snapshot:
        return {name: array[: self.size].copy() for name, array in self._arrays.items()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        self._arrays = {name: array.copy() for name, array in self._taken(saved).items()}

    def _taken(self, saved: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """The columns of a snapshot, not to be written into; :attr:`size` is theirs from now on."""
        missing = set(self._kinds) - set(saved)
        if missing:
            raise ValueError(f"snapshot lacks the columns {sorted(missing)}; it was written by another version")
        self.size = max((len(saved[name]) for name in self._kinds), default=0)
        found = {}
        for name in self._kinds:
            blank = self._blank(name, 0)
            array = np.asarray(saved[name], dtype=blank.dtype)
            found[name] = array.reshape((len(array), *blank.shape[1:]))
        return found

    @property
    def bytes_per_slot(self) -> int:
        return sum(self._blank(name, 1).nbytes for name in self._kinds)


class Detector(ABC, Generic[P]):
    """Base of all detectors. A subclass states name, streams and Params, and implements :meth:`measure`.

    ``series`` is shared with the caller and indexed by slot; the caller appends to it (and replaces entries when the registry
    changes) before it shows rows of a new slot, and calls :meth:`grow`.
    """

    name: ClassVar[str]
    streams: ClassVar[frozenset[str]]
    Params: ClassVar[type[Params]]
    #: Rows older than what the series has seen are shown too (they are marked in ``batch.late``).
    takes_late: ClassVar[bool] = False
    #: :meth:`measure` may be shown a slot several times in one batch, in the order of the log. Others are shown a batch in
    #: rounds, in which no slot occurs twice: on sparse data, where a round is one row, that is most of the cost.
    repeats: ClassVar[bool] = False
    #: Rows the gate quarantined for what they say are shown too, without values: signs of life.
    takes_unmeasured: ClassVar[bool] = False
    #: Told before each tick, as ``pulse``, when the shard heard anything last that was not long on its way.
    feels_pulse: ClassVar[bool] = False
    pulse: int | None = None
    #: The measure falls with the trouble only where the rule says so; detectors whose measure is the value itself allow it.
    signed: ClassVar[bool] = False
    #: It judges a stream as one series: rules name the stream "any", and it runs in the shards of all of :attr:`streams`.
    of_stream: ClassVar[bool] = False
    #: Its loops are compiled where that can be (:mod:`streams.compiled`).
    compiled: ClassVar[bool] = False
    #: Raised when the same rows now give other measures, so that rules using the detector get another fingerprint.
    revision: ClassVar[int] = 1

    def __init__(self, params: P, series: Sequence[Series]) -> None:
        self.params = params
        self.series = series
        self.state = self.columns()

    def columns(self) -> Columns:
        """Fresh state; override where the detector has any."""
        return Columns()

    def grow(self, size: int) -> None:
        self.state.grow(size)

    def changed(self, slots: Sequence[int]) -> None:
        """The registry's facts of these slots are other ones now (also called once for every new slot)."""

    @abstractmethod
    def measure(self, batch: Batch) -> Measures:
        """Measure every row, then learn from it. Unless it :attr:`repeats`, no slot occurs twice in ``batch``; order between
        slots means nothing."""

    def teach(self, batch: Batch) -> None:
        """Learn rows somebody knows to be good. Here they are measured like others; a detector with a freeze lifts it."""
        self.measure(batch)

    def due(self) -> int | None:
        """Earliest arrival time (ms) at which :meth:`tick` could have something to say; None: never. May be too early."""
        return None

    def soonest(self, batch: Batch) -> Int64 | None:
        """Of each row, a time (ms) before which no timer that the row sets falls due, by the state as it is now and whatever
        rows and ticks come before it; None: unknown. Where it is known, rows of many seconds are shown at once, else of one."""
        return None

    def tick(self, now: int) -> Measures | None:
        """Measures that hold because time passed: ``now`` is on the one-second grid of arrival time."""
        return None

    def forget(self, slots: NDArray[Any]) -> None:
        self.state.forget(slots)

    def snapshot(self) -> Snapshot:
        return self.state.snapshot()

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.state.restore(saved)


_REGISTRY: dict[str, type[Detector[Any]]] = {}
D = TypeVar("D", bound=type[Detector[Any]])


def register(detector: D) -> D:
    """Class decorator: the detector can be named in rules, and the contract tests run over it."""
    if detector.name in _REGISTRY:
        raise ValueError(f"two detectors are called {detector.name!r}")
    _REGISTRY[detector.name] = detector
    return detector


def registered() -> Mapping[str, type[Detector[Any]]]:
    """All detectors by name (importing :mod:`detectors` registers those of the house)."""
    return dict(_REGISTRY)
