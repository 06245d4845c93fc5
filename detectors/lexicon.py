"""Hotline lexicon: which hazards a caller's words express, in Chinese and English.

A phrase counts unless its neighbourhood turns it round: denied ("没有闻到煤气味", "no smell of gas"), done with ("已修好",
"fixed already"), long ago, asked about ("煤气公司电话是多少"), imagined ("如果…"), hearsay ("听说着火了，是真的吗"), an
exercise. What is feared ("担心塌陷") counts half. Words that only look like a phrase ("gas station") hide it. Of a cause and
its consequence in one call ("水管破裂，水淹到人行道") the cause counts. All of that is data: :mod:`detectors.phrase_book`.

Callers use words nobody wrote down, and phrases stand in enquiries nobody thought of. So a second opinion is asked, of the
n-grams of the whole text (:mod:`detectors.caller_model`): where it is clear, it adds what the phrases do not know, takes back
what reads like an enquiry, a thank-you or hearsay, and says which of two hazards is meant.

Do not use it to judge how bad a thing is: it says what a call is about, the rule and the neighbours of the call say the rest.
A language model would understand more; this answers in a tenth of a millisecond, the same today and in a replay, and shows
its words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from detectors.base import Detector, Measures, Params, register
from detectors.caller_model import CallerModel, Opinion
from detectors.phrase_book import Hit, PhraseBook, Scan
from streams.batch import Batch

Status = Literal[
    "expressed", "understood", "feared", "denied", "done_with", "long_ago", "asked_about", "hearsay", "imagined", "exercise"
]

#: A text that mentions more is no call; judging each against all cues must not be made slow by it.
MAX_MENTIONS = 100
# Reaches in Chinese characters (three times as many in English): how far a cue speaks.
DENIES, DONE, DONE_AHEAD, PENDS, RETURNS = 8, 26, 5, 7, 16
# Margins of the second opinion (detectors/caller_model.py), measured on the sentences of tests/detectors/callers*.py: it adds a
# hazard from ADDS on (from DOUBTS on where a phrase was turned down), takes back phrases below -REVOKES, and prefers another
# hazard than the phrases' from PREFERS on. Of a text it knows less than KNOWS of it says nothing.
ADDS, DOUBTS, REVOKES, PREFERS, KNOWS = 0.5, 4.0, 2.5, 3.0, 0.5
# Characters between words and the thing they name: "停水的公告", "gas leak detector".
NAMES = 1


@dataclass(frozen=True, slots=True)
class Match:
    """A concept found in a text. ``words`` as compared; ``start`` and ``end`` are places in the compared text."""

    concept: str
    words: str
    start: int
    end: int
    status: Status
    confidence: float


def readings(text: str, book: PhraseBook | None = None, emergency: bool = False) -> list[Match]:
    """Every concept the text mentions, also those it denies, with the reason. On an emergency line hearsay counts.

    >>> [(m.concept, m.words, m.status) for m in readings("没有闻到煤气味，但是井盖不见了")]
    [('gas_smell', '煤气味', 'denied'), ('cover_missing', '井盖不见了', 'expressed')]
    """
    book = book or PhraseBook.default()
    scan = book.scan(text)
    mentions = [(hit.of, (hit,)) for hit in scan.hits.get("phrase", ())] + _pairs(scan, book)
    found = []
    mentions.sort(key=lambda mention: (mention[1][0].start, -mention[1][-1].end, mention[0]))
    for concept, parts in mentions[:MAX_MENTIONS]:
        status = _status(scan, parts, emergency)
        confidence = {"expressed": 1.0, "feared": 0.5}.get(status, 0.0)
        start, end = parts[0].start, parts[-1].end
        found.append(Match(concept, scan.text[start:end], start, end, status, confidence))
    return found


def concepts(text: str, category: str | None = None, line: str | None = None) -> Mapping[str, Match]:
    """The hazards a call expresses: its strongest mention of each concept. ``category`` is the hotline's own class.

    A category that names a concept, or whose words express one, decides whatever the text says. Who calls an emergency
    ``line`` (110, 119 …) to ask whether it is true, means it.

    >>> {name: match.confidence for name, match in concepts("Strong gas odor, and the hydrant is leaking").items()}
    {'gas_smell': 1.0, 'water_burst': 1.0}
    >>> list(concepts("please see attachment", category="Sewer Backup"))
    ['sewage_overflow']
    """
    return _concepts(text, category, line in PhraseBook.default().emergency_lines)


@lru_cache(maxsize=2048)
def _concepts(text: str, category: str | None, emergency: bool) -> Mapping[str, Match]:
    # Two dozen rules ask the same of one call, one after the other.
    book = PhraseBook.default()
    found: dict[str, Match] = {}
    mentions = readings(text, book, emergency)
    if category:
        name = book.categories.get(book.plain(category))
        if name is not None:
            mentions.append(Match(name, category, 0, 0, "expressed", 1.0))
        mentions += [replace(match, start=0, end=0) for match in readings(category, book, emergency)]
    # Who fills in a form ("Elevator: Defective") does not speak; its words are a list, and lists are what the phrases are for.
    speaks = not (category and book.plain(text).startswith(book.plain(category)))
    if speaks:
        mentions = _reconsidered(mentions, CallerModel.default().opinion(book.plain(text)), emergency)
    for match in mentions:
        if match.confidence > 0 and (match.concept not in found or match.confidence > found[match.concept].confidence):
            found[match.concept] = match
    return {name: match for name, match in found.items() if not _left_to_cause(match, found, book)}


def _reconsidered(mentions: list[Match], opinion: Opinion, emergency: bool) -> list[Match]:
    """The mentions in the light of the second opinion. What the hotline's own class says (no place in the text) stands."""
    said = [match for match in mentions if match.end]
    sure = [match for match in said if match.confidence >= 1]
    told = [match for match in mentions if not match.end]
    denied = any(match.status == "denied" for match in said)  # why the text leans to none is known then
    if opinion.known < KNOWS:
        return mentions
    if sure and opinion.margin <= -REVOKES and not denied and not emergency:
        return [match for match in mentions if match not in sure or match.concept not in opinion.scores]
    if told:
        return mentions
    understood = Match(opinion.concept, "”, “".join(opinion.words), 0, 0, "understood", 1.0)
    if sure:
        others = {match.concept for match in sure}
        alike = others & {opinion.concept, *PhraseBook.default().alike.get(opinion.concept, ())}
        prefers = not alike and opinion.margin >= PREFERS
        if prefers and all(opinion.lead(concept) >= PREFERS for concept in others):
            return [understood]
        # Of a fallen tree or people in danger the model has never heard: what it knows of the same call comes beside it.
        beside = not alike and not any(concept in opinion.scores for concept in others) and opinion.margin >= ADDS
        return [*mentions, understood] if beside else mentions
    if any(match.status == "feared" for match in said):
        return mentions
    doubted = any(match.status not in ("expressed", "asked_about") for match in said)
    needed = DOUBTS if said else ADDS
    return [*mentions, understood] if opinion.margin >= needed and not doubted else mentions


def _left_to_cause(match: Match, found: Mapping[str, Match], book: PhraseBook) -> bool:
    """Whether the call also tells, at least as surely, of what caused this."""
    causes = (found[name] for name in book.yields_to[match.concept] if name in found)
    return any(cause.confidence >= match.confidence for cause in causes)


def presses(text: str, line: str | None = None) -> bool:
    """Whether a call demands help at once, names a place, or came to an emergency line.

    >>> presses("着火了"), presses("着火了，快来人"), presses("着火了", line="119")
    (False, True, True)
    """
    book = PhraseBook.default()
    if line in book.emergency_lines:
        return True
    hits = book.scan(text).hits
    return bool(hits.get("urgent") or hits.get("place"))


def _pairs(scan: Scan, book: PhraseBook) -> list[tuple[str, tuple[Hit, ...]]]:
    """Subject and predicate near each other in one clause, whichever comes first."""
    subjects: dict[tuple[str, int], list[Hit]] = {}
    for hit in scan.hits.get("a", ()):
        subjects.setdefault((hit.of, scan.clause(hit.start)), []).append(hit)
    mentions: list[tuple[str, tuple[Hit, ...]]] = []
    for predicate in scan.hits.get("b", ()):
        near = subjects.get((predicate.of, scan.clause(predicate.start)), ())
        best = min(near, key=predicate.gap, default=None)
        concept, within = book.pairs[predicate.of]
        if best is not None and predicate.gap(best) <= scan.reach(predicate, within):
            mentions.append((concept, (best, predicate) if best.start <= predicate.start else (predicate, best)))
    return mentions


def _status(scan: Scan, parts: tuple[Hit, ...], emergency: bool) -> Status:
    """What the cues around the words make of them; the first reason that holds."""
    start, end = parts[0].start, parts[-1].end
    clause, sentence = scan.clause(start), scan.sentence(start)

    def ahead(role: str, reach: int | None = None) -> bool:
        """A cue of that role before one of the parts, in the same clause, not further than ``reach``."""
        return any(
            cue.start < part.start
            and scan.clause(cue.start) == clause
            and (reach is None or cue.gap(part) <= scan.reach(cue, reach))
            for cue in scan.hits.get(role, ())
            for part in parts
        )

    def said(role: str) -> bool:
        """A cue of that role anywhere in the sentence."""
        return any(scan.sentence(cue.start) == sentence for cue in scan.hits.get(role, ()))

    if said("drill"):
        return "exercise"
    if said("hearsay") and not emergency:
        return "hearsay"
    if any(scan.clause(cue.start) == clause for cue in scan.hits.get("consult", ())):
        return "asked_about"
    if any(cue.end > end and cue.start <= end + NAMES and not cue.start < start for cue in scan.hits.get("topic", ())):
        return "asked_about"
    if ahead("unreal"):
        return "imagined"
    if ahead("not", DENIES):
        return "denied"
    if ahead("past") and not any(cue.start > start for cue in scan.hits.get("still", ())):
        return "long_ago"
    if ahead("recent") and said("consult"):
        return "asked_about"
    if said("thanks") and not said("still"):
        return "done_with"
    if any(_done(scan, cue, start, end, clause) for cue in scan.hits.get("fixed", ())):
        return "done_with"
    return "feared" if ahead("hedge") else "expressed"


def _done(scan: Scan, cue: Hit, start: int, end: int, clause: int) -> bool:
    """Whether a word of repair speaks of the words at start:end, and is itself neither pending nor taken back."""
    if cue.start >= end:
        speaks = cue.start - end <= scan.reach(cue, DONE)
    else:
        speaks = cue.end <= start and start - cue.end <= scan.reach(cue, DONE_AHEAD) and scan.clause(cue.start) == clause
    if not speaks:
        return False
    for sign in (*scan.hits.get("pending", ()), *scan.hits.get("not", ())):
        if (
            sign.end <= cue.start
            and cue.gap(sign) <= scan.reach(sign, PENDS)
            and scan.clause(sign.start) == scan.clause(cue.start)
        ):
            return False
    return not any(sign.start >= cue.end and cue.gap(sign) <= scan.reach(sign, RETURNS) for sign in scan.hits.get("still", ()))


class LexiconParams(Params, frozen=True):
    """``concept``: one or more names of the phrase book (``gas_smell``, ``water_burst`` …); any of them counts.

    ``use_category``: the hotline's own class of the call may decide too. ``weigh_urgency``: what is expressed weighs 2 if the
    call presses (:func:`presses`), so that a rule can tell a cry for help from talk.
    """

    concept: str | tuple[str, ...]
    use_category: bool = True
    weigh_urgency: bool = False

    @property
    def wanted(self) -> tuple[str, ...]:
        return (self.concept,) if isinstance(self.concept, str) else self.concept

    def __post_init__(self) -> None:
        known = PhraseBook.default().titles
        unknown = [name for name in self.wanted if name not in known]
        if unknown or not self.wanted:
            raise ValueError(f"`concept` {', '.join(unknown) or '[]'} is not in the phrase book; it has {', '.join(known)}")


@register
class Lexicon(Detector[LexiconParams]):
    """Measure: the confidence that the call expresses the concept: 1, 0.5 (feared) or 0; 2 if urgency is weighed. No state.

    >>> from types import SimpleNamespace
    >>> from detectors.series import Series
    >>> detector = Lexicon(LexiconParams("gas_smell"), [Series("12345", stream="hotline")])
    >>> calls = [SimpleNamespace(text=text, category=None) for text in ("楼道里有很重的煤气味", "煤气公司电话是多少？")]
    >>> slot, at = np.zeros(2, dtype=np.int32), np.arange(2)
    >>> detector.measure(Batch("hotline", slot, at, at, at, slot, slot > 0, calls)).measure.tolist()
    [1.0, 0.0]
    """

    name: ClassVar[str] = "lexicon"
    streams: ClassVar[frozenset[str]] = frozenset({"hotline"})
    Params: ClassVar[type[Params]] = LexiconParams
    takes_late: ClassVar[bool] = True

    def measure(self, batch: Batch) -> Measures:
        measure = np.zeros(len(batch))
        best: dict[int, Match] = {}
        for row, record in enumerate(batch.records):
            text, category, line = (getattr(record, name, None) for name in ("text", "category", "line"))
            if not isinstance(text, str):
                continue
            found = concepts(text, category if self.params.use_category and isinstance(category, str) else None, line)
            said = [found[name] for name in self.params.wanted if name in found]
            if said:
                best[row] = max(said, key=lambda match: match.confidence)
                measure[row] = best[row].confidence
                if self.params.weigh_urgency and measure[row] == 1.0 and presses(text, line):
                    measure[row] = 2.0
        return Measures(measure, explain=lambda row: _explain(best.get(row)))


def _explain(match: Match | None) -> str:
    if match is None:
        return "the caller does not say so"
    if match.status == "understood":
        return f"the caller's words read so: “{match.words}” ({match.concept})"
    return f"the caller {'fears' if match.status == 'feared' else 'says'} “{match.words}” ({match.concept})"
