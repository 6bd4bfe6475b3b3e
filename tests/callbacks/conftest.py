"""One run of a benchmark that several tests look at."""

import pytest

from callbacks import DavisBenchmark
from lightning_modules.backbones import build_feature_extractor
from tests.helpers.words import SMALL


@pytest.fixture(scope="session")
def davis_run(davis_root, tmp_path_factory):
    """DAVIS by raw colour, with files: the benchmark, its scores, its folder."""
    folder = tmp_path_factory.mktemp("run") / "untrained" / "davis"
    benchmark = DavisBenchmark(davis_root, changes=SMALL)
    return benchmark, benchmark.evaluate(build_feature_extractor("raw_colour"), folder, "raw <colour>"), folder
