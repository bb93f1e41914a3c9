"""Tests of control maps: OpenPose skeleton, Canny edges, and maps of all other kinds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from inference.control.ade20k_palette import ade20k_palette
from inference.control.control_maps import CONTROLS, Scene, draw_canny, draw_pose
from inference.control.openpose_skeleton import Keypoints, coco_to_openpose, draw_openpose
from inference.picture.photo import Pixels

WIDTH, HEIGHT = 384, 512
MIN_SCORE = 0.3
# Where each COCO key point of a standing person is; the person faces us, so left is right.
COCO = {
    "nose": (192, 60), "left eye": (204, 50), "right eye": (180, 50), "left ear": (218, 58),
    "right ear": (166, 58), "left shoulder": (250, 130), "right shoulder": (134, 130),
    "left elbow": (280, 210), "right elbow": (104, 210), "left wrist": (290, 290),
    "right wrist": (94, 290), "left hip": (230, 300), "right hip": (154, 300),
    "left knee": (236, 390), "right knee": (148, 390), "left ankle": (240, 480),
    "right ankle": (144, 480),
}  # fmt: skip
NECK = (192, 130)
SKY, FLOOR = 2, 3
# OpenPose's order, with the colour of each joint.
JOINTS = [
    ("nose", (255, 0, 0)), ("neck", (255, 85, 0)), ("right shoulder", (255, 170, 0)),
    ("right elbow", (255, 255, 0)), ("right wrist", (170, 255, 0)), ("left shoulder", (85, 255, 0)),
    ("left elbow", (0, 255, 0)), ("left wrist", (0, 255, 85)), ("right hip", (0, 255, 170)),
    ("right knee", (0, 255, 255)), ("right ankle", (0, 170, 255)), ("left hip", (0, 85, 255)),
    ("left knee", (0, 0, 255)), ("left ankle", (85, 0, 255)), ("right eye", (170, 0, 255)),
    ("left eye", (255, 0, 255)), ("right ear", (255, 0, 170)), ("left ear", (255, 0, 85)),
]  # fmt: skip
LIMBS = [
    ("neck", "right shoulder", (153, 0, 0)), ("neck", "left shoulder", (153, 51, 0)),
    ("right shoulder", "right elbow", (153, 102, 0)), ("right elbow", "right wrist", (153, 153, 0)),
    ("left shoulder", "left elbow", (102, 153, 0)), ("left elbow", "left wrist", (51, 153, 0)),
    ("neck", "right hip", (0, 153, 0)), ("right hip", "right knee", (0, 153, 51)),
    ("right knee", "right ankle", (0, 153, 102)), ("neck", "left hip", (0, 153, 153)),
    ("left hip", "left knee", (0, 102, 153)), ("left knee", "left ankle", (0, 51, 153)),
    ("neck", "nose", (0, 0, 153)), ("nose", "right eye", (51, 0, 153)),
    ("right eye", "right ear", (102, 0, 153)), ("nose", "left eye", (153, 0, 153)),
    ("left eye", "left ear", (153, 0, 102)),
]  # fmt: skip


def person(*unseen: str, score: float = 0.9) -> Keypoints:
    """The person's COCO key points; those in `unseen` have a score just below the limit."""
    rows = [(x, y, MIN_SCORE - 0.01 if name in unseen else score) for name, (x, y) in COCO.items()]
    return np.array(rows, dtype=np.float32)


def position(name: str) -> tuple[int, int]:
    return NECK if name == "neck" else COCO[name]


def skeleton(*unseen: str) -> Pixels:
    return draw_openpose(coco_to_openpose(person(*unseen)), (WIDTH, HEIGHT))


def scene(picture: Pixels) -> Scene:
    """A scene in which the right half is nearer, and a floor under a sky."""
    height, width = picture.shape[:2]
    near = np.tile(np.linspace(3, 5, width, dtype=np.float32), (height, 1))
    classes = np.full((height, width), SKY, dtype=np.uint8)
    classes[height // 2 :] = FLOOR
    return Scene(picture=picture, keypoints=person, nearness=lambda: near, classes=lambda: classes)


def test_joints_come_in_the_order_of_openpose() -> None:
    body = coco_to_openpose(person())
    assert body.shape == (18, 3)
    for (name, _), (x, y, score) in zip(JOINTS, body, strict=True):
        assert (x, y) == position(name)
        assert score == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("left", "right", "score"), [(0.9, 0.5, 0.5), (0.31, 0.9, 0.31), (0.9, 0.29, 0), (0, 0, 0)]
)
def test_the_neck_is_the_middle_of_the_shoulders_where_both_are_seen(
    left: float, right: float, score: float
) -> None:
    points = person()
    points[5], points[6] = (100, 40, left), (60, 80, right)
    neck = coco_to_openpose(points)[1]
    assert neck[2] == pytest.approx(score)
    if score:
        assert tuple(neck[:2]) == (80, 60)


def test_the_key_points_that_come_in_stay_as_they_are() -> None:
    points = person()
    before = points.copy()
    draw_openpose(coco_to_openpose(points), (WIDTH, HEIGHT))
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize(("name", "colour"), JOINTS)
def test_each_joint_is_a_disc_of_its_colour_where_it_was_found(
    name: str, colour: tuple[int, int, int]
) -> None:
    x, y = position(name)
    drawn = skeleton()
    assert tuple(drawn[y, x]) == colour
    here = (drawn == colour).all(axis=2)
    rows, columns = np.nonzero(here)
    assert np.hypot(rows - y, columns - x).min() == 0
    assert here[y - 2 : y + 3, x - 2 : x + 3].mean() > 0.8


@pytest.mark.parametrize(("start", "end", "colour"), LIMBS)
def test_each_limb_is_a_band_of_its_dimmed_colour_between_its_joints(
    start: str, end: str, colour: tuple[int, int, int]
) -> None:
    (x0, y0), (x1, y1) = position(start), position(end)
    pixel = skeleton()[round((y0 + y1) / 2), round((x0 + x1) / 2)]
    if start != "neck" or "hip" not in end:
        assert tuple(pixel) == colour
    assert (skeleton() == colour).all(axis=2).any()


@pytest.mark.parametrize("name", sorted(COCO))
def test_what_is_not_seen_is_not_drawn(name: str) -> None:
    drawn = skeleton(name)
    gone = dict(JOINTS)[name]
    assert not (drawn == gone).all(axis=2).any()
    for start, end, colour in LIMBS:
        if name in (start, end):
            assert not (drawn == colour).all(axis=2).any()


def test_without_a_shoulder_there_is_no_neck() -> None:
    drawn = skeleton("left shoulder")
    assert not (drawn == dict(JOINTS)["neck"]).all(axis=2).any()
    assert not drawn[NECK[1] - 3 : NECK[1] + 4, NECK[0] - 3 : NECK[0] + 4].any()


def test_nobody_gives_black() -> None:
    assert not skeleton(*COCO).any()


@pytest.mark.parametrize(("side", "radius"), [(128, 1), (512, 4), (1024, 8)])
def test_lines_grow_with_the_picture(side: int, radius: int) -> None:
    points = np.zeros((18, 3), dtype=np.float32)
    points[0] = (side / 2, side / 2, 1)
    drawn = draw_openpose(points, (side, side)).any(axis=2)
    assert drawn.any(axis=0).sum() == 2 * radius + 1


@pytest.mark.parametrize("place", [(-50, -80), (1e4, 3), (30_000, -30_000)])
def test_joints_outside_the_picture_are_cut_off(place: tuple[float, float]) -> None:
    points = person()
    points[9, :2] = place
    drawn = draw_openpose(coco_to_openpose(points), (WIDTH, HEIGHT))
    assert drawn.shape == (HEIGHT, WIDTH, 3)
    assert not (drawn == dict(JOINTS)["left wrist"]).all(axis=2).any()
    assert (drawn == (51, 153, 0)).all(axis=2).any()
    assert tuple(drawn[COCO["nose"][1], COCO["nose"][0]]) == (255, 0, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e6, -3e9])
def test_a_joint_that_is_nowhere_is_not_drawn(bad: float) -> None:
    points = person()
    points[9, :2] = bad
    drawn = draw_openpose(coco_to_openpose(points), (WIDTH, HEIGHT))
    np.testing.assert_array_equal(drawn, skeleton("left wrist"))


def test_the_pose_control_draws_the_skeleton_of_the_scene() -> None:
    blank = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    drawn = draw_pose(scene(blank))
    np.testing.assert_array_equal(drawn, skeleton())
    assert drawn.dtype == np.uint8


def test_edges_are_white_on_black_and_where_the_picture_changes() -> None:
    picture = np.zeros((64, 96, 3), dtype=np.uint8)
    picture[:, 48:] = (40, 200, 90)
    edges = draw_canny(scene(picture))
    assert edges.shape == picture.shape
    assert edges.dtype == np.uint8
    assert set(np.unique(edges)) == {0, 255}
    assert (edges[..., 0] == edges[..., 1]).all()
    assert (edges[..., 0] == edges[..., 2]).all()
    assert edges[:, 46:50].any(axis=(1, 2)).all()
    assert not edges[:, :44].any()
    assert not edges[:, 52:].any()


@pytest.mark.parametrize(
    ("above", "below", "seen"),
    # The gradient of a step is four times its height: edges start at 200, and go on down to 100.
    [(55, 55, (True, True)), (45, 45, (False, False)), (55, 30, (True, True)),
     (55, 20, (True, False))],
)  # fmt: skip
def test_edges_are_found_at_the_thresholds_that_the_controlnet_was_trained_with(
    above: int, below: int, seen: tuple[bool, bool]
) -> None:
    picture = np.full((64, 96, 3), 100, dtype=np.uint8)
    picture[:32, 48:] += np.uint8(above)
    picture[32:, 48:] += np.uint8(below)
    edges = draw_canny(scene(picture))[:, 44:52].any(axis=(1, 2))
    assert (edges[4:28].all(), edges[36:60].all()) == seen
    assert (edges[4:28].any(), edges[36:60].any()) == seen


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_plain_picture_has_no_edges(value: int) -> None:
    assert not draw_canny(scene(np.full((40, 50, 3), value, dtype=np.uint8))).any()


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_each_control_gives_an_rgb_map_of_the_scenes_size(name: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (72, 56, 3), dtype=np.uint8)
    drawn = CONTROLS[name](scene(picture))
    assert drawn.shape == (72, 56, 3)
    assert drawn.dtype == np.uint8


# --- maps of other kinds --------------------------------------------------------------------------

SIDE = 512
WHITE, BLACK = 200, 40  # at least, at most


def blank(value: int = 128) -> Pixels:
    return np.full((SIDE, SIDE, 3), value, dtype=np.uint8)


def dark_line() -> Pixels:
    picture = blank(220)
    picture[254:258] = 30
    return picture


def light_line() -> Pixels:
    picture = blank(30)
    picture[254:258] = 220
    return picture


def halves() -> Pixels:
    """The upper half dark, the lower light."""
    picture = blank(30)
    picture[256:] = 220
    return picture


def red_on_green() -> Pixels:
    """Equally light: only the colour changes, in the middle."""
    picture = blank(0)
    picture[:256] = (150, 0, 0)
    picture[256:] = (0, 76, 0)
    return picture


def circle() -> Pixels:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (
        np.where(np.hypot(rows - 256, columns - 256) < 100, 220, 30)[..., None]
        .repeat(3, axis=2)
        .astype(np.uint8)
    )


def short_lines() -> Pixels:
    """Strokes of 16 pixels, which no room has."""
    picture = blank(220)
    for row in range(40, 480, 40):
        picture[row : row + 4, 200:216] = 30
    return picture


MIDDLE, ABOVE, BELOW = slice(253, 259), slice(0, 220), slice(292, SIDE)


@pytest.mark.parametrize(
    ("control", "picture", "rows", "white"),
    [
        ("lineart", dark_line, MIDDLE, True),
        ("lineart", dark_line, ABOVE, False),
        ("lineart", dark_line, BELOW, False),
        ("lineart", light_line, slice(255, 257), False),
        ("lineart", halves, slice(250, 256), True),
        ("lineart", halves, BELOW, False),
        ("lineart", blank, slice(0, SIDE), False),
        ("mlsd", halves, MIDDLE, True),
        ("mlsd", halves, ABOVE, False),
        ("mlsd", halves, BELOW, False),
        ("mlsd", short_lines, slice(0, SIDE), False),
        ("mlsd", circle, slice(0, 150), False),
        ("mlsd", blank, slice(0, SIDE), False),
        ("hed", halves, MIDDLE, True),
        ("hed", red_on_green, MIDDLE, True),
        ("hed", halves, ABOVE, False),
        ("hed", halves, BELOW, False),
        ("hed", blank, slice(0, SIDE), False),
        ("qr", halves, slice(0, 256), False),
        ("qr", halves, slice(256, SIDE), True),
        ("qr", red_on_green, slice(0, SIDE), None),
    ],
)
def test_what_is_white_and_what_is_black(
    control: str, picture: Callable[[], Pixels], rows: slice, white: bool | None
) -> None:
    drawn = CONTROLS[control](scene(picture()))
    assert (drawn[..., 0] == drawn[..., 1]).all()
    assert (drawn[..., 0] == drawn[..., 2]).all()
    if white is None:
        assert set(np.unique(drawn)) <= {0, 255}
    elif white:
        assert (drawn[rows].max(axis=(0, 2)) >= WHITE).mean() > 0.9, "across the whole width"
    else:
        assert drawn[rows].max() <= BLACK


def test_soft_edges_are_soft() -> None:
    column = CONTROLS["hed"](scene(halves()))[:, 256, 0].astype(int)
    assert np.abs(np.diff(column)).max() < 80
    assert (np.diff(column[200:256]) >= 0).all()
    assert (np.diff(column[256:310]) <= 0).all()


@pytest.mark.parametrize("control", ["lineart", "mlsd", "hed"])
def test_lines_are_found_at_every_size(control: str) -> None:
    for side in (128, 256, 1024):
        picture = np.full((side, side, 3), 30, dtype=np.uint8)
        picture[side // 2 :] = 220
        row = CONTROLS[control](scene(picture))[side // 2 - 3 : side // 2 + 3].max(axis=(0, 2))
        assert (row >= WHITE).mean() > 0.9


def test_a_tile_keeps_colours_and_loses_detail() -> None:
    stripes = halves()
    stripes[:, ::2] = 255 - stripes[:, ::2]
    tile = CONTROLS["tile"](scene(stripes))
    assert abs(tile.mean() - stripes.mean()) < 2
    assert tile[:200].std() < 0.05 * stripes[:200].std()
    np.testing.assert_array_equal(CONTROLS["tile"](scene(blank(90))), blank(90))
    assert CONTROLS["tile"](scene(halves()))[400:].min() >= 215


@pytest.mark.parametrize("flat", [False, True])
def test_depth_is_white_where_it_is_nearest(flat: bool) -> None:
    near = scene(blank())
    if flat:
        near = dataclasses.replace(near, nearness=lambda: np.ones((SIDE, SIDE), dtype=np.float32))
    drawn = CONTROLS["depth"](near)
    assert (drawn[:, 0] == 0).all()
    assert (drawn[:, -1] == (0 if flat else 255)).all()
    assert (np.diff(drawn[0, :, 0].astype(int)) >= 0).all()


def test_rooms_are_drawn_in_the_colours_of_ade20k() -> None:
    drawn = CONTROLS["segroom"](scene(blank()))
    assert (drawn[:256] == (6, 230, 230)).all(), "sky"
    assert (drawn[256:] == (80, 50, 50)).all(), "floor"


@pytest.mark.parametrize(
    ("number", "colour"),
    [(0, (120, 120, 120)), (12, (150, 5, 61)), (21, (61, 230, 250)), (149, (92, 0, 255))],
    ids=["wall", "person", "water", "flag"],
)
def test_the_palette_is_the_published_one(number: int, colour: tuple[int, int, int]) -> None:
    assert ade20k_palette().shape == (150, 3)
    assert tuple(ade20k_palette()[number]) == colour
    assert len(np.unique(ade20k_palette(), axis=0)) == 149, "two classes share a gray"


@pytest.mark.parametrize("control", ["composition", "reference", "ipadapter"])
def test_what_looks_at_pictures_is_shown_the_picture(control: str) -> None:
    np.testing.assert_array_equal(CONTROLS[control](scene(circle())), circle())


@pytest.mark.parametrize("kept", ["nothing", "a half", "everything", "not said"])
def test_the_map_for_inpainting_is_what_is_kept(kept: str) -> None:
    picture = circle()
    repaint = np.zeros(picture.shape[:2], dtype=bool)
    repaint[:, : {"nothing": 512, "a half": 256}.get(kept, 0)] = True
    given = replace(scene(picture), repaint=None if kept == "not said" else repaint)
    drawn = CONTROLS["inpaint"](given)
    assert not drawn[repaint].any()
    np.testing.assert_array_equal(drawn[~repaint], picture[~repaint])
    assert drawn.dtype == np.uint8


@pytest.mark.parametrize("control", sorted(set(CONTROLS) - {"pose", "depth", "segroom"}))
def test_models_are_only_asked_by_controls_that_need_them(control: str) -> None:
    def forbidden() -> Keypoints:
        raise AssertionError("nobody asked for it")

    CONTROLS[control](
        Scene(picture=circle(), keypoints=forbidden, nearness=forbidden, classes=forbidden)
    )
