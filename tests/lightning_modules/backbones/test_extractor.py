"""The interface of extractors: stages from one pass, raw colour, and what is refused."""

import torch

from lightning_modules.backbones import build_feature_extractor, build_network, extractor_of


def test_several_stages_come_from_one_pass_and_equal_each_alone():
    network, images = build_network("torchvision:resnet18"), torch.rand(1, 3, 64, 96)
    stages = ["res5", "res3", "res4.b1", "res4"]
    extractor = extractor_of(network, stages, 8)
    runs = []
    extractor.stem.register_forward_hook(lambda *_: runs.append(1))
    with torch.inference_mode():
        together = extractor(images)
        alone = [extractor_of(network, stage, 8)(images) for stage in stages]
    assert extractor.stride == [8, 8, 8, 8]
    assert len(runs) == 1
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))


def test_raw_colour_is_the_mean_of_each_cell():
    images = torch.rand(1, 3, 16, 20)
    extractor = build_feature_extractor("raw_colour", stride=8)
    cells = extractor(images)
    expected = extractor.normalise(images)[..., 8:16, 16:20].mean((-2, -1))
    assert cells.shape == (1, 3, 2, 3)
    assert torch.allclose(cells[..., 1, 2], expected, atol=1e-6)
