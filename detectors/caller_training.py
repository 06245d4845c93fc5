"""How the caller model was made: sentences composed from patterns, and a softmax over their n-grams fitted to them.

    python -m detectors.caller_training            # writes detectors/phrases/caller_model.tsv

Reports are composed from ``speech_zh.toml`` and ``speech_en.toml``; what is no report from ``speech_harmless_zh.toml`` and the
English file, and much of it *contains* a report (``<core>``: "<core>, is it true?"), so that the words of a hazard weigh
against the words around it. No sentence of the tests is learned. The same files give the same bytes: one seed, no threads, and
weights that are rounded to whole numbers.
"""

from __future__ import annotations

import math
import random
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detectors.caller_model import HEAVIEST, NONE, SCALE, features, letter_of
from detectors.phrase_book import PhraseBook

FOLDER = Path(__file__).parent / "phrases"
SEED = 20_251
#: Sentences composed per concept and language, and of what is no report.
REPORTS = {"zh": 2_500, "en": 900}
OTHERS = {"zh": 25_000, "en": 9_000}
#: An n-gram in fewer sentences than this is chance.
LEAST = 16
EPOCHS = 5
#: Weights are the mean over the last epochs: the steps of one end beside the middle, now here, now there.
AVERAGED = 3
STEP, DECAY = 0.5, 3e-4

_TOKEN = re.compile(r"<(\w+)>|([(|)?])|([^<>(|)?]+)")


class Patterns:
    """Patterns of one language: (a|b|) alternatives, <slot> references, ? after a group or character makes it optional."""

    def __init__(self, slots: Mapping[str, Sequence[str]], rng: random.Random) -> None:
        self._slots, self._rng = slots, rng
        self._trees: dict[str, Any] = {}

    def say(self, pattern: str, core: str = "") -> str:
        tree = self._trees.get(pattern)
        if tree is None:
            tree = self._trees[pattern] = _parse(pattern)
        return "".join(self._pick(tree, core))

    def _pick(self, tree: Any, core: str) -> Iterator[str]:
        kind, held = tree
        if kind == "text":
            yield held
        elif kind == "slot":
            yield core if held == "core" else self.say(self._rng.choice(self._slots[held]), core)
        elif kind == "any":
            yield from self._pick(self._rng.choice(held), core)
        elif kind == "maybe":
            if self._rng.random() < 0.5:
                yield from self._pick(held, core)
        else:
            for part in held:
                yield from self._pick(part, core)


def _parse(pattern: str) -> Any:
    stack: list[list[list[Any]]] = [[[]]]
    for match in _TOKEN.finditer(pattern):
        slot, sign, text = match.groups()
        last = stack[-1][-1]
        if slot:
            last.append(("slot", slot))
        elif text:
            last.append(("text", text))
        elif sign == "(":
            stack.append([[]])
        elif sign == "|":
            stack[-1].append([])
        elif sign == ")":
            ways = stack.pop()
            stack[-1][-1].append(("any", [("all", way) for way in ways]))
        elif last and last[-1][0] == "text" and len(last[-1][1]) > 1:
            whole = last.pop()[1]
            last += [("text", whole[:-1]), ("maybe", ("text", whole[-1]))]
        elif last:
            last.append(("maybe", last.pop()))
    return ("all", stack[0][0]) if len(stack[0]) == 1 else ("any", [("all", way) for way in stack[0]])


def composed(seed: int = SEED) -> list[tuple[str, str]]:
    """(sentence, concept or ``none``), Chinese and English, in a fixed order."""
    rng = random.Random(seed)
    read = {
        name: tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
        for name in ("speech_zh", "speech_harmless_zh", "speech_en")
    }
    zh, other, en = read["speech_zh"], read["speech_harmless_zh"], read["speech_en"]
    found: list[tuple[str, str]] = []
    for language, hazards, harmless, slots in (
        ("zh", zh["hazards"], other["harmless"], {**zh["slots"], **other["slots"]}),
        ("en", en["hazards"], en["harmless"], en["slots"]),
    ):
        patterns = Patterns(slots, rng)
        join = "" if language == "zh" else " "
        for concept, ways in hazards.items():
            for _ in range(REPORTS[language]):
                body = patterns.say(rng.choice(ways))
                found.append((f"{patterns.say('<opener>')}{body}{patterns.say('<tail>')}", concept))
        every = [(concept, way) for concept, ways in hazards.items() for way in ways]
        kinds = list(harmless.values())
        for _ in range(OTHERS[language]):
            core = patterns.say(rng.choice(every)[1]).strip()
            said = patterns.say(rng.choice(rng.choice(kinds)), core if language == "zh" else core[:1].lower() + core[1:])
            end = rng.choice(["", "", "？", "吗？", "。"]) if language == "zh" else rng.choice(["", "?", "."])
            hello = rng.choice(["", "", "", "你好，", "您好，"] if language == "zh" else ["", "", "Hello, "])
            found.append((f"{hello}{said}{end}".replace(join * 2, join) if join else f"{hello}{said}{end}", NONE))
    return found


def fitted(sentences: Sequence[tuple[str, str]], seed: int = SEED) -> tuple[list[str], dict[str, list[int]]]:
    """(labels, n-gram → whole-number weight per label). The n-gram "" is the bias."""
    book = PhraseBook.default()
    grams = [sorted(features(book.plain(text))) for text, _ in sentences]
    counts = Counter(gram for row in grams for gram in row)
    names = ["", *sorted(gram for gram, n in counts.items() if n >= LEAST)]
    place = {name: i for i, name in enumerate(names)}
    labels = [*sorted({label for _, label in sentences} - {NONE}), NONE]
    which = {label: i for i, label in enumerate(labels)}
    rows = [np.array([0, *(place[gram] for gram in row if gram in place)], dtype=np.int64) for row in grams]
    weights = np.zeros((len(names), len(labels)))
    squares = np.full((len(names), len(labels)), 1e-8)
    order, mean = np.random.default_rng(seed), np.zeros_like(weights)
    for epoch in range(EPOCHS):
        wrong = 0
        for i in order.permutation(len(rows)).tolist():
            row, label = rows[i], which[sentences[i][1]]
            size = 1.0 / math.sqrt(len(row))
            score = weights[row].sum(axis=0) * size
            score = np.exp(score - score.max())
            score /= score.sum()
            wrong += int(score.argmax()) != label
            score[label] -= 1.0
            step = score * size
            squares[row] += step * step
            weights[row] -= STEP * step / np.sqrt(squares[row]) + DECAY * weights[row]
        if epoch >= EPOCHS - AVERAGED:
            mean += weights / AVERAGED
        print(f"epoch {epoch + 1}: {wrong} of {len(rows)} wrong", file=sys.stderr)
    whole = np.clip(np.rint(mean * SCALE), -HEAVIEST, HEAVIEST).astype(int)
    table = {name: whole[i].tolist() for i, name in enumerate(names) if whole[i].any()}
    return labels, table


def written(labels: Sequence[str], table: Mapping[str, Sequence[int]]) -> str:
    """The model as text: a line of labels, then ``n-gram TAB`` and a letter for the weight of each label."""
    rows = (f"{name}\t{''.join(map(letter_of, table[name]))}" for name in sorted(table))
    return "\n".join(["\t".join(labels), *rows]) + "\n"


if __name__ == "__main__":
    (FOLDER / "caller_model.tsv").write_text(written(*fitted(composed())), "utf-8")
