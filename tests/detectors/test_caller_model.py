"""The second opinion on a call: what it finds without a phrase, what it takes back, and that its patterns make it."""

from __future__ import annotations

import pytest

from detectors.caller_model import CallerModel, features, letter_of
from detectors.caller_training import FOLDER, Patterns, composed, fitted, written
from detectors.lexicon import concepts, readings
from detectors.phrase_book import PhraseBook
from tests.detectors import callers, callers_by_category
from tests.detectors.test_lexicon import CATEGORIES, raised

PLAIN = PhraseBook.default().plain


def said(text: str) -> set[str]:
    """Categories in which a call raises something."""
    return {CATEGORIES[concept] for concept in raised(text)}


def test_hazards_in_words_of_no_phrase_are_found_in_their_category() -> None:
    missed = [(category, text) for text, category in callers_by_category.HAZARDS if category not in said(text)]
    assert len(missed) <= 0.05 * len(callers_by_category.HAZARDS), missed


def test_one_hazard_is_one_category() -> None:
    several = [(text, said(text)) for text, _ in callers_by_category.HAZARDS if len(said(text)) > 1]
    assert len(several) <= 2, several


def test_enquiries_thanks_and_hearsay_raise_nothing() -> None:
    assert [(text, said(text)) for text in callers_by_category.HARMLESS if said(text)] == []


def test_sentences_nothing_was_mended_for_are_told_apart() -> None:
    wrong = [text for text, concept in callers.LAST if (concept is None) == bool(raised(text))]
    assert len(wrong) <= 0.05 * len(callers.LAST), wrong


def test_an_explanation_quotes_the_words_that_decided() -> None:
    found = concepts("路边那个调压箱一直吱吱地漏气，隔老远都闻得到")["gas_smell"]
    assert found.status == "understood"
    assert "漏气" in found.words or "调压" in found.words


def test_a_phrase_within_an_enquiry_is_taken_back() -> None:
    text = "我前天报的井盖丢失，工单处理到哪一步了？"
    assert [match.status for match in readings(text)] == ["expressed"]
    assert "cover_missing" not in concepts(text)


def test_on_an_emergency_line_nothing_is_taken_back() -> None:
    text = "我前天报的井盖丢失，工单处理到哪一步了？"
    assert "cover_missing" in concepts(text, line="110")


def test_what_is_feared_stays_feared() -> None:
    assert concepts("担心这段路面塌陷")["road_collapse"].confidence == 0.5


@pytest.mark.parametrize("weight", [*range(-25, 26)])
def test_a_weight_survives_its_letter(weight: int) -> None:
    model = CallerModel.read(f"a\tnone\nx\t{letter_of(weight)}.\n")
    assert model._weights["x"] == ([(0, weight)] if weight else [])


def test_a_sentence_composed_twice_is_the_same() -> None:
    assert composed(7)[:50] == composed(7)[:50]


def test_patterns_know_alternatives_slots_and_what_may_be_left_out() -> None:
    import random

    patterns = Patterns({"gas": ["煤气"]}, random.Random(1))
    assert {patterns.say("<gas>(漏了|泄漏)了?") for _ in range(50)} == {"煤气漏了", "煤气漏了了", "煤气泄漏", "煤气泄漏了"}


def test_a_fit_of_few_sentences_tells_them_apart() -> None:
    labels, table = fitted([("煤气漏了", "gas_smell"), ("煤气费多少", "none")] * 40)
    model = CallerModel.read(written(labels, table))
    assert model.opinion(PLAIN("煤气漏了")).margin > 0 > model.opinion(PLAIN("煤气费多少")).margin


def test_no_text_is_too_long_or_too_odd() -> None:
    assert features(PLAIN("漏" * 10_000)) == {"^漏", "^漏漏", "漏", "漏漏"}
    assert CallerModel.default().opinion(PLAIN("😀\u202e\u0000")).words == ()


@pytest.mark.slow
def test_the_shipped_weights_are_what_the_patterns_make() -> None:
    shipped = (FOLDER / "caller_model.tsv").read_text("utf-8")
    assert written(*fitted(composed())) == shipped
