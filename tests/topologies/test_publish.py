"""Reference pages say what runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from topologies.publish import pages
from topologies.settings import Settings

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize("name", ["settings.md", "metrics.md", "rulebook.md"])
def test_the_page_is_the_generated_one(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], "run `make contract`"


def test_every_setting_is_explained() -> None:
    rows = [line.split("|") for line in pages()["settings.md"].splitlines() if line.startswith("| `")]
    assert {row[1].strip(" `") for row in rows} == set(Settings.__struct_fields__)
    assert all(row[5].strip() for row in rows)


def test_metrics_of_the_contract_are_on_the_page() -> None:
    page = pages()["metrics.md"]
    for name in ("records_total", "stage_latency_seconds", "alert_latency_seconds", "incidents_open", "checkpoint_age_seconds"):
        assert f"citywatch_{name}" in page
