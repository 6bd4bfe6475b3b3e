"""A run that goes on keeps its configuration, whatever became of the YAML that its command named."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from tests.helpers.faults import differences
from tests.helpers.refusal import refused
from tests.helpers.stops import in_slurm
from tests.helpers.words import NETWORK, clips, flags
from vidcorr.cli import main
from vidcorr.experiments.runs.runs import RunFolder

STRIKE = flags("trainer.callbacks+", "tests.helpers.faults.Strike", name="SIGTERM", step=2, place="end")
ADAMW = ["--optimizer=AdamW", "--optimizer.lr=0.01", "--optimizer.weight_decay=0.1"]
ADAMW += ["--lr_scheduler=StepLR", "--lr_scheduler.step_size=1", "--lr_scheduler.gamma=0.5"]


def write(path, rate):
    arguments = {"backbone": NETWORK, "projector_dim": 16, "predictor_dim": int(8 / rate), "base_lr": rate}
    path.write_text(yaml.safe_dump({"model": {"class_path": "VFSSimSiam", "init_args": arguments}}))


def words(root, source, *more):
    quiet = {"accelerator": "cpu", "enable_progress_bar": "false", "limit_val_batches": 0, "max_steps": 4}
    return ["fit", "--config=mine.yaml", *clips(source), *flags("trainer", **quiet, default_root_dir=root), *more]


def state_of(folder):
    content = torch.load(RunFolder.read(folder).last, weights_only=True)
    return [content[name] for name in ("state_dict", "optimizer_states", "lr_schedulers")]


@pytest.mark.parametrize("way", ["resume", "requeue", "resume with --optimizer"])
@pytest.mark.sampled(3)
def test_a_stopped_run_goes_on_as_it_began(way, video_folder, here, monkeypatch):
    monkeypatch.delenv("STRUCK", raising=False)
    own = ADAMW if "--optimizer" in way else []
    write(here / "mine.yaml", rate=1.0)
    main(words("whole", video_folder, *own))
    if way == "requeue":
        in_slurm(monkeypatch, JOB_ID="8")
    command = words("stopped", video_folder, *STRIKE, *own)
    refused(SystemExit, "^143$", main, command)
    write(here / "mine.yaml", rate=2.0)
    if way == "requeue":
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        main(command)
    else:
        main(["resume", "stopped/version_0"])
    assert [path.name for path in Path("stopped").iterdir()] == ["version_0"]
    whole, stopped = (state_of(Path(root, "version_0")) for root in ("whole", "stopped"))
    assert whole[1] != []
    assert differences(whole, stopped) == []
    arguments = yaml.safe_load(Path("stopped/version_0/config.yaml").read_text())["model"]["init_args"]
    assert (arguments["base_lr"], arguments["predictor_dim"]) == (1.0, 8)


def test_last_takes_no_run_of_another_configuration(video_folder, here, info_log):
    write(here / "mine.yaml", rate=1.0)
    command = [*words("runs", video_folder), "--ckpt_path=last"]
    main(command)
    write(here / "mine.yaml", rate=2.0)
    main(command)
    assert "no checkpoint of this training below runs: starting a new run" in info_log.text
    assert sorted(path.name for path in Path("runs").iterdir()) == ["version_0", "version_1"]


@pytest.mark.slow
def test_a_copied_run_is_measured_beside_the_copy_and_without_its_videos(video_folder, davis_root, here, info_log):
    write(here / "mine.yaml", rate=1.0)
    Path("home").mkdir()
    videos = here / "videos"
    videos.symlink_to(video_folder)
    on = ["--on", f"davis={davis_root}", "--limit", "1", "--stage", "res4", "--change", "radius=3"]
    main(words("home/runs", "videos", *on))
    copied = Path("home/runs/version_0").rename(here / "copy")
    videos.unlink()
    main(["validate", "copy"])
    assert "videos: there is no such file or folder: benchmarks alone are run" in info_log.text
    assert list(Path("home/runs").iterdir()) == []
    (measured,) = here.glob("version_0/benchmarks/davis/*")
    (trained,) = copied.glob("benchmarks/davis/*")
    first, again = (json.loads(Path(folder, "results.json").read_text()) for folder in (trained, measured))
    assert first["scores"] == again["scores"]
