"""`vidcorr-r18`, the encoder that comes with the package: its weights, its stored scores, and training from it."""

import json
from pathlib import Path

import pytest
import torch

from vidcorr import DavisBenchmark
from vidcorr.backbones import Network, build_feature_extractor, load, weights_digest
from vidcorr.datasets.generated import write_davis
from vidcorr.datasets.generated.writers import OPENCV
from vidcorr.lightning_modules import FrozenEncoder

NAME = "vidcorr-r18"
SCORES = json.loads(Path(__file__).with_name("vidcorr_r18.json").read_text("utf-8"))
"""Digest of the weights; J&F of objects, in percent, by size of the frames."""
HALF_SIZE = {"input_size": 240, "input_filter": "bilinear-antialias", "radius": 6}
TOLERANCE = 0.3
"""J&F points by which another processor's rounding may move a sequence."""


def scores_by_sequence(root, changes=None):
    result = DavisBenchmark(root, protocol="vfs", changes=changes).evaluate(NAME)
    return {row.name: 50 * (row.values["J-Mean"] + row.values["F-Mean"]) for row in result.rows}


def test_its_weights_are_the_card_s_and_draw_no_random_numbers():
    before = torch.get_rng_state()
    network = load(NAME, seed=None).network
    assert torch.equal(before, torch.get_rng_state())
    assert weights_digest(network) == SCORES["digest"]
    extractor = build_feature_extractor(NAME)
    assert extractor.stride == 8
    assert extractor(torch.zeros(1, 3, 64, 96)).shape == (1, 256, 8, 12)
    assert Network.of(extractor).loaded
    full = "vidcorr.backbones:vidcorr_r18"  # a checkpoint's short name would load the weights again
    assert FrozenEncoder(NAME).arguments_again()["spec"]["spec"] == full


@pytest.mark.skipif(OPENCV < 5, reason="the stored scores are of videos that OpenCV 5 draws")
def test_its_scores_on_generated_videos_are_the_stored_scores(tmp_path):
    root = write_davis(tmp_path / "davis", 2, frames=8, size=(96, 128))
    assert scores_by_sequence(root, {"radius": 3}) == pytest.approx(SCORES["generated"], abs=TOLERANCE)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize(("size", "changes"), [("240p", HALF_SIZE), ("480p", None)])
def test_its_scores_on_the_eight_sequences_are_the_stored_scores(size, changes, real_data):
    assert scores_by_sequence(real_data("davis"), changes) == pytest.approx(SCORES[size], abs=TOLERANCE)
