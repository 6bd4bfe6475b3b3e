"""One small run on raw colour, for every test of the report."""

from pathlib import Path

import pytest

from callbacks import DavisBenchmark
from lightning_modules.backbones import build_feature_extractor
from tests.helpers.page import SMALL


@pytest.fixture(scope="module")
def run(davis_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[DavisBenchmark, dict[str, float], Path]:
    folder = tmp_path_factory.mktemp("run") / "untrained" / "davis"
    benchmark = DavisBenchmark(davis_root, changes=SMALL)
    return benchmark, benchmark.evaluate(build_feature_extractor("raw_colour"), folder, "raw <colour>"), folder
