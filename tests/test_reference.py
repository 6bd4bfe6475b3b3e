"""docs/reference/davis.py, the evaluation in one plain file, and the engine give the same labels and scores."""

import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.plain_davis import REFERENCE
from vidcorr import DavisBenchmark
from vidcorr.backbones import build_feature_extractor

FILE = Path(__file__).parents[1] / "docs" / "reference" / "davis.py"


@pytest.fixture
def davis(request, real_data, tmp_path):
    """The first frames of real sequences, cut to a part around the objects: (names, frames, height, width)."""
    names, count, height, width = request.param
    for name in names:
        top, left = {"car-shadow": (120, 240), "dog": (150, 300)}[name]
        for part in ("JPEGImages", "Annotations"):
            folder = tmp_path / part / "480p" / name
            folder.mkdir(parents=True)
            for file in sorted((real_data("davis") / part / "480p" / name).iterdir())[:count]:
                Image.open(file).crop((left, top, left + width, top + height)).save(folder / file.name, quality=95)
    (tmp_path / "ImageSets" / "2017").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("\n".join(names))
    return tmp_path


def test_it_imports_torch_numpy_and_pillow_only_and_has_at_most_200_lines():
    text = FILE.read_text("utf-8")
    imported = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, "module", None) or node.names[0].name for node in imported}
    ours = {name.split(".")[0] for name in names} - {"argparse", "importlib", "math", "pathlib"}
    assert ours == {"numpy", "torch", "PIL"}
    assert len(text.splitlines()) <= 200


@pytest.mark.parametrize(
    ("davis", "protocol"),
    [
        ((["car-shadow", "dog"], 5, 160, 208), "vfs"),
        pytest.param((["dog"], 3, 330, 440), "dino", marks=pytest.mark.slow),
    ],
    indirect=["davis"],
)
def test_scores_are_those_of_the_engine(davis, protocol):
    """Both in float64, so that no pixel between two labels is decided by rounding."""
    scores = REFERENCE.evaluate(
        davis, lambda frame: REFERENCE.mean_colour(frame).double(), REFERENCE.PROTOCOLS[protocol]
    )
    region, contour = np.mean([means for objects in scores.values() for means in objects.values()], axis=0)
    benchmark = DavisBenchmark(davis, protocol=protocol, changes={"precision": "float64"})
    ours = benchmark.evaluate(build_feature_extractor("raw_colour")).scores
    assert ours["J-Mean"] == pytest.approx(region, abs=1e-9)
    assert ours["F-Mean"] == pytest.approx(contour, abs=1e-9)
    assert 0.3 < region < 0.99
