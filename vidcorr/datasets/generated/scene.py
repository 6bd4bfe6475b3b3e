"""Videos of textured sprites over a moving background, with exact masks and tracks: functions of (seed, index)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Generator = np.random.Generator

DIAMETERS = 0.2, 0.42
"""Smallest and largest diameter of a sprite, as fractions of the frame's shorter side."""
REACH = 0.32
"""Sprites swing up to this fraction of the frame from its centre, along either axis."""
PERIODS = 5.0, 24.0
"""Width of a texture's elements in pixels: in the finest and in the coarsest layer of a video."""
STRETCH = 3.0
"""Largest ratio of length to width of a texture's elements."""
REGULARITY = 1.0, 4.0
"""Sharpness of a texture's frequency band: low gives stains, high gives stripes or dots."""


@dataclass(frozen=True)
class Wave:
    """A smooth oscillation over the frames: amplitude · sin(2π t / period + phase)."""

    amplitude: float
    period: float
    phase: float

    def __call__(self, t: float) -> float:
        angle = 2 * np.pi * t / self.period + self.phase
        return self.amplitude * float(np.sin(angle))

    @classmethod
    def draw(cls, rng: Generator, amplitude: float, shortest: float, longest: float) -> Wave:
        """Draw a wave: of half to all of `amplitude`, and with a period from `shortest` to `longest` frames."""
        return cls(amplitude * rng.uniform(0.5, 1), rng.uniform(shortest, longest), rng.uniform(0, 2 * np.pi))


@dataclass(frozen=True)
class Layer:
    """A textured square that moves, turns, grows and shrinks: the background, or a sprite with its opacity.

    Args:
        texture: (S, S, 4) float32: RGB in 0..255 and opacity in 0..1.
        middle: (x, y) about which the square's centre moves, pixels of the frame.
        path: waves of the centre along x and y, pixels of the frame.
        turn: wave of the angle, radians.
        growth: wave of the logarithm of the scale.
    """

    texture: NDArray[np.float32]
    middle: tuple[float, float]
    path: tuple[Wave, Wave]
    turn: Wave
    growth: Wave

    def matrix(self, t: float) -> NDArray[np.float64]:
        """Return the map (3, 3) from pixels x, y, 1 of the texture to frame t; centres of pixels are at integers."""
        scale = np.exp(self.growth(t))
        half = (len(self.texture) - 1) / 2
        cosine = scale * np.cos(self.turn(t))
        sine = scale * np.sin(self.turn(t))
        x = self.middle[0] + self.path[0](t)
        y = self.middle[1] + self.path[1](t)
        about_centre = np.array([[cosine, -sine, x], [sine, cosine, y], [0, 0, 1]])
        from_middle = np.array([[1, 0, -half], [0, 1, -half], [0, 0, 1]])
        return about_centre @ from_middle

    def paste(self, image: NDArray[np.float32], ids: NDArray[np.uint8], number: int, t: float) -> None:
        """Draw the layer as of frame t, in place; its ids are where it covers half of a pixel or more."""
        # (H, W, 4): RGB and opacity, which is 0 beyond the texture
        drawn = cv2.warpAffine(self.texture, self.matrix(t)[:2], image.shape[1::-1])
        opacity = drawn[..., 3:]
        image += opacity * (drawn[..., :3] - image)
        ids[opacity[..., 0] >= 0.5] = number


@dataclass(frozen=True)
class Scenes:
    """A set of videos, each a function of the seed and its index; arguments of all writers.

    All textures of a video have the same three colours in equal parts, so sprites and background have the same mean
    colour and differ in structure only. Sprites move, turn, grow and occlude each other; the light changes.

    Args:
        seed: seed of the set.
        first: index of the first video; disjoint ranges of indices have different scenes.
        frames: frames per video; fewer give a prefix.
        size: (height, width), pixels; mp4 files lose an odd last row or column.
        sprites: fewest and most sprites per video, at most 7.
        camouflage: fraction of texture in a sprite's look; at 0 sprites have plain colours, each its own.
    """

    seed: int = 0
    first: int = 0
    frames: int = 48
    size: tuple[int, int] = (256, 256)
    sprites: tuple[int, int] = (2, 4)
    camouflage: float = 1.0

    def draw(self, index: int) -> tuple[list[Layer], Wave]:
        """Return the layers of a video, back to front, and the wave of the logarithm of the light.

        The order of the draws is part of the data set: another order gives other videos.
        """
        rng = np.random.default_rng([self.seed, self.first + index])
        size = self.size
        height, width = size
        middle = ((width - 1) / 2, (height - 1) / 2)
        count = int(rng.integers(self.sprites[0], self.sprites[1] + 1))
        colours = _palette(rng)
        # width of the elements in the texture of each layer, pixels
        periods = rng.permutation(np.geomspace(*PERIODS, count + 1))
        # arguments of `Wave.draw`: largest amplitude (pixels of `path`, radians of `turn`, logarithm of the scale in
        # `growth`), shortest and longest period in frames
        surface = _texture(rng, 2 * max(size), colours, periods[0])
        ground = Layer(
            np.dstack([surface, np.ones(surface.shape[:2], np.float32)]),
            middle,
            path=(Wave.draw(rng, 0.18 * width, 50, 100), Wave.draw(rng, 0.18 * height, 50, 100)),
            turn=Wave.draw(rng, 0.2, 40, 90),
            growth=Wave.draw(rng, 0.1, 40, 90),
        )
        layers = [ground]
        diameters = rng.uniform(*DIAMETERS, count) * min(size)
        phases = _phases_apart(rng, diameters, REACH * np.array([width, height]))
        for number, (diameter, (phase_x, phase_y)) in enumerate(zip(diameters, phases, strict=True), start=1):
            shape = _blob(rng, diameter)
            # a colour each: the bits of 1 to 7
            plain = 255 * np.array([number & 1, number >> 1 & 1, number >> 2 & 1])
            texture = _texture(rng, len(shape), colours, periods[number])
            look = self.camouflage * texture + (1 - self.camouflage) * plain
            path_x = Wave(REACH * width, period=rng.uniform(90, 180), phase=phase_x)
            path_y = Wave(REACH * height, period=rng.uniform(90, 180), phase=phase_y)
            sprite = Layer(
                np.dstack([look, shape]).astype(np.float32),
                middle,
                path=(path_x, path_y),
                turn=Wave.draw(rng, 0.6, 25, 60),
                growth=Wave.draw(rng, 0.3, 25, 60),
            )
            layers.append(sprite)
        return layers, Wave.draw(rng, 0.15, 30, 80)

    def render(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Render a video: frames (T, H, W, 3) uint8 RGB, and masks (T, H, W) uint8 of sprites 1, 2, … back to front."""
        layers, light = self.draw(index)
        video = np.empty((self.frames, *self.size, 3), np.uint8)
        masks = np.zeros((self.frames, *self.size), np.uint8)
        for t in range(self.frames):
            image = np.zeros((*self.size, 3), np.float32)
            for number, layer in enumerate(layers):
                layer.paste(image, masks[t], number, t)
            lit = image * np.exp(light(t))
            video[t] = np.clip(lit + 0.5, 0, 255)
        return video, masks

    def rendered(self, count: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        return map(self.render, range(count))

    def tracks(
        self, index: int, masks: NDArray[np.uint8], count: int, layer_numbers: Sequence[int] = ()
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return exact tracks (`count`, T, 2) float64 x, y, with pixels' centres at integers, and which are hidden.

        A track starts at a visible pixel of a layer in a random frame and follows the surface. It is hidden while
        another layer covers its pixel, and outside the image. Tracks start on the given layers in turn, 0 for the
        background; by default on all that are ever visible.
        """
        length, height, width = masks.shape
        layers, _ = self.draw(index)
        # another stream than the scene's
        rng = np.random.default_rng([self.seed, self.first + index, 16])
        numbers = layer_numbers or np.unique(masks).tolist()
        tracks = []
        hidden = []
        for i in range(count):
            number = numbers[i % len(numbers)]
            frames_with_layer = np.flatnonzero((masks == number).any((1, 2)))
            motion = np.stack(list(map(layers[number].matrix, range(length))))
            start = int(rng.choice(frames_with_layer))
            y, x = rng.choice(np.argwhere(masks[start] == number))
            point = np.linalg.solve(motion[start], [x, y, 1.0])
            track = (motion @ point)[:, :2]
            columns, rows = np.floor(track + 0.5).astype(int).T
            inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
            shown = masks[range(length), rows.clip(0, height - 1), columns.clip(0, width - 1)] == number
            tracks.append(track)
            hidden.append(~(inside & shown))
        return np.array(tracks).reshape(-1, length, 2), np.array(hidden, bool).reshape(-1, length)


def render_video(seed: int, index: int, **arguments: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Render a video and its masks as `Scenes.render`; the same arguments give the same arrays."""
    # the first of a set that begins with this index
    return Scenes(seed, first=index, **arguments).render(0)


def _phases_apart(rng: Generator, diameters: NDArray[np.float64], reach: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw phases (N, 2) of the sprites' paths until no two sprites overlap in frame 0, but at most 64 times."""
    touching = (diameters[:, None] + diameters) / 2  # (N, N) distances of centres at which two sprites touch
    np.fill_diagonal(touching, -1)
    for _ in range(64):
        phases = rng.uniform(0, 2 * np.pi, (len(diameters), 2))
        centres = reach * np.sin(phases)
        if (np.linalg.norm(centres[:, None] - centres, axis=-1) > touching).all():
            break
    return phases


def _palette(rng: Generator) -> NDArray[np.float32]:
    first = rng.uniform(0, 1)
    hue = first + np.array([0, rng.uniform(0.15, 0.45), rng.uniform(0.5, 0.8)])
    value = np.array([rng.uniform(0.2, 0.35), rng.uniform(0.45, 0.65), rng.uniform(0.8, 0.95)])
    saturation = rng.uniform(0.35, 0.85, 3)
    hsv = np.stack([360 * (hue % 1), saturation, value], axis=1)
    return 255 * cv2.cvtColor(hsv[None].astype(np.float32), cv2.COLOR_HSV2RGB)[0]


def _texture(rng: Generator, side: int, colours: NDArray[np.float32], period: float) -> NDArray[np.float32]:
    """Draw a square of a texture: noise around one frequency, cut into three levels of equal area, one per colour."""
    angle = rng.uniform(0, np.pi)
    stretch = rng.uniform(1, STRETCH)
    # frequencies in cycles per pixel, then along and across the direction in which elements are `stretch` times as long
    x, y = np.meshgrid(np.fft.rfftfreq(side), np.fft.fftfreq(side))
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    frequency = period * np.hypot(stretch * along, across)
    band = np.exp(-((rng.uniform(*REGULARITY) * (frequency - 1)) ** 2))
    spectrum = np.fft.rfft2(rng.normal(size=(side, side)))
    noise = np.fft.irfft2(band * spectrum, s=(side, side))
    level = np.digitize(noise, np.quantile(noise, [1 / 3, 2 / 3]))
    # with the blur below, edges and noise of a camera
    grain = rng.normal(0, 20, (side, side, 1))
    sharp = colours[rng.permutation(3)][level] + grain
    return np.asarray(cv2.GaussianBlur(sharp.astype(np.float32), (0, 0), 0.6), np.float32)


def _blob(rng: Generator, diameter: float) -> NDArray[np.float64]:
    side = int(diameter) + 4
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    angle = np.arctan2(y, x)
    outline = np.ones_like(angle)
    # around the outline; the more, the flatter
    for waves in range(2, 6):
        amplitude = rng.uniform(-0.3, 0.3) / (waves - 1)
        phase = rng.uniform(0, 2 * np.pi)
        outline += amplitude * np.cos(waves * angle + phase)
    # never pinched off in the middle
    radius = diameter / 2 * np.maximum(outline / outline.max(), 0.25)
    return np.clip(radius - np.hypot(x, y) + 0.5, 0, 1)
