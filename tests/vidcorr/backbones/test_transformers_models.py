"""Models of `transformers` against the public notebook's numbers, by tiny models with random weights."""

import numpy as np
import pytest
import torch

from tests.helpers.references import GOLDEN
from tests.helpers.refusal import refused
from vidcorr.backbones import build_feature_extractor

transformers = pytest.importorskip("transformers", reason="the extra transformers is not installed")


@pytest.fixture(scope="module")
def frames(golden):
    return torch.from_numpy(golden("video_encoders/frames")["video"]).float() / 255


@pytest.mark.slow
@pytest.mark.parametrize("family", ["vjepa2", "videomae"])
def test_other_sizes_than_the_trained_one_equal_the_notebook(family, frames, golden):
    numbers = golden(f"video_encoders/{family}")
    encoder = build_feature_extractor(f"transformers:{GOLDEN}/video_encoders/{family}_tiny")
    wide = {f"wide_T{length}": frames[:length, :, :40] for length in (5, 16, 17, 31)}
    for name, video in (wide | {"square_T17": frames[:17, :, :, :48]}).items():
        found = torch.stack(list(encoder.encode(iter(video)))).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(found, numbers[name], rtol=0, atol=2e-5)
    if family == "vjepa2":  # the library's own positions are others
        assert abs(numbers["wide_T5"] - numbers["wide_plain_library_T5"]).max() > 1
    assert encoder.stride == 8


@pytest.mark.slow
def test_a_model_that_is_not_there_or_of_another_kind_is_one_line(tmp_path):
    message = r"backbone transformers:.*nowhere: cannot be loaded"
    refused(ValueError, message, build_feature_extractor, f"transformers:{tmp_path / 'nowhere'}")
    config = transformers.Dinov2Config(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=28)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    refused(ValueError, "a dinov2; known are vjepa2", build_feature_extractor, f"transformers:{tmp_path}")


def test_videomae_with_its_last_norm_in_the_classifier_is_refused(tmp_path):
    config = transformers.VideoMAEConfig(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48, patch_size=8, image_size=16
    )
    assert config.use_mean_pooling
    transformers.VideoMAEModel(config).save_pretrained(tmp_path)
    refused(ValueError, "its last norm lies in its classifier", build_feature_extractor, f"transformers:{tmp_path}")
