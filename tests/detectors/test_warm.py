"""What is warm before the first reading is all that is ever compiled: no stream waits for the compiler in the middle of it."""

from __future__ import annotations

import sys
import threading

import msgspec
import pytest

from detectors import warm as warming
from detectors.base import registered
from detectors.warm import warm
from streams import compiled
from tests.contracts import rows as contract
from tests.contracts.examples import EXAMPLES
from tests.topologies.test_detect import Feed, assets, ch4, stage
from topologies.detect import DetectStage

pytestmark = pytest.mark.skipif(not compiled.AVAILABLE, reason="nothing is compiled here")
KINDS = sorted(name for name, kind in registered().items() if kind.compiled)


@pytest.fixture
def made() -> set[str]:
    """What is compiled once all is warm."""
    warm()
    found = _made()
    assert len(found) > len(KINDS)  # each detector's, and the ladder's
    return found


def _made() -> set[str]:
    """Each compiled loop with each kind of arguments it was compiled for."""
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith(("detectors.", "streams."))]
    loops = {f"{module.__name__}.{name}": held for module in modules for name, held in vars(module).items()}
    return {f"{name}{kind}" for name, held in loops.items() for kind in getattr(held, "signatures", ())}


def test_every_compiled_detector_is_warmed() -> None:
    assert warm() == KINDS


@pytest.mark.parametrize("name", KINDS)
def test_rows_and_snapshots_ask_for_nothing_else(name: str, made: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # The contract tests show arrays nobody can write into, which are another kind to the compiler; the stage does not.
    monkeypatch.setattr(contract, "sealed", lambda batch: batch)
    kind = registered()[name]
    for example in EXAMPLES[name]:
        params = msgspec.convert(example.params, kind.Params)
        for stream in sorted(kind.streams):
            play = contract.Play(kind(params, contract.series_of(stream, 3)), stream, 3)
            shown = contract.generate(stream, 1, 80, 3)
            play.show(shown[:40])
            play.detector.restore(contract.through_bytes(play.detector.snapshot()))
            play.show(shown[40:], [10, 11, 20])
    assert not _made() - made


def test_a_stage_asks_for_nothing_else(made: set[str]) -> None:
    registry = assets({"id": "G-1", "metric": "ch4", "interval_s": 30.0}, {"id": "G-2", "metric": "ch4"})
    there = stage(registry=registry)
    feed = Feed(there)
    for k in range(40):
        odd = {"quality": "maintenance"} if k % 7 == 3 else {}
        late = ch4(30.0 * k - 5 * (k % 3), 2.0, "G-2", arrives_s=30.0 * k)
        feed(ch4(30.0 * k, 1.0 + k % 5, **odd), late, *(ch4(30.0 * k + 0.1 * i, 1.5, f"G-{i % 6}") for i in range(12)))
    here = DetectStage.restore(there.topic, 0, there.rules, registry, None, there.snapshot())
    feed.to = here
    feed(*(ch4(1200.0 + i, 1.5, f"G-{i % 6}") for i in range(60)))  # so many are scanned
    assert not _made() - made


def test_who_waits_for_the_compiler_is_told_why_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "AVAILABLE", True)
    said: list[str] = []
    told = threading.Event()

    def tell(words: str) -> None:
        said.append(words)
        told.set()

    monkeypatch.setattr(warming, "_warm", lambda: [str(told.wait(10))])
    assert warming.warm(tell, patience_s=0.001) == ["True"]
    assert said == ["the detectors' loops are being compiled, which is done once an installation"]
    monkeypatch.setattr(warming, "_warm", list)
    assert (warming.warm(tell, patience_s=60.0), len(said)) == ([], 1)
