"""The recipes carry the values that the papers print, and each axis of their tables is a flag.

Values stand here as the papers have them (VFS: arXiv 2103.17263; Liir: arXiv 2203.14333; MoCo: 1911.05722, section 4.1;
SimSiam: 2011.10566, appendix A), so that a config that drifts from them fails.
"""

from collections import Counter

import pytest
import torch

from callbacks.command_line.runs import VidcorrCLI
from lightning_modules.functional import PropagationProtocol

pytestmark = pytest.mark.slow
GPUS = 8
BATCH = 256  # VFS, section 4.1
EPOCHS_OF_THE_LIST = {"r18": 100, "r50": 500}  # VFS, section 4.1
VFS = {"base_lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4}  # section 4.1
MOCO = {"encoder_momentum": 0.999, "temperature": 0.2, "queue_size": 65536}  # section 4.1
TABLE_A1 = {
    "davis": {"topk": 10, "context": 20, "radius": 12},
    "vip": {"topk": 10, "context": 8, "radius": 20},
    "jhmdb": {"topk": 10, "context": 4, "radius": 20},
}


def build(*files, flags=()):
    """Build what the files and flags stand for, on a CPU."""
    words = [f"--config={file}" for file in ("trainer/gpus.yaml", *files)]
    machine = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.strategy=auto", "--trainer.logger=false"]
    return VidcorrCLI([*words, *machine, *flags], run=False)


def benchmark_of(built):
    entries = built.config["trainer"]["callbacks"]
    (benchmark,) = [entry for entry in entries if entry.class_path.endswith("Benchmark")]
    return benchmark.init_args


@pytest.mark.parametrize("name", ["vfs_simsiam_r18", "vfs_simsiam_r50", "vfs_moco_r18", "vfs_moco_r50"])
def test_vfs_section_4_1(name):
    depth = name[-3:]
    # "2 frames" of Tables 5 and 6; a pass over the list five times makes 500 epochs of 100
    flags = ["--data.frames=2", *(["--data.repeat=5"] if depth == "r50" else ["--data.repeat=1"])]
    built = build(f"{name}.yaml", "data/kinetics.yaml", flags=flags)
    given = built.model.hparams
    assert {key: given[key] for key in VFS} == VFS
    assert given["backbone"] == f"torchvision:resnet{depth[1:]}"
    assert built.datamodule.batch_size * GPUS == BATCH
    assert built.trainer.max_epochs * built.datamodule.repeat == EPOCHS_OF_THE_LIST[depth]
    assert built.trainer.accumulate_grad_batches == 1
    assert built.datamodule.colour is None  # the default of the study
    if "moco" in name:
        assert {key: given[key] for key in MOCO} == MOCO
        assert given["projection_dim"] == 128
        assert MOCO["queue_size"] % (BATCH * 2 // 2) == 0
    else:  # the released heads: 3-layer projector and 2-layer predictor
        assert (given["projector_dim"], given["predictor_dim"]) == {"r18": (512, 128), "r50": (2048, 512)}[depth]


def test_vfs_augmentation_and_sampling():
    data = build("vfs_simsiam_r18.yaml", "data/kinetics.yaml").config["data"]["init_args"]
    assert (data["size"], tuple(data["area"]), data["flip"]) == (224, (0.2, 1.0), 0.5)
    assert (data["sampling"], data["frames"], data["repeat"]) == ("distant", 8, 2)  # the released R18 recipe


@pytest.mark.parametrize("interval", [0, 2, 4, 8, 16, 32])
def test_vfs_table_3(interval):
    flags = ("--data.sampling=continuous", f"--data.interval={interval}", "--data.frames=2", "--data.spatial=false")
    built = build("vfs_simsiam_r18.yaml", "data/kinetics.yaml", flags=flags)
    first, second = built.datamodule.sampling(300, None)
    assert second - first == interval


@pytest.mark.parametrize("name", TABLE_A1)
def test_vfs_table_a1(name):
    built = build("vfs_simsiam_r18.yaml", f"benchmarks/{name}.yaml")
    benchmark = benchmark_of(built)
    assert (benchmark.protocol, benchmark.changes) == ("vfs", None)
    assert built.model.feature_extractor(benchmark.stage).stages == ["res4"]  # section 4.2
    fields = PropagationProtocol.named("vfs", name).fields()
    assert {key: fields[key] for key in TABLE_A1[name]} == TABLE_A1[name]
    assert (fields["temperature"], fields["neighbourhood"], fields["feature_stride"]) == (0.07, "circle", 8)


def test_liir_protocol():
    benchmark = benchmark_of(build("liir.yaml", "benchmarks/davis_liir.yaml"))
    assert (benchmark.protocol, benchmark.changes, benchmark.stage) == ("liir", None, "affinity")
    fields = PropagationProtocol.named("liir", "davis").fields()
    assert (fields["references"], fields["radius"], fields["feature_stride"]) == ([0, 5, -5, -3, -1], 14, 4)
    assert (fields["mixture_components"], fields["topk"], fields["temperature"]) == (2, None, 1.0)


def test_liir_section_3_3():
    built = build("liir.yaml", "data/youtube_vos_train.yaml")
    wanted = {
        "bank_frames": 1440,
        "points_per_frame": 4,
        "position": "1dape",
        "modulation": "shift",
        "mixture_components": 2,
        "radius": 6,
        "warmup_lr": 1e-3,
        "lr": 1e-4,
        "warmup_epochs": 30,
        "encoder_momentum": 0.999,
    }
    assert {key: built.model.hparams[key] for key in wanted} == wanted
    assert built.trainer.max_epochs == 35
    data = built.config["data"]["init_args"]
    assert (data["frames"], data["size"], data["spatial"], data["samples_per_epoch"]) == (2, 256, "whole", 69600)
    assert built.datamodule.batch_size * 2 == 12  # two GPUs


def test_liir_draws_the_intervals_of_its_pairs():
    built = build("liir.yaml", "data/youtube_vos_train.yaml")
    generator = torch.Generator().manual_seed(0)
    gaps = Counter()
    for _ in range(4000):
        first, second = built.datamodule.sampling(100, generator)
        gaps[int(second - first)] += 1
    assert gaps.keys() == {2, 5, 8}
    for interval, probability in {2: 0.66, 5: 0.25, 8: 0.08}.items():
        assert gaps[interval] / 4000 == pytest.approx(probability / 0.99, abs=0.02)


@pytest.mark.parametrize(
    ("name", "batch", "epochs", "lr"), [("moco", 256, 100, 30), ("simsiam", 4096, 90, 0.1)], ids=["moco", "simsiam"]
)
def test_linear_protocols(name, batch, epochs, lr):
    built = build(f"linear_probe_{name}.yaml")
    assert built.datamodule.batch_size * GPUS == batch
    assert built.trainer.max_epochs == epochs
    assert built.model.base_lr == lr
    assert built.model.hparams["num_classes"] == 1000
    assert built.model.hparams["weight_decay"] == 0


def test_siamfc_appendix_a():
    built = build("siamfc_r18.yaml", "data/got10k.yaml", "benchmarks/otb.yaml")
    assert built.trainer.max_epochs == 50
    assert built.datamodule.batch_size == 8
    assert built.model.hparams["lr"] == 1e-3
    assert (built.model.hparams["last_lr"] / built.model.hparams["lr"]) ** (1 / 50) == pytest.approx(0.912, abs=5e-4)
    assert built.model.hparams["stage"] == "res5"


@pytest.mark.parametrize(("depth", "blocks"), [(18, [2, 2]), (50, [6, 3])])
def test_vfs_figures_4_and_5(depth, blocks):
    built = build(f"vfs_simsiam_r{depth}.yaml", f"benchmarks/davis_blocks_r{depth}.yaml")
    stages = benchmark_of(built).stage
    assert stages == [f"res{4 + part}.b{block + 1}" for part, count in enumerate(blocks) for block in range(count)]
    assert len(built.model.feature_extractor(stages).stages) == sum(blocks)
