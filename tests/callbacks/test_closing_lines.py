"""The lines that end a run: the printed command runs as it stands, for each method."""

import re
import shlex

import pytest

import lightning_modules
from cli import main
from lightning_modules.base import CorrespondenceModule
from tests.helpers.benchmark_data import data_for
from tests.helpers.words import NETWORK, TINY, clips, davis, flags
from vidcorr.datasets.generated import write_got10k

METHODS = {
    "VFSSimSiam": TINY,
    "VFSMoCo": flags("model", "VFSMoCo", backbone=NETWORK, projection_dim=4, queue_size=16),
    "ContrastiveRandomWalk": flags("model", "ContrastiveRandomWalk", backbone=NETWORK, embedding_dim=8, nodes="cells"),
    "Liir": [
        *flags("model", "Liir", position_size=32, radius=2),
        *flags("model.schedule", warmup_epochs=0),
        *flags("model.bank", frames=6, points=2),
    ],
    "SiamFC": flags("model", "SiamFC", backbone=NETWORK, dilated="false"),
    "LinearProbe": flags("model", "LinearProbe", backbone="vidcorr-r18", stage="res4", num_classes=2),
}
"""Method → flags of a small one."""


def data_of(method, videos, folder):
    """Return the flags of small data for a method."""
    if method == "SiamFC":
        root = write_got10k(folder / "got10k", 2, frames=4)
        return flags("data", "Got10kDataModule", root=root, batch_size=2, num_workers=0)
    if method == "LinearProbe":
        names = sorted(path.name for path in videos.glob("*.mp4"))
        listed = folder / "list.txt"
        listed.write_text("".join(f"{videos / name} {index % 2}\n" for index, name in enumerate(names)))
        data = {"source": listed, "size": 32, "batch_size": 2, "num_workers": 0, "validation_fraction": 0.34}
        return flags("data", "VideoFrameDataModule", **data)
    return clips(videos, frames=4, size=64)


def test_each_method_is_here():
    exported = [getattr(lightning_modules, name) for name in lightning_modules.__all__]
    methods = [each.__name__ for each in exported if isinstance(each, type) and issubclass(each, CorrespondenceModule)]
    assert set(methods) - {"CorrespondenceModule"} == METHODS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_next_command_runs_as_it_is_printed(method, video_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trainer = flags("trainer", accelerator="cpu", max_steps=1, limit_val_batches=1, enable_progress_bar="false")
    main(["fit", *METHODS[method], *data_of(method, video_folder, tmp_path), *trainer])
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("checkpoint: ")
    _, _, command = line.partition("; next: vidcorr ")
    if method == "LinearProbe":  # no benchmark evaluates a classifier
        assert not command
        return
    config = re.search(r"--on (\w+)=FOLDER", command)[1]
    data = data_for(config, tmp_path / "data")
    words = shlex.split(command.replace("FOLDER", str(data)))
    main([*words, "--limit=1", "--trainer.accelerator=cpu"])
    assert list(tmp_path.glob(f"runs/**/benchmarks/{config.partition('_')[0]}/*/results.json"))


@pytest.mark.slow
def test_a_benchmark_of_a_config_is_named_with_its_changes(video_folder, davis_root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trainer = flags("trainer", accelerator="cpu", max_steps=1)
    main(["fit", *TINY, *clips(video_folder), *trainer, *davis(davis_root, stage="res4")])
    command = capsys.readouterr().out.splitlines()[-1].partition("; next: vidcorr ")[2]
    assert f"--on davis={davis_root} --protocol vfs+context=2+radius=3 --stage res4" in command
    main([*shlex.split(command), "--trainer.accelerator=cpu"])
    assert len(list(tmp_path.glob("runs/**/benchmarks/davis/*/results.json"))) == 2
