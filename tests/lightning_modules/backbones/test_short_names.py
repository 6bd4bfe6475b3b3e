"""Each short name is a network of timm with weights, has its stage, and gives a map at the stride its name tells."""

from pathlib import Path

import pytest
import timm
import torch

from lightning_modules.backbones import build_feature_extractor
from lightning_modules.backbones.short_names import SHORT_NAMES


def test_timm_has_weights_under_each_name():
    known = {f"timm:{name}" for name in timm.list_models(pretrained=True)}
    assert {short.spec for short in SHORT_NAMES.values()} <= known


def test_the_guide_lists_each_name():
    guide = (Path(__file__).resolve().parents[3] / "docs/models.md").read_text()
    assert [name for name in SHORT_NAMES if f"`{name}`" not in guide] == []


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_the_network_has_its_stage(name):
    short = SHORT_NAMES[name]
    with torch.device("meta"):
        extractor = build_feature_extractor(short.spec, short.stage)
    assert extractor.stages == [short.stage]
    size = name.rpartition("-")[2]
    assert extractor.stride == (8 if size.startswith("r") else int(size[1:]))
