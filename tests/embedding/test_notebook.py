"""A notebook that somebody writes cell by cell, in a real kernel: a cell is interrupted and repeated."""

import json

import pytest
import torch
from torch import nn

from datamodules import VideoDataModule
from tests.helpers.plain_davis import plain_davis

nbformat = pytest.importorskip("nbformat")

IMPORTS = """
import json, os, signal
import torch
from torch import nn
from datamodules import VideoDataModule
from vidcorr import DavisBenchmark
"""
NETWORK = """
torch.manual_seed(5)
trunk = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.BatchNorm2d(16), nn.ReLU())  # in train mode
benchmark = DavisBenchmark({root!r}, changes={{"radius": 3, "context": 2}}, limit_sequences=2)
interruptions = 1  # the user presses the button once

def press_stop(*_):
    global interruptions
    if interruptions:
        interruptions -= 1
        os.kill(os.getpid(), signal.SIGINT)  # as Jupyter's button does
"""
SCORE = """
stop = trunk[0].register_forward_hook(press_stop)
score = benchmark.evaluate(trunk).scores["J&F-Mean"]
stop.remove()
print(json.dumps(["score", score, trunk.training, trunk[1].num_batches_tracked.item()]))
"""
DATA = """
data = VideoDataModule({videos!r}, frames=2, size=32, batch_size=2, num_workers=1, validation_fraction=0)
data.setup("fit")
loader = data.train_dataloader()
interruptions = 1
"""
EPOCH = """
videos, frames = [], []
for batch in loader:
    videos += batch["video_index"].tolist()
    frames += batch["frame_index"].tolist()
    press_stop()
print(json.dumps(["epoch", videos, frames]))
"""


def run(cells, folder):
    """Run cells in a new kernel; return the names of errors, and the lists that the cells printed."""
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", allow_errors=True, resources=place).execute()
    errors, printed = [], []
    for cell in notebook.cells:
        for output in cell.outputs:
            if output.output_type == "error":
                errors.append(output.ename)
            elif output.get("name") == "stdout":
                printed += [json.loads(line) for line in output.text.splitlines() if line.startswith("[")]
    return errors, printed


@pytest.mark.slow
def test_repeated_cells_give_the_numbers_of_a_program(davis_root, video_folder, tmp_path):
    network, data = NETWORK.format(root=str(davis_root)), DATA.format(videos=str(video_folder))
    errors, printed = run([IMPORTS, network, SCORE, SCORE, SCORE, data, EPOCH, EPOCH, EPOCH], tmp_path)
    assert errors == ["KeyboardInterrupt", "KeyboardInterrupt"]
    assert [line[0] for line in printed] == ["score", "score", "epoch", "epoch"]

    torch.manual_seed(5)
    trunk = nn.Sequential(nn.Conv2d(3, 16, 8, 8), nn.BatchNorm2d(16), nn.ReLU()).eval()
    expected = plain_davis(davis_root, trunk, radius=3, context=2, sequences=2)
    for _, score, training, batches in printed[:2]:
        assert score == pytest.approx(expected, abs=1e-3)
        assert training
        assert batches == 0  # the statistics stayed as they were
    assert printed[0] == printed[1]

    for _, videos, _ in printed[2:]:
        assert sorted(videos) == list(range(6))
    clips = VideoDataModule(video_folder, frames=2, size=32, batch_size=2, num_workers=0, validation_fraction=0)
    clips.setup("fit")
    loader = clips.train_dataloader()
    next(iter(loader))  # the interrupted epoch
    for _, videos, frames in printed[2:]:
        batches = list(loader)
        assert videos == torch.cat([batch["video_index"] for batch in batches]).tolist()
        assert frames == torch.cat([batch["frame_index"] for batch in batches]).tolist()
    assert printed[2] == printed[3]  # as in torch, `set_epoch` begins the next epoch
