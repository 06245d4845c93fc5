"""What numpy offers for wide arrays, for arrays of a few rows: the same numbers without the wrappers.

A worker whose records trickle in shows its detectors batches of one to twenty rows, where a call costs what its Python does
and not what it reckons, and the Python of ``np.clip`` and ``np.stack`` costs several times what these do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streams.batch import Float64


def bounded(x: Float64, low: Any, high: Any) -> Float64:
    """``np.clip``: each number, but at least ``low`` and at most ``high``; NaN stays.

    >>> bounded(np.array([-2.0, 0.5, 9.0]), -1.0, 1.0).tolist()
    [-1.0, 0.5, 1.0]
    """
    found: Float64 = np.minimum(np.maximum(x, low), high)
    return found


def beside(*columns: Float64) -> Float64:
    """``np.stack(columns, axis=1)`` of 64-bit numbers: shape (rows, columns).

    >>> beside(np.array([1.0, 2.0]), np.array([3.0, 4.0])).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    table = np.empty((len(columns[0]), len(columns)))
    for place, column in enumerate(columns):
        table[:, place] = column
    return table
