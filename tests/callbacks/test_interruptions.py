"""Traces of a run that was stopped or refused."""

import re
import shlex
from types import SimpleNamespace

import pytest
import torch

from callbacks import BenchmarkCallback
from callbacks.closing_lines import resume_command, summary
from cli import main
from tests.helpers.words import TINY, clips, davis, flags, refusal
from vidcorr import DavisBenchmark
from vidcorr.experiments.command_line import read_command_line
from vidcorr.results.result import Evaluated

BRIEF = ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]


@pytest.mark.slow
def test_the_line_at_a_stop_resumes_the_run(video_folder, tmp_path, caplog):
    caplog.set_level("INFO")
    blow = flags("trainer.callbacks+", "tests.helpers.faults.Strike", name="SIGTERM", step=2, place="end")
    words = [*TINY, *clips(video_folder, repeat=2), *BRIEF, f"--trainer.default_root_dir={tmp_path}/my runs", *blow]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *words])
    assert stopped.value.code == 143
    ended, kept, line = caplog.messages[-3:]
    place, _, path = kept.partition(": ")
    assert (place, path.endswith("/checkpoints/last.ckpt")) == ("ended in step 2; saved after step 2", True)
    assert ended == "stopped by SIGTERM"
    assert line.startswith("resume: vidcorr fit ")
    main(shlex.split(line)[2:])
    assert [path.name for path in (tmp_path / "my runs/lightning_logs").iterdir()] == ["version_0"]
    assert torch.load(path, weights_only=True)["global_step"] == 5


@pytest.mark.parametrize("given", [["--ckpt_path", "null"], ["--ckpt_path=null"], []], ids=str)
def test_the_line_names_one_checkpoint(given):
    assert resume_command(["fit", *given, "--x=1"], "a b.ckpt") == "vidcorr fit --x=1 --ckpt_path 'a b.ckpt'"


@pytest.mark.slow
@pytest.mark.parametrize(
    "mistake",
    [
        ["fit", "--trainer.limit_train_batches=2", "stage"],
        ["fit", "root"],
        ["fit", "source"],
        ["fit", "--ckpt_path=damaged.ckpt"],
        ["fit", "--trainer.callbacks+=BestCheckpoint", "--trainer.callbacks.monitor=davis/X"],
        ["fit", "--trainer.logger=false", "--model.base_lr=-1"],
        ["fit", "--trainer.logger=CSVLogger", "--trainer.logger.save_dir=mine/own", "--data.batch_size=999"],
        ["fit", "--trainer.callbacks+=LastCheckpoint", "--trainer.callbacks+=LastCheckpoint"],
        ["validate", "stage"],
        ["validate", "root"],
    ],
    ids=" ".join,
)
def test_a_refused_run_leaves_no_folder(mistake, video_folder, davis_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command, *more = mistake
    torch.save({"state_dict": {}, "loops": {}}, "damaged.ckpt")
    benchmark = davis("nowhere" if "root" in more else davis_root, **({"stage": "res9"} if "stage" in more else {}))
    data = clips("nowhere" if "source" in more else video_folder) if command == "fit" else []
    refusal(command, *TINY, *data, *benchmark, *BRIEF, *(word for word in more if word.startswith("--")))
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.ckpt"]


@pytest.mark.slow
@pytest.mark.parametrize("logger", [[], ["--trainer.logger=false"]])
def test_a_refused_run_leaves_a_folder_of_the_users_as_it_was(logger, video_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    refusal("fit", *TINY, *clips(video_folder, batch_size=999), *BRIEF, *logger)
    assert [path.name for path in (tmp_path / "runs").iterdir() if path.is_dir()] == []


@pytest.mark.slow
def test_a_score_that_early_stopping_does_not_find_is_one_line(video_folder, tmp_path):
    stopping = flags("trainer.callbacks+", "EarlyStopping", monitor="nothing", check_on_train_epoch_end="true")
    root = f"--trainer.default_root_dir={tmp_path}"
    line = refusal("fit", *TINY, *clips(video_folder), *BRIEF, root, *stopping)
    assert "Early stopping conditioned on metric `nothing` which is not available" in line


@pytest.mark.slow
def test_barebones_trains_without_our_callbacks(video_folder, tmp_path):
    bare = ["--trainer.barebones=true", "--trainer.max_epochs=1", f"--trainer.default_root_dir={tmp_path}"]
    main(["fit", *TINY, *clips(video_folder), *bare])
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.slow
def test_a_missing_stage_is_told_before_videos_are_generated(davis_root, tmp_path):
    data = flags("data", "SyntheticVideoDataModule", root=tmp_path / "made", videos=2)
    line = refusal("fit", *TINY, *data, *BRIEF, "--trainer.logger=false", *davis(davis_root, stage="res9"))
    assert re.match(r"vidcorr: .*res9", line)
    assert not [*tmp_path.iterdir()]


def test_the_closing_lines_compare_a_score_that_both_runs_have(davis_root):
    """A run that resumed with other stages, and a benchmark without annotations, which has no scores."""
    benchmark = BenchmarkCallback(DavisBenchmark(davis_root))
    trainer = SimpleNamespace(callbacks=[benchmark], callback_metrics={}, checkpoint_callbacks=[])
    scores = ({"res4/J&F-Mean": 0.5}, {"J&F-Mean": 0.6, "res4/J&F-Mean": 0.75})
    benchmark._runs = [Evaluated(epoch=step, step=step, scores=found) for step, found in enumerate(scores)]
    line = read_command_line(["fit"])
    assert summary(trainer, line) == ["davis/res4/J&F-Mean 50.0 % at step 0, 75.0 % at step 1"]
    benchmark._runs = [Evaluated(epoch=step, step=step, scores={}) for step in (0, 1)]
    assert summary(trainer, line) == []
