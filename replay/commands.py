"""``citywatch replay``: record, play, look at, run, compare, verify and import recordings."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from replay import command_options as options
from replay import simulate_commands
from streams.errors import Mend
from streams.interrupts import set_by_signals

if TYPE_CHECKING:
    from detectors.rulebook import RuleBook
    from replay.stages import StageSettings
    from replay.truth import Verdict


def add_parser(subparsers: Any) -> None:
    """``replay`` with its own commands; ``simulate`` lives beside its city."""
    parser = subparsers.add_parser("replay", help="record, play, run, compare and verify recordings", epilog="example: " + _RUN)
    actions = parser.add_subparsers(dest="action", required=True, metavar="record|info|play|run|diff|verify|import|simulate")
    for name, text, example, add_options, run in _ACTIONS:
        one = actions.add_parser(
            name, help=text, epilog=f"example: {example}", formatter_class=argparse.RawDescriptionHelpFormatter
        )
        add_options(one)
        one.add_argument("--json", action="store_true", help="one JSON document on standard output")
        one.set_defaults(run=run)
    simulate_commands.add_parser(actions)


# --- what they do -----------------------------------------------------------------------------------------------------------


def _record(arguments: argparse.Namespace) -> int:
    from replay.record import record

    shown = _counter("records") if _on_terminal(arguments) else None
    stop = threading.Event()
    # By a flag: interrupted while it takes up what was fetched, kafka-python goes round in circles.
    with set_by_signals(stop, impatient=True):
        recorded = record(
            arguments.broker,
            arguments.bag,
            topics=arguments.topic,
            seconds=arguments.seconds,
            follow=arguments.follow,
            from_now=arguments.from_now,
            playback=arguments.playback,
            rule_fingerprint=_rules(arguments.rules).fingerprint if arguments.rules else None,
            group=arguments.group,
            stop=stop,
            progress=None if shown is None else lambda n: shown(n, 0),
        )
    return _answer(
        arguments,
        {"records": recorded.records, "partitions": recorded.partitions, "stopped_by": recorded.stopped_by},
        [f"{n:>12,}  {topic}" for topic, n in recorded.records.items()]
        + [f"{arguments.bag}: complete ({recorded.stopped_by})"],
    )


def _info(arguments: argparse.Namespace) -> int:
    from replay.bag import Bag
    from replay.opening import open_recording

    recording = open_recording(arguments.bag)
    manifest = recording.manifest
    tree = {**msgspec.to_builtins(manifest), "partitions_read": [f"{topic}/{part}" for topic, part in recording.partitions()]}
    lines = [f"{arguments.bag}: {manifest.kind}, format {manifest.format}"]
    lines += [f"{count:>12,}  {topic}" for topic, count in sorted(manifest.counts.items())]
    first, last, until = (_time(ms) for ms in (manifest.first_arrival_ts, manifest.last_arrival_ts, manifest.until))
    lines.append(f"arrived   {first} to {last}, known until {until}")
    if manifest.cut_ts is not None:
        lines.append("cut       the disk was full; readers see nothing that arrived later")
    lines.append(f"happened  {_time(manifest.first_event_ts)} to {_time(manifest.last_event_ts)}")
    lines.append(f"registry  {len(recording.registry()):,} assets; rules {manifest.rule_fingerprint or 'not named'}")
    if manifest.origin:
        lines.append(f"origin    {manifest.origin}")
    if arguments.verify:
        if not isinstance(recording, Bag):
            raise Mend("has no hashes", str(arguments.bag), "only bags can be verified; JSON lines bring none")
        tree["verified_files"] = recording.verify()
        lines.append(f"verified  {tree['verified_files']} files agree with their hashes")
    return _answer(arguments, tree, lines)


def _play(arguments: argparse.Namespace) -> int:
    from replay.play import Player
    from streams.kafka import Producer, check_broker

    speed = _speed(arguments.speed)
    check_broker(arguments.broker)
    began = _clock()
    with Producer(arguments.broker) as producer:
        group = None if arguments.no_pacing else arguments.group
        player = Player(arguments.bag, arguments.broker, producer, group=group, speed=speed, partitions=arguments.partitions)
        assets = player.send_registry()
        sent = player.run(arguments.seconds, progress=_counter("records") if _on_terminal(arguments) else None)
    took = _clock() - began
    tree = {"assets": assets, "records": sent, "seconds": round(took, 3)}
    return _answer(arguments, tree, [f"{assets:,} assets and {sent:,} records acknowledged in {took:.1f} s"])


def _run(arguments: argparse.Namespace) -> int:
    from replay.opening import open_recording
    from replay.run import run
    from replay.truth import judge, read_truth

    truth = read_truth(arguments.truth) if arguments.truth else None
    rules, settings = _rules(arguments.rules), _settings(arguments.settings)
    began = _clock()
    recording = open_recording(arguments.bag, partitions=arguments.partitions)
    progress = _counter("records") if _on_terminal(arguments) else None
    summary, incidents = run(recording, rules, arguments.out, settings, drain_s=arguments.drain_s, progress=progress)
    took = _clock() - began
    records = sum(summary.records.values())
    tree: dict[str, Any] = {
        **summary.as_json(),
        "seconds": round(took, 3),
        "records_per_s": round(records / took) if took else None,
    }
    lines = [f"{records:,} records in {took:.1f} s ({records / max(took, 1e-9):,.0f}/s): {_named(summary.total())}"]
    if summary.quarantined:
        lines.append(f"quarantined: {_named(summary.quarantined)}")
    lines.append(f"{sum(summary.signals.values()):,} signals, {summary.incidents:,} incidents, {summary.revisions:,} revisions")
    lines += [f"{count:>8,}  {category}" for category, count in summary.opened.most_common()]
    if truth is not None:
        verdict = judge(truth, incidents)
        tree["truth"] = verdict.as_json()
        lines += _verdict(verdict)
    lines.append(f"{arguments.out}/incidents.jsonl")
    return _answer(arguments, tree, lines)


def _diff(arguments: argparse.Namespace) -> int:
    from replay.diff import diff
    from replay.opening import open_recording
    from replay.truth import read_truth

    labels = read_truth(arguments.labels) if arguments.labels else None
    base, candidate = _rules(arguments.base), _rules(arguments.candidate)
    settings = _settings(arguments.settings)
    recording = open_recording(arguments.bag, partitions=arguments.partitions)
    progress = _counter("records") if _on_terminal(arguments) else None
    found = diff(recording, base, candidate, settings, labels=labels, drain_s=arguments.drain_s, progress=progress)
    lines = [f"{found.unchanged:,} incidents unchanged"]
    for word, moved in (("earlier", found.earlier), ("later", found.later)):
        lines += [f"{word:>9}  {abs(one.by_s):,.0f} s  {_brief(one.candidate)}" for one in moved]
    lines += [f"    level  {one.base.level} to {one.candidate.level}  {_brief(one.candidate)}" for one in found.relevelled]
    lines += [f" appeared  {_brief(one)}" for one in found.appeared]
    lines += [f" vanished  {_brief(one)}" for one in found.vanished]
    for word, verdict in (("base", found.base_verdict), ("candidate", found.candidate_verdict)):
        if verdict is not None:
            lines.append(
                f"{word}: precision {_share(verdict.precision)}, recall {_share(verdict.recall)}, "
                f"{verdict.found}/{verdict.hazards} found, {verdict.duplicate} duplicate, {verdict.false} false"
            )
    _answer(arguments, found.as_json(), lines)
    return int(found.differs)


def _verify(arguments: argparse.Namespace) -> int:
    from replay.bag import Bag
    from replay.opening import open_recording
    from replay.verify import verify

    recording = open_recording(arguments.bag, partitions=arguments.partitions)
    if isinstance(recording, Bag):
        recording.verify()
    books = [_rules(folder) for folder in arguments.rules] or [_rules(None)]
    verified = verify(recording, books, _settings(arguments.settings))
    lines = [
        f"{one.kind} {one.what} {one.key} ({one.place})"
        + "".join(f"\n    {name}: recorded {was!r}, decided again {now!r}" for name, (was, now) in one.fields.items())
        for one in verified.differences
    ]
    lines.append(
        f"{verified.signals:,} signals and {verified.incidents:,} revisions decided again: "
        + ("no difference" if verified.same else f"{len(verified.differences):,} differences")
        + (f"; {verified.beyond:,} signals lie behind the recording's end" if verified.beyond else "")
    )
    _answer(arguments, verified.as_json(), lines)
    return int(not verified.same)


def _import(arguments: argparse.Namespace) -> int:
    from replay.importer.load import Importer
    from replay.importer.mapping import load, shipped

    if arguments.list:
        about = {name: load(name).about for name in shipped()}
        return _answer(arguments, about, [f"{name:<16} {text}" for name, text in about.items()])
    if arguments.mapping is None or not arguments.sources or arguments.out is None:
        raise Mend("needs a mapping, a source and --out", "citywatch replay import", f"example: {_IMPORT}")
    mapping = load(arguments.mapping)
    importer = Importer(mapping, arguments.partitions)
    summary = importer.read(arguments.sources)
    if arguments.jsonl:
        importer.to_jsonl(arguments.out)
    else:
        importer.to_bag(arguments.out)
    lines = [f"{summary.rows:,} rows of {summary.files:,} files, {summary.rows_used:,} used"]
    lines += [f"{count:>12,}  rows skipped: {reason}" for reason, count in summary.rows_skipped.most_common()]
    lines += [f"{count:>12,}  values skipped: {reason}" for reason, count in summary.values_skipped.most_common()]
    lines += [f"{count:>12,}  {topic}" for topic, count in sorted(summary.records.items())]
    lines += [f"nothing in {name}" for name in summary.empty_files]
    lines.append(f"{summary.entities:,} assets, {_time(summary.first_ts)} to {_time(summary.last_ts)}: {arguments.out}")
    return _answer(arguments, summary.as_json(), lines)


# --- words ------------------------------------------------------------------------------------------------------------------


def _clock() -> float:
    return time.monotonic()  # noqa: TID251 - how long the person waited, not a time of the recording


def _rules(folder: Path | None) -> RuleBook:
    from detectors.rulebook import RuleBook

    if folder is None:
        return RuleBook.default()
    if not folder.is_dir():
        raise Mend("is no directory", str(folder), "name a directory of rule files (.toml)")
    return RuleBook.from_dir(folder)


def _settings(file: Path | None) -> StageSettings:
    from replay.stages import StageSettings
    from topologies.settings import load

    # The environment is the worker's: a replay is decided by what it is given.
    return StageSettings(load(file, environ={}))


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1e9:
        raise Mend(f"{text!r} is no speed", "--speed", "give a number (60: an hour in a minute) or max")
    return speed


def _verdict(verdict: Verdict) -> list[str]:
    delays = verdict.as_json()["delay_s"]
    lines = [
        f"truth: {verdict.found} of {verdict.hazards} hazards found, {len(verdict.missed)} missed, "
        f"{verdict.duplicate} duplicate, {verdict.false} false incidents"
        + (f"; delay {delays['p50']:,.0f} s median, {delays['max']:,.0f} s longest" if delays["p50"] is not None else "")
    ]
    lines += [f"   missed  {name}" for name in verdict.missed]
    lines += [f"    false  {_brief(one)}" for one in verdict.false_incidents]
    return lines


def _brief(incident: Any) -> str:
    return f"{incident.incident_id}  level {incident.level}  {incident.title}  {_time(incident.opened_ts)}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _named(counts: Any) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or "none"


def _time(ms: int | None) -> str:
    return "-" if ms is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))


def _on_terminal(arguments: argparse.Namespace) -> bool:
    return sys.stderr.isatty() and not arguments.json


def _counter(what: str) -> Callable[[int, int], None]:
    def show(count: int, arrival: int) -> None:
        print(f"\r{count:,} {what}  {_time(arrival) if arrival else ''}\x1b[K", end="", file=sys.stderr, flush=True)

    return show


def _answer(arguments: argparse.Namespace, tree: Any, lines: list[str]) -> int:
    if _on_terminal(arguments):
        print("\r\x1b[K", end="", file=sys.stderr)
    print(msgspec.json.encode(tree).decode() if arguments.json else "\n".join(lines))
    return 0


_RUN = "citywatch replay run var/city7 --out var/run7 --truth var/city7/truth.jsonl"
_IMPORT = "citywatch replay import river_stage Log00035.txt.gz --out var/river.bag"
_RECORD = "citywatch replay record var/today.bag --seconds 600"
_INFO = "citywatch replay info var/today.bag --verify"
_PLAY = "citywatch replay play var/river.bag"
_DIFF = "citywatch replay diff var/today.bag --base rules --candidate rules-new --labels labels.csv"
_VERIFY = "citywatch replay verify var/today.bag"

_Options = Callable[[argparse.ArgumentParser], None]
_Do = Callable[[argparse.Namespace], int]
#: Name, help, example, options, what it does.
_ACTIONS: tuple[tuple[str, str, str, _Options, _Do], ...] = (
    ("record", "the topics of a broker into a bag", _RECORD, options.record_options, _record),
    ("info", "what is in a bag", _INFO, options.info_options, _info),
    ("play", "a recording into a broker, for a worker in playback mode", _PLAY, options.play_options, _play),
    ("run", "a recording through the stages, without a broker", _RUN, options.run_options, _run),
    ("diff", "two rule sets on one recording; exit 1 if they differ", _DIFF, options.diff_options, _diff),
    ("verify", "decide a recording again; exit 1 if anything differs", _VERIFY, options.verify_options, _verify),
    ("import", "recordings of others by a mapping file", _IMPORT, options.import_options, _import),
)
