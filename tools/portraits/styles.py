"""Three drawing styles: flat, ink (outlined cartoon) and soft (painterly)."""

from __future__ import annotations

import cv2
import numpy as np

from tools.portraits.canvas import Brush, Colour, Pixels, Role, Shape, mix

INK: Colour = (26, 20, 36)


class Flat:
    """Even colours without outlines."""

    def paint(self, rgb: Pixels, shape: Shape, colour: Colour, role: Role) -> None:  # noqa: ARG002
        """Draw the shape in one colour."""
        shape.put(rgb, colour)

    def outline(self, size: tuple[int, ...]) -> int:  # noqa: ARG002
        """None."""
        return 0

    def finish(self, rgb: Pixels) -> Pixels:
        """Return the picture unchanged."""
        return rgb


class Ink:
    """Strong colours within dark outlines; those of the scene are thinner."""

    def paint(self, rgb: Pixels, shape: Shape, colour: Colour, role: Role) -> None:
        """Draw the shape with an outline; specks and features have none."""
        bold = self.outline(rgb.shape)
        width = max(1, bold * 2 // 3) if role == "scene" else bold
        outlined = role != "detail" and shape.extent > 5 * width
        pen = mix(colour, INK, 0.75) if role == "scene" else INK
        if outlined and shape.thick is not None:
            shape.trace(rgb, pen, width, True)
        shape.put(rgb, colour)
        if outlined and shape.thick is None:
            shape.trace(rgb, pen, width, True)

    def outline(self, size: tuple[int, ...]) -> int:
        """Width of about one percent of the short side."""
        return max(1, round(min(size[:2]) * 0.009))

    def finish(self, rgb: Pixels) -> Pixels:
        """Raise the saturation, as in print."""
        grey = rgb.mean(axis=2, keepdims=True)
        return np.clip(grey + 1.25 * (rgb - grey), 0, 255).round().astype(np.uint8)


class Soft:
    """Every shape shaded as if rounded and lit from the upper left; soft edges, a glow."""

    def paint(self, rgb: Pixels, shape: Shape, colour: Colour, role: Role) -> None:
        """Draw the shape with a gradient from light to shade."""
        rows, columns = shape.box(rgb.shape)
        region = rgb[rows, columns]
        if not region.size:
            return
        cover = np.zeros(region.shape[:2], np.uint8)
        shape.moved(columns.start, rows.start).put(cover, (255,))
        height, width = region.shape[:2]
        ramp = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * 0.6
        ramp = ramp + np.linspace(-1, 1, width, dtype=np.float32)[None] * 0.4
        strength = np.float32(0.16 if role == "scene" else 0.3)
        tone = np.where(ramp < 0, -ramp, ramp)[..., None] * strength
        goal = np.where(ramp[..., None] < 0, np.float32(255), np.asarray(INK, np.float32))
        base = np.asarray(colour, np.float32)
        shaded = base + (goal - base) * tone
        alpha = cover[..., None].astype(np.float32) / 255
        region[:] = (region + (shaded - region) * alpha).round().astype(np.uint8)

    def outline(self, size: tuple[int, ...]) -> int:  # noqa: ARG002
        """None."""
        return 0

    def finish(self, rgb: Pixels) -> Pixels:
        """Soften edges, add a glow to highlights and the texture of a canvas."""
        side = min(rgb.shape[:2])
        soft = cv2.GaussianBlur(rgb, (0, 0), side * 0.003).astype(np.float32)
        small = cv2.resize(soft, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
        glow = cv2.resize(cv2.GaussianBlur(small, (0, 0), side * 0.005), rgb.shape[1::-1])
        lit = 255 - (255 - soft) * (255 - 0.16 * glow) / 255
        grain = np.random.default_rng(0).normal(0, 1, (97, 89)).astype(np.float32)
        grain = cv2.resize(grain, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        return (lit * 0.96 + 1.5 * grain[..., None]).clip(0, 255).round().astype(np.uint8)


_BRUSHES: dict[str, type[Brush]] = {"flat": Flat, "ink": Ink, "soft": Soft}


def brush_of(style: str) -> Brush:
    """The brush of a style of `spec.STYLES`."""
    return _BRUSHES[style]()
