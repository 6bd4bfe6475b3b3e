"""Work on a GPU that is not there, `fit` among it: nothing waits for it but what must, nothing is left on the CPU."""

from functools import partial

import pytest
import torch
from pytorch_lightning.callbacks import TQDMProgressBar

import vidcorr
from tests.helpers.fake_device import fake_gpu, moved, training_on
from tests.helpers.method_steps import METHODS, tiny, tiny_batch
from tests.helpers.training import quiet_trainer
from tests.speed.training_step import InMemory
from vidcorr.backbones import load
from vidcorr.callbacks import CollapseMonitor, Stops, Throughput
from vidcorr.datamodules.loading.batch_colours import ColourAugmentation
from vidcorr.datasets.generated import write_davis, write_otb, write_tap_vid
from vidcorr.functional import LabelPropagator
from vidcorr.protocols import PropagationProtocol

pytestmark = pytest.mark.slow
RESNET = "tests.helpers.encoders:TinyResNet"
FRAMES = 3
OF_VIDEO = 2 * FRAMES + 2
"""Waits of a video: labels and masks of each frame; whether the first frame is constant, and all labels are finite."""
DIGEST = 1
"""Wait of a result: the weights, for their digest."""


@pytest.mark.parametrize(("name", "stride", "most", "waits"), [("dino", 8, 120, 1), ("liir", 4, 260, 0)])
def test_a_frame_takes_few_kernels_and_waits_once_where_ties_are_kept(name, stride, most, waits):
    """A frame of DAVIS at 480p whose references are all there; with the tiles of a CPU, liir takes 15,774 kernels."""
    height, width = 480 // stride, -(-854 // stride)
    with fake_gpu() as gpu:
        propagator = LabelPropagator(torch.rand(4, height, width), PropagationProtocol.named(name, "davis"))
        features = torch.randn(64 if name == "liir" else 256, height, width, device=gpu.device)
        for _ in range(12):
            kernels, reads = gpu.operations.kernels, gpu.reads
            assert propagator.step(features).is_cuda
    assert gpu.operations.kernels - kernels <= most
    assert gpu.reads - reads == waits


def test_colours_are_augmented_without_a_wait():
    with fake_gpu() as gpu:
        frames = torch.rand(8, 3, 64, 64, device=gpu.device)
        assert ColourAugmentation()(frames, torch.Generator().manual_seed(0)).is_cuda


SMALL = {"size": (64, 64)}
LOW = {"input_size": (64, 64), "backbone_precision": "bfloat16"}
BENCHMARKS = {
    "davis": (write_davis, SMALL, partial(vidcorr.DavisBenchmark, split=None, changes=LOW), OF_VIDEO),
    "tap_vid": (write_tap_vid, SMALL, partial(vidcorr.TapVidBenchmark, protocol="fomo"), 4),
    "otb": (write_otb, {}, partial(vidcorr.OtbBenchmark, version=None), FRAMES - 1),  # where to cut out the next region
}
"""Name → writer of a video of three frames, its options, the benchmark, waits."""
FOLDED = 1
"""Wait for the comparison of folded BatchNorms with the network's call, once a run."""


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_read_only_what_they_write(name, tmp_path):
    """From files to scores and files."""
    write, more, make, waits = BENCHMARKS[name]
    benchmark = make(write(tmp_path / name, 1, **{"frames": FRAMES} | more))
    extractor = load(RESNET).view(**benchmark.view_options(load(RESNET)))
    with fake_gpu() as gpu:
        benchmark.evaluate(moved(extractor, gpu.device), tmp_path / "out")
    assert (tmp_path / "out/results.json").is_file()
    assert gpu.reads == waits + DIGEST + FOLDED


STEPS = {name: (name, {}) for name in METHODS}
STEPS["Liir, shared"] = ("Liir", {"bank": {"frames": 4, "negatives": "shared"}, "prior": None})
"""Step → its method and arguments."""
EMBED = ("VFSSimSiam", "VFSMoCo", "Liir", "ContrastiveRandomWalk")
"""Methods whose steps return embeddings."""
WAITS = {"Liir": 1}
"""Step → waits for the device: which windows are drawn towards their peaks is asked once for each part of a batch."""


PRECISIONS = [*((step, "32-true") for step in STEPS), ("VFSMoCo", "bf16-mixed"), ("Liir", "bf16-mixed")]


@pytest.mark.parametrize(("step", "precision"), PRECISIONS)
def test_steps_stay_on_the_device(step, precision):
    """Two steps with their callbacks, optimiser, momentum encoder and queue; the first loss is read in the second."""
    name, arguments = STEPS[step]
    module = tiny(name, **arguments)
    batch = tiny_batch(name, samples=4)
    checks = [Stops(), Throughput(), TQDMProgressBar()]
    if name in EMBED:
        checks.append(CollapseMonitor())
    with fake_gpu() as gpu, training_on(gpu):
        options = {"accelerator": "gpu", "enable_progress_bar": True, "limit_val_batches": 0}
        trainer = quiet_trainer(**options, precision=precision, max_steps=2, callbacks=checks)
        trainer.fit(module, datamodule=InMemory(batch))
    assert trainer.global_step == 2
    of_first_batch = len(module.images)  # the range of each
    assert gpu.reads == 2 * WAITS.get(step, 0) + 1 + of_first_batch
