"""Models of `transformers` against the public notebook's numbers, by tiny models with random weights."""

import numpy as np
import pytest
import torch

from lightning_modules import FrozenEncoder
from tests.helpers.references import GOLDEN
from tests.helpers.refusal import refused
from vidcorr.backbones import build_feature_extractor

transformers = pytest.importorskip("transformers", reason="the extra transformers is not installed")


@pytest.fixture(scope="module")
def frames(golden):
    return torch.from_numpy(golden("video_encoders/frames")["video"]).float() / 255


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


@pytest.mark.parametrize(
    ("config", "prefix"),
    [("Dinov2Config", 1), ("Dinov2WithRegistersConfig", 5), ("IJepaConfig", 0), ("SiglipVisionConfig", 0)],
)
def test_tokens_of_an_image_model_are_its_map(config, prefix, tmp_path):
    made = getattr(transformers, config)(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48, patch_size=8, image_size=48
    )
    model = transformers.AutoModel.from_config(made).eval()
    model.save_pretrained(tmp_path)
    encoder = FrozenEncoder(f"transformers:{tmp_path}").feature_extractor()
    images = torch.rand(1, 3, 48, 48)
    maps = encoder(images)
    assert maps.shape == (1, 24, 6, 6)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        tokens = model(pixel_values=(images - mean) / std).last_hidden_state
    assert tokens.shape[1] == 36 + prefix
    torch.testing.assert_close(maps.flatten(2).transpose(1, 2), tokens[:, prefix:], rtol=0, atol=1e-5)
    assert encoder(torch.rand(1, 3, 60, 70)).shape == (1, 24, 8, 9)


def test_a_model_that_is_not_there_is_one_line(tmp_path):
    message = r"backbone transformers:.*nowhere: cannot be loaded"
    assert refused(ValueError, message, build_feature_extractor, f"transformers:{tmp_path / 'nowhere'}")


def test_videomae_with_mean_pooling_takes_the_norm_of_its_classifier(tmp_path):
    config = transformers.VideoMAEConfig(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48, patch_size=8, image_size=16
    )
    assert config.use_mean_pooling
    classifier = transformers.VideoMAEForVideoClassification(config).eval()
    torch.nn.init.uniform_(classifier.fc_norm.weight)
    classifier.save_pretrained(tmp_path / "classifier")
    classifier.videomae.save_pretrained(tmp_path / "bare")
    clip = torch.rand(1, 16, 3, 16, 16)
    encoder = build_feature_extractor(f"transformers:{tmp_path / 'classifier'}")
    with torch.no_grad():
        tokens = classifier.fc_norm(classifier.videomae(pixel_values=clip).last_hidden_state)
        maps = encoder.net(clip)
    torch.testing.assert_close(maps.flatten(2).mT, tokens)
    refused(ValueError, "holds no fc_norm", build_feature_extractor, f"transformers:{tmp_path / 'bare'}")
