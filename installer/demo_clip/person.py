"""The person in the demo, drawn with OpenCV. Nobody was filmed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]  # blue, green, red

WIDTH, HEIGHT = 640, 360
SCALE = 2  # drawn larger and shrunk: smooth edges
SKIN, SKIN_SHADE, SKIN_LIGHT = (148, 180, 222), (104, 136, 186), (176, 206, 240)
HAIR, HAIR_LIGHT = (32, 36, 46), (54, 60, 74)
LIP, MOUTH, TEETH = (104, 104, 190), (36, 28, 62), (232, 236, 240)
JACKET, SHIRT, WALL, WALL_DARK = (74, 62, 44), (236, 236, 232), (214, 220, 218), (176, 186, 186)
HEAD = (320, 168)  # centre of the face


@dataclass(frozen=True)
class Pose:
    """One moment: `mouth` and `blink` from 0 (closed, open eyes) to 1; the head's shift and tilt."""

    mouth: float = 0.0
    blink: float = 0.0
    x: float = 0.0
    y: float = 0.0
    tilt: float = 0.0


class Person:
    """Draws frames of 640 by 360, RGB."""

    def __init__(self) -> None:
        self._room = _room()
        self._body = _body()
        self._head_shading = _head_shading()

    def draw(self, pose: Pose) -> Picture:
        """One frame."""
        head, mask = self._head(pose)
        turn = cv2.getRotationMatrix2D((HEAD[0] * SCALE, 250 * SCALE), pose.tilt, 1.0)
        turn[:, 2] += (pose.x * SCALE, pose.y * SCALE)
        size = (WIDTH * SCALE, HEIGHT * SCALE)
        head = cv2.warpAffine(head, turn, size)
        alpha = cv2.warpAffine(mask, turn, size)[..., None].astype(np.float32) / 255
        body, body_mask = self._body
        frame = _over(self._room, body, body_mask[..., None].astype(np.float32) / 255)
        frame = _over(frame, head, alpha)
        small = cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)

    def _head(self, pose: Pose) -> tuple[Picture, Picture]:
        picture, mask = _blank(), _blank()[..., 0].copy()
        _ellipse(picture, (320, 150), (84, 104), HAIR)
        _ellipse(mask, (320, 150), (84, 104), 255)
        for side in (-1, 1):
            _ellipse(picture, (320 + side * 72, 178), (10, 19), SKIN_SHADE)
            _ellipse(mask, (320 + side * 72, 178), (10, 19), 255)
        face = _blank()[..., 0].copy()
        _ellipse(face, (320, 164), (70, 78), 255)
        _ellipse(face, (320, 196), (56, 66), 255)
        face = cv2.GaussianBlur(face, (0, 0), 1.2 * SCALE)
        picture = _over(picture, self._head_shading, face[..., None].astype(np.float32) / 255)
        mask = np.maximum(mask, face)
        self._hair(picture)
        self._eyes(picture, pose.blink)
        self._nose(picture)
        self._mouth(picture, pose.mouth)
        return picture, mask

    @staticmethod
    def _hair(picture: Picture) -> None:
        fringe = [(248, 178), (250, 120), (282, 82), (330, 74), (372, 88), (392, 128), (392, 178)]
        fringe += [(382, 140), (352, 112), (318, 118), (286, 110), (262, 138)]
        cv2.fillPoly(picture, [_points(fringe)], HAIR, cv2.LINE_AA)
        for x in range(262, 380, 13):
            line = _points([(x, 112 - (x - 320) ** 2 / 420), (x + 12, 84)])
            cv2.polylines(picture, [line], False, HAIR_LIGHT, SCALE, cv2.LINE_AA)

    @staticmethod
    def _eyes(picture: Picture, blink: float) -> None:
        for side in (-1, 1):
            x, y = 320 + side * 29, 164
            _soft(picture, (x, y), (19, 12), SKIN_SHADE, 0.55)
            opened = max(0.0, 1 - blink) * 7.2
            if opened > 0.8:
                eye = _blank()
                _ellipse(eye, (x, y), (13.5, opened), (244, 246, 246))
                white = eye[..., 0] > 0
                _ellipse(eye, (x, y), (6.4, 6.6), (52, 70, 96))
                _ellipse(eye, (x, y), (3.2, 3.3), (14, 14, 16))
                _ellipse(eye, (x - 2, y - 2.4), (1.4, 1.4), (255, 255, 255))
                picture[white] = eye[white]
            lid = opened + 0.8
            cv2.ellipse(picture, _at(x, y), _at(14.5, lid), 0, 185, 355, HAIR, 2 * SCALE, cv2.LINE_AA)
            cv2.ellipse(picture, _at(x, y), _at(13.5, lid), 0, 20, 160, (84, 108, 150), SCALE, cv2.LINE_AA)
            brow = _points([(x + side * 20, y - 17), (x + side * 8, y - 20), (x - side * 15, y - 17)])
            cv2.polylines(picture, [brow], False, HAIR, 4 * SCALE, cv2.LINE_AA)

    @staticmethod
    def _nose(picture: Picture) -> None:
        _soft(picture, (310, 186), (5, 22), SKIN_LIGHT, 0.0)
        _soft(picture, (321, 184), (5, 20), SKIN_LIGHT, 0.9)
        _soft(picture, (333, 192), (7, 18), SKIN_SHADE, 0.55)
        _soft(picture, (320, 206), (17, 6), SKIN_SHADE, 0.8)
        for side in (-1, 1):
            _ellipse(picture, (320 + side * 8, 204), (4.2, 2.2), (70, 88, 128))
            _soft(picture, (320 + side * 15, 201), (4, 6), SKIN_SHADE, 0.8)

    @staticmethod
    def _mouth(picture: Picture, opening: float) -> None:
        x, y = 320, 229
        gap = 1.2 + opening * 10
        width = 25 - opening * 4
        _soft(picture, (x, y - 12), (4, 6), SKIN_SHADE, 0.5)
        _soft(picture, (x, y + gap + 15), (20, 5), SKIN_SHADE, 0.8)
        upper = [
            (x - width, y - 2),
            (x - 9, y - 7),
            (x, y - 5),
            (x + 9, y - 7),
            (x + width, y - 2),
            (x, y + 2),
        ]
        lower = [
            (x - width, y - 2),
            (x, y + gap),
            (x + width, y - 2),
            (x + 11, y + gap + 9),
            (x - 11, y + gap + 9),
        ]
        _ellipse(picture, (x, y + gap / 2), (width - 3, gap / 2 + 2), MOUTH)
        if opening > 0.25:
            _ellipse(picture, (x, y + 1.5), (width - 8, 2.6), TEETH)
        cv2.fillPoly(picture, [_points(upper)], LIP, cv2.LINE_AA)
        bottom = _blank()[..., 0].copy()
        cv2.fillPoly(bottom, [_points(lower)], 255, cv2.LINE_AA)
        hole = _blank()[..., 0].copy()
        _ellipse(hole, (x, y + gap / 2), (width - 3, gap / 2 + 1), 255)
        bottom[hole > 0] = 0
        bottom[: int((y + gap / 2) * SCALE)] = 0
        picture[bottom > 127] = (122, 122, 204)


def _room() -> Picture:
    """A wall with a window and a shelf, out of focus."""
    shade = np.linspace(0, 1, WIDTH * SCALE)[None, :, None]
    wall = np.array(WALL) * (1 - shade) + np.array(WALL_DARK) * shade
    picture = np.repeat(wall, HEIGHT * SCALE, axis=0).astype(np.uint8)
    _box(picture, (40, 30), (170, 210), (238, 236, 226))
    _box(picture, (102, 30), (108, 210), (190, 198, 200))
    _box(picture, (500, 70), (620, 78), (120, 150, 170))
    for number, colour in enumerate([(120, 92, 70), (92, 120, 92), (84, 84, 140), (150, 140, 96)]):
        _box(picture, (512 + number * 24, 26 + number % 2 * 8), (530 + number * 24, 70), colour)
    return cv2.GaussianBlur(picture, (0, 0), 5 * SCALE)


def _body() -> tuple[Picture, Picture]:
    """Neck, shirt and jacket: they stay where they are."""
    picture, mask = _blank(), _blank()[..., 0].copy()
    shoulders = [
        (150, 362),
        (166, 318),
        (232, 292),
        (286, 274),
        (354, 274),
        (408, 292),
        (474, 318),
        (490, 362),
    ]
    for target, colour in ((picture, JACKET), (mask, 255)):
        cv2.fillPoly(target, [_points(shoulders)], colour, cv2.LINE_AA)
    cv2.fillPoly(picture, [_points([(282, 276), (320, 358), (358, 276)])], SHIRT, cv2.LINE_AA)
    neck = [(288, 220), (286, 276), (320, 304), (354, 276), (352, 220)]
    for target, colour in ((picture, SKIN_SHADE), (mask, 255)):
        cv2.fillPoly(target, [_points(neck)], colour, cv2.LINE_AA)
    for side in (-1, 1):
        lapel = [
            (320 + side * 36, 274),
            (320 + side * 62, 300),
            (320 + side * 4, 360),
            (320 + side * 30, 296),
        ]
        cv2.fillPoly(picture, [_points(lapel)], (58, 48, 34), cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 0.8 * SCALE), cv2.GaussianBlur(mask, (0, 0), 0.8 * SCALE)


def _head_shading() -> Picture:
    """Skin lit from the upper left."""
    y, x = np.mgrid[0 : HEIGHT * SCALE, 0 : WIDTH * SCALE].astype(np.float32) / SCALE
    distance = np.sqrt(((x - 304) / 96) ** 2 + ((y - 160) / 118) ** 2)
    light = np.clip(1.15 - distance, 0, 1)[..., None]
    colour = np.array(SKIN_SHADE) * (1 - light) + np.array(SKIN_LIGHT) * light
    picture = (0.45 * np.array(SKIN) + 0.55 * colour).astype(np.uint8)
    for side in (-1, 1):
        _soft(picture, (320 + side * 40, 204), (16, 11), (132, 150, 226), 0.5)
    return picture


def _over(below: Picture, above: Picture, alpha: NDArray[np.float32]) -> Picture:
    return (below * (1 - alpha) + above * alpha).astype(np.uint8)


def _blank() -> Picture:
    return np.zeros((HEIGHT * SCALE, WIDTH * SCALE, 3), dtype=np.uint8)


def _at(x: float, y: float) -> tuple[int, int]:
    return round(x * SCALE), round(y * SCALE)


def _points(points: list[tuple[float, float]]) -> NDArray[np.int32]:
    return np.array([_at(x, y) for x, y in points], dtype=np.int32)


def _ellipse(
    picture: Picture, centre: tuple[float, float], radii: tuple[float, float], colour: Colour | int
) -> None:
    cv2.ellipse(picture, _at(*centre), _at(*radii), 0, 0, 360, colour, -1, cv2.LINE_AA)


def _box(picture: Picture, corner: tuple[int, int], opposite: tuple[int, int], colour: Colour) -> None:
    cv2.rectangle(picture, _at(*corner), _at(*opposite), colour, -1)


def _soft(
    picture: Picture, centre: tuple[float, float], radii: tuple[float, float], colour: Colour, weight: float
) -> None:
    """A blurred patch, as light and shade fall on skin. Works on its neighbourhood only."""
    reach = [math.ceil(radius * 2.5 * SCALE) for radius in radii]
    x, y = _at(*centre)
    top, left = max(0, y - reach[1]), max(0, x - reach[0])
    area = picture[top : y + reach[1], left : x + reach[0]]
    patch = np.zeros(area.shape[:2], dtype=np.uint8)
    cv2.ellipse(patch, (x - left, y - top), _at(*radii), 0, 0, 360, 255, -1)
    alpha = cv2.GaussianBlur(patch, (0, 0), min(radii) * SCALE * 0.45)[..., None].astype(np.float32)
    area[:] = _over(area, np.full_like(area, colour), alpha / 255 * weight)
