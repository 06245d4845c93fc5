"""Logarithms and exponentials of our own: the same bits on every machine, for one number and for many.

Those of numpy and of the C library differ from each other, from version to version and from processor to processor in the last
bit, which is enough to raise an alarm in one worker and not in another. Here they are made of sums, products and quotients of
doubles, whose results the standard IEEE 754 fixes, and of whole numbers; no step is fused with another. What differs from the
true result is at most three units in the last place.

Each function comes twice, with the same bits: ``log`` takes an array, ``log_one`` one number and is compiled
(:mod:`streams.compiled`). What both consist of is written once.

Source: method and coefficients are those of ``e_log.c`` and ``e_exp.c`` of Sun's *fdlibm* 5.3 (1993–2004, freely
distributable): reduction by powers of two with a logarithm of two in two parts (Cody and Waite 1980), and Remez polynomials.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streams.batch import Float64
from streams.compiled import compiled

#: Logarithms of two in two parts; the first has so few digits that it times an exponent is exact.
_LN2, _LN2_REST = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LG2, _LG2_REST = 3.01029995663611771306e-01, 3.69423907715893078616e-13
_LB_E, _LG_E = 1.44269504088896338700, 4.34294481903251816668e-01
#: Bits of a double: 52 of the fraction, below the exponent, which is 1023 for numbers from one on.
_FRACTION, _BIAS = 52, 1023
#: Those of the root of a half: what is taken off before the exponent is read, so that the rest lies on both sides of one.
_OF_ROOT_HALF = int(np.sqrt(0.5).view(np.int64))
_SMALLEST_NORMAL = 2.0**-1022
#: Subnormal numbers are brought into range by so many doublings.
_DOUBLINGS = 54
_LIFT = 2.0**_DOUBLINGS
#: Beyond it every exponential is 0 or infinite.
_FURTHEST = 800.0


def _ln_near_one(f: Any) -> Any:
    """Natural logarithm of 1 + f, between the root of a half and the root of two."""
    s = f / (2.0 + f)
    z = s * s
    series = 1.531383769920937332e-01 + z * 1.479819860511658591e-01
    series = 1.818357216161805012e-01 + z * series
    series = 2.222219843214978396e-01 + z * series
    series = 2.857142874366239149e-01 + z * series
    series = 3.999999999940941908e-01 + z * series
    series = z * (6.666666666666735130e-01 + z * series)
    half = 0.5 * f * f
    return f - (half - s * (half + series))


def _exp_less_one(x: Any, k: Any) -> Any:
    """exp(x − k ln 2) − 1, where k is the whole number next to x / ln 2."""
    high, low = x - k * _LN2, k * _LN2_REST
    r = high - low
    t = r * r
    series = -1.65339022054652515390e-06 + t * 4.13813679705723846039e-08
    series = 6.61375632143793436117e-05 + t * series
    series = -2.77777777770155933842e-03 + t * series
    c = r - t * (1.66666666666666019037e-01 + t * series)
    return high - (low - r * c / (2.0 - c))


_ln_near_one_compiled = compiled(_ln_near_one)
_exp_less_one_compiled = compiled(_exp_less_one)


# --- many numbers --------------------


def _logarithm(x: Float64, of_two: float, rest: float, of_e: float) -> Float64:
    x = np.asarray(x, dtype=np.float64)
    positive = (x > 0) & (x < np.inf)
    tiny = positive & (x < _SMALLEST_NORMAL)
    safe = np.where(positive, x * np.where(tiny, _LIFT, 1.0), 1.0)
    bits = safe.view(np.int64)
    k = (bits - _OF_ROOT_HALF) >> _FRACTION
    m = (bits - (k << _FRACTION)).view(np.float64)
    k = k - np.where(tiny, _DOUBLINGS, 0)
    found = k * of_two + (k * rest + of_e * _ln_near_one(m - 1.0))
    return np.where(positive, found, np.where(x == 0, -np.inf, np.where(x < 0, np.nan, x)))


def log(x: Float64) -> Float64:
    """Natural logarithm; minus infinity of 0, NaN below.

    >>> log(np.array([1.0, 2.0, 10.0])).tolist()
    [0.0, 0.6931471805599453, 2.302585092994046]
    """
    return _logarithm(x, _LN2, _LN2_REST, 1.0)


def log2(x: Float64) -> Float64:
    """Binary logarithm; exact for powers of two.

    >>> log2(np.array([0.125, 10.0])).tolist()
    [-3.0, 3.321928094887362]
    """
    return _logarithm(x, 1.0, 0.0, _LB_E)


def log10(x: Float64) -> Float64:
    """Decimal logarithm.

    >>> log10(np.array([1e-3, 5.0])).tolist()
    [-3.0, 0.6989700043360189]
    """
    return _logarithm(x, _LG2, _LG2_REST, _LG_E)


def _exponential(x: Float64, less: float) -> Float64:
    """exp(x), or exp(x) − 1 where ``less`` is 1, without losing the digits of small x."""
    x = np.asarray(x, dtype=np.float64)
    near = np.minimum(np.maximum(np.where(x == x, x, 0.0), -_FURTHEST), _FURTHEST)
    k = np.floor(near * _LB_E + 0.5)
    part = _exp_less_one(near, k)
    # In two steps, each of them a power of two that is no subnormal number.
    half = np.floor(0.5 * k)
    with np.errstate(over="ignore", under="ignore"):
        whole = (1.0 + part) * _power_of_two(half) * _power_of_two(k - half)
    found = np.where((k == 0) & (less > 0), part, whole - less)
    return np.where(x == x, found, x)


def _power_of_two(k: Float64) -> Float64:
    found: Float64 = ((k.astype(np.int64) + _BIAS) << _FRACTION).view(np.float64)
    return found


def exp(x: Float64) -> Float64:
    """Exponential.

    >>> exp(np.array([0.0, 1.0, -1e9])).tolist()
    [1.0, 2.7182818284590455, 0.0]
    """
    return _exponential(x, 0.0)


def expm1(x: Float64) -> Float64:
    """Exponential less one.

    >>> expm1(np.array([1e-20, -1e9])).tolist()
    [1e-20, -1.0]
    """
    return _exponential(x, 1.0)


# --- one number --------------------


@compiled
def _logarithm_one(x: float, of_two: float, rest: float, of_e: float) -> float:
    if not 0.0 < x < np.inf:
        return -np.inf if x == 0.0 else np.nan if x < 0.0 else x
    lifted = 0
    if x < _SMALLEST_NORMAL:
        x, lifted = x * _LIFT, _DOUBLINGS
    bits = np.float64(x).view(np.int64)
    whole = (bits - _OF_ROOT_HALF) >> _FRACTION
    m = np.int64(bits - (whole << _FRACTION)).view(np.float64)
    k = whole - lifted
    found: float = k * of_two + (k * rest + of_e * _ln_near_one_compiled(m - 1.0))
    return found


@compiled
def log_one(x: float) -> float:
    """:func:`log` of one number."""
    return _logarithm_one(x, _LN2, _LN2_REST, 1.0)


@compiled
def log2_one(x: float) -> float:
    """:func:`log2` of one number."""
    return _logarithm_one(x, 1.0, 0.0, _LB_E)


@compiled
def log10_one(x: float) -> float:
    """:func:`log10` of one number."""
    return _logarithm_one(x, _LG2, _LG2_REST, _LG_E)


@compiled
def _exponential_one(x: float, less: float) -> float:
    if x != x:
        return x
    near = min(max(x, -_FURTHEST), _FURTHEST)
    k = np.floor(near * _LB_E + 0.5)
    part: float = _exp_less_one_compiled(near, k)
    if k == 0.0 and less > 0.0:
        return part
    half = np.floor(0.5 * k)
    low = np.int64((int(half) + _BIAS) << _FRACTION).view(np.float64)
    high = np.int64((int(k - half) + _BIAS) << _FRACTION).view(np.float64)
    whole: float = (1.0 + part) * low * high
    return whole - less


@compiled
def exp_one(x: float) -> float:
    """:func:`exp` of one number."""
    return _exponential_one(x, 0.0)


@compiled
def expm1_one(x: float) -> float:
    """:func:`expm1` of one number."""
    return _exponential_one(x, 1.0)


# --- as numpy has it, of one number --------------------


@compiled
def double(number: Any) -> float:
    """A number in 64 bits: compiled code reckons with one of 32 bits as such, and ``float`` leaves it so."""
    found: float = np.float64(number)
    return found


@compiled
def least(a: float, b: float) -> float:
    """``np.minimum`` of two numbers, of which ``b`` is not NaN; one instruction without a branch."""
    return b if b < a else a


@compiled
def most(a: float, b: float) -> float:
    """``np.maximum`` of two numbers, of which ``b`` is not NaN."""
    return b if b > a else a
