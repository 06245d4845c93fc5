"""Imports, runs and judges recordings that nobody here wrote; the table of docs/recordings.md.

    python -m benchmarks.recordings [--data ../shared/data] [--work var/recordings] [--only river_stage …] [--write]

``--write`` puts the tables between the marks of docs/recordings.md; rows of sets that are not run again are kept in the work
directory. Truths stand in benchmarks/recording_truth.py.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import recording_truth as truths
from detectors.rulebook import RuleBook
from replay.importer.load import Importer
from replay.importer.load import Summary as Imported
from replay.importer.mapping import load
from replay.opening import open_recording
from replay.run import Summary, run
from replay.truth import Found, Hazard, Verdict, judge
from streams.event_time import epoch_ms
from streams.records import Incident

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "recordings.md"
#: Sets with gauges: their truth is computed from the readings, and begins a window before the sum is reached.
RAIN = ("prsa", "water_inflow")
BEGIN, END = "<!-- written by benchmarks/recordings.py -->", "<!-- end of what is written -->"


@dataclass(frozen=True)
class DataSet:
    """``truth`` makes hazards from the data's folder; only incidents of ``judged`` categories can be false."""

    name: str
    folder: str
    known: str
    truth: Callable[[Path], list[Hazard]] | None = None
    judged: tuple[str, ...] = ()


DATA_SETS = (
    DataSet("river_stage", "sensors/river_troutcreek", "high water 2022-06-13 and 07-15; sensor taken away 09-13", truths.river,
            ("flood", "device")),
    DataSet("methane_drives", "sensors/gas_methane_birmingham", "27 excursions over 10 % of a rolling median, unconfirmed",
            truths.methane, ("gas",)),
    DataSet("skab", "skab", "17 labelled runs of one pump: valves, leaks, cavitation, imbalance", truths.skab, ("indicator",)),
    DataSet("nab", "nab/data", "labelled windows of 32 series", truths.nab, ("indicator",)),
    DataSet("prsa", "sensors/air_prsa_beijing", "rain of 50 mm in 12 h (computed); smog is no building site", None,
            ("weather", "site")),
    DataSet("air_quality_uci", "sensors/gas_airqualityuci", "16,701 cells are the sentinel -200; slow drift"),
    DataSet("water_inflow", "sensors/water_bwdf_italy", "no labels; rain of 50 mm in 12 h (computed)", None, ()),
    DataSet("heating_meter", "sensors/heating_dk_meter", "no labels; one house, cleaned by its publisher"),
    DataSet("ett", "sensors/power_ett", "no labels"),
    DataSet("meva_gps", "gps/meva_loggers", "no hazards; loggers carried indoors"),
    DataSet("meva_video", "video/meva", "ordinary activities; 1 person_steals_object, of which no rule speaks"),
    DataSet("nyc311", "hotline/nyc311_2013-12-25", "919 calls with a time of day; judged by request type"),
    DataSet("bridge", "sensors/bridge_munich", "support lowered: strain 0 to 29 um/m on 2022-04-11", truths.bridge,
            ("bridge", "indicator")),
    DataSet("sf311", "hotline/sf311", "a random sample of 10,000 requests of 7.5 years; judged by request type"),
)  # fmt: skip


@dataclass
class Result:
    data: DataSet
    imported: Imported
    summary: Summary
    seconds: float
    incidents: list[Incident]
    verdict: Verdict | None = None
    notes: list[str] = field(default_factory=list)


def revisions(path: Path) -> list[Incident]:
    decoder = msgspec.json.Decoder(Incident)
    return [decoder.decode(line) for line in path.read_bytes().splitlines()]


def records(bag: Path) -> Iterator[dict[str, Any]]:
    recording = open_recording(bag)
    for topic, partition in recording.partitions():
        for batch in recording.read(topic, partition):
            for value in batch.values:
                if value is not None:
                    yield json.loads(value)


def judged(one: DataSet, source: Path, bag: Path, told: list[Incident]) -> Verdict | None:
    hazards = one.truth(source) if one.truth else []
    if one.name in RAIN:
        # A gale is weather too, but not of this truth.
        told = [incident for incident in told if incident.category != "weather" or incident.evidence[0].metric == "rain"]
        hazards = truths.rain(records(bag))
    if not hazards:
        return None
    categories = {hazard.category for hazard in hazards} | set(one.judged)
    return judge(hazards, (incident for incident in told if incident.category in categories))


def process(one: DataSet, data: Path, work: Path, book: RuleBook) -> Result:
    source, bag, out = data / one.folder, work / f"{one.name}.bag", work / f"{one.name}.out"
    for old in (bag, out):
        if old.exists():
            shutil.rmtree(old)
    importer = Importer(load(one.name))
    imported = importer.read([source])
    importer.to_bag(bag)
    began = time.perf_counter()
    summary, _ = run(open_recording(bag), book, out)
    seconds = time.perf_counter() - began
    told = revisions(out / "incidents.jsonl")
    result = Result(one, imported, summary, seconds, told, judged(one, source, bag, told))
    result.notes = list(notes(result, source, bag))
    return result


# --- what is worth saying of one set -----------------------------------------------------------------------------------------


def notes(result: Result, source: Path, bag: Path) -> Iterator[str]:
    found = result.verdict.hazards_found if result.verdict else []
    if result.data.name == "river_stage":
        begun = {hazard.hazard_id: hazard for hazard in truths.river(source)}
        for hazard in found:
            yield f"{hazard.hazard_id}: level {hazard.level}{lead(hazard, begun[hazard.hazard_id])}"
        for false in result.verdict.false_incidents if result.verdict else []:
            yield f"besides: {false.category} of level {false.level}, {stamp(false.opened_ts)}, {false.title}"
    elif result.data.name == "methane_drives":
        every = truths.excursions(source)
        gas = (incident for incident in result.incidents if incident.category == "gas")
        spots = {piece.ts for incident in gas for piece in incident.evidence}
        heard = sum(any(one["from"] - 2 <= ts / 1000 <= one["to"] + 6 for ts in spots) for one in every)
        places = result.verdict.hazards if result.verdict else 0
        yield f"{len(every)} excursions at {places} places; evidence of {heard} of them"
    elif result.data.name == "skab" and result.verdict:
        delays = ", ".join(f"{one.hazard_id} {one.delay_s:.0f} s" for one in found)
        yield f"delays: {delays}; missed: {', '.join(result.verdict.missed) or 'none'}"
        yield f"false: {', '.join(sorted(one.evidence[0].entity for one in result.verdict.false_incidents)) or 'none'}"
    elif result.data.name == "bridge" and found:
        yield f"opened {found[0].delay_s:.0f} s into the file in which the strain moves, level {found[0].level}"
    elif result.data.name in ("nyc311", "sf311"):
        yield calls(result, bag)
    if result.summary.quarantined:
        yield "quarantined: " + ", ".join(f"{n:,} {reason}" for reason, n in result.summary.quarantined.most_common())


def lead(found: Found, hazard: Hazard) -> str:
    """When the incident opened, against the first reading at warning stage."""
    if not hazard.note:
        return ""
    minutes = (truths.ms(hazard.note) - epoch_ms(hazard.from_ts)) / 60_000 - found.delay_s / 60
    return f", {abs(minutes):.0f} min {'before' if minutes > 0 else 'after'} the first reading at warning stage"


def calls(result: Result, bag: Path) -> str:
    """Verdicts by request type over every incident of one call, and over fifty drawn at random."""
    texts = {one["call_id"]: one["text"] for one in records(bag)}
    opened: dict[str, str] = {}
    for incident in result.incidents:
        entity = incident.evidence[0].entity
        if incident.incident_id not in opened and entity in texts:
            opened[incident.incident_id] = verdict_of(texts[entity])
    drawn = random.Random(50).sample(sorted(opened), min(50, len(opened)))
    every, sample = Counter(opened.values()), Counter(opened[name] for name in drawn)
    share = every["right"] / max(len(opened), 1)
    return (
        f"{every['right']} of {len(opened)} incidents right ({share:.0%}), {every['overstated']} overstated (right department, "
        f"title too strong), {every['wrong']} wrong; of 50 drawn {sample['right']}/{sample['overstated']}/{sample['wrong']}"
    )


def verdict_of(text: str) -> str:
    return next((verdict for pattern, verdict in truths.CALL_VERDICTS if re.search(pattern, text)), "right")


def stamp(ts: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(ts / 1000))


# --- tables -------------------------------------------------------------------------------------------------------------


def tables(rows: dict[str, dict[str, str]]) -> str:
    """Both tables from the rows kept for every set, in the order of DATA_SETS."""
    kept = [rows[one.name] for one in DATA_SETS if one.name in rows]
    books = sorted({one["rulebook"] for one in kept})
    return "\n".join(
        [
            f"Rulebook {', '.join(books)}; {machine()}.",
            "",
            "| data set | rows | records | outcomes (add up) | incidents by category (levels) | records/s |",
            "|---|--:|--:|---|---|--:|",
            *(one["row"] for one in kept),
            "",
            "| data set | known to be true | found | missed | false | delay: median, longest | remarks |",
            "|---|---|--:|--:|--:|---|---|",
            *(one["judgement"] for one in kept),
        ]
    )


def write_page(rows: dict[str, dict[str, str]]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(rows)}\n\n{END}{after}", encoding="utf-8")


def row(result: Result) -> str:
    summary = result.summary
    total, count = summary.total(), sum(summary.records.values())
    adds = "yes" if sum(total.values()) == count else "NO"
    outcomes = ", ".join(f"{n:,} {name}" for name, n in total.most_common())
    last = {incident.incident_id: incident for incident in result.incidents if incident.status != "merged"}
    worst: dict[str, Counter[int]] = {}
    level: dict[str, int] = {}
    for incident in result.incidents:
        level[incident.incident_id] = min(incident.level, level.get(incident.incident_id, 4))
    for name, incident in last.items():
        worst.setdefault(incident.category, Counter())[level[name]] += 1
    told = "; ".join(
        f"{sum(by.values())} {category} ({', '.join(f'{n} x {lv}' for lv, n in sorted(by.items()))})"
        for category, by in sorted(worst.items())
    )
    speed = count / result.seconds if result.seconds else 0.0
    return (
        f"| {result.data.name} | {result.imported.rows:,} | {count:,} | {outcomes} ({adds}) | {told or 'none'} | {speed:,.0f} |"
    )


def judgement(result: Result) -> str:
    remarks = "; ".join(result.notes).replace("|", "/")
    verdict = result.verdict
    if verdict is None:
        return f"| {result.data.name} | {result.data.known} | – | – | – | – | {remarks} |"
    delay = verdict.as_json()["delay_s"]
    if result.data.name in RAIN and delay["p50"] is not None:
        delay = {name: seconds - truths.RAIN_HOURS * 3600 for name, seconds in delay.items()}
    spread = "–" if delay["p50"] is None else f"{delay['p50']:,.0f} s, {delay['max']:,.0f} s"
    counts = f"{verdict.found} of {verdict.hazards} | {len(verdict.missed)} | {verdict.false}"
    return f"| {result.data.name} | {result.data.known} | {counts} | {spread} | {remarks} |"


def machine() -> str:
    names = ("river", "numpy", "msgspec", "orjson", "pyarrow")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{cpu}, one core, Python {platform.python_version()}, {versions}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=ROOT / "var" / "recordings")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--write", action="store_true", help="put the tables into docs/recordings.md")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"{arguments.data}: no such directory; name that of the recordings with --data", file=sys.stderr)
        return 2
    book = RuleBook.default()
    arguments.work.mkdir(parents=True, exist_ok=True)
    kept = arguments.work / "rows.json"
    rows: dict[str, dict[str, str]] = json.loads(kept.read_text()) if kept.exists() else {}
    for one in DATA_SETS:
        if arguments.only and one.name not in arguments.only:
            continue
        result = process(one, arguments.data, arguments.work, book)
        rows[one.name] = {"rulebook": book.fingerprint, "row": row(result), "judgement": judgement(result)}
        print(rows[one.name]["row"], rows[one.name]["judgement"], sep="\n", flush=True)
        kept.write_text(json.dumps(rows))
        if arguments.write:
            write_page(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
