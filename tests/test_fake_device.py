"""Work on a GPU that is not there: nothing waits for it but what must, nothing is left on the CPU."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.utils._pytree import tree_leaves

import vidcorr
from datamodules.loading.colour import ColourAugmentation
from lightning_modules import Liir, SiamFC
from tests.helpers.fake_device import Waits, fake_gpu, moved
from vidcorr.backbones import build_encoder, build_feature_extractor
from vidcorr.datasets.generated import write_davis, write_jhmdb, write_otb, write_tap_vid, write_vip, write_youtube_vos
from vidcorr.functional import LabelPropagator
from vidcorr.protocols import PointProtocol, PropagationProtocol
from vidcorr.tracking import frame_encoder

R18 = "torchvision:resnet18"
SOURCES = PropagationProtocol.sources()
WAITING = {
    name for name in SOURCES if PropagationProtocol.named(name, next(iter(SOURCES[name].values))).topk_ties == "kept"
}
"""Protocols that keep ties: whether there are more than were searched for is one question a frame to the device."""


@pytest.mark.parametrize(
    "waiting",
    [
        lambda there, here: there.sum().item(),
        lambda there, here: there.cpu(),
        lambda there, here: here.to(there.device),
        lambda there, here: torch.tensor([1.0], device=there.device),
        lambda there, here: here.copy_(there),
        lambda there, here: there[there > 0],
        lambda there, here: there.index_put_((there > 0,), there),
        lambda there, here: there[torch.arange(2)],
        lambda there, here: there.nonzero(),
        lambda there, here: bool(there.any()),
    ],
)
def test_what_waits_raises_on_the_fake_device(waiting):
    with fake_gpu() as gpu, pytest.raises(Waits):
        waiting(torch.zeros(3, device=gpu.device), torch.zeros(3))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(SOURCES) - WAITING))
def test_propagation_never_waits(name):
    protocol = PropagationProtocol.named(name, next(iter(SOURCES[name].values)))
    with fake_gpu() as gpu:
        propagator = LabelPropagator(torch.rand(3, 9, 12), protocol)
        for _ in range(4):
            labels = propagator.step(torch.randn(8, 9, 12, device=gpu.device))
    assert labels.device.type == "cuda"
    assert labels.shape == (3, 9, 12)
    assert not gpu.reads


KERNELS = {
    ("vfs", 8): 120,  # 720 with the tiles of a CPU
    ("dino", 8): 120,
    ("crw", 8): 160,  # frame 0 is searched everywhere
    ("vfs", 4): 220,
    ("liir", 4): 220,  # 15,774 with the tiles of a CPU
}
"""Protocol and stride → most kernels of a frame of DAVIS at 480p, on a GPU of 24 GiB."""
IN_CI = (("vfs", 8), ("liir", 4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stride"),
    [
        pytest.param(*case, marks=() if case in (("vfs", 8), ("liir", 4)) else pytest.mark.exhaustive)
        for case in KERNELS
    ],
)
def test_a_frame_takes_few_kernels_and_waits_once_where_ties_are_kept(name, stride):
    """Count a frame whose references are all there."""
    height, width, channels = 480 // stride, -(-854 // stride), 64 if name == "liir" else 256
    with fake_gpu() as gpu:
        propagator = LabelPropagator(torch.rand(4, height, width), PropagationProtocol.named(name, "davis"))
        features = torch.randn(channels, height, width, device=gpu.device)
        for _ in range(30):
            propagator.step(features)
        kernels, reads = gpu.kernels, gpu.reads
        propagator.step(features)
    assert gpu.kernels - kernels <= KERNELS[name, stride]
    assert gpu.reads - reads == (name in WAITING)


def liirs(position):
    return Liir(position=position, position_size=32, bank={"frames": 0}).feature_extractor("affinity")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (build_feature_extractor, (R18, "res4", 8)),
        (build_feature_extractor, ("timm:vit_tiny_patch16_224", "block2+block4", 8)),
        (build_feature_extractor, ("tests.helpers.encoders:Blocky",)),
        (build_feature_extractor, ("raw_colour", None, 8)),
        (SiamFC(R18).feature_extractor, ()),
        (liirs, ("1dape",)),
        (liirs, ("2dspe",)),
    ],
)
def test_extractors_stay_on_the_device(make, arguments):
    extractor = make(*arguments)
    with fake_gpu() as gpu:
        images = torch.rand(1, 3, 128, 128, device=gpu.device)
        for view in [extractor, extractor.folded()] if hasattr(extractor, "folded") else [extractor]:
            twin = moved(view, gpu.device)
            for encode in (twin, getattr(twin, "exemplar", twin)):
                assert {maps.device.type for maps in tree_leaves(encode(images))} == {"cuda"}


@pytest.mark.slow
def test_colours_are_augmented_without_a_wait():
    with fake_gpu() as gpu:
        frames = torch.rand(8, 3, 64, 64, device=gpu.device)
        assert ColourAugmentation()(frames, torch.Generator().manual_seed(0)).is_cuda


SMALL = {"size": (64, 64)}
BENCHMARKS = {
    "davis": (write_davis, SMALL, partial(vidcorr.DavisBenchmark, split=None)),
    "youtube_vos": (write_youtube_vos, SMALL | {"valid": 1, "frames": 41}, vidcorr.YoutubeVosBenchmark),
    "vos": (write_davis, SMALL, partial(vidcorr.VosBenchmark, frames="JPEGImages/480p", masks="Annotations/480p")),
    "jhmdb": (write_jhmdb, {}, vidcorr.JhmdbBenchmark),
    "vip": (write_vip, SMALL | {"sprites": (2, 2)}, partial(vidcorr.VipBenchmark, parts=["instance"])),
}
"""Name → writer of a video of nine frames, what it writes otherwise, the benchmark."""


def reads_of(benchmark, extractor, out):
    """Evaluate on the fake device; return how often it was waited for."""
    with fake_gpu() as gpu:
        benchmark.evaluate(moved(extractor, gpu.device), out)
    assert (out / "results.json").is_file()
    return gpu.reads


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("jhmdb", "float32"),
        ("davis", "bfloat16"),
        *((name, "float32") for name in ("davis", "youtube_vos", "vos", "vip")),
    ],
)
def test_benchmarks_read_only_what_they_write(name, precision, tmp_path, monkeypatch):
    """From files to scores and files: labels and what is decoded of a frame, and at the end if all were finite."""
    write, more, make = BENCHMARKS[name]
    benchmark = make(write(tmp_path / name, 1, **{"frames": 9} | more))
    changed = benchmark.protocol.with_changes(backbone_precision=precision, input_size=(64, 64))
    benchmark = replace(benchmark, protocol=changed)
    (sequence,) = benchmark.sequences
    assert sequence.num_frames == 9
    monkeypatch.setattr(frame_encoder, "MOST_AT_ONCE", 3)
    extractor = build_feature_extractor("tests.helpers.encoders:TinyResNet", "res4", 8)
    assert reads_of(benchmark, extractor, tmp_path / "out") == 9 * 2 + 3


@pytest.mark.sampled(3, "exhaustive")
@pytest.mark.slow
@pytest.mark.parametrize("name", PointProtocol.sources())
def test_points_are_read_once_a_video(name, tmp_path):
    """Places, similarities, misses, digest of weights; if all frames are finite, and the first constant."""
    rules = PointProtocol.named(name, "tap_vid").with_changes(input_size=(64, 64), query_mode="strided")
    benchmark = vidcorr.TapVidBenchmark(write_tap_vid(tmp_path / "tap_vid", 1, frames=7), protocol=rules)
    extractor = build_feature_extractor("tests.helpers.encoders:TinyResNet", "res4", 8)
    assert reads_of(benchmark, extractor, tmp_path / "out") == 4 + 2


@pytest.mark.slow
def test_siamfc_waits_once_a_frame(tmp_path):
    """For the positions of the peaks, without which the next regions cannot be cut out."""
    benchmark = vidcorr.OtbBenchmark(write_otb(tmp_path / "otb", 2, frames=4), version=None)
    extractor = benchmark.extractor(build_encoder("tests.helpers.encoders:TinyResNet"))
    assert reads_of(benchmark, extractor, tmp_path / "out") == 2 * 3 + 1
