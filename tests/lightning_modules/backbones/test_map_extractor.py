"""Map extractors of timm's staged networks and of a user's own module: stages, and outputs that are refused."""

import pytest
import torch

from lightning_modules.backbones import build_encoder, build_feature_extractor


@pytest.mark.parametrize(
    ("spec", "widths", "strides"),
    [
        ("timm:convnext_atto", [40, 80, 160, 320], [4, 8, 16, 32]),
        ("timm:swin_tiny_patch4_window7_224", [96, 192, 384, 768], [4, 8, 16, 32]),
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


@pytest.mark.parametrize(
    ("spec", "stage", "stride", "message"),
    [
        ("torchvision:convnext_tiny", None, None, r"ConvNeXt, features: its map of a frame of 256 x 320 px has 1 x 1"),
        ("torchvision:convnext_tiny", "res4", None, r"stage 'res4': ConvNeXt has features$"),
        ("timm:convnext_atto", "stage5", None, r"stage 'stage5': ConvNeXt has features, stage1, .*, stage4$"),
        ("timm:convnext_atto", "stage1+res4", None, "stage 'res4'"),
        ("timm:convnext_atto", "stage1+stage2", None, r"different strides, \[4, 8\]"),
        ("timm:convnext_atto", "stage2", 4, "the stride of stage2 is 8, 4 was asked for"),
        (
            "tests.helpers.encoders:Unpadded",
            None,
            None,
            "map of features has .* cells for a 256 x 320 image, two strides",
        ),
        ("tests.helpers.encoders:Blocky", "res4", None, "stage 'res4': Blocky has features"),
        ("raw_colour", "res4", None, "raw colour has one stage, colour"),
        ("timm:mixer_s32_224", None, None, "takes images of one size only"),
    ],
)
def test_what_a_network_does_not_have_is_refused(spec, stage, stride, message):
    with pytest.raises(ValueError, match=message):
        build_feature_extractor(spec, stage, stride)
