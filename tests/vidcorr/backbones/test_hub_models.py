"""Models of `transformers` by a folder: their maps are those of plain calls, their input that of the processor."""

import json

import pytest
import torch
from torch.nn.functional import interpolate

from tests.helpers import hub
from tests.helpers.refusal import refused
from tests.helpers.saved import write_checkpoint
from tests.helpers.words import model_by_words
from vidcorr.backbones import EncoderSpec, build_feature_extractor, load
from vidcorr.lightning_modules import FrozenEncoder

pytestmark = pytest.mark.usefixtures("no_gradients")
FAMILIES = ("Dinov2", "Dinov2WithRegisters", "DINOv3ViT", "ViT", "IJepa", "SiglipVision")
INTERPOLATED = ("ViT", "IJepa", "SiglipVision")
"""Families that take images of other sizes when they are asked to."""
MEAN, STD = [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]


def saved(folder, family, **fields):
    """Return a model of random weights, whose folder states an input."""
    model = hub.saved(folder, family, **fields)
    stated = {"image_processor_type": "ViTImageProcessor", "image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    return model


def by_hand(family, model, images):
    options = {"interpolate_pos_encoding": True} if family in INTERPOLATED else {}
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    return model((images - mean) / std, output_hidden_states=True, **options)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.sampled(6)
def test_the_last_hidden_state_of_a_folder_is_a_map_and_so_is_a_part_by_its_path(name, tmp_path):
    model = saved(tmp_path, name)
    images = torch.rand(1, 3, 64, 96)
    output = by_hand(name, model, images)

    def as_map(tokens):
        return tokens[:, -8 * 12 :].mT.unflatten(2, (8, 12))

    first = next(path for path, _ in model.named_modules() if path.endswith(("layer.0", "layers.0")))
    expected = {None: as_map(output.last_hidden_state), first: as_map(output.hidden_states[1])}
    doors = (str(tmp_path), f"transformers:{tmp_path}", model)
    for door in doors:
        given = {"mean": MEAN, "std": STD} if door is model else {}
        for stage, features in expected.items():
            view = build_feature_extractor(door, stage, **given)
            assert torch.equal(view(images), features)
            assert (view.stride, view.input.mean) == (8, tuple(MEAN))
    assert load(doors[0]).input.source == f"preprocessor_config.json of {tmp_path.name}"
    assert build_feature_extractor(doors[0])(torch.rand(1, 3, 61, 90)).shape == (1, 32, 8, 12)
    refused(ValueError, "of a model of transformers: name its folder, ", load, tmp_path / "model.safetensors")


def test_a_folder_is_a_network_of_commands_and_of_checkpoints(tmp_path):
    folder = tmp_path / "me@lab=a"
    saved(folder, "Dinov2")
    arguments = {"spec": str(folder), "stage": "block1"}
    assert model_by_words(f"{folder}@block1") == {"class_path": "FrozenEncoder", "init_args": arguments}
    assert not EncoderSpec(str(folder)).is_reusable
    write_checkpoint(FrozenEncoder(str(folder)), tmp_path / "own.ckpt")
    images = torch.rand(1, 3, 32, 32)
    expected = build_feature_extractor(str(folder))(images)
    torch.testing.assert_close(build_feature_extractor(str(tmp_path / "own.ckpt"))(images), expected)


@pytest.mark.parametrize(("frames", "size"), [(16, (64, 64)), (16, (96, 64)), (8, (64, 64)), (32, (40, 80))])
def test_videomae_takes_frames_of_any_size_in_windows_of_its_own_length(frames, size, tmp_path):
    """Its fixed positions are resized: rows and columns of the trained grid cover the frame."""
    model = saved(tmp_path, "VideoMAE", **hub.FIELDS["VideoMAE"] | {"num_frames": frames})
    video = torch.rand(frames, 3, *size)
    write_checkpoint(FrozenEncoder(str(tmp_path)), tmp_path / "own.ckpt")
    view = load(str(tmp_path / "own.ckpt")).view()
    maps = list(view.encode(iter(video)))
    assert (len(maps), maps[0].shape, view.window) == (frames, (32, size[0] // 8, size[1] // 8), frames)
    grid = model.embeddings.position_embeddings.unflatten(1, (-1, 8, 8))[0].movedim(-1, 1)
    resized = interpolate(grid, (size[0] // 8, size[1] // 8), mode="bicubic")
    model.embeddings.position_embeddings = resized.movedim(1, -1).flatten(0, 2)[None]
    model.embeddings.patch_embeddings.image_size = size
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    tokens = model(((video - mean) / std)[None]).last_hidden_state[0].unflatten(0, (-1, *maps[0].shape[1:]))
    torch.testing.assert_close(maps[0], tokens[0].movedim(-1, 0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(maps[-1], tokens[-1].movedim(-1, 0), atol=1e-5, rtol=1e-4)


def test_a_model_without_a_token_for_each_patch_is_refused(tmp_path):
    saved(tmp_path, "ViT")
    fields = hub.FIELDS["ViT"] | {"model_type": "vit", "num_hidden_layers": 5}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    refused(ValueError, "cannot be loaded: lacks .* weights of ViTModel", load, str(tmp_path))


def test_a_release_that_runs_code_of_a_folder_is_refused(tmp_path, monkeypatch):
    saved(tmp_path, "ViT")
    monkeypatch.setattr("vidcorr.backbones.hub_models.version", lambda package: "4.57.6")
    refused(ValueError, r"transformers 4\.57\.6 runs code of a model's folder .*install 5\.5", load, str(tmp_path))
