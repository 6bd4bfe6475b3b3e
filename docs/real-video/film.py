"""Compose film.webp of README.md from the outputs of the three commands of docs/predict.md ("A real film")."""

import csv

import numpy as np
import torch
from PIL import Image

from vidcorr import FrameStream
from vidcorr.results.pictures.overlays import distinct_colours, overlay_tracks

WIDTH, HEIGHT = 300, 168
GAP = np.full((HEIGHT, 4, 3), 255, np.uint8)


def small(video: str, **part: int) -> list[np.ndarray]:
    """Return the frames of a video as pictures of `WIDTH` × `HEIGHT`; `part` may name its `start` and `end`."""
    frames = []
    for frame in FrameStream(video, **part):
        image = Image.fromarray(frame.permute(1, 2, 0).numpy())
        frames.append(np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)))
    return frames


points: dict[str, list[tuple[str, float, float]]] = {}  # frame → name and place of each point
with open("points/points.csv", newline="") as file:
    for row in csv.DictReader(file):
        place = float(row["x"]) * WIDTH / 1280, float(row["y"]) * HEIGHT / 720
        points.setdefault(row["frame"], []).append((row["point"], *place))
film = []
frames = zip(
    small("masks/overlay.mp4"),
    small("bigbuckbunny.mp4", start=48, end=103),
    small("boxes/overlay.mp4"),
    points.values(),
    strict=True,
)
for masks, frame, boxes, of_frame in list(frames)[::2]:
    names = [name for name, _, _ in of_frame]
    places = np.array([[[x, y]] for _, x, y in of_frame]) + 0.5  # the centre of a pixel
    visible = np.zeros((len(names), 1), bool)
    colours = distinct_colours(len(names))
    drawn = overlay_tracks(torch.tensor(frame).permute(2, 0, 1), places, visible, 0, colours, names=names)
    film.append(Image.fromarray(np.concatenate([masks, GAP, drawn, GAP, boxes], axis=1)))
film[0].save("film.webp", save_all=True, append_images=film[1:], duration=120, loop=0, quality=70, method=4)
