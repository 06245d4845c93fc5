"""Parameters with which the contract tests run every registered detector. A new detector adds its line here.

``bytes_per_slot`` is what a slot's state may weigh at most, however many rows it has seen. ``baseline`` marks detectors that
learn what is usual: their ``expected`` may not depend on the row it is expected for, and rows beyond their freeze may not
move it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from detectors.base import Detector
from detectors.fences import FenceSet


@dataclass(frozen=True)
class Example:
    params: dict[str, Any] = field(default_factory=dict)
    bytes_per_slot: int = 512
    baseline: bool = False
    #: What the caller gives the detector besides parameters and series (fences), before the first row.
    prepare: Callable[[Detector[Any]], None] = lambda detector: None


def _fences(detector: Any) -> None:
    """Two squares of about 400 m that the vehicles of rows.py drive in and out of."""
    ring = [[117.216, 31.818], [117.220, 31.818], [117.220, 31.832], [117.216, 31.832], [117.216, 31.818]]
    other = [[lon + 0.003, lat + 0.008] for lon, lat in ring]
    shapes = {"type": "MultiPolygon", "coordinates": [[ring], [other]]}
    detector.attach(FenceSet.from_geojson(shapes, fence_kind="school"))


EXAMPLES: dict[str, list[Example]] = {
    "threshold": [
        Example(),
        Example({"column": "speed_kmh"}),
        Example({"daily_from": "22:00", "daily_to": "06:00", "outside": 0.0}),
    ],
    "rate_of_change": [
        Example({"window_s": 60}),
        Example({"window_s": 600, "motion": "either"}),
        Example({"window_s": 300, "motion": "fall", "per_s": 60, "min_span_s": 5}),
    ],
    "robust_z": [
        Example({"warmup": 10, "memory": 50}, baseline=True),
        Example({"warmup": 10, "adopt_after": 7, "side": "below"}),
        Example({"warmup": 10, "season": "day", "adopt_after": 5, "freeze": 3.0, "floor": 0.01}),
    ],
    # One histogram of each tail and a day of ten-minute bins: the default detector may weigh 2 kB.
    "unusual": [
        Example({"warmup": 20}, bytes_per_slot=2000),
        Example({"warmup": 20, "bound": 3.0, "noise_days": 0.01, "quiet": 3, "adopt_after": 30}, bytes_per_slot=2000),
    ],
    "excess": [
        Example({"window_s": 60, "warmup": 5}, baseline=True),
        Example({"window_s": 600, "warmup": 3, "freeze": 0.1, "scale": "unit", "side": "both"}),
    ],
    "accumulation": [Example({"window_s": 60}), Example({"window_s": 3600, "least": 0.5, "dry_s": 600})],
    "stuck": [
        Example(),
        Example({"eps": 0.01, "unit": "rows", "ignore_values": [0]}),
        Example({"unit": "times", "min_rows": 2, "min_moves": 3}),
    ],
    "silence": [
        Example(),
        Example({"learn": True, "learn_rows": 5, "repeat_s": 7}),
        Example({"needed": 2, "heard_share": 0.5}),
    ],
    "stream_silence": [Example(), Example({"after_s": 30, "factor": 2, "longest": 1, "rows": 3})],
    "river_model": [
        Example(
            {"warmup": 16, "retain": 32, "freeze": 0.97, "settings": {"n_trees": 3, "height": 4}},
            bytes_per_slot=4096,
            baseline=True,
        ),
        *(
            Example({"model": model, "warmup": 16, "retain": 32, "settings": given}, bytes_per_slot=4096)
            for model, given in (
                ("anomaly.GaussianScorer", {"grace_period": 10}),
                ("anomaly.PredictiveAnomalyDetection", {"predictive_model": {"use": "time_series.HoltWinters", "alpha": 0.3}}),
                ("drift.PageHinkley", {"threshold": 5.0, "min_instances": 5}),
                ("drift.binary.DDM", {"warm_start": 5}),
                ("time_series.HoltWinters", {"alpha": 0.3, "beta": 0.1}),
            )
        ),
        Example({"model": "hotelling_t2", "warmup": 16, "retain": 32, "freeze": 3.0}, bytes_per_slot=4096, baseline=True),
        # The running mean carries a row beyond the freeze along for some vectors; the model does not learn it.
        Example({"model": "hotelling_t2", "warmup": 16, "retain": 32, "freeze": 3.0, "smooth": 0.3}, bytes_per_slot=4096),
        Example(
            {"model": "local_outlier_factor", "warmup": 16, "retain": 32, "freeze": 3.0, "share": 0.3}, bytes_per_slot=4096
        ),
    ],
    "counter": [
        Example(),
        Example({"say": "rate", "jitter": 0.01, "capacity": 1.0}),
        # The rate's own baseline, and the meter's.
        Example({"say": "unusual", "warmup": 10, "jitter": 1.0}),
    ],
    "vibration": [
        Example({"rows": 4, "warmup": 10, "memory": 20}, bytes_per_slot=1024),
        Example({"rows": 4, "warmup": 10, "feature": "rms", "unit": "times", "side": "both"}),
        Example({"rows": 16, "warmup": 10, "feature": "bands", "bands_hz": [[0.0, 0.2], [0.1, 0.5]]}, bytes_per_slot=1024),
    ],
    "report_rate": [
        Example({"window_s": 10, "warmup": 3, "least": 1.0}),
        Example({"window_s": 30, "side": "burst", "warmup": 2, "least": 1.0, "adopt_after": 3}),
    ],
    # Eleven numbers a member; a city has hundreds of groups, not a hundred thousand.
    "neighbour_drift": [
        Example(
            {"window_s": 30, "warmup_s": 60, "memory_s": 600, "adopt_s": 200, "fresh_s": 300, "max_members": 4, "least": 2},
            bytes_per_slot=1024,
        ),
        Example(
            {
                "window_s": 300,
                "warmup_s": 60,
                "memory_s": 900,
                "fresh_s": 600,
                "max_members": 5,
                "freeze": 1.0,
                "floor": 0.001,
                "least": 2,
            },
            bytes_per_slot=1024,
        ),
    ],
    # Forty rows are kept of each series; it is for the series a city wants change points of, not for all of them.
    "change_point": [
        Example(),
        Example({"short": 3, "window": 5, "threshold": 2.0, "memory": 50}),
    ],
    "group_deviation": [
        Example({"warmup": 16, "short": 5, "adopt_after": 30}, bytes_per_slot=4096),
        Example(
            {"warmup": 16, "short": 3, "threshold": 2.0, "release": 1.5, "tail": 0.0, "max_members": 2}, bytes_per_slot=4096
        ),
        Example(
            {"tell": "change", "change": {"short": 3, "window": 8, "threshold": 2.0, "silence": 0}, "share": 0.3},
            bytes_per_slot=4096,
        ),
    ],
    "geofence": [
        Example({"kinds": ["school"], "mode": mode, "points": 2}, prepare=_fences)
        for mode in ("inside", "outside", "enter", "exit", "dwell")
    ],
    "overspeed": [Example(), Example({"kinds": ["school"], "implied": False}, prepare=_fences)],
    "implied_speed": [Example(), Example({"against_reported": True})],
    "dumping": [Example(), Example({"kinds": ["school"]}, prepare=_fences)],
    "lid_open": [Example({"above_kmh": 5.0})],
    "trip_silence": [Example({"after_s": 20.0}), Example({"after_s": 5.0, "above_kmh": 30.0, "repeat_s": 1.0})],
    "dark_lamps": [
        Example({"metric": "water_pressure", "dark_below": 0.3, "lit_above": 0.31, "lit_from": "00:00", "lit_to": "24:00"}),
        Example({"metric": "water_pressure", "dark_below": 0.3, "lit_above": 0.31, "memory_s": 100.0, "fresh_s": 50.0}),
    ],
    "alarm_bits": [Example({"bits": ["sos"], "loaded_only": True})],
    # A ring of counted parts per camera and kind; a city has hundreds of cameras, not a hundred thousand.
    "video_persistence": [
        Example({"window_s": 30, "span_s": 5}, bytes_per_slot=768),
        Example({"window_s": 600, "min_objects": 2}, bytes_per_slot=768),
    ],
    "lexicon": [Example({"concept": ["gas_smell", "cover_missing"]}), Example({"concept": "gas_smell", "use_category": False})],
}
