"""Plots of the performance page: drawn from figures as the commands keep them, put beside the page, named in it."""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
import pytest

from benchmarks import performance_plots as plots
from benchmarks.tables import Table, deliver, markers

PNG = b"\x89PNG\r\n\x1a\n"


def pictures():
    costs = {"10": [3.0, 4.0], "100": [2.0, 2.5]}
    growth = {f"{rules} {axis}": costs for rules in ("four", "five") for axis in ("sensors", "partitions", "batch")}
    return {
        "engines": partial(plots.engines, {"ours": [9e4, 1e5], "theirs": [5e3]}, "ours"),
        "latencies": partial(plots.latencies, {"alert": [3.0, 1.0, 80.0], "hops": np.arange(2_000.0).tolist()}),
        "growth": partial(plots.growth, growth),
    }


@pytest.mark.parametrize("name", ["engines", "latencies", "growth"])
def test_the_same_figures_are_the_same_picture(name):
    draw = pictures()[name]
    drawn = draw()
    assert drawn.startswith(PNG)
    assert drawn == draw()


def test_other_figures_are_another_picture():
    assert plots.engines({"ours": [9e4], "theirs": [5e3]}, "ours") != plots.engines({"ours": [9e4], "theirs": [5e4]}, "ours")


def test_pictures_are_put_beside_the_page_and_shown_in_it(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("\n".join(markers("python -m one")))
    table = Table("Speeds", ["a"], [["1"]], pictures={"speeds": pictures()["engines"]})
    deliver(argparse.Namespace(json=tmp_path / "all.json", write=page), {"cores": "2"}, [table], "python -m one")
    assert "![Speeds](plots/speeds.png)" in page.read_text()
    assert (tmp_path / "plots" / "speeds.png").read_bytes().startswith(PNG)
    # A terminal shows no pictures, and JSON holds no functions.
    assert "plots/" not in capsys.readouterr().out
    assert "pictures" not in (tmp_path / "all.json").read_text()
