"""Frames to masks and scores against the original scripts, and on data that a protocol resizes first."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from tests.helpers.network_input import check_input
from tests.helpers.regenerated import regenerated
from tests.helpers.sprite import read_masks
from tests.helpers.still_videos import write_still_davis
from vidcorr import DavisBenchmark, Result
from vidcorr.backbones import Normalise, build_feature_extractor
from vidcorr.benchmarks.mask_benchmark import at_size_of_data, saved_at
from vidcorr.datasets import Davis
from vidcorr.description import IMAGENET_MEAN, IMAGENET_STD
from vidcorr.functional.propagation.coding import fit_input
from vidcorr.protocols import PropagationProtocol


def first_frames(data, names, root, count=8):
    """Make a DAVIS folder of the first frames of some sequences."""
    for name in names:
        for folder, ending in (("JPEGImages", "jpg"), ("Annotations", "png")):
            (root / folder / "480p" / name).mkdir(parents=True)
            for t in range(count):
                file = Path(folder, "480p", name, f"{t:05d}.{ending}")
                (root / file).symlink_to((data / file).resolve())
    return root


def vit(content, spec, **options):
    """Return the view of a transformer with the weights of a golden file, on ImageNet's mean as the scripts."""
    network = timm.create_model(spec, num_classes=0, dynamic_img_size=True, **options)
    network.input_mean = IMAGENET_MEAN
    network.input_std = IMAGENET_STD
    network = regenerated(network, int(content["weight_seed"]))
    parameters = [parameter.detach().double() for _, parameter in sorted(network.named_parameters())]
    found = [[float(x) for x in (p.sum(), p.abs().sum(), p.flatten()[0], p.flatten()[-1])] for p in parameters]
    np.testing.assert_allclose(np.array(found), content["param_checks"], rtol=1e-6, atol=1e-6)
    return build_feature_extractor(network)


def run(root, content, extractor, protocol, masks, out):
    """Run the benchmark, compare its masks with those of the original script (`masks` with a place for the name)."""
    DavisBenchmark(root, split=None, protocol=protocol).evaluate(extractor, out)
    for folder in (out / "predictions").iterdir():
        found = read_masks(folder).numpy()[1:]  # frame 0 is the given mask
        expected = content[masks.format(folder.name)][: len(found)]
        assert found.shape == expected.shape
        assert (found != expected).mean() <= 2e-4, f"{folder}: {(found != expected).sum()} pixels differ"
    return Result.load(out).scores


@pytest.mark.slow
@torch.no_grad()
def test_masks_are_those_of_dinos_script(golden, real_data, tmp_path):
    """The first frames of a sequence."""
    content = golden("protocols/e2e_dino")
    root = first_frames(real_data("davis"), content["seqs"].tolist()[:1], tmp_path / "davis", count=3)
    protocol = PropagationProtocol.named("dino").with_changes(feature_stride=16)
    run(root, content, vit(content, "vit_tiny_patch16_224"), protocol, "{}_masks", tmp_path / "out")


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("data", ["resized", "native"])
@torch.no_grad()
def test_masks_and_scores_are_those_of_cropmaes_script(golden, real_data, tmp_path, data):
    """Data and truth at 480 × 880, as the script's default, or both as DAVIS has them.

    Decays are differences of two frames here: one cell is a near tie.
    """
    content = golden("protocols/e2e_cropmae")
    root = first_frames(real_data("davis"), content["seqs"].tolist(), tmp_path / "davis")
    protocol = PropagationProtocol.named("cropmae")
    if data == "native":
        protocol = protocol.with_changes(resized_data=None)
    extractor = vit(content, "vit_small_patch16_224", depth=int(content["depth"]))
    scores = run(root, content, extractor, protocol, f"{data}_{{}}_masks_{data}", tmp_path / "out")
    for (name, found), expected in zip(scores.items(), content[f"table_{data}_gt_{data}"], strict=True):
        assert found == pytest.approx(expected, abs=2e-3 if "Decay" in name else 5e-4), name


def test_masks_are_those_of_a_copy_on_disk(tmp_path):
    (sequence,) = Davis(write_still_davis(tmp_path / "davis", (60, 84)), split=None)
    protocol = PropagationProtocol.named("rsp").with_changes(resized_data=(48, 88))
    resized, frames = at_size_of_data(sequence, protocol)
    assert [frame.shape for frame in frames] == [(3, 48, 88)] * sequence.num_frames
    mask = Image.fromarray(sequence.read_mask(0).numpy()).resize((88, 48), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(resized.read_mask(0), np.asarray(mask))
    assert (resized.size, resized.name, resized.objects) == ((48, 88), sequence.name, sequence.objects)
    for size in (None, sequence.size):
        same, frames = at_size_of_data(sequence, protocol.with_changes(resized_data=size))
        assert same is sequence
        assert torch.equal(next(frames), sequence.frame(0))


RESIZED = {"catmae-16": "catmae", "cropmae": "cropmae_davis_from_resized480x880", "rsp": "rsp_from_resized480x880"}


@pytest.mark.slow
def test_the_network_sees_the_resized_copy_as_in_the_original_codes(golden, real_data):
    expected = golden("protocols/inputs")
    name_of_video, file = str(expected["frame_file"]).split("/")[-2:]
    sequence = next(one for one in Davis(real_data("davis")) if one.name == name_of_video)
    original = sequence.frame(int(file.removesuffix(".jpg")))
    for name, key in RESIZED.items():
        protocol = PropagationProtocol.named(name)
        frame = saved_at(original, protocol.resized_data)
        np.testing.assert_allclose(frame.double().mean((1, 2)), expected["resized_jpg_rgb_mean"], atol=1e-6)
        normalise = Normalise(protocol.rgb_mean or IMAGENET_MEAN, protocol.rgb_std or IMAGENET_STD)
        check_input(normalise(fit_input(frame[None], protocol))[0], expected, key)
