"""Hazards that only people or only cameras report."""

from __future__ import annotations

from replay.simulate.effects import Hazard
from replay.simulate.scene import Recipe, Scene, called, recipe, seen

#: Recipe, category, level, metres between callers, what they say.
CALLS: tuple[tuple[str, str, int, float, tuple[str, ...]], ...] = (
    ("BRG-CALL", "bridge", 3, 80, ("大桥晃动得厉害，车不敢走", "桥面晃动明显，请派人检查")),
    ("HAZ-CALL", "hazard_source", 3, 200, ("化工厂那边有刺鼻的化学气味", "工业园飘来刺鼻气味，像是氨气泄漏")),
    ("EXC-CALL", "structure", 3, 30, ("施工队挖到燃气管道旁边了，没有围挡", "挖掘机在燃气管线上方野蛮施工")),
    ("PRK-CALL", "order", 4, 30, ("消防通道被私家车堵死了", "小区消防通道被占用，消防车进不来")),
    ("HEA-03-CALL", "heat", 4, 80, ("家里暖气不热，才十三度", "暖气片是凉的，没有暖气")),
    ("LGT-CALL", "lighting", 3, 15, ("路灯杆漏电，有人触电了", "路灯漏电，摸一下手麻")),
    ("LGT-CABLE", "structure", 2, 20, ("电线掉在路上，还冒火花", "电缆垂落在人行道上，很危险")),
    ("SAN-CALL", "sanitation", 4, 30, ("垃圾堆在路口没人管，臭气熏天", "路边垃圾成堆，好几天没清")),
    ("MUC-CALL", "muck", 3, 60, ("有渣土车在河边偷倒渣土", "渣土车乱倒建筑垃圾")),
    ("ADV-CALL", "structure", 3, 20, ("广告牌要掉下来了，很危险", "楼顶广告牌摇摇欲坠")),
    ("WAT-05-CALL", "water", 3, 150, ("自来水发黄，不能喝", "水龙头出来的水发黑发臭")),
    ("RIV-CALL", "flood", 2, 80, ("河水漫过堤了，菜地全淹了", "堤坝渗水，浑水往外冒")),
    ("LGT-02-CALL", "lighting", 4, 30, ("整条路的路灯都不亮，一片漆黑", "路灯全灭了，黑灯瞎火的")),
    ("CON-PIT-CALL", "site", 3, 50, ("工地塔吊的钢丝绳松了，东西吊在半空", "基坑边上的护壁往里倒，土在滑")),
    ("CON-CALL", "site", 4, 60, ("都半夜了工地还在打桩，吵得睡不着", "工地尘土飞扬，窗户都不能开")),
    ("STR-CALL", "order", 4, 30, ("流动摊贩占道经营，路都堵了", "摆摊的把人行道占满了，没法走路")),
    ("WAT-04-CALL", "water", 4, 150, ("小区停水一天了，没人通知", "水压太低，五楼没有水")),
)

#: Recipe, video kind, category, level, frames, seconds between them, minutes it lasts at most.
VIDEO: tuple[tuple[str, str, str, int, int, float, float], ...] = (
    ("CRD-01", "crowd", "order", 2, 12, 30, 120),
    ("EXC-VIDEO", "excavation", "structure", 3, 15, 60, 120),
    ("PRK-01", "fire_lane_blocked", "order", 3, 20, 60, 120),
    ("STR-SHOP", "shop_outside", "order", 4, 15, 60, 120),
    ("STR-ROAD", "road_occupation", "order", 4, 15, 60, 120),
    ("STR-PARKING", "illegal_parking", "order", 4, 15, 60, 120),
    ("SAN-GARBAGE", "garbage", "sanitation", 4, 15, 60, 120),
    ("MUC-VIDEO", "muck_uncovered", "muck", 4, 8, 20, 120),
    ("VIO-01", "illegal_building", "order", 4, 15, 7_200, 1_700),
)


def _call(name: str, category: str, level: int, within_m: float, texts: tuple[str, ...]) -> Recipe:
    return lambda scene, at: called(scene, name, category, at, texts, 120, within_m, level)


def _video(name: str, kind: str, category: str, level: int, frames: int, every_s: float) -> Recipe:
    return lambda scene, at: seen(scene, name, category, kind, at, 0.86, frames, every_s, level)


for _name, _category, _level, _within, _texts in CALLS:
    recipe(_name)(_call(_name, _category, _level, _within, _texts))
for _name, _kind, _category, _level, _frames, _every, _lasts in VIDEO:
    recipe(_name, _lasts)(_video(_name, _kind, _category, _level, _frames, _every))

__all__ = ["CALLS", "VIDEO", "Hazard", "Scene"]
