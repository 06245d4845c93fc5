"""The contract for machines: JSON Schemas of every record type and an AsyncAPI 3 file, generated from code.

``python -m streams.publish docs`` writes ``docs/schemas/*.json`` and ``docs/asyncapi.json``; a test fails where the files and
the record types differ, so what is published is what runs.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import msgspec
import orjson

from streams import records
from streams.topics import TOPICS, Topic

#: Record types by the name the table of topics uses; a topic may carry several.
RECORDS: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "Reading": (records.Reading,),
    "VehicleFix": (records.VehicleFix,),
    "VideoEvent": (records.VideoEvent,),
    "HotlineCall": (records.HotlineCall,),
    "Asset": (records.Asset,),
    "Mute": (records.Mute,),
    "Feedback": (records.Feedback,),
    "Signal": (records.Signal, records.Control),
    "Incident": (records.Incident,),
    "DeadLetter": (records.DeadLetter,),
    "Quarantined": (records.Quarantined,),
}
#: Readings and fixes may also come as a JSON array of one entity's (or one gateway's) records.
ARRAYS = frozenset({"Reading", "VehicleFix"})


def schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """JSON Schema (2020-12) of one record type, self-contained."""
    (top,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for part in parts.values():
        if "description" in part:
            # Docstrings keep the indentation of the source before Python 3.13 and lose it there.
            part["description"] = inspect.cleandoc(part["description"])
    body = parts.pop(kind.__name__, top)
    found: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{kind.__name__}.json", **body}
    if parts:
        found["$defs"] = parts
    return found


def _channel(topic: Topic) -> dict[str, Any]:
    config: dict[str, Any] = {"cleanup.policy": [topic.cleanup], "max.message.bytes": topic.max_message_bytes}
    if topic.retention_ms is not None:
        config["retention.ms"] = topic.retention_ms
    return {
        "address": topic.name("city."),
        "description": f"Key: {topic.key}.",
        "messages": {
            kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in RECORDS.get(topic.record, ())
        },
        "bindings": {
            "kafka": {
                "topic": topic.name("city."),
                "partitions": topic.partitions,
                "topicConfiguration": config,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _channel_id(topic: Topic) -> str:
    return topic.base.replace(".", "_")


#: What citywatch itself sends; everything else it receives.
SENT = frozenset(
    {"sensor.groups", "signals", "incidents", "dead_letters", "quarantine", *(f"incidents.level{n}" for n in (1, 2, 3, 4))}
)


def asyncapi(version: str) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of all topics that carry records of the contract."""
    topics = [topic for topic in TOPICS if topic.record in RECORDS]
    kinds = [kind for topic_kinds in RECORDS.values() for kind in topic_kinds]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "citywatch",
            "version": version,
            "description": "Four live streams of a city in, prioritised incidents out. Topic names have the prefix `city.`.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": "127.0.0.1:9092", "protocol": "kafka"}},
        "channels": {_channel_id(topic): _channel(topic) for topic in topics},
        "operations": {
            f"{'send' if topic.base in SENT else 'receive'}_{_channel_id(topic)}": {
                "action": "send" if topic.base in SENT else "receive",
                "channel": {"$ref": f"#/channels/{_channel_id(topic)}"},
            }
            for topic in topics
        },
        "components": {
            "messages": {
                kind.__name__: {
                    "name": kind.__name__,
                    "contentType": "application/json",
                    "payload": {"$ref": f"schemas/{kind.__name__}.json"},
                }
                for kind in kinds
            }
        },
    }


def documents(version: str) -> dict[str, bytes]:
    """Relative path → bytes of every generated file."""
    pretty = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    found = {"asyncapi.json": orjson.dumps(asyncapi(version), option=pretty)}
    for kinds in RECORDS.values():
        for kind in kinds:
            found[f"schemas/{kind.__name__}.json"] = orjson.dumps(schema(kind), option=pretty)
    return found


def version_of(pyproject: Path) -> str:
    import tomllib

    return str(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"])


def main(out: Path) -> None:
    for path, body in documents(version_of(Path("pyproject.toml"))).items():
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
