"""Map extractors of timm's staged networks and of a user's own module: stages, and outputs that are refused."""

import pytest
import torch

from lightning_modules.backbones import build_encoder


@pytest.mark.parametrize(
    ("spec", "widths", "strides"),
    [
        ("timm:convnext_atto", [40, 80, 160, 320], [4, 8, 16, 32]),
        ("timm:efficientnet_b0", [16, 24, 40, 112, 320], [2, 4, 8, 16, 32]),
    ],
)
def test_staged_networks_offer_their_stages(spec, widths, strides):
    encoder, names = build_encoder(spec), [f"stage{number}" for number in range(1, len(widths) + 1)]
    extractor, images = encoder.feature_extractor(names), torch.rand(1, 3, 160, 192)
    with torch.inference_mode():
        maps = extractor(images)
        alone = encoder.feature_extractor(names[1])(images)
        last = encoder.feature_extractor()(images)
    assert extractor.stride == strides
    assert extractor.multiple == max(strides)
    expected = [(1, width, 160 // stride, 192 // stride) for width, stride in zip(widths, strides, strict=True)]
    assert [tuple(one.shape) for one in maps] == expected
    torch.testing.assert_close(alone, maps[1])
    assert last.shape[2:] == (5, 6)  # before the pooling


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "channels"),
    [("naflexvit_base_patch16_radio_v3", 768), ("vit_base_patch16_radio_v3", 768), ("samvit_base_patch16", 256)],
)
def test_transformers_of_other_forms_give_a_map(name, channels):
    extractor = build_encoder(f"timm:{name}").feature_extractor()
    with torch.inference_mode():
        assert extractor(torch.rand(1, 3, 96, 128)).shape == (1, channels, 6, 8)


@pytest.mark.parametrize("name", ["mvitv2_tiny", "twins_pcpvt_small"])
def test_a_transformer_that_gives_no_map_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match=r"takes images of one size only|expected a feature map") as caught:
        build_encoder(f"timm:{name}").feature_extractor()
    assert "\n" not in str(caught.value)
