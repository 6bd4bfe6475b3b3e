"""The end of a run: at most three closing lines, and no empty folders after a failure."""

import pytest
import torch
from callbacks.training.closing import closing_lines
from pytorch_lightning import Trainer
from pytorch_lightning.trainer.states import TrainerFn

from callbacks import BestCheckpoint, DavisBenchmark
from callbacks.command_line.configs import shipped_configs
from callbacks.training.checkpoint import LastCheckpoint
from cli import main
from lightning_modules import FrozenEncoder, LinearProbe, SiamFC

TINY = [
    "--model=VFSSimSiam",
    "--model.backbone=tests.helpers.encoders:TinyResNet",
    "--model.projector_dim=16",
    "--model.predictor_dim=8",
    "--data=VideoDataModule",
    "--data.frames=2",
    "--data.size=32",
    "--data.batch_size=2",
    "--data.num_workers=0",
    "--trainer.accelerator=cpu",
    "--trainer.max_epochs=1",
]


def benchmark(davis_root, *more):
    changes = "--trainer.callbacks.changes={radius: 3, context: 2}"
    return ["--trainer.callbacks+=DavisBenchmark", f"--trainer.callbacks.root={davis_root}", changes, *more]


def test_a_fit_ends_with_score_report_checkpoint(video_folder, davis_root, tmp_path, capsys):
    more = benchmark(davis_root, "--trainer.callbacks.stage=res4", "--trainer.callbacks.before_training=true")
    main(["fit", *TINY, f"--data.source={video_folder}", f"--trainer.default_root_dir={tmp_path}", *more])
    score, report, checkpoint = capsys.readouterr().out.splitlines()[-3:]
    assert score.startswith("davis/J&F-Mean ")
    assert score.count(" % at step ") == 2
    assert (tmp_path / report.removeprefix("report: ")).is_file()
    path = checkpoint.removeprefix("checkpoint: ").partition(";")[0]
    assert path.endswith("last.ckpt")
    assert (tmp_path / path).is_file()
    assert checkpoint.endswith(f"next: vidcorr validate --ckpt_path {path} --config benchmarks/davis.yaml")
    again = ["--trainer.accelerator=cpu", f"--trainer.default_root_dir={tmp_path}"]
    main(["validate", f"--ckpt_path={path}", *again, *benchmark(davis_root, "--trainer.callbacks.stage=res4")])
    assert capsys.readouterr().out.count("J&F-Mean") == 1  # the checkpoint has the scores of its training too


def test_a_validation_prints_its_score_once_in_per_cent(davis_root, tmp_path, capsys):
    more = benchmark(davis_root, f"--trainer.callbacks.output_dir={tmp_path / 'out'}")
    main(["validate", "--model=FrozenEncoder", "--model.spec=raw_colour", "--trainer.accelerator=cpu",
          f"--trainer.default_root_dir={tmp_path}", *more])  # fmt: skip
    said = capsys.readouterr().out
    assert said.count("J&F-Mean") == 1
    assert said.splitlines()[-1] == f"report: {tmp_path / 'out/report.html'}"
    assert "Validate metric" not in said
    assert "hp_metric" not in said


class TimeOrder(DavisBenchmark):
    """A user's own benchmark."""

    name = "time_order"


def test_the_next_command_names_a_config_that_is_there(davis_root, tmp_path):
    best = BestCheckpoint("davis/J&F-Mean")
    best.best_model_path = "best.ckpt"
    trainer = Trainer(logger=False, accelerator="cpu", callbacks=[best], default_root_dir=tmp_path)
    trainer.state.fn = TrainerFn.FITTING
    said = {}
    named = [DavisBenchmark(davis_root, name=name) for name in ("davis_2", "davis_2016")]
    for benchmark in (*named, TimeOrder(davis_root)):
        trainer.callbacks = [best, benchmark]
        said[benchmark.name] = closing_lines(trainer, shipped_configs())
    command = "vidcorr validate --ckpt_path best.ckpt --config benchmarks"
    assert said == {
        "davis_2": [f"checkpoint: best.ckpt; next: {command}/davis.yaml"],
        "davis_2016": [f"checkpoint: best.ckpt; next: {command}/davis_2016.yaml"],
        "time_order": ["checkpoint: best.ckpt"],
    }


@pytest.mark.parametrize(
    ("module", "command"),
    [
        (LinearProbe("raw_colour", 3, stage=None, stride=None), ""),
        (SiamFC("raw_colour", stage=None, dilated=False), " --config benchmarks/otb.yaml"),
        (FrozenEncoder("raw_colour"), " --config benchmarks/davis.yaml"),
    ],
)
def test_the_next_command_is_one_that_can_run(module, command, tmp_path):
    last = LastCheckpoint()
    last.last_model_path = "last.ckpt"
    trainer = Trainer(logger=False, accelerator="cpu", callbacks=[last], default_root_dir=tmp_path)
    trainer.state.fn = TrainerFn.FITTING
    trainer.strategy.connect(module)
    said = "checkpoint: last.ckpt" + (f"; next: vidcorr validate --ckpt_path last.ckpt{command}" if command else "")
    assert closing_lines(trainer, shipped_configs()) == [said]


def test_a_run_without_a_benchmark_ends_with_all_that_its_method_measured(tmp_path):
    trainer = Trainer(logger=False, accelerator="cpu", callbacks=[], default_root_dir=tmp_path)
    trainer.state.fn = TrainerFn.VALIDATING
    measured = {"val/loss": torch.tensor(1.05), "val/top1": torch.tensor(0.25), "train/loss": torch.tensor(2.0)}
    trainer.callback_metrics.update(measured)
    assert closing_lines(trainer, shipped_configs()) == ["val/loss 1.0500, val/top1 0.2500"]


@pytest.mark.parametrize("wrong", ["--model.backbone=torchvision:resnet1", "--trainer.callbacks.root=nowhere"])
def test_a_failed_run_leaves_no_folder(wrong, video_folder, davis_root, tmp_path):
    more = benchmark(davis_root, f"--trainer.callbacks.output_dir={tmp_path / 'out'}")
    words = [*TINY, f"--data.source={video_folder}", f"--trainer.default_root_dir={tmp_path / 'runs'}", *more, wrong]
    with pytest.raises(SystemExit):
        main(["fit", *words])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_keeps_what_was_there(video_folder, davis_root, tmp_path):
    kept = tmp_path / "runs/lightning_logs/version_0/checkpoints/last.ckpt"
    kept.parent.mkdir(parents=True)
    kept.write_text("another run's")
    words = [*TINY, f"--data.source={video_folder}", f"--trainer.default_root_dir={tmp_path / 'runs'}"]
    with pytest.raises(SystemExit):
        main(["fit", *words, *benchmark(davis_root, "--trainer.callbacks.stage=res9")])
    assert kept.read_text() == "another run's"
    assert [path.name for path in (tmp_path / "runs/lightning_logs").iterdir()] == ["version_0"]


def test_a_failed_run_keeps_the_logs_of_an_earlier_one_under_its_name(tmp_path):
    logs = tmp_path / "logs/mine"
    logs.mkdir(parents=True)
    (logs / "events.out.tfevents.1").write_text("earlier")
    words = ["--trainer.accelerator=cpu", "--trainer.logger=TensorBoardLogger", f"--trainer.logger.save_dir={tmp_path}",
             "--trainer.logger.name=logs", "--trainer.logger.version=mine"]  # fmt: skip
    with pytest.raises(SystemExit):
        main(["validate", "--model=FrozenEncoder", "--model.spec=raw_colour", *words, *benchmark(tmp_path / "nowhere")])
    assert (logs / "events.out.tfevents.1").read_text() == "earlier"
