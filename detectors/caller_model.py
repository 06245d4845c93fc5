"""Caller model: what a call is about by its n-grams, where no phrase of the book stands in it.

A phrase book knows the words somebody wrote down; a caller uses others. This is a second opinion of small weights: every
n-gram of one or two characters (Chinese) or words (English) speaks for or against each concept and for
``none``, no report at all; their sum decides. Fitted to composed sentences only (:mod:`detectors.caller_training`), stored as
whole numbers, so the same text gives the same answer everywhere, in 0.1 ms, and the n-grams that decided can be named.

Do not use it to tell how sure a caller is: the margin says how far a text lies from enquiries the patterns know, no more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

NONE: Final = "none"
#: Weights are stored in this part of one, as letters: b is 1 … z 25, B −1 … Z −25, dot 0.
SCALE: Final = 6
HEAVIEST: Final = 25
#: A text that says more is a document; its beginning is judged.
_LONGEST = 300
_RUN = re.compile(r"[\u3400-\u9fff]+|[a-z']+|\d+|[?？]|[^\s]")
_END = frozenset(",，;；:：。.!！\n()（）|\"“”'")


def features(plain: str) -> set[str]:
    """The n-grams of a text as the phrase book compares it.

    >>> sorted(features("漏气?"))
    ['?', '^漏', '^漏气', '气', '漏', '漏气']
    >>> sorted(features("gas leaks"))
    ['gas', 'gas leak', 'leak']
    """
    found: set[str] = set()
    before = ""
    first = True
    for match in _RUN.finditer(plain[:_LONGEST]):
        run = match[0]
        if "\u3400" <= run[0] <= "\u9fff":
            for i in range(len(run)):
                found.add(run[i])
                found.add(run[i : i + 2])
            if first:
                found.add("^" + run[:1])
                if len(run) > 1:
                    found.add("^" + run[:2])
            before = ""
        elif run[0].isascii() and run[0].isalpha():
            word = _stem(run)
            found.add(word)
            if before:
                found.add(f"{before} {word}")
            before = word
        elif run in "?？":
            found.add("?")
            before = ""
        elif run[0].isdigit():
            found.add("#")
        elif run in _END:
            before = ""
        first = False
    return found


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def letter_of(weight: int) -> str:
    """A weight as the file writes it.

    >>> [letter_of(weight) for weight in (0, 1, 25, -2, 90)]
    ['.', 'b', 'z', 'C', 'z']
    """
    if weight == 0:
        return "."
    size = min(abs(weight), HEAVIEST)
    return chr(ord("a" if weight > 0 else "A") + size)


def _weight(letter: str) -> int:
    if letter == ".":
        return 0
    return ord(letter) - ord("a") if letter >= "a" else ord("A") - ord(letter)


@dataclass(frozen=True, slots=True)
class Opinion:
    """``concept`` leads over ``none`` by ``margin``; ``words`` spoke for it most. ``known``: share of the n-grams the model
    has a weight for. ``scores``: of every label, in the margin's units."""

    concept: str
    margin: float
    known: float
    words: tuple[str, ...]
    scores: Mapping[str, float]

    def lead(self, other: str) -> float:
        """How far the concept lies before another one; minus infinity where the model does not know that."""
        return self.scores[self.concept] - self.scores.get(other, math.inf)


class CallerModel:
    """Weights per n-gram and label."""

    def __init__(self, labels: Sequence[str], weights: Mapping[str, Sequence[tuple[int, int]]]) -> None:
        self.labels = tuple(labels)
        self._none = self.labels.index(NONE)
        self._weights = weights

    @classmethod
    def read(cls, text: str) -> CallerModel:
        lines = text.split("\n")
        table = {}
        for line in lines[1:]:
            if line:
                name, _, pairs = line.partition("\t")
                table[name] = [(i, weight) for i, letter in enumerate(pairs) if (weight := _weight(letter))]
        return cls(lines[0].split("\t"), table)

    @classmethod
    @lru_cache(maxsize=1)
    def default(cls) -> CallerModel:
        """The model that ships with the project."""
        return cls.read((Path(__file__).parent / "phrases" / "caller_model.tsv").read_text("utf-8"))

    def opinion(self, plain: str) -> Opinion:
        """What the text (as the phrase book compares it) is about, whether or not it is a report."""
        grams = ["", *sorted(features(plain))]
        known = [(gram, held) for gram in grams if (held := self._weights.get(gram)) is not None]
        totals = [0] * len(self.labels)
        for _, held in known:
            for label, weight in held:
                totals[label] += weight
        # The share of a text's n-grams counts, not their number: the fit divides so, too.
        size = SCALE * math.sqrt(max(1, len(known)))
        concepts = [i for i in range(len(self.labels)) if i != self._none]
        best = max(concepts, key=lambda i: (totals[i], -i))
        scores = {label: totals[i] / size for i, label in enumerate(self.labels)}
        margin = (totals[best] - totals[self._none]) / size
        return Opinion(self.labels[best], margin, len(known) / len(grams), self._words(known, best), scores)

    def _words(self, known: Sequence[tuple[str, Sequence[tuple[int, int]]]], label: int) -> tuple[str, ...]:
        """The n-grams that spoke for the label against none, the strongest first, none within another."""
        said = []
        for gram, held in known:
            weights = dict(held)
            weight = weights.get(label, 0) - weights.get(self._none, 0)
            if gram and weight > 0:
                said.append((weight, gram))
        words: list[str] = []
        for _, gram in sorted(said, key=lambda one: (-one[0], one[1])):
            bare = gram.lstrip("^")
            if bare and not any(bare in word or word in bare for word in words):
                words.append(bare)
            if len(words) == 3:
                break
        return tuple(words)
