"""The page of detectors is whole: every registered one has its section, its numbers and its picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import detectors  # noqa: F401  (registers the house's detectors)
from benchmarks.detector_speed import Cost, in_one_shard, write
from benchmarks.plot_figures import FIGURES
from detectors.base import registered
from detectors.unusual import Unusual, UnusualParams

DOCS = Path(__file__).parents[1] / "docs"


def sections(page: Path) -> dict[str, str]:
    parts = re.split(r"^### `(\w+)`\n", page.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", sorted(registered()))
def test_every_registered_detector_has_its_section(name: str) -> None:
    pages = {key: text for page in sorted(DOCS.glob("detectors*.md")) for key, text in sections(page).items()}
    assert name in pages, f"add a section '### `{name}`' to docs/detectors.md: idea, parameters, cost, not for, source, plot"


@pytest.mark.parametrize("name", sorted(sections(DOCS / "detectors.md")))
def test_every_section_is_of_a_detector_and_has_all_its_parts(name: str) -> None:
    text = sections(DOCS / "detectors.md")[name]
    assert name in registered()
    assert re.search(r"\n- \*\*Cost:\*\* [\d.]+ us a reading.* bytes an entity", text)
    assert all(f"- **{part}:**" in text for part in ("Parameters", "Not for", "Source"))
    assert (DOCS / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG") and f"(plots/{name}.png)" in text


@pytest.mark.parametrize("name", sorted(sections(DOCS / "detectors.md")))
def test_a_section_names_no_parameter_that_is_not_there(name: str) -> None:
    fields = set(registered()[name].Params.__struct_fields__)
    listed = re.search(r"- \*\*Parameters:\*\*(.*?)\n- \*\*Cost", sections(DOCS / "detectors.md")[name], flags=re.DOTALL)
    assert listed is not None
    named = [word for word in re.findall(r"`(\w+)`", listed[1]) if word.islower() and word not in ("times",)]
    assert named and [word for word in named if word not in fields] == []


def test_every_section_has_a_picture_that_a_script_draws() -> None:
    assert set(sections(DOCS / "detectors.md")) <= {figure.detector for figure in FIGURES} <= set(registered())


def test_the_pictures_are_small() -> None:
    assert sum(path.stat().st_size for path in (DOCS / "plots").iterdir()) < 2_000_000


def test_the_command_writes_a_detectors_cost_into_its_section_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Measured on: x\n\n### `a`\n\nidea\n\n- **Cost:**\n- **Source:** x\n\n### `b`\n\n- **Cost:** old\n")
    write(page, {"b": Cost(2.0, 2.5, 96.0)}, {"processor": "slow", "cores": "1"})
    assert page.read_text() == (
        "Measured on: processor slow; cores 1.\n\n### `a`\n\nidea\n\n- **Cost:**\n- **Source:** x\n\n### `b`\n\n- **Cost:** "
        "2.00 us a reading, 2.50 with ladder and alarm (400,000 readings/s on one core); 96 bytes an entity.\n"
    )


@pytest.mark.parametrize("name", sorted(sections(DOCS / "detectors.md")))
def test_the_command_finds_the_cost_line_of_every_section(name: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text((DOCS / "detectors.md").read_text("utf-8"), "utf-8")
    write(page, {name: Cost(1.0, 2.0, 7.0)}, {})
    assert f"- **Cost:** {Cost(1.0, 2.0, 7.0)}.\n" in sections(page)[name]


def test_the_default_detector_is_measured_in_a_shard() -> None:
    shard = in_one_shard(sensors=50)
    assert shard.bytes == Unusual(UnusualParams(), []).state.bytes_per_slot
    assert all(len(rates) == 5 and min(rates) > 0 for rates in shard.rates.values())
