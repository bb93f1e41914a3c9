"""Appearance of a lesson: colours, textures, light and camera faults for a part map."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.people.parts import Part
from tools.training.part_changes import face_coordinates
from tools.training.textures import TextureBank, colour, hair_colour, noise, skin_colour

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]
_SKIN = (Part.FACE, Part.EAR, Part.SKIN)


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """What a lesson looks like: base colours by part, textures, and the scene behind."""

    rng: np.random.Generator
    bank: TextureBank = field(repr=False)
    backdrop: NDArray[np.uint8] = field(repr=False)
    colours: dict[Part, Floats]

    @classmethod
    def sample(
        cls, rng: np.random.Generator, bank: TextureBank, backdrop: NDArray[np.uint8]
    ) -> Appearance:
        """Random colours; `backdrop` is another drawing, used for some grounds."""
        skin = skin_colour(rng)
        colours = {
            Part.FACE: skin,
            Part.EAR: skin + rng.normal(0, 7, 3),
            Part.SKIN: skin * rng.uniform(0.75, 1.1) + rng.normal(0, 6, 3),
            Part.HAIR: hair_colour(rng),
            Part.CLOTHES: colour(rng),
            Part.HAT: colour(rng),
            Part.GLASSES: skin * rng.uniform(0.08, 0.5) if rng.random() < 0.8 else colour(rng),
        }
        if rng.random() < 0.2:
            colours[Part.HAT] = colours[Part.CLOTHES] + rng.normal(0, 10, 3)
        if rng.random() < 0.15:
            colours[Part.CLOTHES] = colours[Part.HAIR] + rng.normal(0, 12, 3)
        if rng.random() < 0.06:
            colours[Part.CLOTHES] = skin * rng.uniform(0.7, 1.1) + rng.normal(0, 12, 3)
        return cls(rng=rng, bank=bank, backdrop=backdrop, colours=colours)


def render(
    labels: Labels, drawn: Floats, look: Appearance, scale: float, eyes: Floats | None = None
) -> Floats:
    """A picture (h, w, 3) in 0-255 of a part map.

    `drawn` is the drawing (h, w, 3), NaN where its detail does not belong to the part; `scale` is
    the face's width in pixels, `eyes` (2, 2) where they are, None without a face.
    """
    rng = look.rng
    picture = _ground(labels, look)
    for part, base in look.colours.items():
        inside = labels == part
        if inside.any():
            surface = _surface(part, base, drawn, inside, look, scale)
            picture[inside] = surface[inside]
    if rng.random() < 0.75:
        _clear_lenses(picture, labels, drawn, look, scale)
    if eyes is not None and rng.random() < 0.18:
        _grow_beard(picture, labels, face_coordinates(eyes, scale, labels.shape[::-1]), look)
    if eyes is not None and rng.random() < 0.8:
        _deepen_eyes(picture, labels, eyes, scale, look)
    if (labels == Part.HAT).any():
        _shade_under_hat(picture, labels, scale, rng)
    return _lit(picture, labels, rng, scale)


def _deepen_eyes(
    picture: Floats, labels: Labels, eyes: Floats, scale: float, look: Appearance
) -> None:
    """Shadowed eyes, lashes and brows, so that they do not look like glasses."""
    rng, size = look.rng, (labels.shape[1], labels.shape[0])
    x = np.arange(size[0], dtype=np.float32)[None]
    y = np.arange(size[1], dtype=np.float32)[:, None]
    line = eyes[1] - eyes[0]
    angle = float(np.arctan2(line[1], line[0]))
    cos, sin = np.cos(angle), np.sin(angle)
    dark = np.ones(labels.shape, np.float32)
    spots = (  # centre below the eye, half width, half height, darkest: in face widths
        (0.0, rng.uniform(0.08, 0.18), rng.uniform(0.05, 0.12), rng.uniform(0, 0.55)),
        (0.0, rng.uniform(0.05, 0.09), rng.uniform(0.015, 0.04), rng.uniform(0, 0.8)),
        (
            rng.uniform(-0.2, -0.1),
            rng.uniform(0.1, 0.15),
            rng.uniform(0.012, 0.035),
            rng.uniform(0, 0.8),
        ),
    )
    for eye in eyes:
        across = (cos * (x - eye[0]) + sin * (y - eye[1])) / scale
        down = (cos * (y - eye[1]) - sin * (x - eye[0])) / scale
        for below, wide, high, strength in spots:
            distance = (across / wide) ** 2 + ((down - below) / high) ** 2
            dark *= 1 - strength * np.exp(-(distance**1.5) / 2)
    inside = np.isin(labels, (Part.FACE, Part.GLASSES))
    picture[inside] *= dark[inside][:, None]


def _grow_beard(
    picture: Floats, labels: Labels, place: tuple[Floats, Floats], look: Appearance
) -> None:
    """Stubble or a beard with a moustache in the colour of the hair; it belongs to the face."""
    rng, size = look.rng, (labels.shape[1], labels.shape[0])
    across, down = place
    edge = rng.uniform(0.4, 0.62) - rng.uniform(0, 0.9) * np.abs(across)
    thick = np.clip(0.5 + (down - edge) / rng.uniform(0.08, 0.32), 0, 1)
    mouth = (across / 0.2) ** 2 + ((down - rng.uniform(0.54, 0.62)) / rng.uniform(0.03, 0.07)) ** 2
    thick = thick * np.clip(mouth, 0, 1) * rng.uniform(0.2, 1)
    kind = ("rough", "strands")[int(rng.integers(2))]
    texture = look.bank.crop(kind, size, rng)[..., None] * np.float32(rng.uniform(2, 22))
    beard = look.colours[Part.HAIR] * rng.uniform(0.6, 1.15) + texture
    inside = labels == Part.FACE
    picture[inside] += ((beard - picture) * thick[..., None])[inside]


def _shade_under_hat(
    picture: Floats, labels: Labels, scale: float, rng: np.random.Generator
) -> None:
    """A dark underside of the hat, and the shadow that it casts below."""
    hat = (labels == Part.HAT).astype(np.float32)
    size = labels.shape[1], labels.shape[0]

    def moved(by: float) -> Floats:
        matrix = np.float32([[1, 0, rng.uniform(-0.1, 0.1) * scale], [0, 1, by * scale]])
        return np.asarray(cv2.warpAffine(hat, matrix, size), np.float32)

    if rng.random() < 0.4:
        lower = hat * (1 - moved(-rng.uniform(0.04, 0.3)))
        soft = cv2.GaussianBlur(lower, (0, 0), max(0.5, scale * rng.uniform(0.005, 0.05)))
        picture *= (1 - rng.uniform(0.2, 0.85) * soft * hat)[..., None]
    if rng.random() < 0.5:
        cast = cv2.GaussianBlur(
            moved(rng.uniform(0.05, 0.4)), (0, 0), max(0.5, scale * rng.uniform(0.01, 0.1))
        )
        below = (1 - hat) * (labels != Part.BACKGROUND)
        picture *= (1 - rng.uniform(0.15, 0.75) * cast * below)[..., None]


def _surface(
    part: Part,
    base: Floats,
    drawn: Floats,
    inside: NDArray[np.bool_],
    look: Appearance,
    scale: float,
) -> Floats:
    """Colour of a part everywhere: base, drawn detail and texture."""
    rng, size = look.rng, (inside.shape[1], inside.shape[0])
    detail = _detail(drawn, inside)
    kind = "rough"
    if part in _SKIN:
        strength, gain = rng.uniform(0, 6), rng.uniform(0.35, 1.1)
        # Eyes lie in hollows: a soft shadow round what is drawn.
        hollow = cv2.GaussianBlur(detail * inside[..., None], (0, 0), max(0.8, 0.07 * scale))
        detail = detail * gain + hollow * rng.uniform(0, 2.5)
        detail = detail + rng.uniform(0, 16) * noise(rng, size, rng.uniform(5, 25))[..., None]
    elif part == Part.HAIR:
        kind, strength = "strands", rng.uniform(2, 30) * (0.4 + base.mean() / 160)
        detail = detail * rng.uniform(0, 1.0)
    else:
        detail = detail @ rng.normal(0, 0.6, (3, 3)).astype(np.float32)
        strength = rng.uniform(0, 14)
        if rng.random() < 0.4:
            kind, strength = "pattern", rng.uniform(4, 45)
    tint = np.float32(1) + rng.normal(0, 0.15, 3).astype(np.float32)
    texture = look.bank.crop(kind, size, rng)[..., None] * tint * np.float32(strength)
    folds = look.bank.crop("rough", size, rng)[..., None] * np.float32(rng.uniform(0, 9))
    return np.asarray(base + detail + texture + folds, np.float32)


def _detail(drawn: Floats, inside: NDArray[np.bool_]) -> Floats:
    """What is drawn upon a part, as differences from its usual colour; 0 where nothing is."""
    known = inside & np.isfinite(drawn[..., 0])
    if not known.any():
        return np.zeros_like(drawn)
    return np.nan_to_num(drawn - np.median(drawn[known], axis=0), nan=0.0)


def _ground(labels: Labels, look: Appearance) -> Floats:
    """The scene behind: plain, textured, patched, drawn, or in colours near the person's."""
    rng, size = look.rng, (labels.shape[1], labels.shape[0])
    ground = _patch(look, size)
    for _ in range(int(rng.integers(0, 4))):
        shape = noise(rng, size, rng.uniform(1.5, 10)) > rng.uniform(-0.5, 1.2)
        other = _patch(look, size)
        ground = np.where(shape[..., None], other, ground)
    if rng.random() < 0.45:  # out of focus
        ground = cv2.GaussianBlur(ground, (0, 0), rng.uniform(0.8, 9))
    return np.asarray(ground, np.float32)


def _patch(look: Appearance, size: tuple[int, int]) -> Floats:
    rng = look.rng
    if rng.random() < 0.2:
        return look.backdrop.astype(np.float32)
    base = colour(rng)
    if rng.random() < 0.3:
        parts = list(look.colours)
        base = look.colours[parts[rng.integers(len(parts))]] + rng.normal(0, 14, 3)
    other = base + rng.normal(0, 40, 3) if rng.random() < 0.6 else colour(rng)
    kind = ("rough", "pattern", "strands")[rng.choice(3, p=[0.5, 0.4, 0.1])]
    strength = rng.uniform(0, 1) ** 2
    blend = 1 / (1 + np.exp(-2 * look.bank.crop(kind, size, rng)[..., None]))
    fall = np.linspace(rng.uniform(0.6, 1), rng.uniform(0.7, 1.2), size[1])[:, None, None]
    return np.asarray((base + (other - base) * blend * strength) * fall, np.float32)


def _clear_lenses(
    picture: Floats, labels: Labels, drawn: Floats, look: Appearance, scale: float
) -> None:
    """Make glasses see-through: skin and eyes show within a rim that may be thin."""
    rng = look.rng
    inside = labels == Part.GLASSES
    if not inside.any():
        return
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
    lens = depth > max(1.1, scale * rng.uniform(0.012, 0.06))
    if rng.random() < 0.2:  # rims above the eyes only
        above = np.vstack([np.zeros((1, inside.shape[1]), bool), inside[:-1]])
        rim = inside & ~above
        lens = inside & ~np.asarray(cv2.dilate(rim.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    if not lens.any():
        return
    dark = rng.random() < 0.2
    shine = rng.uniform(0.25, 0.6) if dark else rng.uniform(0.8, 1.12)
    skin = look.colours[Part.FACE] * shine + rng.normal(0, 6, 3)
    size = (labels.shape[1], labels.shape[0])
    blotch = look.bank.crop("rough", size, rng)[..., None] * np.float32(rng.uniform(2, 18))
    eyes = _detail(drawn, lens) * rng.uniform(0.3, 1.0)
    picture[lens] = (skin + blotch + eyes)[lens]


def _lit(picture: Floats, labels: Labels, rng: np.random.Generator, scale: float) -> Floats:
    """Round shading from one side, a fall of light, and sometimes a hard shadow."""
    head = np.isin(labels, (Part.FACE, Part.EAR, Part.HAIR, Part.HAT, Part.GLASSES))
    height = 2.0 * cv2.GaussianBlur(head.astype(np.float32), (0, 0), max(1.0, 0.3 * scale))
    for part in (Part.HAIR, Part.CLOTHES, Part.SKIN, Part.FACE):
        shape = (labels == part).astype(np.float32)
        height += cv2.GaussianBlur(shape, (0, 0), max(1.0, rng.uniform(0.06, 0.25) * scale))
    size = (labels.shape[1], labels.shape[0])
    height += rng.uniform(0, 0.25) * noise(rng, size, rng.uniform(3, 14))
    across = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3) * scale / 16
    down = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3) * scale / 16
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.6)
    person = (labels != Part.BACKGROUND).astype(np.float32)
    light = 1 - strength * np.tanh(np.cos(angle) * across + np.sin(angle) * down) * person
    light = light * (1 + rng.uniform(0, 0.2) * noise(rng, size, 2))
    if rng.random() < 0.25:
        shadow = noise(rng, size, rng.uniform(1.5, 5)) > rng.uniform(-0.3, 1)
        soft = cv2.GaussianBlur(shadow.astype(np.float32), (0, 0), rng.uniform(0.5, 5))
        light = light * (1 - rng.uniform(0.2, 0.65) * soft)
    return np.asarray(picture * light[..., None], np.float32)


def camera(picture: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Exposure, white balance, blur, noise and JPEG faults; uint8 RGB."""
    x = np.clip(picture, 0, 255) / 255
    x = x ** rng.uniform(0.65, 1.5) * rng.uniform(0.75, 1.2)
    x = x * (1 + rng.normal(0, 0.07, 3))
    if rng.random() < 0.06:
        x = np.repeat(x.mean(axis=2, keepdims=True), 3, axis=2)
    x = cv2.GaussianBlur(x.astype(np.float32), (0, 0), rng.uniform(0.45, 1.6))
    if rng.random() < 0.5:
        x = x + rng.normal(0, rng.uniform(0.003, 0.05), x.shape)
    out = np.clip(x * 255, 0, 255).round().astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(30, 90))
        data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        out = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return out
