"""docs/reference/davis.py, the evaluation in one plain file, and the engine give the same labels and scores."""

import ast
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.plain_davis import REFERENCE
from vidcorr import DavisBenchmark
from vidcorr.backbones import build_feature_extractor
from vidcorr.datasets.generated import write_davis

FILE = Path(__file__).parents[1] / "docs" / "reference" / "davis.py"


def test_it_imports_torch_numpy_and_pillow_only_and_has_at_most_200_lines():
    text = FILE.read_text("utf-8")
    imported = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, "module", None) or node.names[0].name for node in imported}
    ours = {name.split(".")[0] for name in names} - {"argparse", "importlib", "math", "pathlib"}
    assert ours == {"numpy", "torch", "PIL"}
    assert len(text.splitlines()) <= 200


@pytest.mark.parametrize("protocol", ["vfs", pytest.param("dino", marks=pytest.mark.slow)])
def test_scores_are_those_of_the_engine(protocol, tmp_path):
    """Both in float64, so that no pixel between two labels is decided by rounding; no frame is square."""
    davis = write_davis(tmp_path, 2, frames=5, size=(96, 136))
    scores = REFERENCE.evaluate(
        davis, lambda frame: REFERENCE.mean_colour(frame).double(), REFERENCE.PROTOCOLS[protocol]
    )
    region, contour = np.mean([means for objects in scores.values() for means in objects.values()], axis=0)
    benchmark = DavisBenchmark(davis, protocol=protocol, changes={"precision": "float64"})
    ours = benchmark.evaluate(build_feature_extractor("raw_colour")).scores
    assert ours["J-Mean"] == pytest.approx(region, abs=1e-9)
    assert ours["F-Mean"] == pytest.approx(contour, abs=1e-9)
    assert 0.05 < region < 0.99
