"""Benchmarks on data that a protocol resizes first: what is seen, followed and scored has that size."""

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from callbacks import DavisBenchmark
from callbacks.benchmarks.mask_evaluation import at_size_of_data
from datamodules.datasets import Davis
from lightning_modules.backbones import Normalise, build_feature_extractor
from lightning_modules.backbones.extractor import IMAGENET_MEAN, IMAGENET_STD
from lightning_modules.functional import PropagationProtocol
from lightning_modules.functional.propagation.sizing import fit_input
from tests.helpers.network_input import check_input
from tests.helpers.still_videos import write_still_davis

SMALL: dict[str, Any] = {"context": 1, "topk": 3, "radius": 2}


@pytest.fixture
def root(tmp_path: Any) -> Any:
    return write_still_davis(tmp_path / "davis", (60, 84))


def test_frames_and_masks_are_those_of_a_copy_on_disk(root: Any, tmp_path: Any) -> None:
    (sequence,) = Davis(root, split=None)
    protocol = PropagationProtocol.named("rsp").with_changes(resized_data=(48, 88))
    resized = at_size_of_data(sequence, protocol)
    picture = Image.open(sequence.frames[1]).resize((88, 48), Image.Resampling.NEAREST)
    picture.save(tmp_path / "copy.jpg")
    expected = np.asarray(Image.open(tmp_path / "copy.jpg")).transpose(2, 0, 1)
    frames = list(resized.read())
    assert len(frames) == sequence.num_frames
    assert np.abs(frames[1].numpy().astype(int) - expected).max() <= 3  # another decoder of the source
    mask = Image.fromarray(sequence.mask(0).numpy()).resize((88, 48), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(resized.mask(0), np.asarray(mask))
    assert (resized.size, resized.name, resized.objects) == ((48, 88), sequence.name, sequence.objects)
    assert at_size_of_data(sequence, protocol.with_changes(resized_data=None)) is sequence
    assert at_size_of_data(sequence, protocol.with_changes(resized_data=sequence.size)) is sequence


def test_predictions_are_written_and_scored_at_the_size_of_the_data(root: Any, tmp_path: Any) -> None:
    extractor = build_feature_extractor("raw_colour", stride=8)
    changes = SMALL | {"input_size": (48, 88), "feature_stride": 8, "resized_data": (48, 88)}
    benchmark = DavisBenchmark(root, split=None, protocol="cropmae", changes=changes)
    scores = benchmark.evaluate(extractor, tmp_path / "out")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["protocol"]["resized_data"] == [48, 88]
    masks = [np.asarray(Image.open(path)) for path in (tmp_path / "out" / "predictions").rglob("*.png")]
    assert {mask.shape for mask in masks} == {(48, 88)}
    assert 0 < scores["J&F-Mean"] <= 1


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("catmae", "catmae-16"),
        ("catmae", "catmae-8"),
        ("cropmae_davis_from_resized480x880", "cropmae"),
        ("rsp_from_resized480x880", "rsp"),
    ],
)
def test_the_network_sees_the_resized_copy_as_in_the_original_codes(
    golden: Any, shared_data: Any, family: str, name: str
) -> None:
    expected, protocol = golden("protocols/inputs"), PropagationProtocol.named(name)
    name_of_video, file = str(expected["frame_file"]).split("/")[-2:]
    sequence = next(one for one in Davis(shared_data / "davis") if one.name == name_of_video)
    frame = at_size_of_data(sequence, protocol).frame(int(file.removesuffix(".jpg")))
    np.testing.assert_allclose(frame.double().mean((1, 2)), expected["resized_jpg_rgb_mean"], atol=1e-6)
    normalise = Normalise(protocol.rgb_mean or IMAGENET_MEAN, protocol.rgb_std or IMAGENET_STD)
    check_input(normalise(fit_input(frame[None], protocol))[0], expected, family)
