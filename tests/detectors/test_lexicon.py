"""The lexicon understands what callers say, and what they only seem to say, in Chinese and English."""

import tomllib
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import detectors
from detectors.lexicon import Lexicon, LexiconParams, concepts, readings
from detectors.phrase_book import PhraseBook
from detectors.series import Series
from replay.simulate.people import QUIET_CALLS
from streams.batch import Batch
from tests.detectors import callers

SAID = [
    ("我家楼道里有很浓的煤气味，麻烦尽快来人", "gas_smell"),
    ("小区门口闻到臭鸡蛋味", "gas_smell"),
    ("施工队把天然气管道挖断了，天然气在漏", "gas_smell"),
    ("天然氣洩漏，味道很重", "gas_smell"),
    ("不知道哪里的燃气泄漏了", "gas_smell"),
    ("ＧＡＳ ＬＥＡＫ in the basement", "gas_smell"),
    ("I smell gas near the corner of 5th and Main", "gas_smell"),
    ("There is a strong smell of rotten eggs in the hallway", "gas_smell"),
    ("Not sure what it is but it smells like gas", "gas_smell"),
    ("主干道水管爆了，水流成河", "water_burst"),
    ("马路中间一直往上冒水", "water_burst"),
    ("Possible Water Main Break (Use Comments) (WA1)", "water_burst"),
    ("Hydrant Running Full (WA4)", "water_burst"),
    ("六楼水压太低，洗澡都不行", "low_water_pressure"),
    ("家里停水两天了，没人管", "no_water"),
    ("No Water/Low Pressure (WA5)", "no_water"),
    ("自来水放出来是黄色的，很浑", "discoloured_water"),
    ("Brown water coming from the tap", "discoloured_water"),
    ("桥下积水很深，车被淹了", "ponding"),
    ("Flooding On_street", "ponding"),
    ("The underpass is flooded and cars are stuck", "ponding"),
    ("污水外溢流到马路上", "sewage_overflow"),
    ("下水道往外冒污水，臭得不行", "sewage_overflow"),
    ("Sewer Backup (Use Comments) (SA)", "sewage_overflow"),
    ("路面突然塌陷了一个大洞", "road_collapse"),
    ("Street Condition: Cave-in", "road_collapse"),
    ("A sinkhole opened in front of my house", "road_collapse"),
    ("路上有个大坑，电动车摔了", "pothole"),
    ("Pothole on Broadway", "pothole"),
    ("人行道上的井盖不见了，很危险", "cover_missing"),
    ("窨井盖被人偷了", "cover_missing"),
    ("不知道井盖被谁偷了", "cover_missing"),
    ("Manhole_Cover_Off", "cover_missing"),
    ("the manhole cover is missing on Oak street", "cover_missing"),
    ("暖气一点都不热，室温只有14度", "no_heat"),
    ("HEAT/HOT WATER", "no_heat"),
    ("HEATING: HEAT", "no_heat"),
    ("The radiator has been cold, no heat for three days", "no_heat"),
    ("热力井冒热气，路面都烫", "steam_leak"),
    ("楼上着火了，冒黑烟", "fire_smoke"),
    ("There is heavy smoke coming from the warehouse", "fire_smoke"),
    ("路灯杆漏电，小孩被电到", "power_leak"),
    ("高压线垂落到路面", "cable_down"),
    ("Downed power line across the sidewalk", "cable_down"),
    ("大桥晃得厉害", "bridge_shaking"),
    ("高架桥桥墩出现裂缝", "bridge_shaking"),
    ("渣土车半夜在河边偷倒渣土", "muck_dumping"),
    ("Illegal_Dumping of construction debris", "muck_dumping"),
    ("渣土车没盖篷布，沿路撒漏", "muck_spill"),
    ("工地凌晨两点还在施工，吵得睡不着", "noise_construction"),
    ("Noise: Construction Before/After Hours (NM1)", "noise_construction"),
    ("工地扬尘很大", "dust"),
    ("垃圾桶满了没人清", "bin_overflow"),
    ("6 Overflowing Litter Baskets", "bin_overflow"),
    ("小贩占道经营", "vendor"),
    ("消防通道被堵住了", "fire_lane_blocked"),
    ("大树倒在路中间", "fallen_tree"),
    ("Branch or Limb Has Fallen Down", "fallen_tree"),
    ("Street Light Out", "street_light_out"),
    ("有人被困在电梯里", "rescue"),
    ("水管修好了又爆了，路面冒水", "water_burst"),
    ("井盖破损一直没修好", "cover_missing"),
    ("路面塌陷什么时候能修好", "road_collapse"),
    ("The gas leak was supposedly repaired but I smell gas again", "gas_smell"),
    ("The manhole cover is broken and has never been fixed", "cover_missing"),
    ("去年就塌陷了，到现在还没处理", "road_collapse"),
    ("没有暖气，孩子都冻病了", "no_heat"),
    ("着火了，整栋楼的灯都灭了", "fire_smoke"),
    ("井盖没了，被人搬走了", "cover_missing"),
    ("前几天井盖丢了，很危险", "cover_missing"),
    ("上周暖气就不热了", "no_heat"),
    ("煤气味很重，煤气公司来看过了，味道还很大", "gas_smell"),
    ("路面冒水，原来是水管爆了", "water_burst"),
    ("The smell turned out to be a gas leak", "gas_smell"),
    ("电影院着火了", "fire_smoke"),
    ("听邻居说楼下有煤气味", "gas_smell"),
    ("燃气报警器一直响", "gas_smell"),
    ("The gas alarm is going off", "gas_smell"),
    ("有爆炸声，窗户都震碎了", "fire_smoke"),
    ("水管爆了，能赔吗", "water_burst"),
    ("对处理结果不满意，路面塌陷还是没修", "road_collapse"),
    ("停水了什么原因", "no_water"),
    ("怎么回事，井盖怎么还没人来修，井盖都碎了", "cover_missing"),
]
NOT_SAID = [
    ("煤气公司电话是多少？", "gas_smell"),
    ("请问天然气费怎么缴费", "gas_smell"),
    ("没有闻到煤气味", "gas_smell"),
    ("现在没有任何燃气泄漏", "gas_smell"),
    ("这不是煤气味，是饭菜的味道", "gas_smell"),
    ("楼下饭店油烟气味很大", "gas_smell"),
    ("垃圾堆的气味很难闻", "gas_smell"),
    ("昨天的煤气味已经没有了", "gas_smell"),
    ("如果燃气泄漏应该怎么办", "gas_smell"),
    ("社区组织燃气泄漏演练", "gas_smell"),
    ("There is no smell of gas any more", "gas_smell"),
    ("the gas station on 3rd smells of food", "gas_smell"),
    ("What is the phone number of the gas company?", "gas_smell"),
    ("The gas leak has been fixed, thank you", "gas_smell"),
    ("gasoline prices are too high", "gas_smell"),
    ("I don't smell gas", "gas_smell"),
    ("井盖已经盖好了", "cover_missing"),
    ("井盖丢失的问题已处理好了", "cover_missing"),
    ("The missing manhole cover was replaced", "cover_missing"),
    ("水管爆了，已修好", "water_burst"),
    ("水压正常", "low_water_pressure"),
    ("请问明天会停水吗", "no_water"),
    ("停水通知在哪里看", "no_water"),
    ("手机没电了", "power_outage"),
    ("路灯已经修复", "street_light_out"),
    ("火灾已扑灭", "fire_smoke"),
    ("在饭店吃火锅", "fire_smoke"),
    ("smoke detector request", "fire_smoke"),
    ("the fire department has an open day", "fire_smoke"),
    ("路面没有积水", "ponding"),
    ("The street was flooded last night but the water has drained", "ponding"),
    ("以前这里塌陷过", "road_collapse"),
    ("If there is a fire, where should we go?", "fire_smoke"),
    ("It was a false alarm, no fire", "fire_smoke"),
    ("Property Tax Exemption Application", "garbage"),
    ("", "gas_smell"),
]


@pytest.mark.parametrize(("text", "concept"), SAID, ids=[text for text, _ in SAID])
def test_a_call_expresses(text, concept):
    assert concept in concepts(text), readings(text)


@pytest.mark.parametrize(("text", "concept"), NOT_SAID, ids=[f"{concept}: {text}" for text, concept in NOT_SAID])
def test_a_call_does_not_express(text, concept):
    assert concept not in concepts(text), readings(text)


def test_what_is_feared_counts_half():
    assert concepts("担心这段路面塌陷")["road_collapse"].confidence == 0.5


#: Category of the incident by concept, of all rules that listen to callers.
CATEGORIES = {
    concept: rule["category"]
    for path in sorted((Path(detectors.__file__).parent / "rules").glob("*-call.toml"))
    for rule in [tomllib.loads(path.read_text("utf-8"))]
    if not rule.get("shadow")
    for concept in np.atleast_1d(rule["detector"]["concept"]).tolist()
}
RAISES = set(CATEGORIES)


def raised(text: str, line: str = "12345") -> set[str]:
    """What opens an incident."""
    return {name for name, match in concepts(text, line=line).items() if match.confidence >= 1} & RAISES


@pytest.mark.parametrize(("text", "concept"), callers.TOLD, ids=[text for text, _ in callers.TOLD])
def test_what_an_outsider_tried_raises_the_one_hazard_or_nothing(text, concept):
    assert raised(text) == ({concept} if concept else set()), readings(text)


@pytest.mark.parametrize("sentences", [callers.FIRST, callers.FRESH], ids=["first", "fresh"])
def test_hazards_in_callers_own_words_are_recognised(sentences):
    said = [concept in raised(text) for text, concept in sentences if concept]
    assert np.mean(said) >= 0.95


@pytest.mark.parametrize("sentences", [callers.FIRST, callers.FRESH], ids=["first", "fresh"])
def test_what_is_no_hazard_opens_nothing(sentences):
    opened = [bool(raised(text)) for text, concept in sentences if not concept]
    assert np.mean(opened) <= 0.03


@pytest.mark.parametrize("text", [text for _, text in QUIET_CALLS])
def test_a_quiet_day_s_call_opens_nothing(text):
    assert raised(text) == set(), readings(text)


def test_of_a_cause_and_its_consequence_in_one_call_the_cause_counts():
    assert list(concepts("水管破裂，水淹到人行道")) == ["water_burst"]


def test_a_consequence_without_its_cause_counts():
    assert list(concepts("水淹到人行道")) == ["ponding"]


def test_hearsay_counts_on_an_emergency_line_only():
    text = "听说隔壁小区着火了，是真的吗"
    assert (raised(text), raised(text, "119")) == (set(), {"fire_smoke"})


@pytest.mark.parametrize(
    ("text", "line", "weight"),
    [("着火了", "12345", 1.0), ("着火了", "119", 2.0), ("着火了，快来人", "12345", 2.0), ("三号楼着火了", "12345", 2.0)],
)
def test_urgency_is_weighed_where_a_rule_asks_for_it(text, line, weight):
    detector = Lexicon(LexiconParams("fire_smoke", weigh_urgency=True), [Series(line, stream="hotline")])
    one = np.array([1])
    calls = [SimpleNamespace(text=text, category=None, line=line)]
    found = detector.measure(Batch("hotline", np.zeros(1, np.int32), one, one, one, one.astype(np.int32), one > 1, calls))
    assert found.measure.tolist() == [weight]


def test_the_longest_phrase_wins():
    assert list(concepts("井盖冒水")) == ["sewage_overflow"]


def test_one_clause_denies_and_the_next_reports():
    assert list(concepts("没有煤气味，但是井盖翘起来了")) == ["cover_missing"]


def test_english_phrases_match_whole_words_only():
    assert not concepts("The Firestone tyre shop, vegas leakage")


def test_a_category_that_names_a_concept_decides():
    assert concepts("见附件", category="Gas odor")["gas_smell"].confidence == 1.0


def test_a_category_may_be_the_name_of_a_concept():
    assert "road_collapse" in concepts("see photo", category="road_collapse")


def test_every_reading_says_why_it_does_not_count():
    assert [match.status for match in readings("没有积水。如果着火怎么办。")] == ["denied", "imagined"]


def test_simplified_and_traditional_tables_have_one_form_for_each_character():
    table = tomllib.loads((Path(detectors.__file__).parent / "phrases" / "cues.toml").read_text("utf-8"))["traditional"]
    assert len(table["from"]) == len(table["to"])


def test_no_phrase_belongs_to_two_concepts():
    folder = Path(detectors.__file__).parent / "phrases"
    words = [
        phrase
        for name in ("lifelines", "streets")
        for concept in tomllib.loads((folder / f"{name}.toml").read_text("utf-8")).values()
        for phrase in {PhraseBook.default().plain(phrase) for phrase in concept["phrases"]}
    ]
    assert sorted({word for word in words if words.count(word) > 1}) == []


def test_an_unknown_concept_is_refused_with_the_known_ones():
    with pytest.raises(msgspec.ValidationError, match="gas_smell"):
        msgspec.convert({"concept": "gas_smel"}, LexiconParams)


def test_the_measure_is_the_confidence_and_the_explanation_quotes_the_caller():
    detector = Lexicon(LexiconParams("gas_smell"), [Series("12345", stream="hotline")])
    one = np.array([1])
    calls = [SimpleNamespace(text="厨房有煤气味", category=None)]
    found = detector.measure(Batch("hotline", np.zeros(1, np.int32), one, one, one, one.astype(np.int32), one > 1, calls))
    assert (found.measure.tolist(), "煤气味" in found.explain(0)) == ([1.0], True)


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=200) | st.lists(st.sampled_from([*"没有不已修好煤气味井盖了, .no gas smell"]), max_size=80).map("".join)
)
def test_no_text_raises(text):
    assert all(0 < match.confidence <= 1 for match in concepts(text).values())


def test_a_class_of_a_hotline_stands_for_a_concept_whatever_the_text():
    assert "no_heat" in concepts("ENTIRE BUILDING", category="HEATING")
