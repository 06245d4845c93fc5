"""``citywatch topics create|list|lag``: the table of topics against a broker, by kafka-python's admin client."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from streams import topics
from streams.errors import Mend
from streams.kafka import blocking_admin

BROKER_VARIABLE = "CITYWATCH_BROKER"
DEFAULT_BROKER = "127.0.0.1:9092"
#: Kafka's answer to the making of a topic that exists.
_TOPIC_EXISTS = 36

_EXAMPLES = """\
examples:
  citywatch topics create --broker 127.0.0.1:9092 --replication 3
  citywatch topics list --json
  citywatch topics lag --group citywatch
"""


def add_parser(subparsers: Any) -> None:
    """Add the command ``topics`` to citywatch's parser."""
    parser = subparsers.add_parser(
        "topics",
        help="make, list and measure the topics on a broker",
        description="The table of topics against a broker.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="create|list|lag")

    create = actions.add_parser("create", help="make the topics that are missing; existing ones stay as they are")
    create.add_argument("--partitions", type=_positive, help="partitions of every topic that may have more than one")
    create.add_argument("--replication", type=_positive, help="copies of each partition (3 in production)")
    shown = actions.add_parser("list", help="each topic: partitions, copies, and where the broker differs from the table")
    lag = actions.add_parser("lag", help="records behind the end, per topic, of a consumer group")
    lag.add_argument(
        "--group", default=os.environ.get("CITYWATCH_GROUP", "citywatch"), help="consumer group (default %(default)s)"
    )
    for action, run in ((create, create_topics), (shown, list_topics), (lag, show_lag)):
        action.add_argument(
            "--broker", default=os.environ.get(BROKER_VARIABLE, DEFAULT_BROKER), help="host:port (default %(default)s)"
        )
        action.add_argument("--json", action="store_true", help="one JSON document instead of a table")
        action.set_defaults(run=run)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


# --- create -----------------------------------------------------------------------------------------------------------------


def ensure_topics(broker: str, *, partitions: int | None = None, replication: int | None = None) -> tuple[list[str], list[str]]:
    """Make what is missing of the table; returns (made, existing) as full names.

    Raises Mend where the broker refuses, or cannot make topics at all (the embedded one).
    """
    counts = topics.partition_counts(partitions=partitions)
    with blocking_admin(broker) as admin:
        there = set(admin.list_topics())
        wanted = {
            topic.name(): {
                "num_partitions": counts[topic.name()],
                "replication_factor": replication or topic.replication,
                "configs": topic.config(replication=replication),
            }
            for topic in topics.TOPICS
            if topic.name() not in there
        }
        existing = [name for name in counts if name in there]
        if not wanted:
            return [], existing
        try:
            answer = admin.create_topics(wanted, timeout_ms=30_000, raise_errors=False, wait_for_metadata=True)
        except Exception as error:
            raise Mend(
                f"the broker did not make the topics ({type(error).__name__}: {error})",
                broker,
                "the embedded broker has all topics from its start and makes no others",
            ) from error
    refused = [topic for topic in _field(answer, "topics") if _field(topic, "error_code") not in (0, _TOPIC_EXISTS)]
    if refused:
        first = refused[0]
        why = _field(first, "error_message") or f"error {_field(first, 'error_code')}"
        raise Mend(f"the broker refused: {why}", f"{broker}, {_field(first, 'name')}", "see --replication and --partitions")
    return list(wanted), existing


def create_topics(arguments: argparse.Namespace) -> int:
    made, existing = ensure_topics(arguments.broker, partitions=arguments.partitions, replication=arguments.replication)
    if arguments.json:
        print(json.dumps({"made": made, "existing": existing}))
    else:
        print(f"{len(made)} topics made, {len(existing)} were there")
    return 0


# --- list -------------------------------------------------------------------------------------------------------------------


def describe(broker: str, prefix: str | None = None) -> list[dict[str, Any]]:
    """Each topic of the table as the broker has it; ``differs`` lists what is not as the table says."""
    with blocking_admin(broker) as admin:
        there = set(admin.list_topics())
        names = [name for topic in topics.TOPICS if (name := topic.name(prefix)) in there]
        found = {_field(row, "name"): row for row in admin.describe_topics(names)} if names else {}
        settings = _settings(admin, names)
    rows: list[dict[str, Any]] = []
    for topic in topics.TOPICS:
        name = topic.name(prefix)
        row: dict[str, Any] = {"topic": name, "record": topic.record, "key": topic.key}
        if name not in found:
            rows.append({**row, "missing": True})
            continue
        parts = _field(found[name], "partitions")
        copies = min((len(_field(part, "replica_nodes") or _field(part, "replicas") or ()) for part in parts), default=0)
        wanted = topic.config(replication=copies)
        own = settings.get(name, {})
        differs = [f"{key}={own[key]} (table: {value})" for key, value in wanted.items() if key in own and own[key] != value]
        if topic.partitions == 1 and len(parts) > 1:
            differs.append(f"{len(parts)} partitions (must be 1: a revision is an offset)")
        rows.append({**row, "partitions": len(parts), "replication": copies, "differs": differs})
    return rows


def _settings(admin: Any, names: list[str]) -> dict[str, dict[str, str]]:
    """Configuration per topic as the broker tells it; empty where it tells none (the embedded broker)."""
    from kafka.admin import ConfigResource
    from kafka.errors import KafkaError

    if not names:
        return {}
    try:
        told = admin.describe_configs([ConfigResource("TOPIC", name) for name in names], config_filter="all")
    except (KafkaError, ValueError):
        return {}
    return {name: {key: entry["value"] for key, entry in entries.items()} for name, entries in told["topic"].items()}


def list_topics(arguments: argparse.Namespace) -> int:
    rows = describe(arguments.broker)
    if arguments.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        if row.get("missing"):
            print(f"{row['topic']:<28} missing")
        else:
            notes = "; ".join(row["differs"])
            print(f"{row['topic']:<28} {row['partitions']:>3} partitions  {row['replication']} copies  {notes}")
    if any(row.get("missing") for row in rows):
        print("run `citywatch topics create` to make what is missing", file=sys.stderr)
    return 0


# --- lag --------------------------------------------------------------------------------------------------------------------


def group_lag(broker: str, group: str) -> list[dict[str, Any]]:
    """Per topic that the group has committed in: end, committed and lag, summed over its partitions."""
    from kafka import TopicPartition

    with blocking_admin(broker) as admin:
        committed = _committed(admin, group)
        ends = _ends(broker, [TopicPartition(topic, part) for topic, part in committed])
    totals: dict[str, dict[str, Any]] = {}
    for (topic, part), offset in sorted(committed.items()):
        row = totals.setdefault(topic, {"topic": topic, "partitions": 0, "end": 0, "committed": 0, "lag": 0})
        end = ends[TopicPartition(topic, part)]
        row["partitions"] += 1
        row["end"] += end
        row["committed"] += offset
        row["lag"] += max(0, end - offset)
    return list(totals.values())


def _committed(admin: Any, group: str) -> dict[tuple[str, int], int]:
    from kafka import TopicPartition
    from kafka.errors import CoordinatorNotAvailableError, GroupIdNotFoundError, NotCoordinatorError

    try:
        there = [name for topic in topics.TOPICS if (name := topic.name()) in set(admin.list_topics())]
        parts = [
            TopicPartition(_field(row, "name"), _field(part, "partition_index"))
            for row in (admin.describe_topics(there) if there else [])
            for part in _field(row, "partitions")
        ]
        # Named one by one: the embedded broker cannot answer for "all of the group's".
        offsets = admin.list_group_offsets({group: parts})[group] if parts else {}
    except (CoordinatorNotAvailableError, GroupIdNotFoundError, NotCoordinatorError):
        return {}  # a cluster without any group, or without this one
    return {(tp.topic, tp.partition): meta.offset for tp, meta in offsets.items() if meta.offset >= 0}


def _ends(broker: str, tps: list[Any]) -> dict[Any, int]:
    from streams.kafka import blocking_consumer

    if not tps:
        return {}
    consumer = blocking_consumer(broker)
    try:
        ends: dict[Any, int] = consumer.end_offsets(tps)
        return ends
    finally:
        consumer.close()


def show_lag(arguments: argparse.Namespace) -> int:
    rows = group_lag(arguments.broker, arguments.group)
    if arguments.json:
        print(json.dumps(rows))
        return 0
    if not rows:
        print(f"group {arguments.group!r} has committed nothing on {arguments.broker}")
    for row in rows:
        print(
            f"{row['topic']:<28} {row['lag']:>12} behind  ({row['committed']} of {row['end']}, {row['partitions']} partitions)"
        )
    return 0


def _field(row: Any, name: str) -> Any:
    """A field of an answer of kafka-python, which is a dict or an object depending on the call."""
    return row.get(name) if isinstance(row, dict) else getattr(row, name, None)
