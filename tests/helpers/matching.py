"""Golden cases of matching: pictures, features and pairs of tests/golden/match."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidcorr.functional import match_keypoints
from vidcorr.metrics.matching import draws
from vidcorr.protocols import MatchingProtocol

FOLDER = Path(__file__).parents[1] / "golden" / "match"


class Case:
    """A case of a golden file; a variant has outputs only, and its inputs are another case's."""

    def __init__(self, file: str, case: str, inputs: str | None = None) -> None:
        self._file, self._case, self._inputs = np.load(FOLDER / file), case, inputs or case

    def __getitem__(self, key: str) -> Any:
        name = f"{self._case}_{key}"
        return self._file[name if name in self._file else f"{self._inputs}_{key}"]

    def features(self, key: str) -> Tensor:
        """Return an array of features as float32."""
        return torch.from_numpy(self[key].astype(np.float32))

    @property
    def categories(self) -> list[str]:
        """Category per pair."""
        return [str(self["img_cat"][pair[0]]) for pair in self["pairs"]]

    def draws(self, protocol: MatchingProtocol) -> dict[str, list[int]]:
        """Return the pairs that a protocol averages."""
        return draws(self.categories, [{"viewpoint": int(view)} for view in self["pair_vp"]], protocol)

    def size(self, image: int) -> tuple[int, int]:
        """Return (H, W) of a picture."""
        width, height = self["img_wh"][image].tolist()
        return height, width

    def rows(self, pair: int) -> Any:
        """Return the rows of a pair's points."""
        return np.flatnonzero(self["kp_pair"] == pair)

    def matched(self, maps: Tensor, protocol: MatchingProtocol, **arguments: Any) -> np.ndarray[Any, Any]:
        """Match all points: x, y in pixels of the targets, float64, row by row."""
        found = np.zeros((len(self["kp_pair"]), 2))
        for pair, (source, target) in enumerate(self["pairs"].tolist()):
            rows = self.rows(pair)
            own = {key: value(pair, rows) if callable(value) else value for key, value in arguments.items()}
            points = torch.from_numpy(self["src"][rows])
            sizes = self.size(source), self.size(target)
            found[rows] = match_keypoints(maps[source], maps[target], points, *sizes, protocol, **own).numpy()
        return found


def fused(case: Case, suffix: str = "") -> Tensor:
    """Return GeoAware's features: Stable Diffusion's three blocks and DINOv2's, each of unit length."""
    first = case.features("s3" + suffix)
    others = [F.interpolate(case.features(key + suffix), first.shape[-2:], mode="bilinear") for key in ("s4", "s5")]
    diffusion, dino = torch.cat([first, *others], dim=1), case.features("dino" + suffix)
    return torch.cat([part / (part.norm(dim=1, keepdim=True) + 1e-10) for part in (diffusion, dino)], dim=1)
