"""What people and cameras report on a quiet day: enquiries, complaints that are no hazard, detections to ignore."""

from __future__ import annotations

from typing import Any

import numpy as np

from replay.simulate.layout import Layout, moved

#: Harmless calls, several of them made to look like a hazard (negation, the past, a question, a namesake).
QUIET_CALLS: tuple[tuple[str, str], ...] = (
    ("12345", "请问燃气公司的客服电话是多少？"),
    ("12345", "咨询一下居住证怎么办理"),
    ("12345", "昨天反映的井盖丢失已修好，谢谢你们"),
    ("12345", "楼上邻居晚上打麻将，影响休息"),
    ("12345", "公交线路什么时候恢复？"),
    ("12345", "没有闻到煤气味，只是想问问什么时候安检"),
    ("12319", "小区绿化带的草太高了，请安排修剪"),
    ("12319", "健身器材坏了，请维修"),
    ("12319", "上次报的积水已经退了"),
    ("12345", "物业费涨价不合理，请协调"),
    ("12345", "医保报销材料怎么交"),
    ("110", "手机丢在出租车上了，请帮忙联系司机"),
    ("110", "邻里纠纷，已经和解，不用出警"),
    ("12345", "I would like to know the opening hours of the service hall"),
    ("12345", "My parking permit has not arrived yet"),
    ("12319", "Thank you, the street light was repaired yesterday"),
    ("12345", "学校门口希望增设一个斑马线"),
    ("12345", "孩子上学学区划分咨询"),
    ("12319", "共享单车停放建议统一管理"),
    ("12345", "对上次的处理结果满意，表扬工作人员"),
)
VIDEO_KINDS: tuple[str, ...] = (
    "waterlogging",
    "smoke",
    "fire",
    "manhole_missing",
    "vendor",
    "shop_outside",
    "road_occupation",
    "garbage",
    "bin_overflow",
    "illegal_parking",
    "fire_lane_blocked",
    "muck_uncovered",
    "excavation",
    "crowd",
)
CALLS_PER_DAY = 1_200.0
DETECTIONS_PER_CAMERA_DAY = 15.0


class QuietPeople:
    """Background calls of the city, by day more than by night."""

    def __init__(self, rng: np.random.Generator, layout: Layout) -> None:
        self.rng, self.layout = rng, layout
        self._number = 0

    def between(self, from_ts: int, to_ts: int) -> list[dict[str, Any]]:
        """Call records with ``from_ts`` ≤ ts < ``to_ts``."""
        count = self.rng.poisson(CALLS_PER_DAY * (to_ts - from_ts) / 86_400_000)
        calls = []
        for ts in np.sort(self.rng.integers(from_ts, to_ts, count)).tolist():
            line, text = QUIET_CALLS[int(self.rng.integers(len(QUIET_CALLS)))]
            call: dict[str, Any] = {"call_id": self.number(line), "ts": ts, "line": line, "text": text, "caller": self.caller()}
            if self.rng.random() < 0.8:
                lat, lon = self.layout.anywhere()
                call["lat"], call["lon"] = round(lat, 6), round(lon, 6)
            calls.append(call)
        return calls

    def number(self, line: str) -> str:
        self._number += 1
        return f"{line}-{self._number:07d}"

    def caller(self) -> str:
        return f"1{self.rng.integers(30, 90)}{self.rng.integers(10_000_000, 99_999_999)}"


class QuietCameras:
    """Raw detector noise: low confidences of any kind, now and then a single confident frame that nothing confirms."""

    def __init__(self, rng: np.random.Generator, layout: Layout) -> None:
        self.rng, self.layout = rng, layout
        self._number = 0

    def event_id(self) -> str:
        self._number += 1
        return f"EV-{self._number:08d}"

    def between(self, from_ts: int, to_ts: int) -> list[dict[str, Any]]:
        """Video events with ``from_ts`` ≤ ts < ``to_ts``."""
        cameras = self.layout.cameras
        count = self.rng.poisson(DETECTIONS_PER_CAMERA_DAY * len(cameras) * (to_ts - from_ts) / 86_400_000)
        events = []
        for ts in np.sort(self.rng.integers(from_ts, to_ts, count)).tolist():
            camera = cameras[int(self.rng.integers(len(cameras)))]
            confident = self.rng.random() < 0.03
            confidence = self.rng.uniform(0.7, 0.9) if confident else self.rng.uniform(0.2, 0.5)
            events.append(self.event(ts, camera.id, VIDEO_KINDS[int(self.rng.integers(len(VIDEO_KINDS)))], confidence))
        return events

    def event(self, ts: int, camera_id: str, kind: str, confidence: float) -> dict[str, Any]:
        return {
            "event_id": self.event_id(),
            "camera_id": camera_id,
            "ts": int(ts),
            "kind": kind,
            "confidence": round(float(confidence), 3),
        }


def nearby(rng: np.random.Generator, lat: float, lon: float, within_m: float) -> tuple[float, float]:
    """A rounded position at most ``within_m`` metres away."""
    angle, radius = rng.uniform(0, 2 * np.pi), within_m * np.sqrt(rng.random())
    lat, lon = moved(lat, lon, radius * np.cos(angle), radius * np.sin(angle))
    return round(lat, 6), round(lon, 6)
