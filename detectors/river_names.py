"""Which of river's models a rule can name, and how one is made from its name and settings.

The names come from river itself: every anomaly detector, anomaly filter, drift detector (also those of binary input) and
forecaster that ``river.anomaly``, ``river.drift``, ``river.drift.binary`` and ``river.time_series`` export, as
``anomaly.LODA`` or ``drift.PageHinkley``; a new version of river brings its new ones. Only modules below ``river`` are looked
at: a rule file cannot name other code. Where a setting is a model itself (the detector inside a filter, an optimizer), it is
named the same way, alone or as a table with its own settings:
``regressor = { use = "linear_model.LinearRegression", l2 = 0.1 }``.

Settings are checked when the rule is, by the types river declares and by a trial run: a model that cannot learn and score a
plain series is refused with its own words.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from detectors.hotelling import HotellingT2
from detectors.toml_form import nearest

#: Models of the house with river's two methods.
HOUSE: dict[str, type[Any]] = {"hotelling_t2": HotellingT2}
SHORT_NAMES = {
    "half_space_trees": "anomaly.HalfSpaceTrees",
    "local_outlier_factor": "anomaly.LocalOutlierFactor",
    "one_class_svm": "anomaly.OneClassSVM",
    "loda": "anomaly.LODA",
}
SEED = 20_240_601
#: How a model is spoken to: vectors of all members, values one by one, changes of a value, of a flag, or forecasts.
Kind = Literal["vector", "value", "change", "flag", "forecast"]
_MODULES = ("anomaly", "drift", "drift.binary", "time_series")
#: Where models inside models may come from.
_INSIDE = frozenset({"anomaly", "linear_model", "neighbors", "optim", "preprocessing", "proba", "stats", "time_series", "tree"})
_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "dict": (dict,),
    "tuple": (list, tuple),
    "list": (list, tuple),
}


@cache
def supported() -> dict[str, Kind]:
    """Every model of river that can be named, by its path below ``river``, with how it is spoken to."""
    base = importlib.import_module("river.base")
    drift = importlib.import_module("river.base.drift_detector")
    forecaster = importlib.import_module("river.time_series.base").Forecaster
    kinds: tuple[tuple[Any, Kind], ...] = (
        (base.AnomalyDetector, "vector"),
        (base.SupervisedAnomalyDetector, "value"),
        (base.AnomalyFilter, "vector"),
        (drift.BinaryDriftDetector, "flag"),
        (drift.DriftDetector, "change"),
        (forecaster, "forecast"),
    )
    found: dict[str, Kind] = {}
    for module_name in _MODULES:
        module = importlib.import_module(f"river.{module_name}")
        for name in module.__all__:
            # An export that river lists and does not have is river's mistake, not the rule's.
            model = getattr(module, name, None)
            if not inspect.isclass(model) or inspect.isabstract(model):
                continue
            kind = next((kind for parent, kind in kinds if issubclass(model, parent)), None)
            if kind is not None:
                found[f"{module_name}.{name}"] = kind
    return found


def model_class(name: str) -> type[Any]:
    """The class of a name. Raises ValueError with a sentence where there is none that a rule can use."""
    if name in HOUSE:
        return HOUSE[name]
    path = SHORT_NAMES.get(name, name)
    if path not in supported():
        known = sorted([*SHORT_NAMES, *HOUSE, *supported()])
        raise ValueError(f"{name!r} names no river model that judges readings: {nearest(name, known)}")
    module, _, attribute = path.rpartition(".")
    found: type[Any] = getattr(importlib.import_module(f"river.{module}"), attribute)
    return found


def kind_of(name: str, model: Any = None) -> Kind:
    """How a model of the name is spoken to; a filter is spoken to as the detector inside it."""
    inner = getattr(model, "anomaly_detector", None)
    if inner is not None:
        inside = importlib.import_module("river.base").SupervisedAnomalyDetector
        return "value" if isinstance(inner, inside) else "vector"
    return "vector" if name in HOUSE else supported()[SHORT_NAMES.get(name, name)]


def fresh(name: str, settings: Mapping[str, Any], retain: int) -> Any:
    """An untrained model, seeded. Raises ValueError with a sentence where it does not take the settings."""
    found = model_class(name)
    takes = inspect.signature(found).parameters
    given: dict[str, Any] = {}
    if "anomaly_detector" in takes and "anomaly_detector" not in settings:
        given["anomaly_detector"] = "anomaly.HalfSpaceTrees"
    if SHORT_NAMES.get(name, name) == "anomaly.HalfSpaceTrees":
        given["window_size"] = _trees_window(retain)
    return _made(name, found, {**given, **settings}, retain)


def _trees_window(retain: int) -> int:
    # HalfSpaceTrees score nothing before one whole window, so what is retained must hold several.
    return max(retain // 4, 8)


def _made(name: str, found: type[Any], settings: Mapping[str, Any], retain: int) -> Any:
    takes = inspect.signature(found).parameters
    unknown = sorted(set(settings) - set(takes))
    if unknown:
        raise ValueError(f"{name} takes no {unknown[0]!r}, it takes {', '.join(takes)}")
    missing = [one.name for one in takes.values() if one.default is inspect.Parameter.empty and one.name not in settings]
    if missing:
        raise ValueError(f"{name} needs the setting {missing[0]!r}: settings = {{ {missing[0]} = … }}")
    given = {setting: _setting(name, takes[setting], value, retain) for setting, value in settings.items()}
    if "seed" in takes:
        given.setdefault("seed", SEED)
    try:
        return found(**given)
    except Exception as error:
        raise ValueError(f"{name} does not take its settings: {error}") from error


def _setting(name: str, parameter: inspect.Parameter, value: Any, retain: int) -> Any:
    """A setting as the model takes it: of the type river declares, or a model of its own."""
    wanted = _types(parameter)
    if wanted is None:
        # River says nothing of the type: a model where it reads like one, else the trial run decides.
        names_model = (isinstance(value, dict) and "use" in value) or (isinstance(value, str) and "." in value)
        return _inside(name, parameter.name, value, retain) if names_model else value
    allowed = tuple(one for word in wanted for one in _PLAIN[word])
    if isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool)):
        return tuple(value) if isinstance(value, list) and "tuple" in wanted else value
    if allowed:
        raise ValueError(f"{name}: {parameter.name} is {value!r}, it must be of type {' or '.join(sorted(wanted))}")
    return _inside(name, parameter.name, value, retain)


def _types(parameter: inspect.Parameter) -> set[str] | None:
    """Names of the plain types a parameter takes; empty where it takes a model, None where river does not say."""
    if parameter.annotation is not inspect.Parameter.empty:
        declared = re.sub(r"\[.*\]", "", str(getattr(parameter.annotation, "__name__", parameter.annotation)))
        return {word for word in re.findall(r"[\w.]+", declared) if word in _PLAIN}
    if parameter.default in (None, inspect.Parameter.empty):
        return None
    word = type(parameter.default).__name__
    return {word} if word in _PLAIN else None


def _inside(name: str, setting: str, value: Any, retain: int) -> Any:
    """A model inside a model."""
    table = {"use": value} if isinstance(value, str) else dict(value) if isinstance(value, dict) else {}
    path = str(table.pop("use", ""))
    module, _, attribute = path.rpartition(".")
    example = "anomaly.LODA or { use = 'optim.SGD', lr = 0.1 }"
    said = f"{name}: {setting} is {value!r}, it must name a model of river, like {example}"
    if module not in _INSIDE or not attribute.isidentifier() or attribute.startswith("_"):
        raise ValueError(said)
    found = getattr(importlib.import_module(f"river.{module}"), attribute, None)
    base = importlib.import_module("river.base").Base
    if not inspect.isclass(found) or not issubclass(found, base):
        raise ValueError(said)
    if path == "anomaly.HalfSpaceTrees":
        table.setdefault("window_size", _trees_window(retain))
    return _made(path, found, table, retain)
