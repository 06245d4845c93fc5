from __future__ import annotations

import msgspec
import pytest

from topologies.incident_settings import IncidentSettings, Weights


def test_settings_are_read_from_a_table_of_a_file() -> None:
    tree = {"stall_s": 30, "outage": {"share": 0.9}, "calendar": {"holidays": ["2023-10-02"]}, "targets": ["school"]}
    assert msgspec.convert(tree, IncidentSettings).outage.share == 0.9


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="stal_s"):
        msgspec.convert({"stal_s": 30}, IncidentSettings)


def test_what_is_added_to_a_score_stays_below_the_step_between_levels() -> None:
    weights = Weights()
    added = weights.target_near + weights.streams_agree + weights.sources_at_most + weights.overdue
    assert added < min(a - b for a, b in zip(weights.level, weights.level[1:], strict=False))
