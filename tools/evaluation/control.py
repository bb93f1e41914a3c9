"""3. Control: distance of painted shoulders and neck from the control skeleton."""

from __future__ import annotations

from typing import Any

import numpy as np

from inference.control.openpose_skeleton import MIN_SCORE
from tools.evaluation.bench import Bench, Keypoints, Painting, share, sitter
from tools.evaluation.prompt import recipe
from tools.evaluation.table import Row, at_least
from tools.portraits import Portrait

GOAL = 0.9
FEWER = 0.2  # least difference of the shares with and without the ControlNet
REACH = 0.25  # head widths
HEAD_WIDTH = 1.68  # in units of the figure's head: half its height
SHOULDERS = (5, 6)


def head_width(portrait: Portrait) -> float:
    """Width of the head in pixels."""
    height, width = portrait.image.shape[:2]
    return HEAD_WIDTH * portrait.spec.head_size * min(width, height) / 2


def joints(points: Keypoints) -> Keypoints:
    """Both shoulders and, if both are visible, the neck between them: (2 or 3, 3)."""
    shoulders = points[list(SHOULDERS)]
    if (shoulders[:, 2] < MIN_SCORE).any():
        return shoulders
    neck = [*shoulders[:, :2].mean(axis=0), shoulders[:, 2].min()]
    return np.vstack([shoulders, neck]).astype(np.float32)


def misses(wanted: Keypoints, painted: Keypoints, width: float) -> list[float]:
    """Distance of each joint from the skeleton, in head widths; infinite if it is not visible."""
    wanted, painted = joints(wanted), joints(painted)
    off = []
    for k, (x, y, score) in enumerate(wanted):
        if score < MIN_SCORE:
            continue
        seen = k < len(painted) and painted[k, 2] >= MIN_SCORE
        off.append(float(np.hypot(*(painted[k, :2] - (x, y)))) / width if seen else np.inf)
    return off


def _judged(bench: Bench, portrait: Portrait, painting: Painting | None) -> list[float]:
    wanted = bench.keypoints(portrait.image)
    if painting is None:
        return [np.inf]
    return misses(wanted, bench.keypoints(painting.image), head_width(portrait))


def measure(bench: Bench, count: int) -> dict[str, Any]:
    """Shares of paintings with all joints in place, and of joints in place; with, without pose."""
    values: dict[str, Any] = {}
    for name, control in (("with", "pose"), ("without", None)):
        whole: list[bool] = []
        single: list[bool] = []
        for k in range(count):
            portrait = sitter(k)
            painting = bench.paint(portrait.image, recipe(k, controlnet=control))
            near = [miss <= REACH for miss in _judged(bench, portrait, painting)]
            if near:
                whole.append(all(near))
                single += near
        values[name] = {"paintings": share(whole), "joints": share(single), "count": len(whole)}
    return values


def rows(values: dict[str, Any]) -> list[Row]:
    """The rows of the table."""
    part = "3 Control"
    with_pose, without = (values[name]["paintings"] for name in ("with", "without"))
    joints_seen = [f"{100 * values[name]['joints']:.1f} %" for name in ("with", "without")]
    return [
        at_least(part, "both shoulders and neck in place, with the ControlNet", with_pose, GOAL),
        Row(
            part=part,
            what="the same with the ControlNet off",
            goal=f"at least {100 * FEWER:.0f} points fewer",
            value=f"{100 * without:.1f} %",
            passed=without <= with_pose - FEWER,
        ),
        Row(
            part=part,
            what="single joints in place: with, off",
            goal="",
            value=", ".join(joints_seen),
            passed=None,
        ),
    ]
