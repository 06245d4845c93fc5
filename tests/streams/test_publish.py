"""What is published is what runs: the generated contract and the record types agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from streams import records
from streams.publish import RECORDS, asyncapi, documents, schema, version_of
from streams.topics import TOPICS

ROOT = Path(__file__).parent.parent.parent


def test_published_files_are_the_generated_ones() -> None:
    stale = [
        path
        for path, body in documents(version_of(ROOT / "pyproject.toml")).items()
        if (ROOT / "docs" / path).read_bytes() != body
    ]
    assert stale == [], "run `make contract`"


def test_every_topic_with_a_record_of_the_contract_has_a_channel() -> None:
    document = asyncapi("0")
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {topic.name("city.") for topic in TOPICS if topic.record in RECORDS}


@pytest.mark.parametrize("kind", [kind for kinds in RECORDS.values() for kind in kinds], ids=lambda kind: kind.__name__)
def test_schemas_are_valid_schemas(kind: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(kind))


def test_a_reading_that_the_schema_accepts_and_one_that_it_refuses() -> None:
    validator = jsonschema.Draft202012Validator(schema(records.Reading))
    good = {"sensor_id": "G1", "ts": 1, "metric": "ch4", "value": 1.5}
    assert validator.is_valid(good)
    assert not validator.is_valid(good | {"value": "high"})
    assert not validator.is_valid(good | {"sensor_id": ""})


def test_an_encoded_signal_follows_its_schema() -> None:
    signal = records.Signal(
        signal_id="s", city="340100", category="gas", hazard="GAS-01", rule="r", rule_version="1", entity="e", stream="sensor",
        ts=1, arrival_ts=2, level=3, phase="raised", source=records.Source("city.sensor.readings", 0, 1),
    )  # fmt: skip
    body = orjson.loads(orjson.dumps(signal, default=records.to_builtins))
    jsonschema.Draft202012Validator(schema(records.Signal)).validate(body)
    assert body["schema_version"] == 1
