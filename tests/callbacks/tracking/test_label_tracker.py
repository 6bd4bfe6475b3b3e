"""The engine of label propagation: the view of the extractor, the input's size, padding that is cut."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from callbacks import DavisBenchmark, YoutubeVosBenchmark
from callbacks.tracking.label_tracker import LabelTracker, view_for
from cli import main
from lightning_modules.backbones import build_encoder, build_feature_extractor, build_network, extractor_of
from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.label_coding import decode_masks, encode_masks
from tests.helpers.regenerated import regenerated
from tests.helpers.still_videos import Patches, write_still_davis

NEAREST = {"topk": 1, "radius": None}


class Ones:
    def encode(self, grid, protocol):
        return torch.ones(1, *grid)


def predictions(folder):
    return [torch.from_numpy(np.array(Image.open(path))) for path in sorted((folder / "predictions/still").iterdir())]


def test_rgb_std_replaces_the_deviation_in_a_view_and_nowhere_else():
    encoder = build_encoder("tests.helpers.encoders:TinyResNet")
    extractor, image = encoder.feature_extractor("res2", 4), torch.rand(1, 3, 32, 32)
    before = extractor(image)
    std = torch.tensor([0.5, 0.25, 0.125])
    view = view_for(extractor, PropagationProtocol("own", 1, 5, 0.1, 3, rgb_std=std.tolist()))
    mean = extractor.normalise.mean
    same_to_the_network = mean + (image - mean) / std[:, None, None] * extractor.normalise.std
    assert torch.allclose(view(image), extractor(same_to_the_network), atol=1e-5)
    assert not torch.allclose(view(image), before, atol=1e-3)
    assert torch.equal(extractor(image), before)


def test_the_view_of_a_resnet_is_folded_and_gives_the_same_maps():
    extractor = build_feature_extractor("tests.helpers.encoders:TinyResNet", "res4", 8)
    view = view_for(extractor, PropagationProtocol.named("vfs"))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in view.modules())
    image = torch.rand(1, 3, 40, 48)
    assert torch.allclose(view(image), extractor(image), atol=1e-5)


class Seen(torch.nn.Module):
    """An extractor that notes the type of its products."""

    stride = 4

    def __init__(self):
        super().__init__()
        self.conv, self.types = torch.nn.Conv2d(3, 8, 4, 4), []

    def forward(self, images):
        features = self.conv(images)
        self.types.append(features.dtype)
        return features


@pytest.mark.parametrize("around", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_backbone_runs_in_the_protocols_precision_whatever_surrounds_it(precision, around):
    extractor = Seen()
    protocol = PropagationProtocol.named("vfs").with_changes(backbone_precision=precision)
    tracker = LabelTracker(extractor, protocol)
    frames = [(torch.randint(256, (3, 32, 40), dtype=torch.uint8), Ones() if t == 0 else None) for t in range(3)]
    with torch.autocast("cpu", torch.bfloat16, enabled=around):
        labels = [frame.labels[0] for frame in tracker.track(frames, tracker.view((32, 40)))]
    assert extractor.types == [getattr(torch, precision)] * 3
    assert {each.dtype for each in labels} == {torch.float32}
    image = frames[0][0][None].float() / 255
    found, exact = tracker._maps(frames[0][0])[0], extractor(image)[0]
    torch.testing.assert_close(found, exact, **({"atol": 2e-2, "rtol": 2e-2} if precision == "bfloat16" else {}))


@pytest.mark.parametrize("stage", ["block2", "block1+block2"])
def test_dinos_positions_reach_the_view_and_nothing_else(golden, stage):
    """A transformer whose patches and blocks add nothing puts out its position embedding."""
    content = golden("protocols/e2e_dino")
    network = regenerated(build_network("timm:vit_tiny_patch16_224"), int(content["weight_seed"]))
    network.blocks = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Identity())
    network.norm = torch.nn.Identity()
    with torch.no_grad():
        network.patch_embed.proj.weight.zero_()
    extractor, images = extractor_of(network, stage), torch.zeros(1, 3, 480, 832)
    dino = PropagationProtocol.named("dino")
    with torch.inference_mode():
        before = extractor(images)
        seen = view_for(extractor, dino)(images)[0, :192].flatten(1).T
        own = view_for(extractor, dino.with_changes(position_embedding="network"))(images)
    np.testing.assert_allclose(seen[39::40], content["pos_interp_s"][1:], atol=1e-6)  # row 0 is the class token
    assert not torch.allclose(own[0, :192].flatten(1).T, seen, atol=1e-3)
    with torch.inference_mode():
        assert torch.equal(extractor(images), before)
    assert extractor.positions == "timm"


def test_rgb_std_needs_an_extractor_that_normalises():
    extractor = build_feature_extractor("tests.helpers.encoders:Blocky")
    with pytest.raises(ValueError, match="MapExtractor does not normalise RGB"):
        view_for(extractor, PropagationProtocol.named("dino"))


def test_the_extractor_sees_frames_at_the_protocols_size():
    seen = []

    class Spy(Patches):
        def maps(self, images):
            seen.append(images)
            return super().maps(images)

    protocol = PropagationProtocol("own", 1, 1, 1.0, None, input_size=(320, 320))
    frames = torch.randint(0, 256, (2, 3, 24, 32), dtype=torch.uint8)
    tracker = LabelTracker(Spy(), protocol)
    annotated = zip(frames, [Ones(), None], strict=True)
    labels = [tracked.labels for tracked in tracker.track(annotated, tracker.view((24, 32)))]
    assert [tuple(image.shape) for image in seen] == [(1, 3, 320, 320)] * 2
    assert labels[1][0].shape == (1, 20, 20)
    resized = F.interpolate(frames[:1].float() / 255, size=(320, 320), mode="bilinear")
    assert torch.allclose(seen[0], resized, atol=1e-6)


def test_frames_come_back_with_their_annotation_and_labels_one_at_a_time():
    """Nothing is read ahead: a frame is taken when its labels are asked for."""
    taken = []

    def frames():
        for t in range(3):
            taken.append(t)
            yield torch.full((3, 32, 32), 10 * t, dtype=torch.uint8), given if t == 0 else None

    given, tracker = Ones(), LabelTracker(Patches(8), PropagationProtocol("own", 1, 1, 1.0, None))
    tracked = tracker.track(frames(), tracker.view((32, 32)))
    first = next(tracked)
    assert taken == [0]
    assert first.annotation is given
    second = next(tracked)
    assert (int(second.frame[0, 0, 0]), second.annotation) == (10, None)
    assert taken == [0, 1]


def test_a_video_whose_first_frame_gives_nothing_is_refused():
    tracker = LabelTracker(Patches(8), PropagationProtocol("own", 1, 1, 1.0, None))
    with pytest.raises(ValueError, match="the first frame gives no annotation"):
        next(tracker.track([(torch.zeros(3, 32, 32, dtype=torch.uint8), None)], tracker.view((32, 32))))


def test_a_map_that_is_no_picture_is_refused(davis_root):
    """The last stage of a classifier at 64 px: 2 × 2 cells, which would score next to nothing without a word."""
    extractor = build_feature_extractor("raw_colour", stride=32)
    with pytest.raises(ValueError, match="have 2 × 2 cells for a frame of 64 × 64 px: labels need at least 4 × 4"):
        DavisBenchmark(davis_root).evaluate(extractor)


@pytest.mark.parametrize("size", [(40, 61), (48, 64), (33, 49)])
def test_what_was_padded_for_whole_patches_is_cut_again(tmp_path, size):
    root = write_still_davis(tmp_path / "davis", size)
    benchmark = DavisBenchmark(root, changes=NEAREST)
    benchmark.evaluate(Patches(8), tmp_path / "out")
    (sequence,) = benchmark.sequences
    mask, whole = sequence.mask(0), tuple(-(-side // 8) * 8 for side in size)
    padded = F.pad(mask, (0, whole[1] - size[1], 0, whole[0] - size[0]))
    labels = encode_masks(padded, sequence.objects, (whole[0] // 8, whole[1] // 8))
    expected = decode_masks(labels, whole)[: size[0], : size[1]]
    first, *others = predictions(tmp_path / "out")
    assert torch.equal(first, mask)
    assert set(expected.unique().tolist()) == {0, 1, 2}
    assert all(torch.equal(other, expected) for other in others)


def test_liirs_padding_keeps_its_strided_labels_in_place(tmp_path):
    """Every fourth pixel, padding of background, bilinear up-sampling to the padded size and a cut, as the source."""
    root = write_still_davis(tmp_path / "davis", (41, 62))
    own = PropagationProtocol("own", 1, 1, 1.0, None, label_encoding="strided", label_rescaling=False, feature_stride=4)
    benchmark = DavisBenchmark(root, protocol=own.with_changes(input_padding=4, name="own padded"))
    benchmark.evaluate(build_feature_extractor("tests.helpers.encoders:Blocky"), tmp_path / "out")
    mask = benchmark.sequences[0].mask(0)
    one_hot = F.one_hot(F.pad(mask, (0, 2, 0, 3)).long(), 3).permute(2, 0, 1).float()
    expected = F.interpolate(one_hot[None, :, ::4, ::4], size=(44, 64), mode="bilinear")[0].argmax(0)[:41, :62]
    _, *others = predictions(tmp_path / "out")
    assert all(torch.equal(other, expected.to(torch.uint8)) for other in others)


@pytest.mark.parametrize(("spec", "stride"), [("timm:vit_small_patch16_224", 16), ("torchvision:resnet50", 8)])
def test_any_backbone_runs_by_the_same_command(tmp_path, spec, stride):
    root, out = write_still_davis(tmp_path / "davis", (56, 61)), tmp_path / "out"
    config = tmp_path / "benchmark.yaml"
    arguments = f"{{root: {root}, output_dir: {out}, changes: {{radius: 3, context: 1}}}}"
    config.write_text(f"trainer: {{callbacks+: [{{class_path: DavisBenchmark, init_args: {arguments}}}]}}")
    trainer = ["--trainer.accelerator=cpu", "--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}"]
    main(["validate", "--model", "FrozenEncoder", f"--model.spec={spec}", f"--config={config}", *trainer])
    results = json.loads((out / "results.json").read_text())
    assert results["protocol"]["feature_stride"] == stride
    assert 0 < results["scores"]["J&F-Mean"] <= 1
    assert predictions(out)[-1].shape == (56, 61)


def test_dinos_protocol_runs_a_vit_at_its_own_size(tmp_path):
    root = write_still_davis(tmp_path / "davis", (45, 80), frames=3)
    benchmark = DavisBenchmark(root, protocol="dino", changes={"context": 1, "topk": 1})
    extractor = Patches(16)
    extractor.normalise = torch.nn.Identity()
    with pytest.raises(ValueError, match=r"Patches does not normalise RGB; .* {rgb_mean: null, rgb_std: null}"):
        benchmark.evaluate(extractor)
    benchmark = DavisBenchmark(
        root, protocol="dino", changes={"context": 1, "topk": 1, "rgb_mean": None, "rgb_std": None}
    )
    benchmark.evaluate(extractor, tmp_path / "out")
    mask = benchmark.sequences[0].mask(0)
    small = torch.from_numpy(np.array(Image.fromarray(mask.numpy()).resize((52, 30), Image.Resampling.NEAREST)))
    maps = F.one_hot(small.long(), 3).permute(2, 0, 1).float()
    upsampled = F.interpolate(maps[None], scale_factor=16, mode="bilinear")[0].argmax(0).to(torch.uint8)
    expected = Image.fromarray(upsampled.numpy()).resize((80, 45), Image.Resampling.NEAREST)
    assert np.array_equal(predictions(tmp_path / "out")[1].numpy(), np.array(expected))


def test_a_users_benchmark_under_a_new_name_works_with_defaults():
    class MyVideos(DavisBenchmark):
        name = "my_videos"

    class MyClips(YoutubeVosBenchmark):
        name = "my_clips"

    assert MyVideos("anywhere").protocol == PropagationProtocol.named("vfs", "davis")
    assert MyVideos("anywhere", protocol="dino").protocol.name == "dino"
    assert MyClips("anywhere").protocol == PropagationProtocol.named("vidcorr", "youtube_vos")
    with pytest.raises(ValueError, match="'vfs' defines no values for 'my_clips'"):
        MyClips("anywhere", protocol="vfs")


def test_rgb_mean_replaces_the_mean_in_a_view_and_nowhere_else():
    extractor = build_encoder("tests.helpers.encoders:TinyResNet").feature_extractor("res2", 4)
    protocol = PropagationProtocol("own", 1, 5, 0.1, 3, rgb_mean=(0.5, 0.25, 0.125), rgb_std=(0.5, 0.5, 0.5))
    image, mean = torch.rand(1, 3, 32, 32), torch.tensor([0.5, 0.25, 0.125]).view(3, 1, 1)
    before = extractor(image)
    same_to_the_network = extractor.normalise.mean + (image - mean) / 0.5 * extractor.normalise.std
    assert torch.allclose(view_for(extractor, protocol)(image), extractor(same_to_the_network), atol=1e-5)
    assert torch.equal(extractor(image), before)
