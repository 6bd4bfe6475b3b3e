"""Procedural textures that differ in structure and agree in mean colour."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float32]
    Generator = np.random.Generator

PALETTE_SIZE = 3


def palette(rng: Generator) -> Field:
    """Draw three colours of one scene, dark to light: (3, 3) float32 in 0..255, RGB."""
    hue = rng.uniform(0, 1) + np.array([0, rng.uniform(0.15, 0.45), rng.uniform(0.5, 0.8)])
    saturation = rng.uniform(0.35, 0.85, 3)
    value = np.array([rng.uniform(0.2, 0.35), rng.uniform(0.45, 0.65), rng.uniform(0.8, 0.95)])
    wheel = np.clip(np.abs((hue[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return (255 * value[:, None] * (1 - saturation[:, None] * (1 - wheel))).astype(np.float32)


def draw_texture(rng: Generator, family: str, side: int, period: float, colours: Field) -> Field:
    """Draw a square of one texture.

    The field of a family is cut into three levels of equal area, one colour each, so that all textures of one palette
    have the same mean colour and differ only in structure.

    Args:
        rng: the source of every draw.
        family: a key of `TEXTURE_FAMILIES`.
        side: height and width, pixels.
        period: size of the texture's elements, pixels.
        colours: (3, 3) RGB, 0..255.

    Returns:
        (side, side, 3) float32 RGB in 0..255.
    """
    import cv2

    field = TEXTURE_FAMILIES[family](rng, side, period)
    order = np.argsort(field, axis=None, kind="stable")
    level = np.empty(field.size, np.int64)
    level[order] = np.arange(field.size) * PALETTE_SIZE // field.size
    picture = cv2.GaussianBlur(colours[rng.permutation(PALETTE_SIZE)][level.reshape(field.shape)], (0, 0), 0.6)
    grain = cv2.GaussianBlur(rng.normal(0, 22, (side, side)).astype(np.float32), (0, 0), 0.8)
    return np.clip(picture + grain[..., None], 0, 255)


def smooth_noise(rng: Generator, side: int, period: float, stretch: float = 1.0) -> Field:
    """Draw Gaussian noise low-passed to elements of about `period` pixels (`stretch` times as long along x)."""
    import cv2

    white = rng.normal(0, 1, (side, side)).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(white, (0, 0), sigmaX=period * stretch / 4, sigmaY=period / 4), np.float32)
    return smooth / (smooth.std() + np.float32(1e-6))


def _grid(rng: Generator, side: int, bend: float) -> tuple[Field, Field]:
    """Return the coordinates of a square, turned by a random angle, bent by smooth noise of amplitude `bend` pixels."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    u = np.cos(angle) * x + np.sin(angle) * y
    v = np.cos(angle) * y - np.sin(angle) * x
    return u + bend * smooth_noise(rng, side, side / 2), v + bend * smooth_noise(rng, side, side / 2)


def _grain(rng: Generator, side: int, period: float) -> Field:
    import cv2

    noise = smooth_noise(rng, 2 * side, period * 0.6, stretch=5)
    turn = cv2.getRotationMatrix2D((side, side), rng.uniform(0, 180), 1)
    turned = cv2.warpAffine(noise, turn, (2 * side, 2 * side))
    return np.asarray(turned[side // 2 : side // 2 + side, side // 2 : side // 2 + side], np.float32)


def _stripes(rng: Generator, side: int, period: float) -> Field:
    u, _ = _grid(rng, side, period * 0.8)
    return np.sin(2 * np.pi * u / period)


def _checks(rng: Generator, side: int, period: float) -> Field:
    u, v = _grid(rng, side, period * 0.4)
    return np.sin(np.pi * u / period) * np.sin(np.pi * v / period)


def _dots(rng: Generator, side: int, period: float) -> Field:
    u, v = _grid(rng, side, period * 0.4)
    row = np.floor(v / period)
    du = (u / period + 0.5 * (row % 2)) % 1 - 0.5
    dv = (v / period) % 1 - 0.5
    return np.hypot(du, dv).astype(np.float32)


def _bricks(rng: Generator, side: int, period: float) -> Field:
    u, v = _grid(rng, side, period * 0.3)
    row = np.floor(v / period)
    du = np.abs((u / (2 * period) + 0.5 * (row % 2)) % 1 - 0.5) * 2
    dv = np.abs((v / period) % 1 - 0.5)
    return np.maximum(du, dv).astype(np.float32)


def _cells(rng: Generator, side: int, period: float) -> Field:
    import cv2

    seeds = np.full((side, side), 255, np.uint8)
    count = max(4, int((side / (1.3 * period)) ** 2))
    seeds[rng.integers(0, side, count), rng.integers(0, side, count)] = 0
    distance, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    return rng.uniform(0, 3, label.max() + 1).astype(np.float32)[label] + distance / period


def _rings(rng: Generator, side: int, period: float) -> Field:
    import cv2

    seeds = np.full((side, side), 255, np.uint8)
    count = max(3, int((side / (4 * period)) ** 2))
    seeds[rng.integers(0, side, count), rng.integers(0, side, count)] = 0
    return np.sin(2 * np.pi * cv2.distanceTransform(seeds, cv2.DIST_L2, 5) / period)


TEXTURE_FAMILIES: dict[str, Callable[[Generator, int, float], Field]] = {
    "blobs": smooth_noise,
    "bricks": _bricks,
    "cells": _cells,
    "checks": _checks,
    "dots": _dots,
    "grain": _grain,
    "rings": _rings,
    "stripes": _stripes,
}
