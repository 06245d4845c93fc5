"""A batch of plain records as columns, without a record object for any of them: the quick way of :mod:`streams.codec`.

Devices of a kind send the same few fields in the same order, and of most rows nobody ever asks for more than their numbers. So
the JSON of a batch is scanned by compiled code (:mod:`streams.scan_kernel`) straight into columns, and a row becomes a record
only when somebody looks at it: for a quarantine, a group, a call back to its text. What the scan is not sure of it refuses, and
the codec decodes it record by record, as it does everything where nothing is compiled. Both ways have one result
(tests/streams/test_scan.py), and both check the same things.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import inspect
from numpy.typing import NDArray

from streams import compiled
from streams import scan_kernel as kernel
from streams.batch import Bool, Float64, Int32, Int64, Picked, UInt8
from streams.packed import Packed
from streams.record_codec import ONE, STREAMS, UNREADABLE
from streams.row_fields import RowFields

#: Streams whose records come by the thousand and hold nothing but numbers and words.
SCANNED: Final = frozenset({"sensor", "group", "vehicle"})
#: The one word a field may hold to be scanned, where others mean work for the codec.
_PLAIN: Final = {"crs": frozenset({"wgs84"})}


class Shape:
    """What the scan knows of a record type: its fields and where their columns stand."""

    def __init__(self, kind: type[Any], decode: Callable[[bytes], Any]) -> None:
        fields: Any = inspect.type_info(kind).fields  # type: ignore[attr-defined]
        self.decode = decode
        self.entity = ""
        self.numbers: list[str] = []
        self.blank: list[float] = []
        self.words: list[str] = []
        #: Per field of words: what absence means, and the words that are allowed (None: any).
        self.absent: list[Any] = []
        self.allowed: list[frozenset[str] | None] = []
        self.free: list[bool] = []
        widest = max(len(field.encode_name) for field in fields)
        self.names: UInt8 = np.zeros((len(fields), widest), dtype=np.uint8)
        self.sizes: Int64 = np.array([len(field.encode_name) for field in fields])
        self.kinds: Int64 = np.zeros(len(fields), dtype=np.int64)
        self.null: Bool = np.zeros(len(fields), dtype=np.bool_)
        self.place: Int64 = np.zeros(len(fields), dtype=np.int64)
        self.required = sum(1 << i for i, field in enumerate(fields) if field.required)
        for i, field in enumerate(fields):
            self.names[i, : self.sizes[i]] = np.frombuffer(field.encode_name.encode(), dtype=np.uint8)
            self.kinds[i], self.place[i], self.null[i] = self._column(field)

    def _column(self, field: Any) -> tuple[int, int, bool]:
        """What a field holds, where its column stands, and whether it may be null."""
        kind = field.type.type if isinstance(field.type, inspect.Metadata) else field.type
        options = list(kind.types) if isinstance(kind, inspect.UnionType) else [kind]
        null = any(isinstance(one, inspect.NoneType) for one in options)
        options = [one for one in options if not isinstance(one, inspect.NoneType)]
        default = None if field.default is msgspec.NODEFAULT else field.default
        match options:
            case [inspect.IntType(), inspect.StrType()]:
                return kernel.TIME, 0, null
            case [inspect.FloatType() | inspect.IntType() as number]:
                self.numbers.append(field.name)
                self.blank.append(np.nan if default is None else float(default))
                return kernel.NUMBER if isinstance(number, inspect.FloatType) else kernel.WHOLE, len(self.numbers) - 1, null
            case [inspect.StrType(min_length=1)] if not self.entity:
                self.entity = field.name
                return kernel.ENTITY, 0, null
            case [inspect.StrType(min_length=least)]:
                return self._word(field.name, default, None, free=not least), len(self.words) - 1, null
            case [inspect.LiteralType(values=values)]:
                allowed = frozenset(map(str, values))
                return self._word(field.name, default, _PLAIN.get(field.name, allowed), free=False), len(self.words) - 1, null
        raise TypeError(f"{field.name}: nothing the scan can hold in a column: {field.type}")

    def _word(self, name: str, default: Any, allowed: frozenset[str] | None, *, free: bool) -> int:
        self.words.append(name)
        self.absent.append(default)
        self.allowed.append(allowed)
        self.free.append(free)
        return kernel.TEXT if free else kernel.WORD

    def word(self, place: int, spelled: bytes) -> str | None:
        """A word as it stands between its quotes; None where the scan may not take it."""
        if not self.free[place]:
            word = spelled.decode()
            allowed = self.allowed[place]
            return word if allowed is None or word in allowed else None
        try:
            return msgspec.json.decode(b'"%b"' % spelled, type=str)
        except UNREADABLE:
            return None


@cache
def shape_of(stream: str) -> Shape | None:
    """What is scanned of a stream; None where nothing is, or nothing is compiled here."""
    return Shape(STREAMS[stream], ONE[stream]) if stream in SCANNED and compiled.AVAILABLE else None


@dataclass(slots=True)
class Scan:
    """What a scan made of ``n`` values. Columns of refused rows hold anything."""

    fields: ColumnFields
    times: Int64
    #: Per value: 0 refused, 1 read, 2 read and has a field that is unknown here.
    said: UInt8


def scan(shape: Shape, values: Packed) -> Scan:
    """Scan records, one object a value; a value the scan shall not look at is empty or null."""
    n = len(values)
    blob = values.data
    numbers: Float64 = np.empty((len(shape.numbers), n))
    numbers[:] = np.array(shape.blank)[:, None]
    times = np.zeros(n, dtype=np.int64)
    starts, lengths = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int32)
    codes = np.zeros((len(shape.words), n), dtype=np.int32)
    words = np.zeros((len(shape.words), 3, kernel.BUCKETS), dtype=np.int32)
    counts = np.zeros(len(shape.words), dtype=np.int64)
    said = np.zeros(n, dtype=np.uint8)
    kernel.scan(
        np.frombuffer(blob, dtype=np.uint8), values.starts, values.sizes,
        shape.names, shape.sizes, shape.kinds, shape.null, shape.place, shape.required,
        numbers, times, starts, lengths, codes, words, counts, said,
    )  # fmt: skip
    vocabulary: list[list[Any]] = []
    for place, count in enumerate(counts.tolist()):
        found: list[Any] = [shape.absent[place]]
        for begin, size in zip(words[place, 1, :count].tolist(), words[place, 2, :count].tolist(), strict=True):
            word = shape.word(place, blob[begin : begin + size])
            found.append(word)
            if word is None:
                said[codes[place] == len(found) - 1] = 0
        vocabulary.append(found)
    rows = ScannedRows(shape.decode, values)
    return Scan(ColumnFields(shape, rows, blob, starts, lengths, numbers, codes, vocabulary), times, said)


def warm() -> ColumnFields:
    """Have the scan compiled; returns the fields of what it read."""
    shape = Shape(STREAMS["sensor"], ONE["sensor"])
    return scan(shape, Packed.of([b'{"sensor_id":"warm","ts":1,"metric":"warm","value":0.12345678901234567}'])).fields


class ScannedRows(Sequence[Any]):
    """Records that are decoded when somebody looks at them; ``held`` are those that were, or never were anything else."""

    __slots__ = ("_decode", "_values", "converted", "held")

    def __init__(self, decode: Callable[[bytes], Any], values: Packed) -> None:
        self._decode, self._values = decode, values
        self.held: dict[int, Any] = {}
        #: Value and unit of readings that came in another unit.
        self.converted: dict[int, tuple[float, str | None]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Picked(self, np.arange(len(self))[at])
        row = int(at)
        if row < 0:
            row += len(self)
        record = self.held.get(row)
        if record is None:
            record = self.held[row] = self._decode(self._values[row] or b"")
            if row in self.converted:
                record.value, record.unit = self.converted[row]
        return record

    def convert(self, row: int, value: float, unit: str | None) -> None:
        self.converted[row] = value, unit
        if row in self.held:
            self.held[row].value, self.held[row].unit = value, unit

    def __eq__(self, other: object) -> bool:
        return list(self) == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


class ColumnFields(RowFields):
    """Fields that stand in columns already; of the records themselves only what is asked for is made."""

    def __init__(
        self,
        shape: Shape,
        rows: ScannedRows,
        blob: bytes,
        starts: Int32,
        lengths: Int32,
        numbers: Float64,
        codes: Int32,
        vocabulary: list[list[Any]],
        index: NDArray[np.intp] | None = None,
        wrong: dict[str, Bool] | None = None,
    ) -> None:
        """``index``: which of the ``rows`` these are, where not all."""
        super().__init__(rows if index is None else Picked(rows, index))
        self.shape, self.blob = shape, blob
        #: Where an entity's id is spelled in ``blob``; -1 where it is only in the record.
        self.starts, self.lengths = starts, lengths
        self.codes, self.vocabulary = codes, vocabulary
        self._all, self._index = rows, index
        self._numbers = numbers
        #: By field, which rows sent no finite number.
        self._wrong = wrong or {}

    def __missing__(self, name: str) -> list[Any]:
        if name in self.shape.words:
            place = self.shape.words.index(name)
            words = self.vocabulary[place]
            found = [words[code] for code in self.codes[place].tolist()]
        elif name == self.shape.entity:
            found = [self.entity(row) for row in range(len(self.rows))]
        else:
            found = [getattr(record, name) for record in self.rows]
        self[name] = found
        return found

    def entity(self, row: int) -> str:
        begin = int(self.starts[row])
        if begin < 0:
            found: str = getattr(self.rows[row], self.shape.entity)
            return found
        return self.blob[begin : begin + int(self.lengths[row])].decode()

    def distinct(self, name: str) -> set[Any]:
        if name not in self.shape.words:
            return super().distinct(name)
        found = self._distinct.get(name)
        if found is None:
            place = self.shape.words.index(name)
            words, codes = self.vocabulary[place], self.codes[place]
            first = int(codes[0]) if len(codes) else 0
            if np.count_nonzero(codes == first) == len(codes):
                found = {words[first]} if len(codes) else set()
            else:
                found = {words[code] for code in np.bincount(codes).nonzero()[0].tolist()}
            self._distinct[name] = found
        return found

    def numbers(self, name: str) -> tuple[Float64, Bool | None]:
        return self._numbers[self.shape.numbers.index(name)], self._wrong.get(name)

    def coded(self, name: str, codes: dict[Any, float]) -> Float64:
        place = self.shape.words.index(name)
        table = np.array([codes.get(word, np.nan) for word in self.vocabulary[place]])
        found: Float64 = table[self.codes[place]]
        return found

    def take(self, index: NDArray[np.intp]) -> ColumnFields:
        return ColumnFields(
            self.shape,
            self._all,
            self.blob,
            self.starts[index],
            self.lengths[index],
            self._numbers[:, index],
            self.codes[:, index],
            self.vocabulary,
            index if self._index is None else self._index[index],
            {name: wrong[index] for name, wrong in self._wrong.items()},
        )

    def convert(self, row: int, value: float, unit: str | None) -> None:
        self._all.convert(row if self._index is None else int(self._index[row]), value, unit)

    def joined(self, read: NDArray[np.intp], rest: RowFields, order: NDArray[np.intp], row_of: Int32) -> ColumnFields:
        """The rows ``read`` by the scan, and behind them the ``rest``, which were decoded one by one, put into ``order``;
        ``row_of`` says which value each came from then."""
        more = len(rest.rows)
        rows = ScannedRows(self.shape.decode, self._all._values.take(row_of))
        rows.held = {place: rest.rows[row - len(read)] for place, row in enumerate(order.tolist()) if row >= len(read)}
        numbers = np.empty((len(self._numbers), len(order)))
        numbers[:, : len(read)] = self._numbers[:, read]
        wrong: dict[str, Bool] = {}
        for place, name in enumerate(self.shape.numbers):
            numbers[place, len(read) :], bad = rest.numbers(name)
            if bad is not None:
                wrong[name] = np.concatenate([np.zeros(len(read), dtype=np.bool_), bad])[order]
        codes = np.empty((len(self.codes), len(order)), dtype=np.int32)
        codes[:, : len(read)] = self.codes[:, read]
        vocabulary = [list(words) for words in self.vocabulary]
        for place, name in enumerate(self.shape.words):
            words = vocabulary[place]
            known = {word: code for code, word in reversed(list(enumerate(words)))}
            for row, word in enumerate(rest[name], len(read)):
                code = known.setdefault(word, len(words))
                if code == len(words):
                    words.append(word)
                codes[place, row] = code
        apart = np.full(more, -1, dtype=np.int32)
        return ColumnFields(
            self.shape,
            rows,
            self.blob,
            np.concatenate([self.starts[read], apart])[order],
            np.concatenate([self.lengths[read], apart])[order],
            numbers[:, order],
            codes[:, order],
            vocabulary,
            None,
            wrong,
        )
