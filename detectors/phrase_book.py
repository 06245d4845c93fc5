"""The phrase book: what callers say, as data, found in one pass over a text.

``phrases/lifelines.toml`` and ``phrases/streets.toml`` hold phrases per concept, ``phrases/cues.toml`` the words that turn them
round. All of them stand in one Aho–Corasick automaton, so a text costs one pass however many phrases there are. What the
found words mean together is decided in :mod:`detectors.lexicon`.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import ahocorasick

#: A caller's text beyond this is a document; the hazard stands at its beginning.
MAX_TEXT = 4000
#: Reach in an English text, counted in characters, for one Chinese character.
ENGLISH_REACH = 3
TURNING = ("neutral", "not", "past", "recent", "fixed", "thanks", "pending", "still", "unreal", "drill", "hedge")
CUES = (*TURNING, "consult", "topic", "hearsay", "break", "urgent", "place")

_PLAIN = str.maketrans({"’": "'", "‘": "'", "`": "'", "_": " ", "-": " ", "/": " ", "–": " ", "—": "，", "…": "。"})
_GAP_IN_CHINESE = re.compile(r"(?<=[\u4e00-\u9fff])\s+(?=[\u4e00-\u9fff])")
_SPACES = re.compile(r"[ \t\r\f\v]+")
_CLAUSE = re.compile(r"[,，;；:：。.!！?？\n()（）|]")
_SENTENCE = re.compile(r"[。!！?？\n;；|]|\.(?!\d)")


@dataclass(frozen=True, slots=True)
class Hit:
    """One word of the book in a text: ``role`` is a cue's name, ``phrase``, or ``a``/``b`` of the pair ``of``."""

    start: int
    end: int
    role: str
    of: str

    def gap(self, other: Hit) -> int:
        """Characters between the two; 0 if they touch or overlap."""
        return max(0, other.start - self.end, self.start - other.end)


@dataclass(slots=True)
class Scan:
    """A text as compared (``text``), the words found in it by role, and where clauses and sentences begin."""

    text: str
    hits: dict[str, list[Hit]]
    clauses: list[int] = field(default_factory=list)
    sentences: list[int] = field(default_factory=list)

    def clause(self, position: int) -> int:
        return bisect_right(self.clauses, position)

    def sentence(self, position: int) -> int:
        return bisect_right(self.sentences, position)

    def reach(self, hit: Hit, characters: int) -> int:
        """So many Chinese characters, or what they are worth in the language of the word found."""
        return characters * (ENGLISH_REACH if self.text[hit.start : hit.end].isascii() else 1)


class PhraseBook:
    """Concepts with their phrases, and the cues.

    >>> book = PhraseBook.default()
    >>> [(hit.of, hit.start) for hit in book.scan("路口有煤气味").hits["phrase"]]
    [('gas_smell', 3)]
    """

    def __init__(self, concepts: Mapping[str, Mapping[str, Any]], cues: Mapping[str, Any]) -> None:
        self.titles = {name: str(concept.get("title", name)) for name, concept in concepts.items()}
        #: Classes of hotlines, as compared, that stand for a concept by themselves.
        self.categories: dict[str, str] = {}
        self.pairs: dict[str, tuple[str, int]] = {}
        #: Consequences that are left to their cause where one call tells of both.
        self.yields_to: dict[str, tuple[str, ...]] = {name: tuple(each.get("yields_to", ())) for name, each in concepts.items()}
        #: Concepts that the caller model does not tell from the one it names.
        self.alike: dict[str, tuple[str, ...]] = {name: tuple(each) for name, each in cues.get("alike", {}).items()}
        self.emergency_lines = frozenset(cues.get("emergency_lines", ()))
        traditional = cues.get("traditional", {"from": "", "to": ""})
        self._simplified = str.maketrans(traditional["from"], traditional["to"])
        entries: dict[str, set[tuple[str, str]]] = {}

        def add(words: Iterable[str], role: str, of: str) -> None:
            for word in words:
                entries.setdefault(self.plain(word), set()).add((role, of))

        for cue in CUES:
            add(cues.get(cue, ()), cue, cue)
        for name, concept in concepts.items():
            add(concept.get("phrases", ()), "phrase", name)
            self.categories |= {self.plain(each): name for each in (name, *concept.get("categories", ()))}
            for number, pair in enumerate(concept.get("pairs", ())):
                label = f"{name}/{number}"
                self.pairs[label] = (name, int(pair["within"]))
                add(pair["a"], "a", label)
                add(pair["b"], "b", label)
        self._automaton = ahocorasick.Automaton()
        for word, roles in entries.items():
            self._automaton.add_word(word, (len(word), word[-1].isascii() and word[-1].isalnum(), sorted(roles)))
        self._automaton.make_automaton()

    @classmethod
    @lru_cache(maxsize=1)
    def default(cls) -> PhraseBook:
        """The book that ships with the project."""
        folder = Path(__file__).parent / "phrases"
        read = {name: tomllib.loads((folder / f"{name}.toml").read_text("utf-8")) for name in ("lifelines", "streets", "cues")}
        return cls({**read["lifelines"], **read["streets"]}, read["cues"])

    def plain(self, text: str) -> str:
        """The form in which texts are compared: half width, lower case, simplified, single spaces."""
        text = unicodedata.normalize("NFKC", text[:MAX_TEXT]).casefold().translate(_PLAIN).translate(self._simplified)
        return _SPACES.sub(" ", _GAP_IN_CHINESE.sub("", text)).strip()

    def scan(self, text: str) -> Scan:
        """All words of the book in the text, of those that lie within others only the longest."""
        plain = self.plain(text)
        found: list[Hit] = []
        for last, (length, english, roles) in self._automaton.iter(plain):
            start, end = last - length + 1, last + 1
            if english:
                end = _word_end(plain, start, end)
            if end:
                found += [Hit(start, end, role, of) for role, of in roles]
        hits: dict[str, list[Hit]] = {}
        for hit in _longest(found):
            hits.setdefault(hit.role, []).append(hit)
        breaks = [hit.start for hit in hits.get("break", ())]
        return Scan(
            plain,
            hits,
            sorted({*(match.end() for match in _CLAUSE.finditer(plain)), *breaks}),
            [match.end() for match in _SENTENCE.finditer(plain)],
        )


def _letter(text: str, position: int) -> bool:
    return 0 <= position < len(text) and text[position].isascii() and text[position].isalnum()


def _word_end(text: str, start: int, end: int) -> int:
    """End of the English word or words found at start:end, a plural s included; 0 if they are part of other words."""
    if _letter(text, start) and _letter(text, start - 1):
        return 0
    if not _letter(text, end):
        return end
    return end + 1 if text[end] == "s" and not _letter(text, end + 1) else 0


def _longest(hits: Sequence[Hit]) -> list[Hit]:
    """Hits in order, without those that lie within a longer one.

    A pair's subject (``a``) survives within a phrase: in "路面冒水" the road is still a road. It does not survive within a
    neutral word ("gas station") or a longer subject. A predicate (``b``) survives within a longer one of another pair: what
    blocks a drain ("堵死") hides nothing of what blocks a fire lane ("堵").
    """
    kept: list[Hit] = []
    reach: dict[str, tuple[int, int]] = {}  # the span that reaches furthest so far, for each kind of hit it would hide
    for hit in sorted(hits, key=lambda each: (each.start, -each.end)):
        hidden_by = {"a": ("subject",), "b": ("words", hit.of)}.get(hit.role, ("any",))
        spans = [reach.get(kind, (-1, -1)) for kind in hidden_by]
        if any(hit.end <= end and (hit.start, hit.end) != (start, end) for start, end in spans):
            continue
        kept.append(hit)
        hides = ["any", hit.of] if hit.role == "b" else ["any", "words"]
        if hit.role in ("neutral", "a"):
            hides.append("subject")
        for kind in hides:
            if hit.end > reach.get(kind, (-1, -1))[1]:
                reach[kind] = (hit.start, hit.end)
    return kept
