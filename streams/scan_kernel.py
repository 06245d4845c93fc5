"""The compiled scan: JSON objects of one shape, as devices send them, straight into columns.

It reads the plain majority and refuses the rest: what it takes, it takes as msgspec would, to the last bit of every number;
what it is not sure of (arrays, nested values, a field twice, text with escapes where an identifier should stand, numbers of
more than 18 digits, anything that is no JSON) it leaves to the decoder of records. It never says what is wrong.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from streams.batch import Bool, Float64, Int32, Int64, UInt8
from streams.compiled import compiled

#: What a field may hold.
TIME, NUMBER, WHOLE, ENTITY, WORD, TEXT = range(6)
#: So many different words and texts of a field are told apart in a batch; rows beyond are refused.
WORDS = 126
#: Buckets of the table they are found in, a power of two.
BUCKETS = 512

_ESCAPED, _WIDE, _CONTROL = 1, 2, 4
_MOST_DIGITS = 10**17
_POWERS_OF_TEN = np.array([10.0**n for n in range(23)])
_EXACT = 2**53


def _power_of_five(power: int) -> int:
    """The first 128 bits of 5**power, cut off, and for negative powers rounded up (Lemire 2021, section 5)."""
    if power >= 0:
        whole: int = 5**power
        size = whole.bit_length()
        return whole << (128 - size) if size <= 128 else whole >> (size - 128)
    divisor: int = 5**-power
    size = (divisor - 1).bit_length()
    found: int = 2 ** (size + 127 if power >= -27 else 2 * size + 128) // divisor + 1
    return found >> max(0, found.bit_length() - 128)


#: Decimal exponents that are reckoned with here; no reading is larger or smaller.
_REACH = 64
_HIGH = np.array([_power_of_five(q) >> 64 for q in range(-_REACH, _REACH + 1)], dtype=np.uint64)
_LOW = np.array([_power_of_five(q) & (2**64 - 1) for q in range(-_REACH, _REACH + 1)], dtype=np.uint64)

_U0, _U1, _U3, _U9, _U32 = (np.uint64(n) for n in (0, 1, 3, 9, 32))
_HALF = np.uint64(2**32 - 1)
_ALL = np.uint64(2**64 - 1)
_TOP = np.uint64(2**63)
_FRACTION_BITS = np.uint64(0x1FF)
_FULL = np.uint64(2**53)


@compiled
def product(a: Any, b: Any) -> Any:
    """Both halves of the 128 bits of a times b."""
    a_high, a_low, b_high, b_low = a >> _U32, a & _HALF, b >> _U32, b & _HALF
    low = a_low * b_low
    middle = a_high * b_low + (low >> _U32)
    other = a_low * b_high + (middle & _HALF)
    return a_high * b_high + (middle >> _U32) + (other >> _U32), (other << _U32) | (low & _HALF)


@compiled
def nearest(mantissa: Any, power: Any) -> Any:
    """The double nearest to mantissa (from 1 to 10**18) times ten to the power, ties to even; NaN where that is not sure.

    Lemire, "Number parsing at a gigabyte per second", Software: Practice and Experience 51(8), 2021.
    """
    if power < -_REACH or power > _REACH:
        return math.nan
    bits = np.uint64(mantissa)
    zeros = 0
    while not bits & _TOP:
        bits <<= _U1
        zeros += 1
    high, low = product(bits, _HIGH[power + _REACH])
    if high & _FRACTION_BITS == _FRACTION_BITS:
        more, _ = product(bits, _LOW[power + _REACH])
        low += more
        if low < more:
            high += _U1
        if low == _ALL:
            return math.nan
    upper = high >> np.uint64(63)
    shift = upper + _U9
    found = high >> shift
    exponent = ((217706 * power) >> 16) + 63 + np.int64(upper) - zeros
    if low <= _U1 and power >= -4 and power <= 23 and found & _U3 == _U1 and found << shift == high:
        found &= ~_U1  # exactly half way, and the even one lies below
    found = (found + (found & _U1)) >> _U1
    return math.ldexp(float(found), exponent - 52)


@compiled
def digits(blob: UInt8, p: Any, mantissa: Any) -> Any:
    """Digits from p on behind those of ``mantissa``: (place behind them, all of them as one whole number); the place is -1
    where there is none, or too many."""
    first = p
    while 48 <= blob[p] <= 57:
        if mantissa >= _MOST_DIGITS:
            return -1, mantissa
        mantissa = mantissa * 10 + np.int64(blob[p]) - 48
        p += 1
    return (p if p > first else -1), mantissa


@compiled
def number(blob: UInt8, p: Any) -> Any:
    """A number that begins at p: (place behind it, its digits as one whole number, power of ten, negative, without a fraction);
    the place is -1 where it is none or has too many digits."""
    negative = blob[p] == 45
    if negative:
        p += 1
    mantissa: Any = np.int64(0)
    power, whole = 0, True
    if blob[p] == 48:
        p += 1
        if 48 <= blob[p] <= 57:
            return -1, 0, 0, False, False
    else:
        p, mantissa = digits(blob, p, mantissa)
        if p < 0:
            return -1, 0, 0, False, False
    if blob[p] == 46:
        whole = False
        first = p + 1
        p, mantissa = digits(blob, first, mantissa)
        if p < 0:
            return -1, 0, 0, False, False
        power = first - p
    if blob[p] == 101 or blob[p] == 69:
        whole = False
        p += 1
        below = blob[p] == 45
        if below or blob[p] == 43:
            p += 1
        first = p
        exponent: Any = 0
        while 48 <= blob[p] <= 57:
            if exponent > 999:
                return -1, 0, 0, False, False
            exponent = exponent * 10 + np.int64(blob[p]) - 48
            p += 1
        if p == first:
            return -1, 0, 0, False, False
        power += -exponent if below else exponent
    return p, mantissa, power, negative, whole


@compiled
def text(blob: UInt8, p: Any, end: Any) -> Any:
    """Text whose first byte is at p: (place of the quote behind it, marks of what is odd in it); the place is -1 where it is
    no UTF-8, holds a bare control character, or does not end before ``end``."""
    odd = 0
    while True:
        byte = blob[p]
        if byte == 34:
            return p, odd
        if byte == 92:
            odd |= _ESCAPED
            p += 2
            if p >= end:
                return -1, odd
        elif byte < 32:
            return -1, odd
        elif byte < 127:
            p += 1
        elif byte == 127:
            odd |= _CONTROL
            p += 1
        elif 194 <= byte <= 223:
            if blob[p + 1] & 192 != 128:
                return -1, odd
            odd |= _CONTROL if byte == 194 and blob[p + 1] < 160 else _WIDE
            p += 2
        elif 224 <= byte <= 239:
            second = blob[p + 1]
            if second & 192 != 128 or (byte == 224 and second < 160) or (byte == 237 and second > 159):
                return -1, odd
            if blob[p + 2] & 192 != 128:
                return -1, odd
            odd |= _CONTROL if byte == 226 and second == 128 and 168 <= blob[p + 2] <= 169 else _WIDE
            p += 3
        elif 240 <= byte <= 244:
            second = blob[p + 1]
            if second & 192 != 128 or (byte == 240 and second < 144) or (byte == 244 and second > 143):
                return -1, odd
            if blob[p + 2] & 192 != 128 or blob[p + 3] & 192 != 128:
                return -1, odd
            odd |= _WIDE
            p += 4
        else:
            return -1, odd


@compiled
def behind_space(blob: UInt8, p: Any, end: Any) -> Any:
    while p < end and (blob[p] == 32 or blob[p] == 10 or blob[p] == 13 or blob[p] == 9):
        p += 1
    return p


@compiled
def same(blob: UInt8, a: Any, b: Any, size: Any) -> Any:
    for i in range(size):  # noqa: SIM110 - a loop is what is compiled
        if blob[a + i] != blob[b + i]:
            return False
    return True


@compiled
def literal(blob: UInt8, p: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    return blob[p] == a and blob[p + 1] == b and blob[p + 2] == c and blob[p + 3] == d


@compiled
def word_of(blob: UInt8, begin: Any, size: Any, table: Int32, starts: Int32, sizes: Any, count: Any) -> Any:
    """Number, from 1 on, of a word among the ``count`` of its field, new ones behind them; -1 where there is no room."""
    bucket = size
    for i in range(min(size, 12)):
        bucket = bucket * 31 + np.int64(blob[begin + i])
    bucket &= BUCKETS - 1
    while table[bucket]:
        at = np.int64(table[bucket]) - 1
        if sizes[at] == size and same(blob, begin, starts[at], size):
            return at + 1
        bucket = (bucket + 1) & (BUCKETS - 1)
    if count >= WORDS:
        return np.int64(-1)
    table[bucket] = count + 1
    starts[count], sizes[count] = begin, size
    return np.int64(count + 1)


@compiled
def scan(
    blob: UInt8,
    begins: Int64,
    bytes_of: Int64,
    names: UInt8,
    sizes: Any,
    kinds: Int64,
    null: Bool,
    place: Int64,
    required: int,
    numbers: Float64,
    times: Int64,
    starts: Int32,
    lengths: Int32,
    codes: Int32,
    words: Int32,
    counts: Int64,
    said: UInt8,
) -> Any:
    """Reads records of ``blob``: ``bytes_of`` from ``begins`` on. What stands behind a record may be anything, for nothing is
    taken that does not end where its record does; behind the last one is room to look ahead (:data:`streams.packed.PAD`).

    Of field f: ``names[f]`` its name (``sizes[f]`` bytes), ``kinds[f]`` what it holds, ``null[f]`` whether it may be null,
    ``place[f]`` its row in ``numbers`` (NUMBER, WHOLE), or in ``codes`` and the others of words (WORD, TEXT); ``required`` has
    a bit for each field that must be there. Written are the columns: ``numbers`` (what stood there stays where a field is
    absent), ``times``, the entity's ``starts`` and ``lengths``, ``codes`` (0: absent); per field of words their table, starts
    and sizes in ``words`` and their ``counts``; and ``said`` per record: 0 refused, 1 read, 2 read with a field unknown here.
    """
    fields = len(sizes)
    order = np.full(32, -1, np.int64)  # of the record before: devices of a kind write the same fields in the same order
    for row in range(len(begins)):
        begin = begins[row]
        end = begin + bytes_of[row]
        p = behind_space(blob, begin, end)
        if p >= end or blob[p] != 123:
            continue
        p = behind_space(blob, p + 1, end)
        seen, nth, strange, good = 0, 0, False, False
        while True:
            if p >= end or blob[p] != 34:
                break
            p += 1
            field = order[nth] if nth < 32 else -1
            if field >= 0:
                size = sizes[field]
                if blob[p + size] != 34:
                    field = -1
                else:
                    for i in range(size):
                        if blob[p + i] != names[field, i]:
                            field = -1
                            break
            if field >= 0:
                p += sizes[field]
            else:
                quote, odd = text(blob, p, end)
                if quote < 0 or odd:
                    break
                for one in range(fields):
                    if sizes[one] == quote - p:
                        field = one
                        for i in range(quote - p):
                            if blob[p + i] != names[one, i]:
                                field = -1
                                break
                        if field >= 0:
                            break
                if nth < 32:
                    order[nth] = field
                p = quote
            p = behind_space(blob, p + 1, end)
            if blob[p] != 58:
                break
            p = behind_space(blob, p + 1, end)
            byte = blob[p]
            if field < 0:
                strange = True
                if byte == 34:
                    p, odd = text(blob, p + 1, end)
                    if p < 0 or odd & _ESCAPED:
                        break
                    p += 1
                elif literal(blob, p, 110, 117, 108, 108) or literal(blob, p, 116, 114, 117, 101):
                    p += 4
                elif literal(blob, p, 102, 97, 108, 115) and blob[p + 4] == 101:
                    p += 5
                else:
                    p, _, _, _, _ = number(blob, p)
                    if p < 0:
                        break
            else:
                if seen >> field & 1:
                    break
                seen |= 1 << field
                kind, at = kinds[field], place[field]
                if byte == 110 and null[field]:
                    if not literal(blob, p, 110, 117, 108, 108):
                        break
                    p += 4
                elif kind <= WHOLE:
                    p, mantissa, power, negative, whole = number(blob, p)
                    if p < 0 or (negative and whole and mantissa == 0):
                        break
                    if kind == NUMBER:
                        if mantissa <= _EXACT and -22 <= power <= 22:
                            value = float(mantissa)
                            value = value * _POWERS_OF_TEN[power] if power >= 0 else value / _POWERS_OF_TEN[-power]
                        elif mantissa:
                            value = nearest(mantissa, power)
                        else:
                            value = 0.0
                        if value != value:
                            break
                        numbers[at, row] = -value if negative else value
                    elif not whole:
                        break
                    elif kind == TIME:
                        times[row] = -mantissa if negative else mantissa
                    else:
                        numbers[at, row] = -mantissa if negative else mantissa
                elif byte != 34:
                    break
                else:
                    p += 1
                    quote, odd = text(blob, p, end)
                    if quote < 0:
                        break
                    size = quote - p
                    if kind != TEXT and (odd & (_ESCAPED | _CONTROL) or size == 0 or size > 128):
                        break
                    if kind == ENTITY:
                        starts[row], lengths[row] = p, size
                    else:
                        code = np.int64(codes[at, row - 1]) if row else 0
                        if code <= 0 or words[at, 2, code - 1] != size or not same(blob, p, words[at, 1, code - 1], size):
                            code = word_of(blob, p, size, words[at, 0], words[at, 1], words[at, 2], counts[at])
                            if code < 0:
                                break
                            if code > counts[at]:
                                counts[at] = code
                        codes[at, row] = code
                    p = quote + 1
            p = behind_space(blob, p, end)
            if blob[p] == 44:
                p = behind_space(blob, p + 1, end)
                nth += 1
            else:
                good = blob[p] == 125
                break
        if good and behind_space(blob, p + 1, end) == end and seen & required == required:
            said[row] = 2 if strange else 1
