"""Every command for frozen networks, with encoders of every kind, on a GPU that is not there: see fake_device.py."""

import re

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor

from cli import main
from lightning_modules import FrozenEncoder
from tests.helpers.fake_device import fake_gpu
from tests.helpers.words import refusal
from vidcorr import FrameStream, JhmdbBenchmark, TapVidBenchmark, predict_video
from vidcorr.benchmarks.network import NetworkSpec
from vidcorr.datasets.generated import write_davis, write_jhmdb, write_tap_vid
from vidcorr.errors import ROOM
from vidcorr.functional.device import device_of
from vidcorr.tracking.predict import extractor_for
from vidcorr.videos.prompts import BoxPrompt, MaskPrompt, PointPrompt

RESNET, VIT = "tests.helpers.encoders:TinyResNet", "timm:test_vit"
CLIPS, RECURRENT = "tests.helpers.encoders:clips", "tests.helpers.encoders:recurrent"
FRAMES = 3
OF_VIDEO = 2 * FRAMES + 2
"""Waits of a video: labels and masks of each frame; whether the first frame is constant, and all labels are finite."""
DIGEST = 1
"""Wait of a result: the weights, for their digest."""


@pytest.fixture(scope="module")
def davis(tmp_path_factory):
    """A video of three frames, 64 px."""
    return write_davis(tmp_path_factory.mktemp("davis") / "davis", 1, frames=FRAMES, size=(64, 64))


def there(spec, gpu):
    """Return a frozen encoder that Lightning has moved to the device."""
    module = FrozenEncoder(spec).to(gpu.device, non_blocking=True)
    assert device_of(module).type == "cuda"
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "write", "make", "reads"),
    [
        (CLIPS, write_jhmdb, JhmdbBenchmark, OF_VIDEO + DIGEST),
        (RECURRENT, write_tap_vid, TapVidBenchmark, 6),
    ],
)
def test_validate(spec, write, make, reads, tmp_path):
    """Benchmarks with a ResNet are in test_fake_device.py."""
    benchmark = make(write(tmp_path / "data", 1, frames=FRAMES), changes={"input_size": (64, 64)})
    with fake_gpu() as gpu:
        benchmark.evaluate(there(spec, gpu), tmp_path / "out")
    assert gpu.reads == reads


LOW = {"backbone_precision": "bfloat16"}
POINT = PointPrompt.of([[20.0, 20.0]])
PREDICTIONS = {
    "a mask, with ties kept": (RESNET, MaskPrompt.of, {"protocol": "dino"}, OF_VIDEO + FRAMES - 1),
    "a mask, in bfloat16": (RECURRENT, MaskPrompt.of, {"changes": LOW}, OF_VIDEO),
    "a box": (RESNET, lambda mask: BoxPrompt.of([8, 8, 30, 30]), {}, FRAMES - 1),
    "points by heat-maps": (VIT, lambda mask: POINT, {}, OF_VIDEO),
    "points by matching": (CLIPS, lambda mask: POINT, {"protocol": "vidcorr-points"}, 5),
}
"""Name → network, mask to prompt, arguments of `predict_video`, waits."""


@pytest.mark.slow
@pytest.mark.parametrize("name", PREDICTIONS)
def test_predict(name, davis, tmp_path):
    spec, prompt_of, options, reads = PREDICTIONS[name]
    frames, masks = (next((davis / kind / "480p").iterdir()) for kind in ("JPEGImages", "Annotations"))
    with fake_gpu() as gpu:
        prompt = prompt_of(min(masks.iterdir()))
        extractor = extractor_for(there(spec, gpu), prompt)
        predict_video(extractor, FrameStream(frames), prompt, tmp_path / "out", overlay=False, **options)
    assert gpu.reads == reads


LOWERED = {
    "predict": ("lower short_side", "vidcorr.tracking.siamfc_tracker.SiamFCTracker.start"),
    "evaluate": ("davis, .*a smaller input_size", "vidcorr.tracking.frame_encoder.FrameEncoder.__call__"),
}
"""Command → what its advice names, and a function that computes on the device."""


def full(*arguments):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 8 GiB in total, of which …")


@pytest.mark.parametrize("command", LOWERED)
def test_a_full_device_says_what_to_lower_in_one_line(command, davis, tmp_path, monkeypatch):
    """While the network runs, and when it is moved to the device; the words for `fit` are in test_base.py."""
    (video,) = (davis / "JPEGImages" / "480p").iterdir()
    out = str(tmp_path / "out")
    words = {
        "predict": [str(video), "--box=8,8,30,30", f"--output={out}", f"--model={RESNET}"],
        "evaluate": [RESNET, "--on", f"davis={davis}", "--output", out],
    }
    moves = {"predict": "vidcorr.functional.device.on_device", "evaluate": "vidcorr.experiments.evaluate.on_device"}
    advice, computes = LOWERED[command]
    for place, said in ((computes, advice), (moves[command], ROOM)):
        with monkeypatch.context() as patched:
            patched.setattr(place, full)
            line = refusal(command, *words[command])
        assert re.search(f"CUDA out of memory. Tried to allocate 2.00 GiB; .*{said}", line)
        assert "of which" not in line


@pytest.fixture
def built(monkeypatch):
    """List the encoders that a command builds by name; at the end all their tensors must be on the CPU as before."""
    encoders, build = [], NetworkSpec.build

    def noted(spec):
        encoder = build(spec)
        encoders.extend([encoder] if spec.is_named else [])  # an extractor, on the device already, stands for itself
        return encoder

    monkeypatch.setattr(NetworkSpec, "build", noted)
    yield
    tensors = [tensor for encoder in encoders for tensor in (*encoder.parameters(), *encoder.buffers())]
    assert tensors
    assert not any(isinstance(tensor, FakeTensor) for tensor in tensors)


def waits(davis, tmp_path, *words):
    """Run a command on DAVIS; return the number of waits."""
    with fake_gpu() as gpu:
        main([*words, "--on", f"davis={davis}", "--output", str(tmp_path / "out")])
    return gpu.reads


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_evaluate(davis, tmp_path):
    """Several networks, and two views of the first network."""
    networks = [RESNET, f"{RESNET}@res3/4", VIT, CLIPS, RECURRENT]
    assert waits(davis, tmp_path, "evaluate", *networks) == len(networks) * (OF_VIDEO + DIGEST)


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_two_protocols(davis, tmp_path):
    words = ["evaluate", RESNET, "--protocol", "vfs", "vfs+topk=3"]
    assert waits(davis, tmp_path, *words) == 2 * (OF_VIDEO + DIGEST)
