"""`vidcorr figure`: rows of methods and the truth, columns of frames.

Also tests `reports/figure.py`.
"""

import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.benchmark_data import WRITERS
from tests.helpers.runs import davis_result, write_results
from tests.helpers.words import SMALL, refusal
from vidcorr import DavisBenchmark
from vidcorr.cli import main
from vidcorr.datasets import MaskSequence
from vidcorr.datasets.generated import write_davis
from vidcorr.experiments.reports.figure import figure
from vidcorr.results.pictures.animations import overlay_masks_small
from vidcorr.results.result import ProtocolFacts, Result, Setup
from vidcorr.videos.masks import VOID, davis_palette, read_mask, write_ids


@pytest.fixture(scope="module")
def davis(tmp_path_factory):
    """The benchmark, `--on` and the folder of a result, whose masks are the truth; a frame's truth has void."""
    root = tmp_path_factory.mktemp("figure")
    data = write_davis(root / "davis", 3, frames=8, size=(24, 32))
    benchmark = DavisBenchmark(data, changes=SMALL)
    shutil.copytree(data / "Annotations/480p", root / "raw/predictions")
    file = data / "Annotations/480p/synthetic-000/00003.png"
    ids = read_mask(file).copy()
    ids[:9, :9] = VOID
    write_ids(file, ids, davis_palette())
    stage = Setup(protocol=ProtocolFacts(**benchmark.protocol.facts()))
    names = [sequence.video for sequence in benchmark.sequences]
    davis_result({"J-Mean": 0.5}, stage=stage, sequences=names).save(root / "raw")
    return benchmark, f"davis={data}", root / "raw"


def test_a_block_has_a_row_of_names_a_row_of_each_result_and_the_truth(davis, tmp_path, monkeypatch):
    benchmark, on, folder = davis
    sequence = benchmark.sequences[0]
    monkeypatch.setattr(MaskSequence, "annotated", (0, 3))
    drawn = figure([folder], on, [sequence.name], [0, 3, 5])
    truth = [sequence.read_mask(0), sequence.read_mask(3), torch.zeros(24, 32, dtype=torch.uint8)]
    truth[1][truth[1] == VOID] = 0
    found = []
    for t in (0, 3, 5):
        found.append(torch.from_numpy(read_mask(folder / f"predictions/{sequence.video}/{t:05d}.png")))
    places = iter(drawn.axes)
    for masks in (found, truth):
        for t, mask in zip((0, 3, 5), masks, strict=True):
            (shown,) = next(places).get_images()
            np.testing.assert_array_equal(shown.get_array(), overlay_masks_small(sequence.frame(t), mask))
    assert [axes.get_title() for axes in drawn.axes[:3]] == [f"{sequence.name}\nframe 0", "frame 3", "frame 5"]


def test_the_command_writes_a_picture_and_a_file_whose_text_is_text(davis, tmp_path, capsys):
    """Results of other benchmarks are left out."""
    _, on, folder = davis
    other = write_results(tmp_path / "otb", {"success": 0.5}, benchmark="otb")
    for name, frames in (("new/out/rows.png", ["0", "3"]), ("r.svg", ["0"])):
        words = ["--sequences", "synthetic-000", "--frames", *frames, "--output", str(tmp_path / name)]
        main(["figure", f"A={folder}", str(other), "--on", on, *words])
        assert capsys.readouterr().out == f"{tmp_path / name}\n"
    picture = Image.open(tmp_path / "new/out/rows.png")
    assert picture.height > 2 * 240
    assert 2 * 320 < picture.width < 3 * 320
    texts = re.findall(r"<text[^>]*>(.*?)</text>", (tmp_path / "r.svg").read_text("utf-8"))
    assert sorted(texts) == ["A", "frame 0", "synthetic-000", "truth"]


def test_what_cannot_be_drawn_is_named(davis, tmp_path):
    _, on, folder = davis
    (tmp_path / "bare").mkdir()
    shutil.copy(folder / "results.json", tmp_path / "bare")
    write_results(tmp_path / "other", {"J-Mean": 0.5}, sequences=2)  # of other names
    for words, said in (
        (
            [tmp_path / "bare", "--on", on],
            "bare/predictions/synthetic-000/00000.png: no such prediction: evaluate with an output",
        ),
        ([folder, tmp_path / "other", "--on", on], "have no sequence of davis="),
        ([folder, "--on", on, "--sequences", "synthetic-007"], "sequence must be one of 'synthetic-000'"),
        ([folder, "--on", on, "--frames", "7", "8"], "synthetic-000 has no frame 8; its last frame is 7"),
        ([folder, "--on", on, "--frames=-1"], "synthetic-000 has no frame -1; its last frame is 7"),
        ([folder, "--on", f"jhmdb={tmp_path}"], "figure: jhmdb has no masks"),
        ([tmp_path / "bare/..", "--on", f"davis_2016={tmp_path}"], "figure: no result of"),
    ):
        assert said in refusal("figure", *words, "--output", tmp_path / "figure.png")
    others = write_davis(tmp_path / "others", 3, frames=8, size=(24, 32), seed=1)
    result = Result.load(folder).model_copy(update={"digests": DavisBenchmark(others).digests})
    shutil.copytree(folder, tmp_path / "result")
    result.save(tmp_path / "result")
    message = "result: its synthetic-000 has other frames or annotations than the data of --on"
    assert message in refusal("figure", tmp_path / "result", "--on", on, "--output", tmp_path / "figure.png")


def test_a_sequence_of_an_object_is_one_that_all_results_have(here):
    """In SA-V each object of a video is a sequence."""
    WRITERS["sa_v"](here / "data")
    main(["evaluate", "raw_colour", "--on", "sa_v=data", "--limit", "1", "--change", "radius=3", "--output", "scored"])
    drawn = figure(["scored"], "sa_v=data", frames=[0])
    assert re.match("synthetic-00._000\nframe 0$", drawn.axes[0].get_title())
